"""What users may write for a model."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfrouter.errors import ConfigurationError
from hfrouter.routing.target import ModelId, Target

GOOD = {
    "openai/gpt-oss-20b": ModelId("openai/gpt-oss-20b"),
    "openai/gpt-oss-20b:groq": ModelId("openai/gpt-oss-20b", provider="groq"),
    "openai/gpt-oss-20b:hf-inference": ModelId("openai/gpt-oss-20b", provider="hf-inference"),
    "openai/gpt-oss-20b:fastest": ModelId("openai/gpt-oss-20b", suffix="fastest"),
    "openai/gpt-oss-20b:cheapest": ModelId("openai/gpt-oss-20b", suffix="cheapest"),
    "openai/gpt-oss-20b:preferred": ModelId("openai/gpt-oss-20b", suffix="preferred"),
    "a/" + "b" * 198: ModelId("a/" + "b" * 198),
}
BAD = [
    *("", "gpt-4", "/", "a/", "/b", "a/b/c", "a/b:", ":groq", "a:b/c", "a/b:c:d", "a/b::c", "a/b:groq/x"),
    *(" a/b", "a/b ", "a /b", "a/b: groq", "a/b\r\n", "a/b:groq\r\nx-header: 1", "a\t/b", "a/b\x00", "a/b\x7f"),
    *("ä/b", "a/b:gröq", "a/\u202eb", "a/\ud800", "\u0430/b", "a/b\u00a0", "a/" + "b" * 199),
    *(None, 5, b"a/b", ["a/b"], Target("a/b", "c")),
]


@pytest.mark.parametrize("text", GOOD)
def test_a_good_id_is_read_and_printed_as_it_was_written(text: str) -> None:
    assert ModelId.parse(text) == GOOD[text]
    assert str(GOOD[text]) == text


@pytest.mark.parametrize("text", BAD, ids=lambda text: ascii(text)[:30])
def test_anything_else_is_refused_with_the_form_that_is_wanted(text: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ModelId.parse(text)  # type: ignore[arg-type]  # what users pass all the same
    told = str(caught.value)
    assert "\n" not in told
    assert len(told) < 300
    assert "'openai/gpt-oss-120b:groq'" in told


@given(st.text(alphabet=st.sampled_from("ab/: \n\u00e9-"), max_size=8))
def test_what_is_read_is_printed_as_it_was_written(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        assert str(ModelId.parse(text)) == text


def test_a_target_is_named_by_model_and_provider_or_by_the_model_alone() -> None:
    assert str(Target("a/b", "groq")) == "a/b:groq"
    assert str(Target("a/b", "")) == "a/b"

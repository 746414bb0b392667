"""Error bodies of every family, read for their words; and the request's own words kept out of what is shown."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfrouter.routing.verdict import Judgement, judge
from hfrouter.wire.problem import WITHHELD, problem_of, read_problem, texts_of

PROMPT = "My secret plan is to move to Lisbon next spring and open a small bakery there."


def read(status: int, body: object, *, sent: tuple[str, ...] = (), **headers: str) -> Judgement:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge(read_problem(status, {k.replace("_", "-"): v for k, v in headers.items()}, raw, 0.0, sent))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": "a string"}, "a string"),
        ({"error": {"message": "an object", "type": "t", "param": "p", "code": "c"}}, "an object"),
        ({"error": {"code": "1211", "message": "only these"}}, "only these"),
        ({"message": "no error key"}, "no error key"),
        ({"error": {"type": "t"}, "message": "beside"}, "beside"),
        ({"detail": "a detail"}, "a detail"),
        ({"detail": [{"loc": ["body", "messages", 0], "msg": "Field required"}]}, "body.messages.0: Field required"),
        ({"detail": [{"loc": 5, "msg": "odd"}]}, "odd"),
        ({"detail": [{"loc": [{"a": 1}], "msg": ["odd"]}]}, ""),
        ({"detail": []}, ""),
        ({"error": {"message": {"not": "text"}}}, ""),
        ({"error": None}, ""),
        ({"error": {}}, ""),
        ({}, ""),
        (b"plain text", "plain text"),
        (b"two\n  lines", "two lines"),
        (b"", ""),
        (b"[1, 2]", "[1, 2]"),
        (b'{"error": "cut', '{"error": "cut'),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
        (b'{"error": "caf\xff"}', '{"error": "caf\ufffd"}'),
        (b"\xef\xbb\xbf" + b'{"error": "marked"}', "marked"),
        (b"<html><body>502</body></html>", ""),
        (b"{" * 100_000, "{" * 299 + "…"),
        (b"[" * 100_000, "[" * 299 + "…"),
        ({"error": "x" * 1000}, "x" * 299 + "…"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_every_family_of_bodies_is_read_for_its_words(body: object, text: str) -> None:
    assert read(418, body).text == text


def test_a_web_page_shows_nothing_of_itself_whatever_it_is_called() -> None:
    for headers in ({"content_type": "text/html"}, {}):
        judgement = read(403, b"  <!DOCTYPE html><script>x</script>error code: 1010", **headers)
        assert (judgement.text, judgement.kind, judgement.scope.name) == ("", "blocked", "PROVIDER")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"message": "x", "code": 429}}, 429),
        ({"error": {"message": "x", "code": "429"}}, 429),
        ({"error": {"message": "x", "status": 503}}, 503),
        ({"error": "x", "status": 404}, 404),
        ({"error": "x", "error_type": "validation"}, 422),
        ({"error": {"message": "x", "type": "invalid_request_error"}}, 400),
        ({"error": {"message": "x", "type": "rate_limit_exceeded"}}, 429),
        ({"error": {"message": "x", "type": "overloaded_error"}}, 503),
        ({"error": {"message": "x", "code": 200}}, 500),
        ({"error": {"message": "x", "code": True}}, 500),
        ({"error": {"message": "x", "code": [429]}}, 500),
        ({"error": "x"}, 500),
    ],
    ids=str,
)
def test_an_error_inside_a_200_has_the_status_its_words_mean(body: dict[str, Any], status: int) -> None:
    assert problem_of(body).status == status


@pytest.mark.parametrize(
    ("estimate", "read_as"), [(22.3, 22.3), (0, 0.0), (-1, None), (True, None), ("20", None), (1e9, None)], ids=str
)
def test_an_estimated_time_is_read_when_it_is_one(estimate: object, read_as: float | None) -> None:
    assert problem_of({"error": "loading", "estimated_time": estimate}, 503).estimated_time == read_as
    assert problem_of(json.loads('{"error": "loading", "estimated_time": NaN}'), 503).estimated_time is None


@pytest.mark.parametrize("status", [429, 503, 500, 408])
def test_a_retry_after_is_read_on_answers_that_mean_later(status: int) -> None:
    assert read(status, {"error": "x"}, retry_after="7").retry_after == 7.0


@pytest.mark.parametrize("status", [400, 401, 402, 404, 422])
def test_a_retry_after_is_ignored_elsewhere(status: int) -> None:
    assert read(status, {"error": "x"}, retry_after="7").retry_after is None


class TestEcho:
    @pytest.mark.parametrize(
        "message",
        [
            PROMPT,
            f"invalid type: string {PROMPT!r}, expected a sequence",
            f"bad input: {PROMPT[10:40]}...",
            f"bad input: {PROMPT[40:]}",
            " ".join(PROMPT.split()).replace("Lisbon ", "Lisbon\n"),
            PROMPT.replace(" ", "\n\t"),
        ],
        ids=range(6),
    )
    def test_a_message_that_repeats_the_request_is_withheld(self, message: str) -> None:
        assert read(418, {"error": message}, sent=(PROMPT,)).text == WITHHELD
        assert read(418, message.encode(), sent=(PROMPT,)).text == WITHHELD

    def test_an_echo_of_a_prompt_in_lines_is_withheld(self) -> None:
        sent = PROMPT.replace(" ", "\n")
        assert read(418, {"error": f"bad: {PROMPT}"}, sent=(sent,)).text == WITHHELD

    def test_a_short_text_is_withheld_when_it_is_repeated_whole(self) -> None:
        assert read(418, {"error": "cannot answer 'PIN 4711' now"}, sent=("PIN 4711",)).text == WITHHELD

    def test_words_of_its_own_are_shown(self) -> None:
        assert read(418, {"error": "My model is small."}, sent=(PROMPT,)).text == "My model is small."

    @pytest.mark.parametrize(
        ("status", "body", "kind"),
        [
            (400, {"error": "Model not supported by provider x"}, "model_not_supported"),
            (400, {"error": {"message": "This model's maximum context length is 8 tokens"}}, "context_overflow"),
            (403, {"error": "You have exceeded your monthly spending limit"}, "spending_limit"),
            (503, {"error": "Model x is currently loading"}, "cold"),
        ],
        ids=["provider", "context", "spending", "loading"],
    )
    def test_what_is_withheld_is_judged_by_its_words_all_the_same(
        self, status: int, body: dict[str, Any], kind: str
    ) -> None:
        for prompt in ("Model", "context", "limit", "loading"):
            assert read(status, body, sent=(prompt,)).kind == kind
        plain = f"{PROMPT} {body['error'] if isinstance(body['error'], str) else body['error']['message']}"
        judgement = read(status, {"error": plain}, sent=(PROMPT,))
        assert (judgement.kind, judgement.text) == (kind, WITHHELD)

    def test_words_after_a_long_echo_are_judged(self) -> None:
        message = f"invalid input '{PROMPT * 20}': it exceeds the maximum context length"
        judgement = read(400, {"error": message}, sent=(PROMPT * 20,))
        assert (judgement.kind, judgement.text) == ("context_overflow", WITHHELD)

    def test_nothing_of_the_prompt_is_in_the_repr_of_what_was_read(self) -> None:
        problem = problem_of({"error": {"message": PROMPT, "code": "x"}}, 400, (PROMPT,))
        assert "Lisbon" not in repr(problem)

    def test_texts_are_found_wherever_messages_hold_them(self) -> None:
        messages = [
            {"role": "system", "content": "rules rules"},
            {"role": "user", "content": [{"type": "text", "text": "in a part"}, {"image_url": {"url": "data:x"}}]},
            {"role": "assistant", "tool_calls": [{"id": "call_1", "function": {"name": "f", "arguments": "{'a': 1}"}}]},
            {"role": "user", "content": "hi"},
        ]
        assert texts_of(messages) == ("rules rules", "in a part", "data:x", "{'a': 1}")
        assert texts_of(None) == texts_of(5) == ()

    def test_a_long_prompt_is_compared_in_little_time(self) -> None:
        sent = tuple(f"{n} " + "lorem ipsum dolor sit amet " * 4000 for n in range(20))  # 2 MB
        began = time.perf_counter()
        assert read(500, {"error": "x" * 150 + "lorem ipsum do" + "y" * 150}, sent=sent).text != WITHHELD
        assert time.perf_counter() - began < 0.5


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "detail", "loc", "msg", "code", "type", "status", "estimated_time", "error_type"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["error", "message", "detail", "code", "status", "estimated_time"]), _JSON))
@settings(max_examples=400, derandomize=True, deadline=None)
def test_no_object_breaks_the_reading(body: dict[str, Any]) -> None:
    assert 400 <= problem_of(body).status < 600
    assert judge(problem_of(body, 500, ("abcd",))).status == 500


@given(st.binary(max_size=100), st.integers(300, 599))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_no_bytes_break_the_reading(body: bytes, status: int) -> None:
    assert judge(read_problem(status, {}, body, 0.0)).status == status

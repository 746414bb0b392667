"""Which targets may serve, and the reason for each that may not."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from hfrouter.routing.eligible import Needs, doubtful, eligible
from hfrouter.routing.policy import Policy
from hfrouter.routing.target import ModelId, Target

FULL = Target(
    "org/m",
    "groq",
    context_length=8_000,
    input_price=Decimal("0.1"),
    output_price=Decimal("10"),
    supports_tools=True,
    supports_structured_output=True,
    input_modalities=("text", "image"),
)
BARE = Target("org/m", "bare")
WANTED = [ModelId("org/m")]
ALL_NEEDS = Needs(tools=True, structured=True, images=True, input_bytes=1_000, max_tokens=100)

REASONS: dict[str, tuple[dict[str, Any], dict[str, Any], Needs, str]] = {
    "not live": ({"live": False}, {}, Needs(), "the catalogue lists it as not live"),
    "only others": ({}, {"only": ["novita"]}, Needs(), "not among the providers allowed"),
    "ignored": ({}, {"ignore": ["groq"]}, Needs(), "its provider is ignored"),
    "no tools": ({"supports_tools": False}, {}, Needs(tools=True), "it does not support tools"),
    "no schema": (
        {"supports_structured_output": False},
        {},
        Needs(structured=True),
        "it does not support structured output",
    ),
    "no images": ({"input_modalities": ("text",)}, {}, Needs(images=True), "it does not take images"),
    "too long": (
        {},
        {},
        Needs(input_bytes=64_001),
        "the request is too long for its context of 8000 tokens",
    ),
    "input too dear": (
        {},
        {"max_price": {"input": "0.05"}},
        Needs(),
        "its input price of $0.1 per million tokens is over the cap of $0.05",
    ),
    "output too dear": (
        {},
        {"max_price": 5},
        Needs(),
        "its output price of $10 per million tokens is over the cap of $5",
    ),
    "input price unknown": (
        {"input_price": None},
        {"max_price": 100},
        Needs(),
        "its input price is not known, so it does not pass the cap",
    ),
    "output price unknown": (
        {"output_price": None},
        {"max_price": {"output": 100}},
        Needs(),
        "its output price is not known, so it does not pass the cap",
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_a_target_is_left_out_for_a_reason(name: str) -> None:
    facts, limits, needs, reason = REASONS[name]
    target = replace(FULL, **facts)
    assert eligible([target], WANTED, Policy(**limits), needs) == ([], {"org/m:groq": reason})
    assert eligible([FULL], WANTED, Policy(), ALL_NEEDS) == ([FULL], {})


MAY: dict[str, tuple[Target, dict[str, Any], Needs]] = {
    "nothing is known of it": (BARE, {}, ALL_NEEDS),
    "what it cannot do is not asked for": (
        replace(FULL, supports_tools=False, supports_structured_output=False, input_modalities=("text",)),
        {},
        Needs(),
    ),
    "exactly as long as its context could hold": (FULL, {}, Needs(input_bytes=64_000)),
    "exactly at the cap": (FULL, {"max_price": 10}, Needs()),
    "free, whatever the cap": (replace(BARE, is_free=True), {"max_price": 0}, Needs()),
    "a cap for the other price": (replace(FULL, output_price=None), {"max_price": {"input": 1}}, Needs()),
    "an empty cap": (BARE, {"max_price": {}}, Needs()),
    "allowed": (FULL, {"only": ["groq"], "ignore": ["x"]}, Needs()),
}


@pytest.mark.parametrize("name", MAY)
def test_a_target_may_serve(name: str) -> None:
    target, limits, needs = MAY[name]
    assert eligible([target], WANTED, Policy(**limits), needs) == ([target], {})


M_A, M_B, N_A, N_B = (Target(model, provider) for model in ("org/m", "org/n") for provider in "ab")
ROWS = [N_A, M_A, M_B, N_B, Target("org/unwanted", "a")]
PINNED_A, PINNED_B = "the call is pinned to a", "the call is pinned to b"
PINS: dict[str, tuple[list[str], list[Target], dict[str, str]]] = {
    "none": (["org/m", "org/n"], [M_A, M_B, N_A, N_B], {}),
    "the first model": (["org/m:a", "org/n"], [M_A, N_A, N_B], {"org/m:b": PINNED_A}),
    "both models": (["org/m:a", "org/n:b"], [M_A, N_B], {"org/m:b": PINNED_A, "org/n:a": PINNED_B}),
    "one model twice": (["org/m:b", "org/m:a"], [M_B, M_A], {}),
    "one model pinned, then free": (["org/m:b", "org/m"], [M_B, M_A], {}),
    "to nobody": (["org/m:c"], [], {"org/m:a": "the call is pinned to c", "org/m:b": "the call is pinned to c"}),
    "the same model again": (["org/m", "org/m"], [M_A, M_B], {}),
    "an order of choice is no pin": (["org/m:cheapest"], [M_A, M_B], {}),
    "a model without rows": (["org/none"], [], {}),
}


@pytest.mark.parametrize("name", PINS)
def test_a_pin_forbids_other_providers_of_its_model_only(name: str) -> None:
    names, allowed, rejected = PINS[name]
    assert eligible(ROWS, [ModelId.parse(n) for n in names], Policy(), Needs()) == (allowed, rejected)


HF, GROQ, GONE = (
    Target("org/m", "hf-inference", is_free=True),
    Target("org/m", "groq"),
    Target("org/m", "novita", live=False),
)
HF_REASON = "hf-inference is for small models on CPUs and lists no price; name it in order or only, or pin it"
CPUS: dict[str, tuple[list[Target], str, dict[str, Any], bool]] = {
    "others serve the model": ([HF, GROQ], "org/m", {}, False),
    "others serve it, though not this call": ([HF, GROQ], "org/m", {"ignore": "groq"}, False),
    "it is in order": ([HF, GROQ], "org/m", {"order": ["groq", "hf-inference"]}, True),
    "it is in only": ([HF, GROQ], "org/m", {"only": "hf-inference"}, True),
    "it is pinned": ([HF, GROQ], "org/m:hf-inference", {}, True),
    "nobody else serves the model": ([HF], "org/m", {}, True),
    "nobody else is live": ([HF, GONE], "org/m", {}, True),
    "nobody else but an endpoint of the user's": ([HF, Target("org/m", "own", url="http://h/v1")], "org/m", {}, True),
}


@pytest.mark.parametrize("name", CPUS)
def test_hf_inference_chats_where_it_is_named_or_alone(name: str) -> None:
    rows, model, limits, may = CPUS[name]
    allowed, rejected = eligible(rows, [ModelId.parse(model)], Policy(**limits), Needs())
    assert (HF in allowed) is may
    assert rejected.get(HF.id) == (None if may else HF_REASON)


OWN_M, OWN_N, FIXED = (Target(model, "own", url="http://h/v1") for model in ("org/m", "org/n", "llama3.2"))
OWN: dict[str, tuple[list[str], list[Target], list[Target]]] = {
    "any model": (["org/m", "org/n"], [OWN_M, OWN_N], [OWN_M, OWN_N]),
    "one model serves whatever is asked": (["org/m", "org/n"], [FIXED], [FIXED]),
    "pinned to it": (["org/m:own"], [FIXED, OWN_M], [OWN_M, FIXED]),
    "pinned to another": (["org/m:a"], [FIXED, OWN_M], []),
    "one model pinned to another, one free": (["org/m:a", "org/n"], [FIXED, OWN_M, OWN_N], [OWN_N, FIXED]),
    "its one model is the one that is pinned": (["org/m:a", "org/n"], [OWN_M], []),
}


@pytest.mark.parametrize("name", OWN)
def test_an_endpoint_may_serve_what_it_is_not_kept_from(name: str) -> None:
    names, rows, expected = OWN[name]
    allowed, rejected = eligible(rows, [ModelId.parse(n) for n in names], Policy(), Needs())
    assert allowed == expected
    assert {*rejected} == {row.id for row in rows if row not in expected}


def test_pictures_in_the_request_do_not_make_it_too_long() -> None:
    big = Needs(input_bytes=1_000_000, image_bytes=990_000, images=True)
    assert eligible([FULL], WANTED, Policy(), big) == ([FULL], {})
    assert not doubtful(FULL, big)


DOUBTS: dict[str, tuple[Target, Needs, bool]] = {
    "all known": (FULL, ALL_NEEDS, False),
    "nothing needed": (BARE, Needs(), False),
    "tools unknown": (replace(FULL, supports_tools=None), Needs(tools=True), True),
    "schema unknown": (replace(FULL, supports_structured_output=None), Needs(structured=True), True),
    "images unknown": (replace(FULL, input_modalities=()), Needs(images=True), True),
    "input tight": (FULL, Needs(input_bytes=28_000), True),
    "input fits": (FULL, Needs(input_bytes=27_000), False),
    "output tight": (FULL, Needs(max_tokens=8_000), True),
    "output fits": (FULL, Needs(max_tokens=7_999), False),
}


@pytest.mark.parametrize("name", DOUBTS)
def test_a_doubt_is_an_ability_that_is_not_known_or_a_tight_context(name: str) -> None:
    target, needs, expected = DOUBTS[name]
    assert doubtful(target, needs) is expected


def test_likely_tokens_are_bytes_by_three_and_a_half_and_at_most_a_thousand_out() -> None:
    assert Needs(input_bytes=3_500).input_tokens == 1_001
    assert Needs().output_tokens == 500
    assert Needs(max_tokens=20).output_tokens == 20
    assert Needs(max_tokens=9_000).output_tokens == 1_000


def test_an_endpoint_of_the_users_may_bear_any_name() -> None:
    own = replace(HF, url="http://h/v1")
    assert eligible([own, GROQ], WANTED, Policy(), Needs()) == ([own, GROQ], {})


@pytest.mark.parametrize(("asked", "tight"), [(None, False), (1, True), (0, False)])
def test_a_size_is_tight_when_the_likely_input_and_the_output_asked_for_do_not_fit(
    asked: int | None, tight: bool
) -> None:
    target = replace(FULL, context_length=1_001)
    assert Needs(input_bytes=3_500).input_tokens == 1_001
    assert doubtful(target, Needs(input_bytes=3_500, max_tokens=asked)) is tight


def test_a_request_of_nothing_needs_nothing() -> None:
    nothing = Needs()
    assert (nothing.input_bytes, nothing.image_bytes, nothing.max_tokens) == (0, 0, None)
    assert (nothing.input_tokens, nothing.output_tokens) == (1, 500)
    assert not doubtful(BARE, nothing)

"""Tokens as providers report them, and what cannot be a report."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfrouter.cost.price import Cost, Price
from hfrouter.cost.usage import Usage

# USD per million tokens, so that the arithmetic below can be done by hand: 0.1 per million is 100 nano-USD a token.
PRICE = Price(Decimal("0.1"), Decimal("0.5"))

# The shapes recorded from providers, what we read, and what they cost in nano-USD, at least and at most.
SHAPES: dict[str, tuple[dict[str, Any], Usage, int, int]] = {
    "groq, with times and without cached tokens": (
        {
            "queue_time": 0.17,
            "prompt_tokens": 1522,
            "prompt_time": 0.08,
            "completion_tokens": 34,
            "completion_time": 0.036,
            "total_tokens": 1556,
            "total_time": 0.12,
            "completion_tokens_details": {"reasoning_tokens": 11},
        },
        Usage(1522, 34, None, 11),
        1522 * 100 + 34 * 500,
        169_200,
    ),
    "cerebras, nothing cached": (
        {
            "prompt_tokens": 22,
            "completion_tokens": 4,
            "total_tokens": 26,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
        Usage(22, 4, 0),
        22 * 100 + 4 * 500,
        4_200,
    ),
    "cerebras, without details": (
        {"total_tokens": 1714, "completion_tokens": 1698, "prompt_tokens": 16},
        Usage(16, 1698),
        16 * 100 + 1698 * 500,
        850_600,
    ),
    "zai-org, a cache hit": (
        {
            "completion_tokens": 126,
            "prompt_tokens": 286,
            "prompt_tokens_details": {"cached_tokens": 43},
            "total_tokens": 412,
        },
        Usage(286, 126, 43),
        (286 - 43) * 100 + 126 * 500,
        286 * 100 + 126 * 500,
    ),
    "together and featherless, flat": (
        {"prompt_tokens": 10, "completion_tokens": 955, "total_tokens": 965, "cached_tokens": 0},
        Usage(10, 955, 0),
        10 * 100 + 955 * 500,
        478_500,
    ),
    "flat, a cache hit": (
        {"prompt_tokens": 10, "completion_tokens": 2, "cached_tokens": 4},
        Usage(10, 2, 4),
        6 * 100 + 2 * 500,
        10 * 100 + 2 * 500,
    ),
    "novita, null details": (
        {
            "prompt_tokens": 40,
            "completion_tokens": 2,
            "total_tokens": 42,
            "prompt_tokens_details": None,
            "completion_tokens_details": None,
        },
        Usage(40, 2),
        40 * 100 + 2 * 500,
        5_000,
    ),
    "fireworks, reasoning said twice": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 8,
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 5},
            "output_tokens_details": {"reasoning_tokens": 5},
        },
        Usage(10, 8, 2, 5),
        8 * 100 + 8 * 500,
        10 * 100 + 8 * 500,
    ),
    "deepseek's name for a cache hit": (
        {"prompt_tokens": 10, "completion_tokens": 2, "prompt_cache_hit_tokens": 10, "prompt_cache_miss_tokens": 0},
        Usage(10, 2, 10),
        2 * 500,
        10 * 100 + 2 * 500,
    ),
    "the names of the responses API": (
        {"input_tokens": 10, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 1}, "reasoning_tokens": 1},
        Usage(10, 2, 1, 1),
        9 * 100 + 2 * 500,
        10 * 100 + 2 * 500,
    ),
    "sambanova, with floats beside": (
        {"prompt_tokens": 5, "completion_tokens": 1, "completion_tokens_per_sec": 91.7, "is_last_response": True},
        Usage(5, 1),
        5 * 100 + 500,
        1_000,
    ),
    "no prompt tokens are a valid count": ({"prompt_tokens": 0, "completion_tokens": 3}, Usage(0, 3), 1_500, 1_500),
    "no tokens at all": ({"prompt_tokens": 0, "completion_tokens": 0}, Usage(0, 0), 0, 0),
    "whole numbers in other clothes": (
        {"prompt_tokens": "10", "completion_tokens": 2.0},
        Usage(10, 2),
        2_000,
        2_000,
    ),
    "null, then a name that has it": (
        {"prompt_tokens": None, "input_tokens": 10, "completion_tokens": 2},
        Usage(10, 2),
        2_000,
        2_000,
    ),
    "more cached than there was": (
        {"prompt_tokens": 10, "completion_tokens": 2, "cached_tokens": 99},
        Usage(10, 2, 10),
        1_000,
        2_000,
    ),
    "reasoning that is no count costs nothing": (
        {"prompt_tokens": 10, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": "many"}},
        Usage(10, 2),
        2_000,
        2_000,
    ),
    "reasoning beside the answer, as the total says": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 2,
            "total_tokens": 17,
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
        Usage(10, 7, None, 5),
        10 * 100 + 7 * 500,
        4_500,
    ),
    "a total that has more than its parts": (
        {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 15},
        Usage(10, 2),
        10 * 100 + 2 * 500,
        10 * 100 + 2 * 500 + 3 * 500,  # three tokens nobody explains, each at the dearer price
    ),
    "a total that has less than its parts": (
        {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 11},
        Usage(10, 2),
        10 * 100 + 2 * 500 - 1 * 500,
        10 * 100 + 2 * 500,
    ),
    "cached tokens beside the prompt": (
        {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 16, "cached_tokens": 4},
        Usage(10, 2, 4),
        6 * 100 + 2 * 500,
        10 * 100 + 2 * 500 + 4 * 500,
    ),
    "a total of nothing is one that was not filled in": (
        {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 0},
        Usage(10, 2),
        2_000,
        2_000,
    ),
    "a total that is no count says nothing": (
        {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": "many"},
        Usage(10, 2),
        2_000,
        2_000,
    ),
    "deepinfra, with an estimate of its own": (
        {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12, "estimated_cost": 0.00001},
        Usage(10, 2),
        2_000,
        2_000,
    ),
    "details that are no details": (
        {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": 5},
        Usage(10, 2),
        2_000,
        2_000,
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_report_is_read_and_priced(name: str) -> None:
    report, usage, lower, upper = SHAPES[name]
    read = Usage.read(report)
    assert read == usage
    cost = Cost.of(read, PRICE)
    assert (cost.lower, cost.upper, cost.exact) == (lower, upper, lower == upper)
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens


NO_COUNTS = [-1, -0.5, 5.5, "5.5", "-5", "five", "٣", " 5", "", True, False, float("nan"), float("inf"), 10**9, 1e30]
NO_COUNTS += ["9" * 12, "9" * 5000, Decimal("sNaN"), Decimal("Infinity"), [5], {"n": 5}, b"5", 1j]


@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens", "cached_tokens"])
@pytest.mark.parametrize("value", NO_COUNTS, ids=lambda value: repr(value)[:12])
def test_a_count_that_is_none_makes_the_report_unusable_and_never_an_exact_cost(name: str, value: Any) -> None:
    usage = Usage.read({"prompt_tokens": 10, "completion_tokens": 2, name: value})
    assert usage is None
    cost = Cost.of(usage, PRICE, bound=(100, 10))
    assert (cost.lower, cost.upper, cost.exact) == (0, 100 * 100 + 10 * 500, False)


@pytest.mark.parametrize("report", [None, {}, [], "usage", 5, {"prompt_tokens": 10}, {"completion_tokens": 2}])
def test_half_a_report_is_none(report: Any) -> None:
    assert Usage.read(report) is None


@pytest.mark.parametrize(
    "report", [{"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": n} for n in (1, 5, 11, 13, 10**8)]
)
def test_a_report_that_does_not_add_up_is_never_an_exact_cost(report: dict[str, int]) -> None:
    cost = Cost.of(Usage.read(report), PRICE)
    assert not cost.exact
    assert cost.reason == "the tokens reported do not add up to their total"
    assert cost.upper is not None
    assert 0 <= cost.lower <= 2_000 <= cost.upper


def test_a_cached_price_makes_cached_tokens_exact() -> None:
    price = Price(Decimal("0.1"), Decimal("0.5"), cached=Decimal("0.025"))
    usage = Usage.read({"prompt_tokens": 286, "completion_tokens": 126, "prompt_tokens_details": {"cached_tokens": 43}})
    # $0.1, $0.5 and $0.025 per million tokens are 100, 500 and 25 nano-USD per token.
    assert Cost.of(usage, price) == Cost(243 * 100 + 126 * 500 + 43 * 25, 88_375)
    assert Cost.of(Usage(10, 0, 10), Price(Decimal(1), Decimal(1), cached=Decimal(0))) == Cost(0, 0)


names = [
    "total_tokens",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "prompt_tokens_details",
    "reasoning_tokens",
]
names += ["completion_tokens_details", "input_tokens", "output_tokens", "prompt_cache_hit_tokens"]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.integers(0, 5000),
    lambda inner: st.dictionaries(st.sampled_from(names), inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(names), values))
def test_any_report_is_sound_or_none(report: dict[str, Any]) -> None:
    usage = Usage.read(report)
    if usage is not None:
        assert 0 <= (usage.cached_tokens or 0) <= usage.input_tokens < 10**9
        assert 0 <= (usage.reasoning_tokens or 0) <= usage.output_tokens < 2 * 10**9
        cost = Cost.of(usage, PRICE)
        assert cost.upper is not None
        assert 0 <= cost.lower <= cost.upper
        assert cost.exact or cost.reason

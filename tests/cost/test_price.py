"""Prices, costs and totals: exact, or honest about what is not known."""

from __future__ import annotations

import decimal
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfrouter.cost.estimate import TEMPLATE_TOKENS, input_bound
from hfrouter.cost.price import UNSENT, Cost, Price, Total, dollars
from hfrouter.cost.usage import Usage
from hfrouter.routing.target import Target

PRICE = Price(Decimal("0.1"), Decimal("0.5"))
FREE = Price(Decimal(0), Decimal(0))


def target(input_price: str | None, output_price: str | None, *, is_free: bool = False) -> Target:
    prices = [None if price is None else Decimal(price) for price in (input_price, output_price)]
    return Target("a/b", "p", input_price=prices[0], output_price=prices[1], is_free=is_free)


PRICES: dict[str, tuple[Target, Price | None]] = {
    "both listed": (target("0.1", "0.5"), PRICE),
    "free": (target(None, None, is_free=True), FREE),
    "free for now, with its usual price": (target("0.1", "0.5", is_free=True), FREE),
    "none listed": (target(None, None), None),
    "input missing": (target(None, "0.5"), None),
    "output missing": (target("0.1", None), None),
    "0/0 that does not say it is free": (target("0", "0"), None),
    "0/0 that says so": (target("0", "0", is_free=True), FREE),
    "0 for one of the two": (target("0", "0.5"), Price(Decimal(0), Decimal("0.5"))),
}


@pytest.mark.parametrize("name", PRICES)
def test_a_missing_price_is_not_a_free_one(name: str) -> None:
    row, price = PRICES[name]
    assert Price.of(row) == price
    dated = Price.of(row, at=7)
    assert dated is None or (dated.at, dated.source) == (7, "catalogue")


@pytest.mark.parametrize("bad", [0.1, 1, "0.1", None, Decimal(-1), Decimal("NaN"), Decimal("Infinity"), True])
def test_a_price_is_a_decimal_of_zero_or_more(bad: Any) -> None:
    with pytest.raises(ValueError, match="USD per million"):
        Price(bad, Decimal(1))
    with pytest.raises(ValueError, match="USD per million"):
        Price(Decimal(1), bad)


@pytest.mark.parametrize("bad", [0.1, "0.1", Decimal(-1), Decimal("NaN"), Decimal(2)])
def test_a_cached_price_is_one_and_not_above_the_inputs(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"USD per million|costs no more"):
        Price(Decimal(1), Decimal(1), cached=bad)


# (USD per million, tokens, nano-USD half-even, nano-USD rounded up): a token at 0.0005 is half a nano-USD.
ROUNDINGS = [
    ("0.0005", 1, 0, 1),
    ("0.0005", 2, 1, 1),
    ("0.0005", 3, 2, 2),
    ("0.0005", 5, 2, 3),
    ("0.0015", 1, 2, 2),
    ("0.0004", 1, 0, 1),
    ("0.0006", 1, 1, 1),
    ("0.03", 1_000_000, 30_000_000, 30_000_000),
    ("999999.999999", 999_999_999, 999_999_998_999_000_000, 999_999_998_999_000_001),
]


@pytest.mark.parametrize(("usd", "tokens", "even", "up"), ROUNDINGS)
def test_money_is_rounded_once_half_even_and_up_for_a_bound(usd: str, tokens: int, even: int, up: int) -> None:
    price = Price(Decimal(usd), Decimal(0))
    assert price.nano_usd(tokens, 0) == even
    assert price.nano_usd(tokens, 0, up=True) == up
    assert Price(Decimal(0), Decimal(usd)).nano_usd(0, tokens) == even


def test_input_and_output_are_rounded_together() -> None:
    assert Price(Decimal("0.0004"), Decimal("0.0004")).nano_usd(1, 1) == 1  # 0.8, not 0 + 0


def test_the_callers_decimal_context_changes_no_cost() -> None:
    with decimal.localcontext(decimal.Context(prec=2, rounding=decimal.ROUND_UP, traps=[decimal.Inexact])):
        assert PRICE.nano_usd(1522, 34) == 169_200
        assert Cost(169_201, 169_201).usd == Decimal("0.000169201")
        assert Total.of([Cost(169_201, 169_201)]).usd == Decimal("0.000169201")


COSTS: dict[str, tuple[Cost, tuple[int, int | None, str], str]] = {
    "exact": (Cost.of(Usage(1522, 34), PRICE), (169_200, 169_200, ""), "$0.0001692"),
    "free": (Cost.of(Usage(1522, 34), FREE), (0, 0, "free"), "$0.00"),
    "free, without usage": (Cost.of(None, FREE), (0, 0, "free"), "$0.00"),
    "no price": (Cost.of(Usage(10, 2), None), (0, None, "no price in the catalogue"), "n/a"),
    "no usage, bounded": (
        Cost.of(None, PRICE, (1000, 100)),
        (0, 150_000, "no usage reported"),
        "$0.00 to $0.00015",
    ),
    "no usage, no bound": (Cost.of(None, PRICE), (0, None, "no usage reported"), "n/a"),
    "cached tokens": (
        Cost.of(Usage(286, 126, 43), PRICE),
        (87_300, 91_600, "cached tokens without a cache price"),
        "$0.0000873 to $0.0000916",
    ),
    "cached tokens of a free input": (
        Cost.of(Usage(10, 2, 5), Price(Decimal(0), Decimal(1))),
        (2_000, 2_000, ""),
        "$0.000002",
    ),
    "usage beyond the bound is the truth": (
        Cost.of(Usage(1000, 100), PRICE, (1, 1)),
        (150_000, 150_000, ""),
        "$0.00015",
    ),
    "an error status": (Cost.refused(503), (0, 0, "status 503 is not billed"), "$0.00"),
    "broken": (Cost.broken(PRICE, (1000, 100), "cut"), (0, 150_000, "cut"), "$0.00 to $0.00015"),
    "broken, for free": (Cost.broken(FREE, (1000, 100), "cut"), (0, 0, "free"), "$0.00"),
    "broken, without a price": (
        Cost.broken(None, (1000, 100), "cut"),
        (0, None, "cut; no price in the catalogue"),
        "n/a",
    ),
    "broken, a bound rounds up": (
        Cost.broken(Price(Decimal("0.0001"), Decimal(0)), (1, 1), "cut"),
        (0, 1, "cut"),
        "$0.00 to $0.000000001",
    ),
    "broken, of images without a bound": (Cost.broken(PRICE, None, "cut"), (0, None, "cut"), "n/a"),
    "broken, for free, without a bound": (Cost.broken(FREE, None, "cut"), (0, 0, "free"), "$0.00"),
    "never sent": (UNSENT, (0, 0, "nothing was sent"), "$0.00"),
}


@pytest.mark.parametrize("name", COSTS)
def test_a_cost_is_exact_or_bounds_with_a_reason(name: str) -> None:
    cost, parts, text = COSTS[name]
    assert (cost.lower, cost.upper, cost.reason) == parts
    assert str(cost) == text
    assert cost.exact == (cost.usd is not None) == (parts[0] == parts[1])
    assert cost.exact or cost.reason


TOTALS: dict[str, tuple[list[Cost], Total, str]] = {
    "nothing": ([], Total(0, 0, 0, 0), "$0.00"),
    "all known": ([Cost(1000, 1000), Cost(500, 500)], Total(1500, 0, 1500, 1500), "$0.0000015"),
    "one unbounded": ([Cost(1000, 1000), Cost(0, None, "x")], Total(1000, 1, 1000, None), "$0.000001 + 1 unknown"),
    "one bounded": (
        [Cost(1000, 1000), Cost(10, 20, "x")],
        Total(1000, 1, 1010, 1020),
        "$0.00000101 to $0.00000102 (1 not exact)",
    ),
    "all unknown": ([Cost(0, None, "x"), Cost(0, None, "y")], Total(0, 2, 0, None), "n/a (2 unknown)"),
    "bounds after a missing one stay missing": (
        [Cost(0, None, "x"), Cost(5, 6, "y")],
        Total(0, 2, 5, None),
        "$0.000000005 + 2 unknown",
    ),
}


@pytest.mark.parametrize("name", TOTALS)
def test_a_total_shows_what_it_does_not_know(name: str) -> None:
    costs, total, text = TOTALS[name]
    assert Total.of(costs) == total
    assert str(total) == text
    assert total.usd == (None if total.unknown else Decimal(total.known) / 10**9)


@given(st.lists(st.tuples(st.integers(0, 10**15), st.none() | st.integers(0, 10**15))))
def test_a_total_is_the_sum_of_its_parts(parts: list[tuple[int, int | None]]) -> None:
    costs = [Cost(lower, None if more is None else lower + more) for lower, more in parts]
    total = Total.of(costs)
    assert total.lower == sum(cost.lower for cost in costs)
    assert total.known + sum(cost.lower for cost in costs if not cost.exact) == total.lower
    assert (total.upper is None) == any(cost.upper is None for cost in costs)
    assert total.upper is None or total.upper >= total.lower


DOLLARS = {
    0: "$0.00",
    1: "$0.000000001",
    10_000_000: "$0.01",
    15_000_000: "$0.015",
    100_000_000: "$0.10",
    169_200: "$0.0001692",
    10**9: "$1.00",
    1_500_000_000: "$1.50",
    1_234_567_890_123: "$1234.567890123",
}


@pytest.mark.parametrize("nano", DOLLARS)
def test_dollars_have_cents_at_least_and_no_exponent(nano: int) -> None:
    assert dollars(nano) == DOLLARS[nano]


@given(st.integers(0, 10**20))
def test_dollars_lose_nothing(nano: int) -> None:
    assert Decimal(dollars(nano).removeprefix("$")) * 10**9 == nano


def test_an_input_has_at_most_a_token_a_byte_and_the_template() -> None:
    assert input_bound(0) == TEMPLATE_TOKENS
    assert input_bound(5000) == 6024

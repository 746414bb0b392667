"""The order in which eligible targets are tried."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest

from hfrouter.routing.eligible import Needs
from hfrouter.routing.policy import Policy
from hfrouter.routing.strategy import expected_price, expected_seconds, ordered
from hfrouter.routing.target import ModelId, Target


def row(provider: str, input_price: str, output_price: str, latency: float, throughput: float) -> Target:
    return Target(
        "org/m",
        provider,
        input_price=Decimal(input_price),
        output_price=Decimal(output_price),
        supports_tools=True,
        first_token_latency=latency,
        throughput=throughput,
    )


READER = row("reader", "0.1", "5", 0.3, 100)  # cheap to read, dear to write
WRITER = row("writer", "1", "1", 2.0, 900)  # dear to read, cheap to write; slow to start, fast to run
BARE = Target("org/m", "bare")
ROWS = [BARE, WRITER, READER]

SHORT_ANSWER = Needs(input_bytes=100_000, max_tokens=10)
LONG_ANSWER = Needs(input_bytes=100, max_tokens=1_000)
M = ["org/m"]

ORDERS: dict[str, tuple[list[str], Policy, Needs, list[str]]] = {
    "in order, as listed": (M, Policy(strategy="in_order"), Needs(), ["bare", "writer", "reader"]),
    "cheapest by this request's mix, reading": (
        M,
        Policy(strategy="cheapest"),
        SHORT_ANSWER,
        ["reader", "writer", "bare"],
    ),
    "cheapest by this request's mix, writing": (
        M,
        Policy(strategy="cheapest"),
        LONG_ANSWER,
        ["writer", "reader", "bare"],
    ),
    "fastest, a short answer": (M, Policy(), SHORT_ANSWER, ["reader", "writer", "bare"]),
    "fastest, a long answer": (M, Policy(), LONG_ANSWER, ["writer", "reader", "bare"]),
    "the user's order first": (M, Policy(order=["bare", "writer"]), SHORT_ANSWER, ["bare", "writer", "reader"]),
    "the user's order, one named twice": (
        M,
        Policy(order=["bare", "writer", "bare"]),
        SHORT_ANSWER,
        ["bare", "writer", "reader"],
    ),
    "doubts after all that is known": (
        M,
        Policy(order=["bare"]),
        replace(SHORT_ANSWER, tools=True),
        ["reader", "writer", "bare"],
    ),
    "the model's suffix": (["org/m:cheapest"], Policy(strategy="in_order"), SHORT_ANSWER, ["reader", "writer", "bare"]),
    "the other suffix": (["org/m:fastest"], Policy(strategy="cheapest"), LONG_ANSWER, ["writer", "reader", "bare"]),
    "a suffix that only the router knows": (
        ["org/m:preferred"],
        Policy(strategy="in_order"),
        SHORT_ANSWER,
        ["bare", "writer", "reader"],
    ),
    "a pin before the rest of its model": (
        ["org/m:bare", "org/m"],
        Policy(strategy="cheapest"),
        SHORT_ANSWER,
        ["bare", "reader", "writer"],
    ),
    "pins in the order of the user": (
        ["org/m:bare", "org/m:writer", "org/m:reader"],
        Policy(strategy="cheapest"),
        SHORT_ANSWER,
        ["bare", "writer", "reader"],
    ),
}


@pytest.mark.parametrize("name", ORDERS)
def test_the_order_of_providers(name: str) -> None:
    wanted, policy, needs, expected = ORDERS[name]
    targets = ordered(ROWS, [ModelId.parse(text) for text in wanted], policy, needs)
    assert [target.provider for target in targets] == expected


def test_models_come_in_the_users_order_each_by_its_own_suffix() -> None:
    other = [replace(target, model="org/n") for target in ROWS]
    wanted = [ModelId.parse("org/n:cheapest"), ModelId.parse("org/m")]
    stranger = Target("org/stranger", "x")
    targets = ordered([stranger, *ROWS, *other], wanted, Policy(strategy="in_order"), SHORT_ANSWER)
    assert [str(target) for target in targets] == [
        *("org/n:reader", "org/n:writer", "org/n:bare"),
        *("org/m:bare", "org/m:writer", "org/m:reader"),
        "org/stranger:x",
    ]


def test_the_expected_price_is_free_known_or_infinite() -> None:
    needs = Needs(input_bytes=3_497, max_tokens=100)  # 1,000 tokens in
    assert expected_price(READER, needs) == pytest.approx(0.0006)
    assert expected_price(replace(BARE, is_free=True), needs) == 0
    assert expected_price(BARE, needs) == math.inf
    assert expected_price(replace(READER, output_price=None), needs) == math.inf


def test_the_expected_seconds_assume_a_slow_target_where_nothing_is_known() -> None:
    needs = Needs(max_tokens=100)
    assert expected_seconds(READER, needs) == pytest.approx(0.3 + 1)
    assert expected_seconds(BARE, needs) == pytest.approx(5 + 5)

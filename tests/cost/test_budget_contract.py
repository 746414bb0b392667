"""What every store of budgets keeps: no attempt begins that could pass a limit, and nothing held is ever forgotten."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hfrouter import Budget
from hfrouter.cost.budget import Refused, Standing
from hfrouter.cost.holds import BudgetLedger
from hfrouter.cost.ledger import Entry
from hfrouter.cost.price import Cost
from hfrouter.cost.sqlite import SQLiteLedger
from tests.cost.entries import pending, settled
from tests.cost.stores import HOUR, STORES, check_sums, limits

DOLLAR = Budget("0.000001")  # of a thousand nano-USD, to keep the arithmetic short


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    made = STORES[request.param](tmp_path)
    yield made
    made.close()
    if isinstance(made, SQLiteLedger) and made.path.exists():
        check_sums(made.path)


def attempt(upper: int | None, **facts: Any) -> Entry:
    return pending(cost=Cost(0, upper, "pending"), **facts)


def begin(store: Any, entry: Entry, *budgets: Budget, ttl: int = HOUR) -> list[Any]:
    warnings: list[Any] = store.begin_within(entry, limits(entry, *budgets), entry.started_ms + ttl)
    return warnings


def end(store: Any, entry: Entry, cost: Cost, *budgets: Budget) -> list[Any]:
    warnings: list[Any] = store.settle_within(settled(entry, cost=cost), limits(entry, *budgets))
    return warnings


def stands(store: Any, budget: Budget, **facts: Any) -> Standing:
    standing: Standing = store.standing(limits(pending(**facts), budget)[0])
    return standing


def test_a_ledger_in_a_file_keeps_budgets_and_one_in_memory_does_not(tmp_path: Path) -> None:
    assert isinstance(SQLiteLedger(tmp_path / "x"), BudgetLedger)
    assert not isinstance(STORES["memory"](tmp_path).ledger, BudgetLedger)


def test_an_attempt_passes_up_to_the_last_nano_dollar_and_not_beyond(store: Any) -> None:
    begin(store, attempt(600), DOLLAR)
    begin(store, attempt(400), DOLLAR)
    assert stands(store, DOLLAR) == Standing(0, 1000, 0)
    with pytest.raises(Refused) as caught:
        begin(store, attempt(1), DOLLAR)
    assert (caught.value.standing, caught.value.needed, caught.value.why) == (Standing(0, 1000, 0), 1, "")
    assert len(store.entries()) == 2


def test_what_costs_nothing_passes_even_when_nothing_is_left(store: Any) -> None:
    begin(store, attempt(0), Budget(0))
    with pytest.raises(Refused):
        begin(store, attempt(1), Budget(0))


def test_an_attempt_without_a_bound_is_refused_with_the_reason(store: Any) -> None:
    unbounded = pending(cost=Cost(0, None, "pending"))
    for entry, told in ((replace(unbounded, price=None), "no price"), (unbounded, r"Budget\(image_tokens=...\)")):
        with pytest.raises(Refused, match=told) as caught:
            begin(store, entry, Budget(10))
        assert caught.value.needed is None
    assert store.entries() == []


def test_an_end_gives_back_what_was_not_needed(store: Any) -> None:
    first, second = attempt(900), attempt(900)
    begin(store, first, DOLLAR)
    with pytest.raises(Refused):
        begin(store, second, DOLLAR)
    end(store, first, Cost(100, 100), DOLLAR)
    assert stands(store, DOLLAR) == Standing(100, 0, 0)
    begin(store, second, DOLLAR)
    assert stands(store, DOLLAR) == Standing(100, 900, 0)


ENDS = {
    "exact": (Cost(70, 70), Standing(70, 0, 0)),
    "nothing": (Cost(0, 0, "status 503 is not billed"), Standing(0, 0, 0)),
    "bounded": (Cost(30, 80, "cached tokens without a cache price"), Standing(30, 0, 50)),
    "cut off": (Cost(0, 100, "stream_cut"), Standing(0, 0, 100)),
    "served by somebody without a price": (Cost(0, None, "no price in the catalogue"), Standing(0, 0, 100)),
    "over the bound": (Cost(5000, 5000), Standing(5000, 0, 0)),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_is_known_is_spent_and_what_is_not_stays_counted(name: str, store: Any) -> None:
    cost, expected = ENDS[name]
    entry = attempt(100)
    begin(store, entry, DOLLAR)
    end(store, entry, cost, DOLLAR)
    assert stands(store, DOLLAR) == expected


def test_an_attempt_that_exceeds_its_bound_is_booked_and_told_and_the_next_is_refused(store: Any) -> None:
    entry = attempt(100)
    begin(store, entry, DOLLAR)
    warnings = end(store, entry, Cost(1200, 1200), DOLLAR)
    assert [(w.kind, w.share, w.spent) for w in warnings] == [
        ("threshold", Decimal("0.8"), Decimal("0.0000012")),
        ("over_bound", Decimal("1.2"), Decimal("0.0000012")),
    ]
    with pytest.raises(Refused):
        begin(store, attempt(1), DOLLAR)


def test_each_threshold_is_told_once_when_it_is_crossed_for_good(store: Any) -> None:
    budget, told = Budget("0.000001", warn=("0.5", 0.8, 1)), []
    for cost in (499, 1, 100, 200, 200):
        entry = attempt(cost)
        told += begin(store, entry, budget)
        told += end(store, entry, Cost(cost, cost), budget)
    assert [str(warning.share) for warning in told] == ["0.5", "0.8", "1"]
    assert str(told[0]) == "50% of the budget of $0.000001 for this run is used up"


def test_all_budgets_of_a_call_hold_or_none(store: Any) -> None:
    wide, narrow = Budget(1), Budget("0.00000005", window="day")
    with pytest.raises(Refused) as caught:
        begin(store, attempt(100), wide, narrow)
    assert caught.value.limit.budget is narrow
    assert stands(store, wide) == Standing()
    begin(store, attempt(50), wide, narrow)
    assert stands(store, wide) == stands(store, narrow) == Standing(0, 50, 0)


def test_each_value_of_a_tag_has_a_limit_of_its_own_and_so_have_calls_without_it(store: Any) -> None:
    budget = Budget("0.0000001", each="user")
    for facts in ({"tags": (("user", "ann"),)}, {"tags": (("user", "bob"),)}, {}):
        begin(store, attempt(100, **facts), budget)
        with pytest.raises(Refused):
            begin(store, attempt(1, **facts), budget)
        assert stands(store, budget, **facts) == Standing(0, 100, 0)


ALIKE = [
    Budget(1),
    Budget(1, name="all calls"),
    Budget(1, name="x"),
    Budget(1, name='x" each user'),
    Budget(1, name="x", each="user"),
    Budget(1, each="user"),
    Budget(1, tags={"user": "ann"}),
    Budget(1, tags={"user": 'ann" each user="ann'}),
    Budget(1, tags={"user": "ann"}, each="user"),
    Budget(1, tags={"user": "ann each user"}),
]


def test_no_two_budgets_count_together_whatever_their_tags_hold() -> None:
    tags = ("ann", 'ann" each user="ann', "ann each user")
    attempts = [pending(tags=(("user", value),)) for value in tags] + [pending()]
    for one in attempts:
        keys = [limit.key for limit in limits(one, *ALIKE)]
        assert len(set(keys)) == len(keys) >= 5
    assert len({limits(one, Budget(1, each="user"))[0].key for one in attempts}) == 4


def test_every_day_and_month_begins_anew_and_what_was_begun_before_is_booked_there(store: Any) -> None:
    day, month, start = Budget("0.0000001", "day"), Budget("0.00000025", "month"), 1_790_000_000_000
    first = attempt(100)
    begin(store, first, day, month)
    begin(store, attempt(100, started_ms=start + 24 * HOUR), day, month, ttl=48 * HOUR)
    with pytest.raises(Refused) as caught:
        begin(store, attempt(100, started_ms=start + 48 * HOUR), day, month)
    assert caught.value.limit.budget is month
    assert f"{caught.value.error().resets_at:%Y-%m-%d %H:%M}" == "2026-10-01 00:00"
    end(store, first, Cost(60, 60), day, month)
    assert stands(store, day) == Standing(60, 0, 0)
    assert stands(store, day, started_ms=start + 24 * HOUR) == Standing(0, 100, 0)


def test_the_same_beginning_and_end_again_change_nothing(store: Any) -> None:
    entry = attempt(1000)
    for _ in range(3):
        begin(store, entry, DOLLAR)
    assert stands(store, DOLLAR) == Standing(0, 1000, 0)
    for _ in range(3):
        end(store, entry, Cost(7, 9, "cached"), DOLLAR)
    assert stands(store, DOLLAR) == Standing(7, 0, 2)


def test_what_is_held_past_its_time_stays_counted_until_the_truth_is_known(store: Any) -> None:
    entry = attempt(1000)
    begin(store, entry, DOLLAR, ttl=HOUR)
    for _ in range(2):
        with pytest.raises(Refused):
            begin(store, attempt(1, started_ms=entry.started_ms + HOUR), DOLLAR)
        assert stands(store, DOLLAR) == Standing(0, 0, 1000)
    end(store, entry, Cost(10, 10), DOLLAR)
    assert stands(store, DOLLAR) == Standing(10, 0, 0)
    assert [row.outcome for row in store.entries()] == ["ok"]


def test_the_row_of_an_attempt_that_expired_says_so(tmp_path: Path) -> None:
    store, entry = SQLiteLedger(tmp_path / "x"), attempt(1000)
    begin(store, entry, DOLLAR)
    begin(store, attempt(0, started_ms=entry.started_ms + HOUR), DOLLAR)
    assert store.entries()[0] == replace(entry, outcome="expired", cost=Cost(0, 1000, "expired"))
    store.close()


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
def test_a_clock_that_jumps_lets_nothing_pass_and_loses_nothing(jump: int, store: Any) -> None:
    before, moved = attempt(600), 1_790_000_000_000 + jump
    begin(store, before, DOLLAR, ttl=HOUR)
    with pytest.raises(Refused):
        begin(store, attempt(500, started_ms=moved), DOLLAR)
    after = attempt(400, started_ms=moved)
    begin(store, after, DOLLAR)
    assert stands(store, DOLLAR).used == 1000
    end(store, before, Cost(1, 1), DOLLAR)
    end(store, after, Cost(2, 2), DOLLAR)
    assert stands(store, DOLLAR) == Standing(3, 0, 0)


def test_a_negative_or_absurd_cost_lowers_nothing(store: Any) -> None:
    entry = attempt(100)
    begin(store, entry, Budget(10**9))
    with pytest.raises(Refused):
        begin(store, attempt(2**62), Budget(10**9))
    assert stands(store, Budget(10**9)) == Standing(0, 100, 0)


def test_threads_on_one_budget_never_pass_it(store: Any) -> None:
    budget, limit = Budget("0.00001"), 10_000

    def spend(seed: int) -> tuple[int, int]:
        rng, spent, refused = random.Random(seed), 0, 0
        for _ in range(60):
            entry, cost = attempt(300), rng.randint(0, 300)
            try:
                begin(store, entry, budget)
            except Refused:
                refused += 1
                continue
            assert stands(store, budget).used <= limit
            end(store, entry, Cost(cost, cost), budget)
            spent += cost
        return spent, refused

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(spend, range(4)))
    assert stands(store, budget) == Standing(sum(spent for spent, _ in results), 0, 0)
    assert limit - 300 < stands(store, budget).used <= limit
    assert sum(refused for _, refused in results) > 0

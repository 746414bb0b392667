"""The budgets as tables: what is taken, what comes back, and when there is none left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfrouter.routing.buckets import FallbackBudget, HedgeBudget, Throttle

THROTTLES: dict[str, tuple[str, bool]] = {  # outcomes, `-` a failure and `+` an answer, and whether a retry may follow
    "nothing has happened": ("", True),
    "four failures": ("----", True),
    "five failures": ("-----", False),
    "five failures and an answer": ("-----+", True),
    "six failures and nine answers": ("------" + "+" * 9, False),
    "six failures and eleven answers": ("------" + "+" * 11, True),
    "the debt is bounded: fifty failures are paid by 51 answers": ("-" * 50 + "+" * 51, True),
    "but not by 49": ("-" * 50 + "+" * 49, False),
    "and so is the credit": ("+" * 1_000 + "-----", False),
}


@pytest.mark.parametrize("name", THROTTLES)
def test_a_target_that_mostly_fails_is_not_asked_again_at_once(name: str) -> None:
    outcomes, allowed = THROTTLES[name]
    throttle = Throttle()
    for outcome in outcomes:
        throttle.answered() if outcome == "+" else throttle.failed()
    assert throttle.allows is allowed
    assert 0 <= throttle.tokens <= 10


FALLBACKS: dict[str, list[tuple[float, str, int]]] = {
    # (second, calls or takes, how many): `takes` asks for one more than there are
    "ten in any case": [(0, "takes", 10)],
    "and one for five calls": [(0, "calls", 5), (0, "takes", 11)],
    "begun fifths count as whole ones": [(0, "calls", 6), (0, "takes", 12)],
    "they come back after 10 s": [(0, "takes", 10), (9.999, "takes", 0), (10, "takes", 10)],
    "calls of 10 s ago no longer count": [(0, "calls", 50), (10, "takes", 10)],
    "calls of a little less do": [(0, "calls", 50), (9.999, "takes", 20)],
    "each at its own time": [
        *((0, "takes", 10), (5, "calls", 25), (5, "takes", 5)),
        *((10, "takes", 10), (15, "takes", 0), (20, "takes", 10)),
    ],
    "a call forgets too": [(0, "takes", 10), (20, "calls", 5), (20, "takes", 11)],
}


@pytest.mark.parametrize("name", FALLBACKS)
def test_fallbacks_are_a_fifth_of_the_calls_of_ten_seconds_and_ten(name: str) -> None:
    budget = FallbackBudget()
    for now, what, many in FALLBACKS[name]:
        if what == "calls":
            for _ in range(many):
                budget.called(now)
        else:
            assert [budget.take(now) for _ in range(many + 1)] == [True] * many + [False]


def test_the_budget_of_fallbacks_forgets_old_calls_without_being_asked() -> None:
    budget = FallbackBudget()
    for second in range(1_000):
        budget.called(float(second))
    assert len(budget._calls) == 10


HEDGES: dict[str, tuple[int, float, float, list[bool]]] = {
    # calls, USD spent, USD a loser costs, and whether each of these hedges is allowed
    "two to begin with": (0, 0.0, 0.001, [True, True, False]),
    "ten calls give one more": (10, 0.0, 0.001, [True] * 3 + [False]),
    "nine do not": (9, 0.0, 0.001, [True] * 2 + [False]),
    "at most ten at once": (10_000, 1e9, 0.001, [True] * 10 + [False]),
    "after ten calls the money counts": (11, 0.0, 0.001, [False]),
    "3 % of it": (11, 0.04, 0.0012, [True, False]),
    "not more": (11, 0.04, 0.00121, [False]),
    "a free loser needs no money": (11, 0.0, 0.0, [True, True, True, False]),
    "the first few are on the house, and take what is there": (10, 0.04, 1.0, [True, True, True, False]),
}


@pytest.mark.parametrize("name", HEDGES)
def test_hedges_are_a_tenth_of_the_calls_and_three_percent_of_the_money(name: str) -> None:
    calls, spent, usd, allowed = HEDGES[name]
    budget = HedgeBudget()
    for _ in range(calls):
        budget.called()
    budget.spent(spent)
    for expected in allowed:
        assert budget.allows(usd) is expected
        if expected:
            budget.take(usd)
    assert budget.usd >= 0


def test_the_money_of_hedges_is_spent_once() -> None:
    budget = HedgeBudget(usd=0.5, _calls=100)
    budget.take(0.2)
    assert budget.usd == pytest.approx(0.3)
    budget.spent(10.0)
    budget.spent(0.0)
    assert budget.usd == pytest.approx(0.6)
    assert (budget.allows(0.6), budget.allows(0.61)) == (True, False)


@given(st.lists(st.tuples(st.sampled_from(["call", "hedge"]), st.floats(0, 1), st.floats(0, 0.1)), max_size=200))
def test_whatever_happens_hedges_stay_within_both_budgets(happened: list[tuple[str, float, float]]) -> None:
    budget, calls, hedges, spent, lost = HedgeBudget(), 0, 0, 0.0, 0.0
    for what, usd, loser in happened:
        if what == "call":
            calls += 1
            budget.called()
            budget.spent(usd)
            spent += usd
        elif budget.allows(loser):
            budget.take(loser)
            hedges += 1
            lost += loser if calls > 10 else 0.0
    assert hedges <= 2 + 0.1 * calls + 1e-9
    assert lost <= 0.03 * spent + 1e-9

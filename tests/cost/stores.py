"""Both places in which budgets are kept, and what a budget looks like in tests."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hfrouter.cost.budget import Budget, BudgetWarning, Limit, Standing, limits_for
from hfrouter.cost.holds import Holds
from hfrouter.cost.ledger import Entry, MemoryLedger
from hfrouter.cost.sqlite import SQLiteLedger

HOUR = 3_600_000
RUN = "run-1"
SUMS = """
SELECT budget, period, sum(spent_nano_usd), sum(held_nano_usd), sum(unsettled_nano_usd)
FROM budget_bookings GROUP BY budget, period ORDER BY budget, period
"""
COUNTERS = "SELECT * FROM budget_counters ORDER BY budget, period"
# An attempt's booking agrees with its row: known is spent, the rest up to the bound is not settled.
ASTRAY = """
SELECT count(*) FROM budget_bookings AS b JOIN attempts ON id = attempt WHERE state = 'settled' AND (
    b.spent_nano_usd != cost_lower_nano_usd
    OR b.spent_nano_usd + b.unsettled_nano_usd != coalesce(cost_upper_nano_usd, b.spent_nano_usd + b.unsettled_nano_usd)
)
"""


class InMemory:
    """Budgets in this process's memory beside a ledger, joined as the writer joins them."""

    def __init__(self) -> None:
        self.ledger, self.holds = MemoryLedger(), Holds()

    def begin_within(self, entry: Entry, limits: Sequence[Limit], expires_ms: int) -> list[BudgetWarning]:
        warnings = self.holds.reserve(entry, limits, expires_ms)
        self.ledger.begin(entry)
        return warnings

    def settle_within(self, entry: Entry, limits: Sequence[Limit]) -> list[BudgetWarning]:
        self.ledger.settle(entry)
        return self.holds.settle(entry, limits)

    def standing(self, limit: Limit) -> Standing:
        return self.holds.standing(limit)

    def entries(self) -> list[Entry]:
        return self.ledger.entries()

    def close(self) -> None:
        pass


STORES: dict[str, Any] = {
    "memory": lambda _: InMemory(),
    "sqlite": lambda folder: SQLiteLedger(folder / "budgets.sqlite3"),
}


def limits(entry: Entry, *budgets: Budget) -> tuple[Limit, ...]:
    """What an attempt falls under."""
    return limits_for(budgets, entry, RUN)


def hurried(ledger: SQLiteLedger, step: Callable[[], list[BudgetWarning]]) -> list[BudgetWarning]:
    """Take a step as the writer does: at once, or else with as much patience as it takes."""
    try:
        return ledger.at_once(step)
    except BlockingIOError:
        return step()


def check_sums(path: Path) -> None:
    """Counters equal the sums of bookings, and bookings agree with rows, by plain SQL."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute(SUMS).fetchall() == db.execute(COUNTERS).fetchall()
        assert db.execute(ASTRAY).fetchone() == (0,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)

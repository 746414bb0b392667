"""Budgets kept in the ledger's file: each step is part of a transaction that also writes the row it belongs to.

`budget_counters` holds, for every budget and period, the sums over `budget_bookings`, exactly and at all times.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from hfrouter.cost import rows
from hfrouter.cost.budget import BudgetWarning, Limit, Refused, Standing
from hfrouter.cost.holds import admit, booked, crossed, over_bound
from hfrouter.cost.ledger import Entry

_STANDING = """
SELECT spent_nano_usd, held_nano_usd, unsettled_nano_usd FROM budget_counters WHERE budget = ? AND period = ?
"""
_COUNT = """
INSERT INTO budget_counters (budget, period, held_nano_usd) VALUES (?, ?, ?)
ON CONFLICT (budget, period) DO UPDATE SET held_nano_usd = held_nano_usd + excluded.held_nano_usd
"""
_HOLD = """
INSERT INTO budget_bookings (attempt, budget, period, state, held_nano_usd, expires_ms) VALUES (?, ?, ?, 'held', ?, ?)
"""
_MOVE = """
UPDATE budget_counters SET spent_nano_usd = spent_nano_usd + ?, held_nano_usd = held_nano_usd + ?,
    unsettled_nano_usd = unsettled_nano_usd + ? WHERE budget = ? AND period = ?
"""
_OF_ATTEMPT = """
SELECT budget, period, held_nano_usd, unsettled_nano_usd FROM budget_bookings
WHERE attempt = ? AND state IN ('held', 'expired')
"""
_SETTLE = """
UPDATE budget_bookings SET state = 'settled', spent_nano_usd = ?, held_nano_usd = 0, unsettled_nano_usd = ?
WHERE attempt = ? AND budget = ? AND period = ?
"""
_DUE = """
SELECT attempt, budget, period, held_nano_usd FROM budget_bookings WHERE state = 'held' AND expires_ms <= ? LIMIT 1000
"""
_EXPIRE = """
UPDATE budget_bookings SET state = 'expired', unsettled_nano_usd = held_nano_usd, held_nano_usd = 0
WHERE attempt = ? AND budget = ? AND period = ?
"""
_EXPIRE_ROW = """
UPDATE attempts SET outcome = 'expired', cost_reason = 'expired' WHERE id = ? AND outcome = 'pending'
"""


def begin(
    db: sqlite3.Connection, entry: Entry, limits: Sequence[Limit], expires_ms: int
) -> list[BudgetWarning] | Refused:
    """Write a pending row and hold its upper bound; a refusal is returned, so that what expired stays so.

    Raises:
        LedgerConflict: a row of this id has other facts.
    """
    expired = expire(db, entry.started_ms)
    now = [standing(db, limit) for limit in limits]
    try:
        amounts = [admit(limit, stands, entry) for limit, stands in zip(limits, now, strict=True)]
    except Refused as refused:
        return [] if rows.find(db, entry.id) == entry else refused
    if not rows.insert(db, entry):
        return []
    warnings: list[BudgetWarning] = []
    for limit, stands, amount in zip(limits, now, amounts, strict=True):
        db.execute(_HOLD, (entry.id, limit.key, limit.period, amount, expires_ms))
        db.execute(_COUNT, (limit.key, limit.period, amount))
        lost = expired.get((limit.key, limit.period), 0)
        after = stands.moved(held=amount)
        warnings += crossed(limit, after.moved(unsettled=-lost), after, entry.model)
    return warnings


def settle(db: sqlite3.Connection, entry: Entry, limits: Sequence[Limit] = ()) -> list[BudgetWarning]:
    """Settle a row, and book what it cost instead of what it held.

    Raises:
        LedgerConflict: see `Ledger.settle`.
    """
    if not rows.settle(db, entry):
        return []
    warnings: list[BudgetWarning] = []
    of = {(limit.key, limit.period): limit for limit in limits}
    for budget, period, held, expired in db.execute(_OF_ATTEMPT, (entry.id,)).fetchall():
        spent, unsettled = booked(entry.cost, held + expired)
        db.execute(_SETTLE, (spent, unsettled, entry.id, budget, period))
        db.execute(_MOVE, (spent, -held, unsettled - expired, budget, period))
        if (limit := of.get((budget, period))) is not None:
            after = standing(db, limit)
            before = after.moved(spent=-spent, unsettled=expired - unsettled)
            warnings += crossed(limit, before, after, entry.model)
            warnings += over_bound(limit, after, held + expired, entry)
    return warnings


def expire(db: sqlite3.Connection, now_ms: int) -> dict[tuple[str, str], int]:
    """Give up on attempts whose time has passed: their processes are taken for dead, and their money for spent.

    Returns what each budget and period has lost that way, in nano-USD.
    """
    lost: dict[tuple[str, str], int] = {}
    for attempt, budget, period, amount in db.execute(_DUE, (now_ms,)).fetchall():
        db.execute(_EXPIRE, (attempt, budget, period))
        db.execute(_MOVE, (0, -amount, amount, budget, period))
        db.execute(_EXPIRE_ROW, (attempt,))
        lost[budget, period] = lost.get((budget, period), 0) + amount
    return lost


def standing(db: sqlite3.Connection, limit: Limit) -> Standing:
    """How a limit stands."""
    found = db.execute(_STANDING, (limit.key, limit.period)).fetchone()
    return Standing(*found) if found else Standing()

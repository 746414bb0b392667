"""What is held and spent under budgets: the rules, and their keeping in this process's memory."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Protocol, runtime_checkable

from hfrouter.cost.budget import BudgetWarning, Limit, Refused, Standing
from hfrouter.cost.ledger import Entry
from hfrouter.cost.price import Cost, nano_of

# A share of 1, in the billionths that `nano_of` gives.
_WHOLE = 10**9
# Ended attempts that are remembered, so that an end that is told twice counts once.
_REMEMBERED = 10_000


@runtime_checkable
class BudgetLedger(Protocol):
    """A ledger that keeps budgets together with its rows, for all who share it. Its calls may block."""

    def begin_within(self, entry: Entry, limits: Sequence[Limit], expires_ms: int) -> list[BudgetWarning]:
        """Write a pending row and hold its upper bound under every limit, or neither.

        Holds whose time has passed before `entry` starts are expired on the way.

        Raises:
            Refused: a limit would be passed.
            LedgerConflict: a row of this id has other facts.
        """

    def settle_within(self, entry: Entry, limits: Sequence[Limit]) -> list[BudgetWarning]:
        """Settle the row of `begin_within`, and book what it cost instead of what it held; again, it changes nothing.

        Raises:
            LedgerConflict: see `Ledger.settle`.
        """

    def standing(self, limit: Limit) -> Standing:
        """How a limit stands."""

    def close(self) -> None:
        """Release files; the ledger may be used again."""


def admit(limit: Limit, standing: Standing, entry: Entry) -> int:
    """What an attempt must hold, in nano-USD. One that costs nothing passes whatever is left.

    Raises:
        Refused: it has no bound, or it is more than is left.
    """
    needed = entry.cost.upper
    if needed is None:
        raise Refused(limit, standing, None, _unbounded(entry))
    if needed and standing.used + needed > limit.nano:
        raise Refused(limit, standing, needed)
    return needed


def _unbounded(entry: Entry) -> str:
    """Why an attempt has no bound, and what to do. With a price, it is an image whose tokens nobody knows."""
    if entry.price is None:
        return "cannot bound this call, since its model has no price here; give Router(prices=...) one"
    return (
        "cannot bound a call with images, sound or film; give Budget(image_tokens=...), the tokens of an image at "
        "most, or leave out the others"
    )


def booked(cost: Cost, held: int) -> tuple[int, int]:
    """What an ended attempt counts: nano-USD spent, and what may have been spent on top.

    Where nothing bounds the cost, what was held is the best that is known.
    """
    least = max(0, cost.lower)
    return least, max(0, (held if cost.upper is None else cost.upper) - least)


def crossed(limit: Limit, before: Standing, after: Standing, model: str) -> list[BudgetWarning]:
    """A warning for each share of the limit that has been crossed."""
    return [
        BudgetWarning.of(limit, after, share, "threshold", model)
        for share in limit.budget.warn
        if before.gone * _WHOLE < nano_of(share) * limit.nano <= after.gone * _WHOLE
    ]


def crossings(
    limits: Sequence[Limit], before: Sequence[Standing], after: Sequence[Standing], model: str
) -> list[BudgetWarning]:
    """The warnings of several limits."""
    pairs = zip(limits, before, after, strict=True)
    return [warning for limit, was, now in pairs for warning in crossed(limit, was, now, model)]


def over_bound(limit: Limit, after: Standing, held: int, entry: Entry) -> list[BudgetWarning]:
    """A warning when an attempt is known to have cost more than it held."""
    if entry.cost.lower <= held:
        return []
    share = Decimal(after.gone * 100 // max(1, limit.nano)).scaleb(-2)
    return [BudgetWarning.of(limit, after, share, "over_bound", entry.model)]


@dataclass(frozen=True, slots=True)
class _Hold:
    counter: tuple[str, str]
    amount: int
    expires_ms: int
    expired: bool = False


class Holds:
    """Budgets of this process alone, in memory: one lock, never held while anything waits.

    Garbage collection may settle an attempt while its thread counts another: that one is taken up when the counting is
    done.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._counting = False
        self._ends: deque[tuple[Entry, Sequence[Limit]]] = deque()
        self._counters: dict[tuple[str, str], Standing] = {}
        self._holds: dict[str, tuple[_Hold, ...]] = {}
        self._ended: dict[str, None] = {}

    def reserve(self, entry: Entry, limits: Sequence[Limit], expires_ms: int) -> list[BudgetWarning]:
        """Hold an attempt's upper bound under every limit, or under none.

        Raises:
            Refused: a limit would be passed.
        """
        return self._count(lambda: self._reserve(entry, limits, expires_ms))

    def settle(self, entry: Entry, limits: Sequence[Limit]) -> list[BudgetWarning]:
        """Book what an attempt cost instead of what it held; again, it changes nothing."""
        with self._locked():
            self._ends.append((entry, limits))
            return [] if self._counting else self._count(list)

    def _count(self, work: Callable[[], list[BudgetWarning]]) -> list[BudgetWarning]:
        """Do something, and settle what has ended, one after the other."""
        with self._locked():
            self._counting = True
            try:
                warnings = work()
            finally:
                self._counting = False
            while self._ends:
                entry, limits = self._ends.popleft()
                warnings += self._count(partial(self._settle, entry, limits))
            return warnings

    def _reserve(self, entry: Entry, limits: Sequence[Limit], expires_ms: int) -> list[BudgetWarning]:
        before = self._standings(limits)
        self._expire(entry.started_ms)
        if entry.id in self._holds or entry.id in self._ended:
            return []
        amounts = [admit(limit, self._standing(limit), entry) for limit in limits]
        holds = [_Hold(_counter(limit), amount, expires_ms) for limit, amount in zip(limits, amounts, strict=True)]
        for hold in holds:
            self._move(hold.counter, held=hold.amount)
        self._holds[entry.id] = tuple(holds)
        return crossings(limits, before, self._standings(limits), entry.model)

    def _settle(self, entry: Entry, limits: Sequence[Limit]) -> list[BudgetWarning]:
        before = self._standings(limits)
        holds = self._holds.pop(entry.id, ())
        for hold in holds:
            spent, unsettled = booked(entry.cost, hold.amount)
            self._release(hold)
            self._move(hold.counter, spent=spent, unsettled=unsettled)
        if holds:
            self._remember(entry.id)
        after = self._standings(limits)
        warnings = crossings(limits, before, after, entry.model)
        for hold in holds:
            for limit, standing in zip(limits, after, strict=True):
                if _counter(limit) == hold.counter:
                    warnings += over_bound(limit, standing, hold.amount, entry)
        return warnings

    def standing(self, limit: Limit) -> Standing:
        """How a limit stands."""
        with self._locked():
            return self._standing(limit)

    def _locked(self) -> contextlib.AbstractContextManager[bool]:
        if self._pid != os.getpid():  # a fork may have come while another thread held it
            self._lock, self._pid, self._counting = threading.RLock(), os.getpid(), False
        return self._lock

    def _standing(self, limit: Limit) -> Standing:
        return self._counters.get(_counter(limit), Standing())

    def _standings(self, limits: Iterable[Limit]) -> list[Standing]:
        return [self._standing(limit) for limit in limits]

    def _expire(self, now_ms: int) -> None:
        for attempt, holds in self._holds.items():
            if any(hold.expires_ms <= now_ms and not hold.expired for hold in holds):
                for hold in holds:
                    self._move(hold.counter, held=-hold.amount, unsettled=hold.amount)
                self._holds[attempt] = tuple(replace(hold, expired=True) for hold in holds)

    def _release(self, hold: _Hold) -> None:
        self._move(hold.counter, **{"unsettled" if hold.expired else "held": -hold.amount})

    def _move(self, counter: tuple[str, str], *, spent: int = 0, held: int = 0, unsettled: int = 0) -> None:
        now = self._counters.get(counter, Standing())
        self._counters[counter] = now.moved(spent=spent, held=held, unsettled=unsettled)

    def _remember(self, attempt: str) -> None:
        self._ended[attempt] = None
        if len(self._ended) > _REMEMBERED:
            del self._ended[next(iter(self._ended))]


def _counter(limit: Limit) -> tuple[str, str]:
    return limit.key, limit.period

"""The keeper of a Router's budgets: in the ledger's file where that can, else in this process's memory."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from hfrouter.cost.budget import Budget, BudgetState, BudgetWarning, Limit, Refused, Standing, limits_for
from hfrouter.cost.holds import BudgetLedger, Holds
from hfrouter.cost.ledger import Entry, Ledger, Swift, new_id
from hfrouter.cost.price import UNSENT
from hfrouter.cost.tags import Tags

logger = logging.getLogger("hfrouter")
# What may be over by the next attempt: a lock, a full disk.
_PASSING = (sqlite3.OperationalError, OSError)
_CANNOT = (
    "cannot be kept: {store!r} cannot be written ({error}), so nothing is sent; make it writable, "
    "set HFROUTER_LEDGER to another path, or to 'memory' for budgets of one process"
)

Limits = tuple[Limit, ...]


class Keeper:
    """Holds, books and gives back what attempts may cost, along with their rows.

    Args:
        ledger: Keeps the budgets if it can, for all who share it; else they are kept here, for this object alone.
        budgets: What to keep.
        run: Whose run it is; None for a new one.

    Attributes:
        store: The ledger that keeps the budgets, or None.
        on_warning: Told of what crosses a threshold, on any thread; it must return at once. None to log it.
    """

    def __init__(self, ledger: Ledger, budgets: Sequence[Budget], run: str | None = None) -> None:
        self.budgets, self.run = tuple(budgets), run or new_id()
        self.store = ledger if budgets and isinstance(ledger, BudgetLedger) else None
        self.on_warning: Callable[[BudgetWarning], None] | None = None
        self._swift = ledger if self.store is not None and isinstance(ledger, Swift) else None
        self._holds = Holds()
        self._limits: dict[str, Limits] = {}
        self._owed: dict[str, tuple[Entry, Limits]] = {}
        self._refused: deque[str] = deque(maxlen=256)

    def limits(self, entry: Entry) -> Limits:
        """What an attempt falls under."""
        return limits_for(self.budgets, entry, self.run) if self.budgets else ()

    def standing(self, limit: Limit) -> Standing:
        """How a limit stands."""
        return (self.store or self._holds).standing(limit)

    def states(self, tags: Tags, now_ms: int) -> tuple[BudgetState, ...]:
        """How the budgets stand that a call with these tags would fall under."""
        call = Entry(id="", call="", number=1, started_ms=now_ms, model="", provider="", streamed=False, tags=tags)
        return tuple(BudgetState.of(limit, self.standing(limit)) for limit in self.limits(call))

    def hold(self, entry: Entry, limits: Limits, expires_ms: int) -> None:
        """Hold what an attempt may cost, here; its row is for others to write.

        Raises:
            Refused: a limit would be passed.
        """
        warnings = self._holds.reserve(entry, limits, expires_ms)
        self._limits[entry.id] = limits
        self._tell(warnings)

    def begin_at_once(self, entry: Entry, limits: Limits, expires_ms: int) -> bool:
        """Write a row and hold what it may cost; returns False where it might have to wait.

        Raises:
            Refused: a limit would be passed.
        """
        store = self.store
        if store is None or self._swift is None or self._owed:
            return False
        try:
            warnings = self._swift.at_once(lambda: store.begin_within(entry, limits, expires_ms))
        except Refused:
            raise
        except Exception:  # noqa: BLE001 (`begin` will say what is wrong)
            return False
        self._limits[entry.id] = limits
        self._tell(warnings)
        return True

    def begin(self, entry: Entry, limits: Limits, expires_ms: int) -> Refused | None:
        """Write a row and hold what it may cost, or say why not; waits for the store."""
        refused = None
        try:
            if self.store is not None:
                self._pay(self.store)
                warnings = self.store.begin_within(entry, limits, expires_ms)
                self._limits[entry.id] = limits
                self._tell(warnings)
        except Refused as error:
            refused = error
        except Exception as error:  # noqa: BLE001 (a ledger may fail in any way its author did not think of)
            refused = self.unkept(entry, limits, str(error))
        if refused is not None:
            self._refused.append(entry.id)  # a caller who was cancelled meanwhile will still want to settle it
        return refused

    def unkept(self, entry: Entry, limits: Limits, error: str) -> Refused:
        """The refusal of what cannot be counted."""
        return Refused(limits[0], Standing(), entry.cost.upper, _CANNOT.format(store=self.store, error=error))

    def settle_at_once(self, entry: Entry, ledger: Ledger) -> None:
        """`settle` where nobody may wait: within `Swift.at_once` of the same ledger.

        Raises:
            BlockingIOError: it is not plain, and better left to `settle`.
        """
        limits = self._limits.get(entry.id)
        if self._owed or entry.id in self._refused or (limits and self.store is not ledger):
            raise BlockingIOError
        if not limits or self.store is None:
            ledger.settle(entry)
        else:
            warnings = self.store.settle_within(entry, limits)
            del self._limits[entry.id]
            self._tell(warnings)

    def settle(self, entry: Entry, ledger: Ledger) -> None:
        """Settle an attempt in the ledger, and book what it cost wherever it was held; nothing if it was refused."""
        if entry.id in self._refused:
            return
        limits = self._limits.pop(entry.id, ())
        if not limits:
            ledger.settle(entry)
        elif self.store is None:
            self._tell(self._holds.settle(entry, limits))
            ledger.settle(entry)
        else:
            self._owed[entry.id] = entry, limits
            try:
                self._pay(self.store)
            except _PASSING as error:
                logger.warning("%r cannot be written (%s): budgets hold what is open until it can.", self.store, error)

    def give_back(self, entry: Entry, ledger: Ledger) -> None:
        """Settle an attempt that was begun and will not be sent."""
        if entry.id in self._limits:
            self.settle(replace(entry, outcome="abandoned", duration_ms=0, cost=UNSENT), ledger)

    def close(self) -> None:
        """Settle what is open and release the store's files."""
        if self.store is not None:
            with contextlib.suppress(Exception):
                self._pay(self.store)
                self.store.close()

    def _pay(self, store: BudgetLedger) -> None:
        """Settle what is open; what cannot be written now is tried again before the next attempt."""
        for attempt, (entry, limits) in list(self._owed.items()):
            try:
                warnings = store.settle_within(entry, limits)
            except _PASSING:
                raise
            except Exception:  # it would never be written, and keep all others from it
                del self._owed[attempt]
                raise
            del self._owed[attempt]
            self._tell(warnings)

    def _tell(self, warnings: list[BudgetWarning]) -> None:
        for warning in warnings:
            if self.on_warning is None:
                logger.warning("%s", warning)
                continue
            try:
                self.on_warning(warning)
            except Exception:
                logger.exception("a hook for budgets failed")

"""Writing to the ledger, on a thread of its own wherever it might wait.

A blocked database must not stall an event loop: a rival's lock did for 529 ms (measured).
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Sequence

from hfrouter.cost.bounds import Bounds
from hfrouter.cost.budget import Budget, BudgetWarning, Refused
from hfrouter.cost.keeper import Keeper, Limits
from hfrouter.cost.ledger import Entry, Ledger, LedgerConflict, MemoryLedger, NoLedger, Swift

logger = logging.getLogger("hfrouter")
# Seconds that closing waits for a slow ledger; what it still holds then is written as long as the process lives.
_GRACE = 0.5
# Seconds a call waits for a ledger that another process has locked; the row is written when it is free.
_PATIENCE = 1.0
# Seconds past its call's deadline after which the process of an attempt is taken for dead: an answer that streams for
# longer is settled all the same when it ends.
_STREAMING = 900

_Jobs = queue.SimpleQueue[Callable[[], None] | None]


class Writer:
    """Writes entries in order, on a thread of its own unless the ledger is instant.

    A ledger that cannot be written never fails a call: there is one warning, and entries go to memory from then on.
    Under a budget it does: what cannot be counted is not sent.

    Args:
        ledger: Where entries go. When it keeps budgets, they hold for all who share it, else for this writer alone.
        budgets: Each attempt that falls under one reserves its upper bound, or is refused.
        run: Whose run it is; None for a new one.

    Attributes:
        bounds: What calls cannot exceed, as learned.
        keeper: Of the budgets.
    """

    def __init__(self, ledger: Ledger, budgets: Sequence[Budget] = (), run: str | None = None) -> None:
        self.ledger = ledger
        self.keeper = Keeper(ledger, budgets, run)
        self.bounds = Bounds(max((b.image_tokens for b in budgets if b.image_tokens is not None), default=None))
        self._swift = ledger if isinstance(ledger, Swift) else None
        self._jobs: _Jobs | None = None
        self._thread: threading.Thread | None = None
        self._lock = _lock()
        self._dropped: weakref.finalize[..., Writer] | None = None
        _writers.add(self)

    def __reduce__(self) -> tuple[type[Writer], tuple[Ledger, tuple[Budget, ...], str]]:
        return Writer, (self.ledger, self.keeper.budgets, self.keeper.run)

    @property
    def keeps(self) -> bool:
        """Whether rows are kept at all."""
        return not isinstance(self.ledger, NoLedger)

    @property
    def on_warning(self) -> Callable[[BudgetWarning], None] | None:
        """Told of budgets that cross a threshold, on any thread; it must return at once. None to log them."""
        return self.keeper.on_warning

    @on_warning.setter
    def on_warning(self, hook: Callable[[BudgetWarning], None] | None) -> None:
        self.keeper.on_warning = hook

    async def begin(self, entry: Entry, deadline: float = 120.0) -> None:
        """Write a pending row and wait until it is written, at most 1 s: a locked ledger must not cost a call.

        Under a budget the wait is as long as it takes, at most `deadline` seconds.

        Raises:
            Refused: a budget has too little left, or cannot be kept.
        """
        limits, keeper = self.keeper.limits(entry), self.keeper
        expires_ms = entry.started_ms + int((deadline + _STREAMING) * 1000)
        if limits and keeper.store is not None:
            if not keeper.begin_at_once(entry, limits, expires_ms):
                await self._begin_within(entry, limits, expires_ms, deadline)
            return
        if limits:
            keeper.hold(entry, limits, expires_ms)
        if not self._at_once(lambda: self.ledger.begin(entry)):
            await self._do(lambda: self.ledger.begin(entry))

    async def settle(self, entry: Entry) -> None:
        """Settle a row and wait until it is written, at most 1 s."""
        if not self._at_once(lambda: self.keeper.settle_at_once(entry, self.ledger)):
            await self._do(lambda: self._settle(entry))

    def settle_later(self, entry: Entry) -> None:
        """Settle a row without waiting, for endings in which nobody may wait: cancellation, garbage collection."""
        if self._instant:
            self._guarded(lambda: self._settle(entry))
        else:
            self._put(lambda: self._guarded(lambda: self._settle(entry)))

    @property
    def _instant(self) -> bool:
        return self.ledger.instant and self.keeper.store is None

    def _settle(self, entry: Entry) -> None:
        self.keeper.settle(entry, self.ledger)

    def entries(self, call: str | None = None) -> list[Entry]:
        """Rows, those still being written included."""
        if self.ledger.instant:
            return self.ledger.entries(call)
        done = threading.Event()
        rows: list[Entry] = []
        failure: list[Exception] = []

        def job() -> None:
            try:
                rows.extend(self.ledger.entries(call))
            except Exception as error:  # noqa: BLE001 (handed to the caller, who asked for rows)
                failure.append(error)
            done.set()

        self._put(job)
        done.wait()
        if failure:
            raise failure[0]
        return rows

    def close(self) -> None:
        """Write what is left and release the ledger's files; waits at most 0.5 s. The writer may be used again."""
        thread = self._finish()
        if thread is not None:
            thread.join(_GRACE)

    def _at_once(self, step: Callable[[], None]) -> bool:
        """Take a step here and now, if it need not wait: a change of thread costs more CPU than a row (measured: 1.5x).

        Whatever is wrong with it, the thread will find out when it takes the same step in its turn.
        """
        if self._swift is None or self._swift is not self.ledger:
            return False
        try:
            self._swift.at_once(step)
        except Exception:  # noqa: BLE001 (see above)
            return False
        return True

    async def _do(self, work: Callable[[], None]) -> None:
        if self._instant:
            self._guarded(work)
            return
        loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = loop.create_future()

        def give() -> None:
            if not written.done():
                written.set_result(None)

        def job() -> None:
            self._guarded(work)
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever waited
                loop.call_soon_threadsafe(give)

        patience = loop.call_later(_PATIENCE, give)  # a tenth of the cost of `asyncio.timeout`
        self._put(job)
        try:
            await written
        finally:
            patience.cancel()

    async def _begin_within(self, entry: Entry, limits: Limits, expires_ms: int, deadline: float) -> None:
        """Write a pending row together with what it holds, or raise: no answer in time is a refusal as well."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Refused | None] = loop.create_future()
        late = threading.Event()

        def give(refused: Refused | None) -> None:
            if not answered.done():
                answered.set_result(refused)

        def job() -> None:
            refused = None if late.is_set() else self.keeper.begin(entry, limits, expires_ms)
            if late.is_set():  # nobody is there any more to send it
                self._guarded(lambda: self.keeper.give_back(entry, self.ledger))
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever waited
                loop.call_soon_threadsafe(give, refused)

        self._put(job)
        try:
            async with asyncio.timeout(deadline):
                refused = await answered
        except TimeoutError:
            late.set()
            # The ledger may have said yes meanwhile, to a loop that was too busy to hear it.
            self._put(lambda: self._guarded(lambda: self.keeper.give_back(entry, self.ledger)))
            refused = self.keeper.unkept(entry, limits, "no answer in time")
        if refused is not None:
            raise refused

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do it; a ledger may fail in any way its author did not think of, and the call goes on."""
        try:
            try:
                work()
            except LedgerConflict:
                raise
            except Exception as error:  # noqa: BLE001
                self._fall_back(error)
                work()
        except Exception:
            logger.exception("an attempt could not be accounted for, or was twice with different facts")

    def _fall_back(self, error: Exception) -> None:
        """Go on in memory, and say so once."""
        lost, self.ledger = self.ledger, _Tolerant()
        with contextlib.suppress(Exception):
            lost.close()
        logger.warning(
            "%r cannot be written (%s): costs are kept in memory only from here on; "
            "set HFROUTER_LEDGER to another path, or to 'memory' or 'off'.",
            lost,
            error,
        )

    def _close_ledger(self) -> None:
        self.keeper.close()
        self._guarded(lambda: self.ledger.close())

    def _put(self, job: Callable[[], None]) -> None:
        """Give the thread a job; it is started on first use, and once more after `close` or a fork."""
        with self._lock:
            if self._jobs is None:
                try:
                    self._jobs = self._start()
                except RuntimeError:  # the interpreter is ending and starts no more threads
                    job()
                    return
            self._jobs.put(job)

    def _start(self) -> _Jobs:
        jobs: _Jobs = queue.SimpleQueue()
        thread = threading.Thread(target=_serve, args=(jobs, self._thread), daemon=True, name="hfrouter-ledger")
        thread.start()
        self._thread = thread
        self._dropped = weakref.finalize(self, _abandon, jobs, self.ledger)
        self._dropped.atexit = False  # `_at_exit` waits, this does not
        return jobs

    def _finish(self) -> threading.Thread | None:
        """Let the thread close the ledger and end; without one, close it here."""
        with self._lock:
            jobs, self._jobs = self._jobs, None
        if jobs is None:
            self._close_ledger()
            return None
        if self._dropped is not None:
            self._dropped.detach()
        jobs.put(self._close_ledger)
        jobs.put(None)
        return self._thread

    def _forked(self) -> None:
        self._lock = _lock()
        self._jobs = self._thread = None


class _Tolerant(MemoryLedger):
    """Takes over from a ledger that failed half-way: a row it has not seen begin is settled all the same."""

    def settle(self, entry: Entry) -> None:
        """Settle a row, seen or not."""
        self._begun.setdefault(entry.id, entry)
        super().settle(entry)


def _serve(jobs: _Jobs, previous: threading.Thread | None) -> None:
    if previous is not None:  # closed, but not done yet: a ledger is used from one thread at a time
        previous.join()
    while (job := jobs.get()) is not None:
        job()
        del job  # it holds the writer, which may be dropped while this waits


def _abandon(jobs: _Jobs, ledger: Ledger) -> None:
    """The end of a writer that was dropped without being closed."""

    def job() -> None:
        with contextlib.suppress(Exception):
            ledger.close()

    jobs.put(job)
    jobs.put(None)


def _lock() -> contextlib.AbstractContextManager[bool]:
    """One that its holder may take again: garbage collection within may settle another attempt."""
    return threading.RLock()


_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


@atexit.register  # at import, so that it runs after the bridge has wound up its calls and settled their attempts
def _at_exit() -> None:
    until = time.monotonic() + _GRACE
    for thread in [writer._finish() for writer in list(_writers)]:
        if thread is not None:
            thread.join(max(0.0, until - time.monotonic()))


def _after_fork() -> None:
    for writer in list(_writers):
        writer._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

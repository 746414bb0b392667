"""The ledger's own thread: a blocked database must not stall an event loop (measured: 529 ms by a rival's lock)."""

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
from collections.abc import Callable

from hfrouter.cost.ledger import Entry, Ledger, LedgerConflict, MemoryLedger

logger = logging.getLogger("hfrouter")
# Seconds that closing waits for a slow ledger; what it still holds then is written as long as the process lives.
_GRACE = 0.5
# Seconds a call waits for a ledger that another process has locked; the row is written when it is free.
_PATIENCE = 1.0

_Jobs = queue.SimpleQueue[Callable[[], None] | None]


class Writer:
    """Writes entries in order, on a thread of its own unless the ledger is instant.

    A ledger that cannot be written never fails a call: there is one warning, and entries go to memory from then on.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._jobs: _Jobs | None = None
        self._thread: threading.Thread | None = None
        self._lock = _lock()
        self._dropped: weakref.finalize[..., Writer] | None = None
        _writers.add(self)

    def __reduce__(self) -> tuple[type[Writer], tuple[Ledger]]:
        return Writer, (self.ledger,)

    async def begin(self, entry: Entry) -> None:
        """Write a pending row and wait until it is written, at most 1 s: a locked ledger must not cost a call."""
        await self._do(lambda: self.ledger.begin(entry))

    async def settle(self, entry: Entry) -> None:
        """Settle a row and wait until it is written, at most 1 s."""
        await self._do(lambda: self.ledger.settle(entry))

    def settle_later(self, entry: Entry) -> None:
        """Settle a row without waiting, for endings in which nobody may wait: cancellation, garbage collection."""
        if self.ledger.instant:
            self._guarded(lambda: self.ledger.settle(entry))
        else:
            self._put(lambda: self._guarded(lambda: self.ledger.settle(entry)))

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

    async def _do(self, work: Callable[[], None]) -> None:
        if self.ledger.instant:
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

        self._put(job)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await written

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

"""The ledger's own thread: a blocked database must not stall an event loop (measured: 529 ms by a rival's lock)."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable

from hfrouter.cost.ledger import Entry, Ledger, LedgerConflict, MemoryLedger

logger = logging.getLogger("hfrouter")
_GRACE = 0.5


class Writer:
    """Writes entries in order, on a thread of its own unless the ledger is instant.

    A ledger that cannot be written never fails a call: there is one warning, and entries go to memory from then on.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._starting = threading.Lock()

    def __reduce__(self) -> tuple[type[Writer], tuple[Ledger]]:
        return Writer, (self.ledger,)

    async def begin(self, entry: Entry) -> None:
        """Write a pending row and wait until it is written."""
        await self._do(lambda: self.ledger.begin(entry))

    async def settle(self, entry: Entry) -> None:
        """Settle a row and wait until it is written."""
        await self._do(lambda: self.ledger.settle(entry))

    def settle_later(self, entry: Entry) -> None:
        """Settle a row without waiting, for endings in which nobody may wait: cancellation, garbage collection."""
        if self.ledger.instant:
            self._guarded(lambda: self.ledger.settle(entry))
        else:
            self._queue().put(lambda: self._guarded(lambda: self.ledger.settle(entry)))

    def entries(self, call: str | None = None) -> list[Entry]:
        """Rows, those still being written included."""
        if self.ledger.instant:
            return self.ledger.entries(call)
        rows: list[Entry] = []
        self._wait_for(lambda: rows.extend(self.ledger.entries(call)))
        return rows

    def close(self) -> None:
        """Write what is left and release the ledger's files."""
        if self.ledger.instant or self._thread is None or self._pid != os.getpid():
            self.ledger.close()
            return
        atexit.unregister(self.close)
        self._queue().put(lambda: self._guarded(self.ledger.close))
        self._queue().put(None)
        self._thread.join(_GRACE)
        self._thread = self._jobs = None

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
            if not loop.is_closed():
                loop.call_soon_threadsafe(give)

        self._queue().put(job)
        await written

    def _wait_for(self, work: Callable[[], None]) -> None:
        done = threading.Event()
        failure: list[Exception] = []

        def job() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 (handed to the caller, who asked for rows)
                failure.append(error)
            done.set()

        self._queue().put(job)
        done.wait()
        if failure:
            raise failure[0]

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except LedgerConflict:
            logger.exception("an attempt was accounted for twice with different facts")
        except (OSError, sqlite3.Error) as error:
            self._fall_back(error)
            work()

    def _fall_back(self, error: Exception) -> None:
        """Go on in memory, and say so once."""
        lost, self.ledger = self.ledger, _Tolerant()
        logger.warning(
            "%r cannot be written (%s): costs are kept in memory only from here on; "
            "set HFROUTER_LEDGER to another path, or to 'memory' or 'off'.",
            lost,
            error,
        )

    def _queue(self) -> queue.SimpleQueue[Callable[[], None] | None]:
        """The thread's queue, started on first use and anew after a fork."""
        jobs = self._jobs
        if jobs is not None and self._pid == os.getpid():
            return jobs
        with self._starting:
            if self._jobs is None or self._pid != os.getpid():
                jobs = queue.SimpleQueue()
                self._thread = threading.Thread(target=_serve, args=(jobs,), daemon=True, name="hfrouter-ledger")
                self._thread.start()
                self._pid, self._jobs = os.getpid(), jobs
                atexit.register(self.close)
            return self._jobs


def _serve(jobs: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()


class _Tolerant(MemoryLedger):
    """Takes over from a ledger that failed half-way: a row it has not seen begin is settled all the same."""

    def settle(self, entry: Entry) -> None:
        """Settle a row, seen or not."""
        self._rows[entry.id] = entry

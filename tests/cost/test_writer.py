"""The writer: in order, on its own thread, and never the reason for which a call fails."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pickle
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hfrouter.cost.ledger import Entry, Ledger, MemoryLedger, NoLedger
from hfrouter.cost.sqlite import SQLiteLedger
from hfrouter.wire.writer import Writer
from tests.cost.entries import pending, settled

ROOT = Path(__file__).resolve().parents[2]


class SlowLedger(MemoryLedger):
    """Rows in memory, each after a while, as behind another process's lock; it notes who calls."""

    instant = False

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds
        self.steps: list[str] = []
        self.callers: set[str] = set()
        self.busy = threading.Lock()

    def _step(self, name: str) -> None:
        assert self.busy.acquire(blocking=False), "two threads at once"
        self.callers.add(threading.current_thread().name)
        time.sleep(self.seconds)
        self.steps.append(name)
        self.busy.release()

    def begin(self, entry: Entry) -> None:
        self._step(f"begin {entry.number}")
        super().begin(entry)

    def settle(self, entry: Entry) -> None:
        self._step(f"settle {entry.number}")
        super().settle(entry)

    def entries(self, call: str | None = None) -> list[Entry]:
        self._step("entries")
        return super().entries(call)

    def close(self) -> None:
        self._step("close")


class BrokenLedger(MemoryLedger):
    """Fails from its n-th step on, in a way of its own."""

    def __init__(self, error: Exception, *, after: int = 0, instant: bool = False) -> None:
        super().__init__()
        self.error, self.left, self.instant = error, after, instant

    def __repr__(self) -> str:
        return "BrokenLedger()"

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.error

    def begin(self, entry: Entry) -> None:
        self._step()
        super().begin(entry)

    def settle(self, entry: Entry) -> None:
        self._step()
        super().settle(entry)

    def close(self) -> None:
        self._step()


def ledger_threads() -> int:
    return sum(thread.name == "hfrouter-ledger" for thread in threading.enumerate())


async def test_rows_are_written_in_order_by_one_thread_of_its_own() -> None:
    ledger = SlowLedger()
    writer = Writer(ledger)
    entries = [pending(number=n) for n in range(20)]
    await asyncio.gather(*map(writer.begin, entries))
    for entry in entries:
        writer.settle_later(settled(entry))
    assert writer.entries() == [settled(entry) for entry in entries]
    writer.close()
    wanted = [f"begin {n}" for n in range(20)] + [f"settle {n}" for n in range(20)] + ["entries", "close"]
    assert ledger.steps == wanted
    assert ledger.callers == {"hfrouter-ledger"}


@pytest.mark.parametrize("ledger", [MemoryLedger(), NoLedger()], ids=["memory", "off"])
async def test_an_instant_ledger_needs_no_thread(ledger: MemoryLedger) -> None:
    before, writer, entry = ledger_threads(), Writer(ledger), pending()
    await writer.begin(entry)
    await writer.settle(settled(entry))
    writer.settle_later(settled(entry))
    assert writer.entries("call-1") == ledger.entries()
    writer.close()
    assert ledger_threads() == before


async def test_a_slow_ledger_does_not_stall_the_event_loop() -> None:
    writer, longest, running = Writer(SlowLedger(0.3)), 0.0, True

    async def watch() -> None:
        nonlocal longest
        while running:
            began = time.monotonic()
            await asyncio.sleep(0.002)
            longest = max(longest, time.monotonic() - began)

    watching = asyncio.create_task(watch())
    entry = pending()
    await writer.begin(entry)
    await writer.settle(settled(entry))
    running = False
    await watching
    assert longest < 0.25  # a step takes 0.3 s
    writer.close()


ERRORS = [
    sqlite3.OperationalError("database is locked"),
    PermissionError("read-only"),
    OverflowError("too large for SQLite"),
    RuntimeError("a user's own store"),
    KeyError("anything"),
]


@pytest.mark.parametrize("instant", [False, True])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_ledger_that_fails_is_warned_of_once_and_the_call_goes_on_in_memory(
    error: Exception, instant: bool, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(BrokenLedger(error, after=1, instant=instant))
    begun, other = pending(), pending(number=2)
    async with asyncio.timeout(5):
        await writer.begin(begun)
        await writer.settle(settled(begun))  # fails, and is settled in memory although it was begun elsewhere
        await writer.begin(other)
        await writer.settle(settled(other))
    assert writer.entries() == [settled(begun), settled(other)]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.name == "hfrouter"
    told = record.getMessage()
    assert told.startswith(f"BrokenLedger() cannot be written ({error})")
    assert "HFROUTER_LEDGER" in told
    writer.close()


async def test_a_file_that_cannot_be_written_costs_no_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "taken").write_text("")
    writer, entry = Writer(SQLiteLedger(tmp_path / "taken" / "ledger.sqlite3")), pending()
    await writer.begin(entry)
    await writer.settle(settled(entry))
    assert writer.entries() == [settled(entry)]
    assert len(caplog.records) == 1
    writer.close()


async def test_a_ledger_that_failed_is_closed(tmp_path: Path) -> None:
    ledger = SQLiteLedger(tmp_path / "ledger.sqlite3")
    writer, entry = Writer(ledger), pending()
    await writer.begin(entry)
    await writer.settle(settled(entry, duration_ms=2**70))  # more than SQLite can hold
    assert ledger._db is None
    assert writer.entries()[0].outcome == "ok"
    writer.close()


async def test_an_attempt_settled_twice_differently_is_logged_and_the_first_stands(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer, entry = Writer(SQLiteLedger(tmp_path / "ledger.sqlite3")), pending()
    await writer.begin(entry)
    await writer.settle(settled(entry))
    await writer.settle(settled(entry, status=500))
    assert writer.entries() == [settled(entry)]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    writer.close()


async def test_a_ledger_that_cannot_be_read_tells_the_one_who_asked(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").write_text("no database" * 100)
    writer = Writer(SQLiteLedger(tmp_path / "ledger.sqlite3"))
    with pytest.raises(sqlite3.DatabaseError):
        writer.entries()
    writer.close()


async def test_a_ledger_that_cannot_be_closed_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    writer = Writer(BrokenLedger(OSError("gone"), after=1))
    await writer.begin(pending())
    writer.close()
    assert len(caplog.records) == 1


async def test_it_may_be_used_again_after_it_was_closed() -> None:
    ledger, entry = SlowLedger(), pending()
    writer = Writer(ledger)
    await writer.begin(entry)
    writer.close()
    writer.close()
    await writer.settle(settled(entry))
    assert writer.entries() == [settled(entry)]
    writer.close()
    assert ledger.steps == ["begin 1", "close", "close", "settle 1", "entries", "close"]


async def test_closing_a_slow_ledger_does_not_wait_for_ever_and_the_next_use_waits_its_turn() -> None:
    ledger = SlowLedger(0.2)
    writer, entries = Writer(ledger), [pending(number=n) for n in range(6)]
    for entry in entries:
        writer._put(lambda entry=entry: ledger.begin(entry))  # type: ignore[misc]  # bound now, not when it runs
    began = time.monotonic()
    writer.close()
    assert 0.4 < time.monotonic() - began < 1.0  # of the 1.4 s it needs
    assert writer.entries() == entries  # on a new thread, once the old one has done what it was given
    assert ledger.steps == [f"begin {n}" for n in range(6)] + ["close", "entries"]
    writer.close()


def test_threads_that_write_while_others_close_lose_nothing_and_wait_for_nothing() -> None:
    ledger = SlowLedger()
    writer, entries = Writer(ledger), [pending(number=n) for n in range(300)]

    async def write(part: list[Entry]) -> None:
        for entry in part:
            await writer.begin(entry)
            await writer.settle(settled(entry))

    threads = [threading.Thread(target=asyncio.run, args=(write(entries[n::3]),), daemon=True) for n in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        writer.close()
        time.sleep(0.001)
    for thread in threads:
        thread.join(10)
    assert writer.entries() == [settled(entry) for entry in entries]
    writer.close()


async def test_a_caller_who_is_cancelled_leaves_the_row_to_be_written() -> None:
    writer, entry = Writer(SlowLedger(0.05)), pending()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await writer.begin(entry)
    writer.settle_later(settled(entry))
    assert writer.entries() == [settled(entry)]
    writer.close()


def test_a_loop_that_ended_while_a_row_was_written_harms_nobody() -> None:
    writer, entries = Writer(SlowLedger(0.05)), [pending(), pending(number=2)]

    async def leave() -> None:
        asyncio.ensure_future(writer.begin(entries[0]))  # noqa: RUF006 (left behind on purpose)
        await asyncio.sleep(0.01)

    asyncio.run(leave())
    writer.settle_later(settled(entries[0]))
    assert writer.entries() == [settled(entries[0])]
    writer.close()


def test_garbage_collection_may_settle_an_attempt_while_a_job_is_handed_over() -> None:
    writer, entry = Writer(SlowLedger()), pending()
    writer._put(lambda: writer.ledger.begin(entry))
    with writer._lock:  # where a collection may strike
        writer.settle_later(settled(entry))
    assert writer.entries() == [settled(entry)]
    writer.close()


def test_a_writer_that_is_dropped_writes_what_it_has_and_ends_its_thread(tmp_path: Path) -> None:
    ledger, entry = SQLiteLedger(tmp_path / "ledger.sqlite3"), pending()
    writer = Writer(ledger)
    asyncio.run(writer.begin(entry))
    writer.settle_later(settled(entry))
    thread = writer._thread
    assert thread is not None
    del writer
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()
    assert ledger._db is None
    assert ledger.entries() == [settled(entry)]
    ledger.close()


async def test_a_pickled_writer_has_the_ledger_and_no_thread(tmp_path: Path) -> None:
    writer, entry = Writer(SQLiteLedger(tmp_path / "ledger.sqlite3")), pending()
    await writer.begin(entry)
    copy = pickle.loads(pickle.dumps(writer))
    assert copy._thread is None
    assert copy.entries() == [entry]
    copy.close()
    writer.close()


def test_where_no_thread_can_be_started_the_row_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    ledger, entry = SlowLedger(), pending()
    ledger.begin(entry)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    writer = Writer(ledger)
    writer.settle_later(settled(entry))
    assert ledger.steps == ["begin 1", "settle 1"]


# -- the ends of processes ---------------------------------------------------------------------------------------------

EXIT = """
import asyncio, sys
from hfrouter.cost.sqlite import SQLiteLedger
from hfrouter.wire.writer import Writer
from tests.cost.entries import pending, settled
writer, entries = Writer(SQLiteLedger(sys.argv[1])), [pending(number=n) for n in range(50)]
async def main():
    for entry in entries:
        await writer.begin(entry)
asyncio.run(main())
for entry in entries:
    writer.settle_later(settled(entry))
"""

FORK = """
import asyncio, os, sys
from hfrouter.cost.sqlite import SQLiteLedger
from hfrouter.wire.writer import Writer
from tests.cost.entries import pending, settled
writer = Writer(SQLiteLedger(sys.argv[1]))
async def write(call):
    entry = pending(call=call)
    await writer.begin(entry)
    await writer.settle(settled(entry))
asyncio.run(write("before"))
with writer._lock:  # a fork may come while any thread holds it
    child = os.fork()
if child == 0:
    asyncio.run(write("child"))
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
asyncio.run(write("after"))
"""


@pytest.mark.parametrize(
    ("script", "rows"),
    [
        pytest.param(EXIT, [("call-1", "ok", 50)], id="exit without close"),
        pytest.param(
            FORK,
            [("after", "ok", 1), ("before", "ok", 1), ("child", "ok", 1)],
            id="fork",
            marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
        ),
    ],
)
def test_a_process_that_ends_has_written_everything(script: str, rows: list[object], tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", script, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    db = sqlite3.connect(path)
    found = db.execute("SELECT call, outcome, count(*) FROM attempts GROUP BY call, outcome ORDER BY call").fetchall()
    db.close()
    assert found == rows
    assert not Path(f"{path}-wal").exists()


def test_every_ledger_here_is_one() -> None:
    assert isinstance(SlowLedger(), Ledger)
    assert isinstance(BrokenLedger(OSError()), Ledger)


async def test_a_file_nobody_waits_for_is_written_on_the_loop_and_else_on_the_thread(tmp_path: Path) -> None:
    path, callers = tmp_path / "ledger.sqlite3", []

    class Watched(SQLiteLedger):
        def begin(self, entry: Entry) -> None:
            callers.append(threading.current_thread().name)
            super().begin(entry)

    writer, entries = Writer(Watched(path)), [pending(number=n) for n in range(3)]
    await writer.begin(entries[0])  # opens the file
    await writer.begin(entries[1])
    rival = sqlite3.connect(path, isolation_level=None)
    rival.execute("BEGIN IMMEDIATE")
    longest, running = 0.0, True

    async def watch() -> None:
        nonlocal longest
        while running:
            began = time.monotonic()
            await asyncio.sleep(0.002)
            longest = max(longest, time.monotonic() - began)

    watching = asyncio.create_task(watch())
    asyncio.get_running_loop().call_later(0.4, rival.rollback)
    await writer.begin(entries[2])
    running = False
    await watching
    rival.close()
    here = threading.current_thread().name
    assert callers == ["hfrouter-ledger", here, here, "hfrouter-ledger"]
    assert longest < 0.3  # of the 0.4 s that the rival held its lock
    assert writer.entries() == entries
    writer.close()


async def test_an_end_that_overtakes_its_beginning_waits_for_it(tmp_path: Path) -> None:
    ledger, entry = SQLiteLedger(tmp_path / "ledger.sqlite3"), pending()
    writer, free = Writer(ledger), threading.Event()
    ledger.entries()
    writer._put(lambda: print(free.wait(10)))
    writer._put(lambda: ledger.begin(entry))
    ending = asyncio.create_task(writer.settle(settled(entry)))
    await asyncio.sleep(0.01)
    free.set()
    await ending
    assert writer.entries() == [settled(entry)]
    writer.close()

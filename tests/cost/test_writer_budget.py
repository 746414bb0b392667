"""The writer under budgets: what cannot be counted is not sent, and what was held is given back however a call ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hfrouter import Budget
from hfrouter.cost.budget import BudgetWarning, Refused, Standing, limits_for
from hfrouter.cost.ledger import Entry, Ledger, MemoryLedger, NoLedger
from hfrouter.cost.price import Cost
from hfrouter.cost.sqlite import SQLiteLedger
from hfrouter.wire.writer import Writer
from tests.cost.entries import pending, settled
from tests.cost.stores import check_sums

ROOT = Path(__file__).resolve().parents[2]
BUDGET = Budget("0.001", each="user")
LEDGERS: dict[str, Callable[[Path], Ledger]] = {
    "memory": lambda _: MemoryLedger(),
    "off": lambda _: NoLedger(),
    "sqlite": lambda folder: SQLiteLedger(folder / "ledger.sqlite3"),
}


@pytest.fixture(params=LEDGERS)
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Writer]:
    made = Writer(LEDGERS[request.param](tmp_path), [BUDGET])
    yield made
    made.close()
    if request.param == "sqlite" and (tmp_path / "ledger.sqlite3").exists():
        check_sums(tmp_path / "ledger.sqlite3")


def stands(writer: Writer, entry: Entry) -> Standing:
    (limit,) = limits_for([BUDGET], entry, writer.keeper.run)
    writer.entries()  # waits for what is still being written
    return writer.keeper.standing(limit)


async def test_a_refusal_reaches_the_caller_and_leaves_no_row(writer: Writer) -> None:
    entries = [pending() for _ in range(5)]
    for entry in entries[:4]:
        await writer.begin(entry)
    with pytest.raises(Refused) as caught:
        await writer.begin(entries[4])
    writer.settle_later(settled(entries[4]))  # as a caller does who was cancelled before he knew
    assert caught.value.needed == 250_000
    assert stands(writer, entries[0]) == Standing(0, 1_000_000, 0)
    assert entries[4].id not in [row.id for row in writer.entries()]
    for entry in entries[:4]:
        await writer.settle(settled(entry, cost=Cost(200_000, 200_000)))
    assert stands(writer, entries[0]) == Standing(800_000, 0, 0)


async def test_other_calls_are_not_counted(writer: Writer) -> None:
    entry = pending(tags=(("user", "ann"),))
    await writer.begin(entry)
    assert stands(writer, pending()) == Standing()
    writer.keeper.budgets = ()
    for _ in range(10):
        await writer.begin(pending(tags=(("user", "ann"),)))
    assert stands(writer, entry) == Standing(0, 250_000, 0)


async def test_many_at_once_pass_no_further_than_the_limit(writer: Writer) -> None:
    entries = [pending() for _ in range(40)]
    outcomes = await asyncio.gather(*map(writer.begin, entries), return_exceptions=True)
    assert [outcome is None for outcome in outcomes].count(True) == 4
    assert all(isinstance(outcome, Refused) for outcome in outcomes if outcome is not None)


async def test_a_caller_who_is_cancelled_gives_back_what_was_held(writer: Writer) -> None:
    entries = [pending() for _ in range(4)]
    tasks = [asyncio.create_task(writer.begin(entry)) for entry in entries]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for entry in entries:
        writer.settle_later(settled(entry, outcome="abandoned", cost=Cost(0, 0, "nothing was sent")))
    assert stands(writer, entries[0]) == Standing()


async def test_warnings_go_to_the_hook_and_a_hook_that_fails_harms_nobody(
    writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[BudgetWarning] = []

    def hook(warning: BudgetWarning) -> None:
        told.append(warning)
        raise KeyError("a bug in a hook")

    writer.on_warning = hook
    for _ in range(4):
        entry = pending()
        await writer.begin(entry)
        await writer.settle(settled(entry, cost=Cost(250_000, 250_000)))
    assert [(str(warning.share), str(warning.spent)) for warning in told] == [("0.8", "0.001")]
    assert [record.message for record in caplog.records] == ["a hook for budgets failed"]


async def test_without_a_hook_warnings_are_logged(writer: Writer, caplog: pytest.LogCaptureFixture) -> None:
    entry = pending()
    await writer.begin(entry)
    await writer.settle(settled(entry, cost=Cost(900_000, 900_000)))
    label = "the budget of $0.001 for this run for calls without user"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"80% of {label} is used up"),
        ("WARNING", f"an attempt at openai/gpt-oss-20b cost more than its bound under {label}"),
    ]


async def test_a_pickled_writer_and_another_process_are_of_the_same_run(tmp_path: Path) -> None:
    writer = Writer(SQLiteLedger(tmp_path / "ledger.sqlite3"), [BUDGET])
    copy: Writer = pickle.loads(pickle.dumps(writer))
    for number in range(4):
        await (writer, copy)[number % 2].begin(pending())
    for each in (writer, copy):
        with pytest.raises(Refused):
            await each.begin(pending())
    other = Writer(SQLiteLedger(tmp_path / "ledger.sqlite3"), [BUDGET])
    await other.begin(pending())  # a run of its own
    for each in (writer, copy, other):
        each.close()


# -- a ledger that cannot keep the budget ------------------------------------------------------------------------------


def busy(path: Path) -> contextlib.AbstractContextManager[sqlite3.Connection]:
    """Another process's transaction."""
    SQLiteLedger(path).entries()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    return contextlib.closing(db)


async def test_a_locked_ledger_refuses_in_time_and_what_it_writes_too_late_holds_nothing(tmp_path: Path) -> None:
    path, entry = tmp_path / "ledger.sqlite3", pending()
    writer = Writer(SQLiteLedger(path), [BUDGET])
    with busy(path), pytest.raises(Refused, match=r"cannot be kept: SQLiteLedger\(.*\(no answer in time\)"):
        await writer.begin(entry, 0.3)
    assert stands(writer, entry) == Standing()
    assert [(row.outcome, row.cost.upper) for row in writer.entries()] == [("abandoned", 0)]
    await writer.begin(pending())
    assert stands(writer, entry) == Standing(0, 250_000, 0)
    writer.close()


async def test_an_attempt_that_was_given_up_before_its_turn_is_never_written(tmp_path: Path) -> None:
    writer, entry = Writer(SQLiteLedger(tmp_path / "ledger.sqlite3"), [BUDGET]), pending()
    free = threading.Event()
    writer._put(lambda: print(free.wait(10)))
    with pytest.raises(Refused, match="no answer in time"):
        await writer.begin(entry, 0.05)
    free.set()
    assert writer.entries() == []
    writer.close()


def under_a_file(folder: Path) -> Path:
    (folder / "taken").write_text("")
    return folder / "taken" / "ledger.sqlite3"


def no_database(folder: Path) -> Path:
    (folder / "ledger.sqlite3").write_text("no database" * 100)
    return folder / "ledger.sqlite3"


def newer(folder: Path) -> Path:
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite3")) as db:
        db.execute("PRAGMA user_version = 99")
    return folder / "ledger.sqlite3"


def broken_inside(folder: Path) -> Path:
    """A database whose pages were overwritten."""
    path = folder / "ledger.sqlite3"
    ledger = SQLiteLedger(path)
    for _ in range(200):
        ledger.begin(pending())
    ledger.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    return path


UNUSABLE = {
    "a directory that cannot be made": (under_a_file, "File exists"),
    "a file that is no database": (no_database, "not a database"),
    "a newer schema": (newer, r"newer hfrouter \(schema 99\)"),
    "overwritten pages": (broken_inside, "malformed"),
}


@pytest.mark.parametrize("name", UNUSABLE)
async def test_a_ledger_that_cannot_be_used_refuses_under_a_budget_and_no_other_call(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make, told = UNUSABLE[name]
    path = make(tmp_path)
    writer = Writer(SQLiteLedger(path), [Budget(1, tags={"user": "ann"})])
    with pytest.raises(Refused, match=told) as caught:
        await writer.begin(pending(tags=(("user", "ann"),)))
    error = caught.value.error()
    assert str(error).startswith("the budget of $1.00 for this run for user=ann cannot be kept: SQLiteLedger(")
    assert "HFROUTER_LEDGER" in str(error)
    assert caplog.records == []
    other = pending()
    await writer.begin(other)
    await writer.settle(settled(other))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert writer.entries() == [settled(other)]
    with pytest.raises(Refused, match=told):
        await writer.begin(pending(tags=(("user", "ann"),)))
    writer.close()


async def test_a_read_only_file_refuses_under_a_budget(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    SQLiteLedger(path).entries()

    class ReadOnly(SQLiteLedger):
        def _open(self) -> sqlite3.Connection:
            db = super()._open()
            db.execute("PRAGMA query_only = 1")  # permissions do not stop root, who may run this
            return db

    writer = Writer(ReadOnly(path), [BUDGET])
    with pytest.raises(Refused, match="readonly"):
        await writer.begin(pending())
    writer.close()


async def test_an_end_that_cannot_be_written_now_is_written_before_the_next_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, entry = tmp_path / "ledger.sqlite3", pending()
    ledger = SQLiteLedger(path)
    writer = Writer(ledger, [BUDGET])
    await writer.begin(entry)
    with monkeypatch.context() as patch:

        def full(*_: object) -> list[BudgetWarning]:
            raise sqlite3.OperationalError("database or disk is full")

        patch.setattr(ledger, "settle_within", full)
        await writer.settle(settled(entry, cost=Cost(7, 7)))
        assert stands(writer, entry) == Standing(0, 250_000, 0)
        with pytest.raises(Refused, match="disk is full"):
            await writer.begin(pending())
    await writer.begin(pending())
    assert stands(writer, entry) == Standing(7, 250_000, 0)
    assert len(caplog.records) == 1
    writer.close()


async def test_an_end_no_ledger_could_hold_keeps_no_other_from_being_written(tmp_path: Path) -> None:
    writer, first, second = Writer(SQLiteLedger(tmp_path / "ledger.sqlite3"), [BUDGET]), pending(), pending()
    await writer.begin(first)
    await writer.begin(second)
    await writer.settle(settled(first, cost=Cost(2**70, 2**70)))
    await writer.settle(settled(second, cost=Cost(5, 5)))
    assert stands(writer, first) == Standing(5, 250_000, 0)
    writer.close()


FULL = """
import asyncio, resource, signal, sys
from hfrouter import Budget
from hfrouter.cost.budget import Refused
from hfrouter.cost.price import Cost
from hfrouter.cost.sqlite import SQLiteLedger
from hfrouter.wire.writer import Writer
from tests.cost.entries import pending, settled
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ledger = SQLiteLedger(sys.argv[1])
writer = Writer(ledger, [Budget(1000)])
async def main():
    entry = pending()
    await writer.begin(entry)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))  # the disk is full from here on
    count = 0
    try:
        while True:
            await writer.begin(pending(session="x" * 200))
            count += 1
    except Refused as refused:
        print(count > 5, refused)
    plain = Writer(SQLiteLedger(sys.argv[1]))
    await plain.begin(pending(session="x" * 300_000))  # no budget: goes on in memory
    print(len(plain.entries()))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await writer.settle(settled(entry, cost=Cost(5, 5)))
    await writer.begin(pending())
    print("again")
asyncio.run(main())
"""


def test_a_full_disk_refuses_under_a_budget_until_there_is_room_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    command = [sys.executable, "-c", FULL, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=ROOT)
    first, second, third = done.stdout.splitlines()
    assert first.startswith("True the budget of $1000.00 for this run cannot be kept: SQLiteLedger("), done.stderr
    assert "full" in first or "I/O error" in first
    assert (second, third) == ("1", "again")
    assert "costs are kept in memory only from here on" in done.stderr
    check_sums(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_while_another_thread_holds_the_lock_of_budgets_locks_nobody_out() -> None:
    writer = Writer(MemoryLedger(), [BUDGET])
    with writer.keeper._holds._lock:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                asyncio.run(writer.begin(pending()))
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

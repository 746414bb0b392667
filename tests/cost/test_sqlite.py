"""The ledger's file: private, plain to query, and whole whatever its writers do."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hfrouter.cost import sqlite
from hfrouter.cost.ledger import LedgerConflict
from hfrouter.cost.schema import SCHEMA_VERSION
from hfrouter.cost.sqlite import SQLiteLedger
from tests.cost.entries import pending, settled


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "hfrouter" / "ledger.sqlite3"


def rows_in(path: Path, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root)


def test_nothing_is_made_before_the_first_call(path: Path) -> None:
    ledger = SQLiteLedger(path)
    ledger.close()
    assert repr(ledger) == f"SQLiteLedger({str(path)!r})"
    assert not path.parent.exists()


def test_the_file_its_companions_and_its_directory_are_the_owners_only(path: Path) -> None:
    previous = os.umask(0)
    try:
        with contextlib.closing(SQLiteLedger(path)) as ledger:
            ledger.begin(pending())
            ledger._checkpoint(ledger._db)  # type: ignore[arg-type]  # open, as it has just written
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(previous)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert modes == dict.fromkeys((path.name, f"{path.name}-wal", f"{path.name}-shm", f"{path.name}.lock"), 0o600)


def test_it_writes_ahead_and_never_checkpoints_by_itself(path: Path) -> None:
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        ledger.begin(pending())
        with ledger._connection() as db:
            settings = [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "wal_autocheckpoint")]
            assert settings == ["wal", 0]
            assert db.execute("PRAGMA mmap_size").fetchone() in (None, (0,))
            assert db.execute("PRAGMA synchronous").fetchone() == (1,)


def test_one_process_at_a_time_checkpoints(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_CHECKPOINT_EVERY", 3)
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        entries = [pending() for _ in range(6)]
        for entry in entries:
            ledger.begin(entry)
        lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        empty = path.stat().st_size
        for entry in entries[:3]:
            ledger.settle(settled(entry))
        assert path.stat().st_size == empty  # another process has the lock: not now
        os.close(lock)
        for entry in entries[3:]:
            ledger.settle(settled(entry))
        assert path.stat().st_size > empty


def test_closing_leaves_one_file_with_everything_in_it(path: Path) -> None:
    ledger = SQLiteLedger(path)
    ledger.begin(pending())
    ledger.close()
    assert not Path(f"{path}-wal").exists()
    assert rows_in(path, "SELECT count(*) FROM attempts") == [(1,)]


def test_anyone_can_query_it_in_plain_sql(path: Path) -> None:
    entry = pending()
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        ledger.begin(entry)
        ledger.settle(settled(entry))
        query = "SELECT provider, outcome, input_tokens, input_usd_per_million, cost_lower_nano_usd FROM attempts"
        assert rows_in(path, query) == [("novita", "ok", 1522, "10", 169_200)]
        assert rows_in(path, "SELECT output_usd_per_million FROM attempts") == [("0.000001",)]


def test_a_newer_schema_is_refused_with_what_to_do_and_left_as_it_is(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(sqlite3.DatabaseError, match=r"newer hfrouter \(schema 3\); upgrade, or use another file"):
        SQLiteLedger(path).begin(pending())
    assert rows_in(path, "SELECT name FROM sqlite_master") == []


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"my diary, not a database" * 100)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        SQLiteLedger(path).entries()
    assert path.read_bytes() == b"my diary, not a database" * 100


def test_a_place_that_cannot_be_written_is_an_operating_system_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        SQLiteLedger(tmp_path / "file" / "ledger.sqlite3").begin(pending())
    with pytest.raises(sqlite3.OperationalError):
        SQLiteLedger(tmp_path).begin(pending())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_directory_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="ledger"):
        SQLiteLedger(tmp_path / "ledger.sqlite3").begin(pending())


def test_without_posix_locks_it_keeps_the_rollback_journal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_POSIX", False)
    entry = pending()
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        ledger.begin(entry)
        ledger.settle(settled(entry))
        assert ledger.entries() == [settled(entry)]
        with ledger._connection() as db:
            assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_failed_write_leaves_the_ledger_usable(path: Path) -> None:
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        with pytest.raises(OverflowError):
            ledger.begin(pending(number=2**70))
        with pytest.raises(LedgerConflict):
            ledger.begin(pending(model=None))
        ledger.begin(pending())
        assert len(ledger.entries()) == 1


def test_a_write_that_the_database_itself_took_back_is_told_as_it_was(path: Path) -> None:
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        ledger.begin(pending())
        with ledger._connection() as db:
            pages = db.execute("PRAGMA page_count").fetchone()[0]
            db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            ledger.begin(pending(session="x" * 100_000))
        with ledger._connection() as db:
            assert not db.in_transaction
            db.execute("PRAGMA max_page_count = 1000000")
        ledger.begin(pending())
        assert len(ledger.entries()) == 2


# -- many writers ------------------------------------------------------------------------------------------------------

WRITE = """
import sys, time
from hfrouter.cost.sqlite import SQLiteLedger
from tests.cost.entries import pending, settled
path, start, count = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
time.sleep(max(0, start - time.time()))
ledger = SQLiteLedger(path)
for number in range(count):
    entry = pending(call=sys.argv[4], number=number)
    ledger.begin(entry)
    ledger.settle(settled(entry))
    print(entry.id, flush=True)
ledger.close()
"""


def test_processes_that_start_together_lose_nothing(path: Path) -> None:
    start = time.time() + 1
    writers = [python(WRITE, path, start, 60, f"call-{n}") for n in range(4)]
    outputs = [writer.communicate(timeout=30) for writer in writers]
    assert [error for _, error in outputs] == [""] * 4
    assert rows_in(path, "SELECT count(*), count(DISTINCT id), min(outcome) FROM attempts") == [(240, 240, "ok")]
    assert rows_in(path, "PRAGMA integrity_check") == [("ok",)]


OPEN = """
import sys, time
from hfrouter.cost.sqlite import SQLiteLedger
from tests.cost.entries import pending
folder, start = sys.argv[1], float(sys.argv[2])
for number in range(10):
    while time.time() < start + number / 20:
        pass
    ledger = SQLiteLedger(f"{folder}/{number}.sqlite3")
    ledger.begin(pending())
    ledger.close()
"""


def test_processes_that_make_the_file_in_the_same_moment_wait_for_each_other(tmp_path: Path) -> None:
    start = time.time() + 1.2
    makers = [python(OPEN, tmp_path, start) for _ in range(6)]
    assert [maker.communicate(timeout=30)[1] for maker in makers] == [""] * 6
    for number in range(10):
        assert rows_in(tmp_path / f"{number}.sqlite3", "SELECT count(*) FROM attempts") == [(6,)]


class Crowded:
    """A connection whose switch to the log is refused so many times, as it is while others make the same file."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.said: list[str] = []

    def execute(self, statement: str) -> None:
        self.said.append(statement)
        if "journal_mode" in statement and self.said.count(statement) <= self.refusals:
            raise sqlite3.OperationalError("database is locked")


def test_a_refused_switch_to_the_log_is_asked_for_again_after_the_others_and_not_for_ever() -> None:
    crowded = Crowded(refusals=1)
    sqlite._write_ahead(crowded)  # type: ignore[arg-type]  # all it needs of a connection
    switch = "PRAGMA journal_mode = WAL"
    assert crowded.said == [switch, "BEGIN IMMEDIATE", "COMMIT", switch, "PRAGMA wal_autocheckpoint = 0"]
    crowded = Crowded(refusals=10**6)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        sqlite._write_ahead(crowded)  # type: ignore[arg-type]
    assert crowded.said.count(switch) == sqlite._TURNS


def test_writers_that_are_killed_leave_every_row_they_were_told_of(path: Path) -> None:
    told: set[str] = set()
    for round_ in range(3):
        writers = [python(WRITE, path, 0, 100_000, f"call-{round_}-{n}") for n in range(2)]
        for writer in writers:
            assert writer.stdout
            told.add(writer.stdout.readline().strip())
        time.sleep(0.05 + 0.07 * round_)
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            output, _ = writer.communicate(timeout=10)
            told.update(line for line in output.split("\n")[:-1] if len(line) == 32)
        assert rows_in(path, "PRAGMA integrity_check") == [("ok",)]
    kept = rows_in(path, "SELECT id, outcome FROM attempts")
    assert len(told) >= 6
    assert told <= {str(id_) for id_, outcome in kept if outcome == "ok"}
    assert len([id_ for id_, outcome in kept if outcome == "pending"]) <= 6  # at most one a writer was in the midst of


LOCK = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:  # the byte range by which SQLite says that a connection is there
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
        print("free")
    except OSError:
        print("held")
"""


def test_a_second_ledger_on_the_same_file_does_not_drop_the_locks_of_the_first(path: Path) -> None:
    first, second = SQLiteLedger(path), SQLiteLedger(path)
    first.begin(pending())
    second.begin(pending())
    assert python(LOCK, path).communicate(timeout=10)[0] == "held\n"
    second.close()
    first.begin(pending())
    assert len(first.entries()) == 3
    first.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_no_connection_crosses_a_fork_and_both_sides_open_their_own(path: Path) -> None:
    ledger = SQLiteLedger(path)
    ledger.begin(pending(call="parent"))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            inherited = ledger._db is not None or bool(sqlite._left_alone)
            ledger.begin(pending(call="child"))
            ledger.close()
            code = 2 if inherited else 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ledger.begin(pending(call="parent"))
    assert [row.call for row in ledger.entries()] == ["parent", "child", "parent"]
    ledger.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_does_not_wait_for_ever_and_the_child_leaves_alone_what_it_inherits(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_FORK_WAITS", 0.05)
    ledger = SQLiteLedger(path)
    ledger.begin(pending())
    inherited = ledger._db
    held, done = threading.Event(), threading.Event()

    def write() -> None:
        with ledger._lock:
            held.set()
            done.wait(10)

    writing = threading.Thread(target=write)
    writing.start()
    assert held.wait(10)
    try:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                ledger.close()
                gc.collect()
                left = any(db is inherited for db in sqlite._left_alone)
                inherited.execute("SELECT 1")  # type: ignore[union-attr]  # still open: nobody closed it
                code = 0 if left else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        done.set()
        writing.join()
    assert ledger._db is inherited
    assert len(ledger.entries()) == 1
    ledger.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_in_the_middle_of_writes_locks_nobody_out(path: Path) -> None:
    """SQLite remembers a process's locks in memory, which a fork copies: a write under way would be for ever."""
    ledger = SQLiteLedger(path)
    stop, numbers = threading.Event(), itertools.count()

    def write() -> None:
        while not stop.is_set():
            next(numbers)
            ledger.begin(pending(call="parent"))

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    children = []
    for _ in range(20):
        time.sleep(0.005)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                ledger.begin(pending(call="child"))
                ledger.close()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    stop.set()
    for thread in threads:
        thread.join()
    assert codes == [0] * 20
    calls = [row.call for row in ledger.entries()]
    assert calls.count("child") == 20
    assert calls.count("parent") == next(numbers)
    ledger.close()


# -- steps that may not wait -------------------------------------------------------------------------------------------


def test_a_step_is_taken_at_once_when_nobody_is_in_the_way(path: Path) -> None:
    entry = pending()
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        with pytest.raises(BlockingIOError):  # the file is not open yet
            ledger.at_once(lambda: ledger.begin(entry))
        assert ledger.entries() == []
        ledger.at_once(lambda: ledger.begin(entry))
        ledger.at_once(lambda: ledger.settle(settled(entry)))
        assert ledger.entries() == [settled(entry)]


def test_a_step_does_not_wait_for_another_process_or_thread(path: Path) -> None:
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        ledger.entries()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            for tags in ((), (("user", "ann"),)):
                with pytest.raises(BlockingIOError):
                    ledger.at_once(lambda tags=tags: ledger.begin(pending(tags=tags)))  # type: ignore[misc]
            assert time.monotonic() - began < 1  # of the 10 s that others wait
        with ledger._connection() as db:
            assert not db.in_transaction
            assert db.execute("PRAGMA busy_timeout").fetchone() == (10_000,)
            thread = threading.Thread(target=lambda: refused.append(hurry(ledger)))
            refused: list[str] = []
            thread.start()
            thread.join(5)
        assert refused == ["BlockingIOError"]
        assert hurry(ledger) == "written"


def hurry(ledger: SQLiteLedger) -> str:
    try:
        ledger.at_once(lambda: ledger.begin(pending()))
    except BlockingIOError as error:
        return type(error).__name__
    return "written"


def test_the_log_is_never_folded_back_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_CHECKPOINT_EVERY", 2)
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        ledger.entries()
        entries = [pending() for _ in range(3)]
        for entry in entries:
            ledger.begin(entry)
        for entry in entries[:2]:
            ledger.at_once(lambda entry=entry: ledger.settle(settled(entry)))  # type: ignore[misc]
        assert not Path(f"{path}.lock").exists()
        assert hurry(ledger) == "BlockingIOError"  # it is due
        ledger.settle(settled(entries[2]))
        assert Path(f"{path}.lock").exists()
        assert hurry(ledger) == "written"


def test_a_disk_that_was_slow_is_left_alone_for_a_while(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_PAUSE_NS", 100_000_000)
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        ledger.entries()
        ledger.at_once(lambda: time.sleep(0.03))
        assert hurry(ledger) == "BlockingIOError"
        time.sleep(0.15)
        assert hurry(ledger) == "written"


def test_what_is_wrong_with_a_row_is_said_at_once_and_leaves_the_ledger_usable(path: Path) -> None:
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        ledger.entries()
        with pytest.raises(LedgerConflict):
            ledger.at_once(lambda: ledger.settle(settled(pending())))
        with pytest.raises(OverflowError):
            ledger.at_once(lambda: ledger.begin(pending(number=2**70)))
        assert hurry(ledger) == "written"

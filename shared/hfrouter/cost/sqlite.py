"""The ledger in a file: SQLite, plain to query, safe with many processes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from hfrouter.cost import bookings, rows
from hfrouter.cost.budget import BudgetWarning, Limit, Refused, Standing
from hfrouter.cost.ledger import Entry
from hfrouter.cost.schema import prepare

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # the one platform without it takes another journal mode

# Shared memory and locks between processes, which the write-ahead log needs.
_POSIX = fcntl is not None
T = TypeVar("T")
_ledgers: weakref.WeakSet[SQLiteLedger] = weakref.WeakSet()
# Connections inherited through a fork. Closing one, which dropping it would do, lets go of this process's locks.
_left_alone: list[sqlite3.Connection] = []
# Seconds a fork waits for a write that is under way.
_FORK_WAITS = 1
_TURNS = 100
# With wal_autocheckpoint off, the log is folded back into the file after so many writes of this process.
_CHECKPOINT_EVERY = 1000
# Milliseconds that a write waits for other processes.
_BUSY_MS = 10_000
# Nanoseconds after which a step was slow, and for which none is taken at once after a slow one.
_SLOW_NS, _PAUSE_NS, _DOUBLINGS = 20_000_000, 2_000_000_000, 8


class SQLiteLedger:
    """One row per attempt in the table `attempts`. Safe with many threads and processes; one waits for another.

    Every SQLite before 3.51.3 can corrupt a write-ahead log when two connections write and checkpoint at once, so
    automatic checkpoints are off and one process at a time checkpoints under a file lock.

    Args:
        path: The file; it is made on first use, readable by its owner only, in a directory made likewise.
    """

    instant = False

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser()
        self._db: sqlite3.Connection | None = None
        self._pid = os.getpid()
        self._lock = threading.RLock()  # `at_once` holds it around the other methods
        self._writes = 0
        self._hurried = False
        self._waits_ms = _BUSY_MS
        self._not_before = 0  # of a clock in nanoseconds
        self._slow = 0  # times
        _ledgers.add(self)

    def __repr__(self) -> str:
        return f"SQLiteLedger({str(self.path)!r})"

    def __reduce__(self) -> tuple[type[SQLiteLedger], tuple[Path]]:
        return SQLiteLedger, (self.path,)

    def begin(self, entry: Entry) -> None:
        """Write a pending row."""
        if entry.tags:
            with self._transaction() as db:
                rows.insert(db, entry)
        else:
            with self._locked():  # one statement, which is a transaction of its own
                rows.insert(self._ready(), entry)

    def settle(self, entry: Entry) -> None:
        """Settle a row exactly once; the same facts again change nothing."""
        with self._locked():
            db = self._ready()
            rows.settle(db, entry)
            self._wrote(db)

    def begin_within(self, entry: Entry, limits: Sequence[Limit], expires_ms: int) -> list[BudgetWarning]:
        """Write a pending row and hold its upper bound under every limit, or neither."""
        with self._transaction() as db:
            done = bookings.begin(db, entry, limits, expires_ms)
        if isinstance(done, Refused):
            raise done
        return done

    def settle_within(self, entry: Entry, limits: Sequence[Limit]) -> list[BudgetWarning]:
        """Settle a row, and book what it cost instead of what it held."""
        with self._transaction() as db:
            warnings = bookings.settle(db, entry, limits)
        with self._connection() as db:
            self._wrote(db)
        return warnings

    def standing(self, limit: Limit) -> Standing:
        """How a limit stands."""
        with self._connection() as db:
            return bookings.standing(db, limit)

    def at_once(self, step: Callable[[], T]) -> T:
        """Take a step of this ledger on a thread that must not wait, such as an event loop's.

        A row takes some 30 us; what may take longer is left to others: to open the file, to wait for another thread or
        process, to fold the log back. A disk that was slow is left alone for 2 s, and twice as long each further time.

        Args:
            step: Calls one method of this ledger.

        Raises:
            BlockingIOError: not now; nothing was written.
        """
        if self._pid != os.getpid() or not self._lock.acquire(blocking=False):
            raise BlockingIOError
        try:
            began = time.monotonic_ns()
            if self._db is None or self._writes >= _CHECKPOINT_EVERY or began < self._not_before:
                raise BlockingIOError
            self._hurried = True
            self._wait_for_others(self._db, 0)
            try:
                return step()
            except sqlite3.OperationalError as error:
                raise BlockingIOError from error
            finally:
                self._hurried = False
                if (now := time.monotonic_ns()) - began > _SLOW_NS:
                    self._not_before = now + (_PAUSE_NS << min(self._slow, _DOUBLINGS))
                    self._slow += 1
        finally:
            self._lock.release()

    def entries(self, call: str | None = None) -> list[Entry]:
        """Rows in the order of their ids, of one call or all."""
        with self._transaction("DEFERRED") as db:  # reads alone: it waits for no writer
            return rows.select(db, call)

    def close(self) -> None:
        """Fold the log back and close the file; the next call opens it again."""
        self._leave_inherited()
        with self._lock:
            if self._db is not None:
                self._checkpoint(self._db)
                self._db.close()
                self._db = None

    @contextlib.contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """Deferred transactions that write lost 73 % to locks at 16 processes (measured)."""
        with self._connection() as db:
            db.execute(f"BEGIN {kind}")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # a full disk has rolled back already
                    db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """This process's connection for one thread at a time."""
        with self._locked():
            yield self._ready()

    def _locked(self) -> threading.RLock:
        self._leave_inherited()
        return self._lock

    def _ready(self) -> sqlite3.Connection:
        """The connection, opened on first use and anew after a fork."""
        if self._db is None:
            self._db, self._waits_ms = self._open(), _BUSY_MS
        elif not self._hurried:
            self._wait_for_others(self._db, _BUSY_MS)
        return self._db

    def _wait_for_others(self, db: sqlite3.Connection, ms: int) -> None:
        if self._waits_ms != ms:
            db.execute(f"PRAGMA busy_timeout = {ms}")
            self._waits_ms = ms

    def _leave_inherited(self) -> None:
        """After a fork: the parent's connection is its own, and its lock may be held by a thread that is not here."""
        if self._pid != os.getpid():
            if self._db is not None:
                _left_alone.append(self._db)
            self._db, self._lock, self._pid = None, threading.RLock(), os.getpid()

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            # Only a new file: closing one would drop the locks that this process's other connections hold on it.
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS // 1000)
        try:
            if _POSIX:
                _write_ahead(db)
            db.execute("PRAGMA synchronous = NORMAL")
            prepare(db, self.path)
        except BaseException:
            db.close()
            raise
        return db

    def _wrote(self, db: sqlite3.Connection) -> None:
        self._writes += 1
        if self._writes >= _CHECKPOINT_EVERY and not self._hurried:
            self._writes = 0
            self._checkpoint(db)

    def _checkpoint(self, db: sqlite3.Connection) -> None:
        if not _POSIX:
            return
        with contextlib.suppress(OSError, sqlite3.Error), contextlib.ExitStack() as stack:
            lock = os.open(f"{self.path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _before_fork() -> None:
    """Close every connection: SQLite's own memory of locks would be wrong in the child, which is locked out for ever.

    The next write opens the file again, in parent and child alike.
    """
    for ledger in list(_ledgers):
        if ledger._pid == os.getpid() and ledger._lock.acquire(timeout=_FORK_WAITS):
            if ledger._db is not None:
                ledger._db.close()
                ledger._db = None
            _forking.append(ledger)


def _after_fork_in_parent() -> None:
    while _forking:
        _forking.pop()._lock.release()


def _after_fork_in_child() -> None:
    _forking.clear()
    for ledger in list(_ledgers):
        ledger._leave_inherited()


_forking: list[SQLiteLedger] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def _write_ahead(db: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. Of processes that start together all but one may be refused without any waiting.

    A transaction does wait, as long as the connection's timeout; after it the others are done, mostly.

    Raises:
        sqlite3.OperationalError: when they still are not after so many turns.
    """
    for turn in range(1, _TURNS + 1):
        try:
            db.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError:
            if turn == _TURNS:
                raise
            db.execute("BEGIN IMMEDIATE")
            db.execute("COMMIT")
    db.execute("PRAGMA wal_autocheckpoint = 0")

"""The ledger in a file: SQLite, plain to query, safe with many processes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from hfrouter.cost.ledger import Entry, LedgerConflict, same_attempt
from hfrouter.cost.price import Cost, Price
from hfrouter.cost.usage import Usage

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # the one platform without it takes another journal mode

# Shared memory and locks between processes, which the write-ahead log needs.
_POSIX = fcntl is not None
SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS attempts (
    id TEXT PRIMARY KEY, call TEXT NOT NULL, number INTEGER NOT NULL, started_ms INTEGER NOT NULL,
    model TEXT NOT NULL, provider TEXT NOT NULL, streamed INTEGER NOT NULL, session TEXT,
    outcome TEXT NOT NULL, status INTEGER, duration_ms INTEGER, first_content_ms INTEGER,
    input_tokens INTEGER, output_tokens INTEGER, cached_tokens INTEGER, reasoning_tokens INTEGER,
    input_usd_per_million TEXT, output_usd_per_million TEXT, price_source TEXT, price_at INTEGER,
    cost_lower_nano_usd INTEGER NOT NULL, cost_upper_nano_usd INTEGER, cost_reason TEXT NOT NULL, request_id TEXT
) WITHOUT ROWID
"""
_INDEX = "CREATE INDEX IF NOT EXISTS attempts_by_call ON attempts (call, number)"
_COLUMNS = 24
_INSERT = f"INSERT INTO attempts VALUES ({', '.join('?' * _COLUMNS)})"  # noqa: S608 (question marks only)
_SETTLE = """
UPDATE attempts SET provider = ?, outcome = ?, status = ?, duration_ms = ?, first_content_ms = ?,
    input_tokens = ?, output_tokens = ?, cached_tokens = ?, reasoning_tokens = ?,
    input_usd_per_million = ?, output_usd_per_million = ?, price_source = ?, price_at = ?,
    cost_lower_nano_usd = ?, cost_upper_nano_usd = ?, cost_reason = ?, request_id = ?
WHERE id = ? AND outcome = 'pending'
"""
_ledgers: weakref.WeakSet[SQLiteLedger] = weakref.WeakSet()
# Connections inherited through a fork. Closing one, which dropping it would do, lets go of this process's locks.
_left_alone: list[sqlite3.Connection] = []
# Seconds a fork waits for a write that is under way.
_FORK_WAITS = 1
_TURNS = 100
# With wal_autocheckpoint off, the log is folded back into the file after so many writes of this process.
_CHECKPOINT_EVERY = 1000


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
        self._lock = threading.Lock()
        self._writes = 0
        _ledgers.add(self)

    def __repr__(self) -> str:
        return f"SQLiteLedger({str(self.path)!r})"

    def __reduce__(self) -> tuple[type[SQLiteLedger], tuple[Path]]:
        return SQLiteLedger, (self.path,)

    def begin(self, entry: Entry) -> None:
        """Write a pending row."""
        with self._transaction() as db:
            try:
                db.execute(_INSERT, _row(entry))
            except sqlite3.IntegrityError:
                if self._read(db, "id = ?", entry.id) != [entry]:
                    raise LedgerConflict(entry.id) from None

    def settle(self, entry: Entry) -> None:
        """Settle a row exactly once; the same facts again change nothing."""
        row = _row(entry)
        with self._transaction() as db:
            found = next(iter(self._read(db, "id = ?", entry.id)), None)
            if found is None or entry.outcome == "pending" or not same_attempt(found, entry):
                raise LedgerConflict(entry.id)
            if found.outcome == "pending":
                db.execute(_SETTLE, (row[5], *row[8:], entry.id))
            elif found != entry:
                raise LedgerConflict(entry.id)
            self._writes += 1
        if self._writes % _CHECKPOINT_EVERY == 0:
            with self._connection() as db:
                self._checkpoint(db)

    def entries(self, call: str | None = None) -> list[Entry]:
        """Rows in the order of their ids, of one call or all."""
        with self._connection() as db:
            return self._read(db) if call is None else self._read(db, "call = ?", call)

    def close(self) -> None:
        """Fold the log back and close the file; the next call opens it again."""
        self._leave_inherited()
        with self._lock:
            if self._db is not None:
                self._checkpoint(self._db)
                self._db.close()
                self._db = None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connection() as db:
            db.execute("BEGIN IMMEDIATE")  # deferred ones lost 73 % of writes to locks at 16 processes (measured)
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # a full disk has rolled back already
                    db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """This process's connection for one thread at a time, opened on first use and anew after a fork."""
        self._leave_inherited()
        with self._lock:
            if self._db is None:
                self._db = self._open()
            yield self._db

    def _leave_inherited(self) -> None:
        """After a fork: the parent's connection is its own, and its lock may be held by a thread that is not here."""
        if self._pid != os.getpid():
            if self._db is not None:
                _left_alone.append(self._db)
            self._db, self._lock, self._pid = None, threading.Lock(), os.getpid()

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            # Only a new file: closing one would drop the locks that this process's other connections hold on it.
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            if _POSIX:
                _write_ahead(db)
            db.execute("PRAGMA synchronous = NORMAL")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise sqlite3.DatabaseError(
                    f"{self.path} was written by a newer hfrouter (schema {version}); upgrade, or use another file"
                )
            if version < SCHEMA_VERSION:
                db.execute("BEGIN IMMEDIATE")
                db.execute(_SCHEMA)
                db.execute(_INDEX)
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
        return db

    def _checkpoint(self, db: sqlite3.Connection) -> None:
        if not _POSIX:
            return
        with contextlib.suppress(OSError, sqlite3.Error), contextlib.ExitStack() as stack:
            lock = os.open(f"{self.path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    @staticmethod
    def _read(db: sqlite3.Connection, where: str = "", *values: str) -> list[Entry]:
        query = f"SELECT * FROM attempts {'WHERE ' + where if where else ''} ORDER BY id"  # noqa: S608 (our own text)
        return [_entry(row) for row in db.execute(query, values)]


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


def _row(entry: Entry) -> tuple[object, ...]:
    usage, price, cost = entry.usage, entry.price, entry.cost
    tokens = (
        (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens) if usage else (None,) * 4
    )
    prices = (f"{price.input:f}", f"{price.output:f}", price.source, price.at) if price else (None,) * 4
    return (
        *(entry.id, entry.call, entry.number, entry.started_ms, entry.model, entry.provider),
        *(int(entry.streamed), entry.session, entry.outcome, entry.status, entry.duration_ms, entry.first_content_ms),
        *tokens,
        *prices,
        *(cost.lower, cost.upper, cost.reason, entry.request_id),
    )


def _entry(row: tuple[Any, ...]) -> Entry:
    """A row as `_row` wrote it."""
    identity, (streamed, *facts), tokens, prices, cost = row[:6], row[6:12], row[12:16], row[16:20], row[20:23]
    usage = None if tokens[0] is None else Usage(*tokens)
    price = None if prices[0] is None else Price(Decimal(prices[0]), Decimal(prices[1]), *prices[2:])
    fields: tuple[Any, ...] = (*identity, bool(streamed), *facts, usage, price, Cost(*cost), row[23])
    return Entry(*fields)

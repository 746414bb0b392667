"""The record: one row per attempt that was sent, written before the socket opens and settled exactly once."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from hfrouter.cost.price import Cost, Price
from hfrouter.cost.usage import Usage
from hfrouter.places import state_directory

T = TypeVar("T")
PENDING = Cost(0, None, "pending")


@dataclass(frozen=True, slots=True)
class Entry:
    """A row: what was asked of whom, what came of it, what it cost. No prompt, answer or key.

    Attributes:
        id: The attempt's id, unique and ordered by time (UUID version 7, hex).
        call: The call's id; attempts of a call share it.
        number: From 1 within the call.
        started_ms: Milliseconds since 1970.
        model: Hub repo id asked for.
        provider: Who served it, as far as known.
        streamed: Whether the upstream was asked for a stream.
        session: The session id of the call, or None.
        outcome: `pending` until settled; then `ok` or what went wrong in one word.
        status: HTTP status, or None.
        duration_ms: From launch to end.
        first_content_ms: From launch to the first meaningful content, or None.
        usage: Tokens reported, or None.
        price: The price used, with its source and time, or None.
        cost: Exact, or bounds with a reason.
        request_id: The answer's `x-request-id`.
        tags: Whom and what the call is for, as (name, value), sorted by name.
        billed: Fingerprint of the organisation that is billed, see `fingerprint`; None for the token's own account.
        decision: Why this attempt was made: lines of the call's journal up to its launch.
        hedge: Whether another attempt of the call was still under way.
    """

    id: str
    call: str
    number: int
    started_ms: int
    model: str
    provider: str
    streamed: bool
    session: str | None = None
    outcome: str = "pending"
    status: int | None = None
    duration_ms: int | None = None
    first_content_ms: int | None = None
    usage: Usage | None = None
    price: Price | None = None
    cost: Cost = PENDING
    request_id: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    billed: str | None = None
    decision: str = ""
    hedge: bool = False


def fingerprint(organisation: str) -> str:
    """What stands for an organisation in rows: it tells one from another, and names none.

    >>> fingerprint("my-company")
    'bcb90fdcb1ff'
    """
    return hashlib.sha256(organisation.encode()).hexdigest()[:12]


class LedgerConflict(Exception):
    """An attempt was begun or settled twice with different facts: a bug, never to be papered over."""


@runtime_checkable
class Ledger(Protocol):
    """A store of entries. Calls may block; the driver makes them on a thread of their own unless `instant`.

    Attributes:
        instant: Whether calls return at once, so that they may be made on an event loop.
    """

    instant: bool

    def begin(self, entry: Entry) -> None:
        """Write a pending row; the same facts again change nothing.

        Raises:
            LedgerConflict: a row of this id has other facts.
        """

    def settle(self, entry: Entry) -> None:
        """Settle a row exactly once; the same facts again change nothing.

        Raises:
            LedgerConflict: it was settled with other facts, its pending row is another attempt's or missing, or
                `entry` is itself still pending.
        """

    def entries(self, call: str | None = None) -> list[Entry]:
        """Rows in the order of their ids, of one call or all."""

    def close(self) -> None:
        """Release files; the ledger may be used again."""


@runtime_checkable
class Swift(Protocol):
    """A ledger whose steps are mostly so short that an event loop may take them itself, without a change of thread."""

    def at_once(self, step: Callable[[], T]) -> T:
        """Take a step, or refuse to when it might have to wait.

        Raises:
            BlockingIOError: not now; nothing was written.
        """


# What was asked of which model; the rest is what came of it, and who served it.
_asked = attrgetter(
    *("id", "call", "number", "started_ms", "model", "streamed", "session", "billed", "decision", "hedge")
)


def same_attempt(one: Entry, other: Entry) -> bool:
    """Whether two entries speak of the same attempt, whatever came of it."""
    return bool(_asked(one) == _asked(other))


class MemoryLedger:
    """Entries in memory, for tests and for those who want no file. Thread-safe: each step is one of the dict's own.

    >>> ledger = MemoryLedger()
    >>> ledger.begin(Entry("1", "c", 1, 0, "openai/gpt-oss-20b", "groq", True))
    >>> ledger.entries()[0].outcome
    'pending'
    """

    instant = True

    def __init__(self) -> None:
        self._begun: dict[str, Entry] = {}
        self._settled: dict[str, Entry] = {}

    def begin(self, entry: Entry) -> None:
        """Write a pending row."""
        if self._settled.get(entry.id, entry) != entry or self._begun.setdefault(entry.id, entry) != entry:
            raise LedgerConflict(entry.id)

    def settle(self, entry: Entry) -> None:
        """Settle a row exactly once."""
        row = self._begun.get(entry.id) or self._settled.get(entry.id)
        if row is None or entry.outcome == "pending" or not same_attempt(row, entry):
            raise LedgerConflict(entry.id)
        if self._settled.setdefault(entry.id, entry) != entry:
            raise LedgerConflict(entry.id)
        self._begun.pop(entry.id, None)

    def entries(self, call: str | None = None) -> list[Entry]:
        """Rows in the order of their ids, of one call or all."""
        rows = sorted((self._begun | self._settled).values(), key=lambda entry: entry.id)
        return [row for row in rows if call is None or row.call == call]

    def close(self) -> None:
        """Nothing to release."""


class NoLedger(MemoryLedger):
    """Keeps nothing."""

    def begin(self, entry: Entry) -> None:
        """Forget a row."""

    def settle(self, entry: Entry) -> None:
        """Forget a row."""


class _Stamps:
    """Milliseconds since 1970 and 12 bits of a counter, as one number that only grows.

    So ids keep their order within a millisecond and when the clock is set back (RFC 9562, section 6.2).
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._last = 0
        self._lock = threading.Lock()

    def next(self, ms: int) -> int:
        """The stamp of a moment, larger than all before."""
        with self._lock:
            self._last = max(self._last + 1, ms << 12)
            return self._last


_stamps = _Stamps()


def new_id() -> str:
    """A new id, 32 hex digits: a UUID of version 7 (RFC 9562), so that later ones of a process sort after earlier ones.

    >>> first, second = new_id(), new_id()
    >>> len(first), first[12], first < second
    (32, '7', True)
    """
    global _stamps
    if _stamps.pid != os.getpid():  # a fork may have come while another thread held the lock
        _stamps = _Stamps()
    ms, counter = divmod(_stamps.next(time.time_ns() // 1_000_000), 1 << 12)
    return f"{ms:012x}7{counter:03x}{secrets.randbits(62) | 1 << 63:016x}"


def default_path() -> Path:
    """The ledger's file in the user's state directory, made neither here nor before the first call.

    Where the user has no home, it is a path that cannot be made: the ledger then says so and stays in memory.
    """
    return state_directory() / "ledger.sqlite3"

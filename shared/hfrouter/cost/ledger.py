"""The record: one row per attempt that was sent, written before the socket opens and settled exactly once."""

from __future__ import annotations

import itertools
import os
import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from hfrouter.cost.price import Cost, Price
from hfrouter.cost.usage import Usage

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
        """Write a pending row."""

    def settle(self, entry: Entry) -> None:
        """Settle a row exactly once; the same facts again change nothing.

        Raises:
            LedgerConflict: other facts, or no pending row.
        """

    def entries(self, call: str | None = None) -> list[Entry]:
        """Rows in the order of their ids, of one call or all."""

    def close(self) -> None:
        """Release files; the ledger may be used again."""


class MemoryLedger:
    """Entries in memory, for tests and for those who want no file. Thread-safe by the interpreter's dict.

    >>> ledger = MemoryLedger()
    >>> ledger.begin(Entry("1", "c", 1, 0, "openai/gpt-oss-20b", "groq", True))
    >>> ledger.entries()[0].outcome
    'pending'
    """

    instant = True

    def __init__(self) -> None:
        self._rows: dict[str, Entry] = {}

    def begin(self, entry: Entry) -> None:
        """Write a pending row."""
        if self._rows.setdefault(entry.id, entry) != entry:
            raise LedgerConflict(entry.id)

    def settle(self, entry: Entry) -> None:
        """Settle a row exactly once."""
        row = self._rows.get(entry.id)
        if row == entry:
            return
        if row is None or row.outcome != "pending":
            raise LedgerConflict(entry.id)
        self._rows[entry.id] = entry

    def entries(self, call: str | None = None) -> list[Entry]:
        """Rows in the order of their ids, of one call or all."""
        rows = sorted(self._rows.copy().values(), key=lambda entry: entry.id)
        return [row for row in rows if call is None or row.call == call]

    def close(self) -> None:
        """Nothing to release."""


class NoLedger(MemoryLedger):
    """Keeps nothing."""

    def begin(self, entry: Entry) -> None:
        """Forget a row."""

    def settle(self, entry: Entry) -> None:
        """Forget a row."""


_counter = itertools.count()


def new_id() -> str:
    """A new id, 32 hex digits: a UUID of version 7 (RFC 9562), so that later ones sort after earlier ones.

    Twelve bits of a counter keep those of one millisecond in order.
    """
    stamp, counter = time.time_ns() // 1_000_000, next(_counter) & 0xFFF
    return f"{stamp:012x}7{counter:03x}{secrets.randbits(62) | 1 << 63:016x}"


def default_path() -> Path:
    """The ledger's file in the user's state directory, made neither here nor before the first call."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "hfrouter" / "ledger.sqlite3"

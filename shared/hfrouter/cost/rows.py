"""Entries as rows of SQL, and back."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import Any

from hfrouter.cost.ledger import Entry, LedgerConflict
from hfrouter.cost.price import Cost, Price
from hfrouter.cost.usage import Usage

# What was asked of whom: written when an attempt begins, and never again.
_ASKED = ("id", "call", "number", "started_ms", "model", "streamed", "session", "billed", "decision", "hedge")
# What came of it.
_CAME = (
    *("provider", "outcome", "status", "duration_ms", "first_content_ms", "request_id"),
    *("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"),
    *("input_usd_per_million", "output_usd_per_million", "price_source", "price_at", "price_catalogue"),
    *("cached_usd_per_million", "cost_lower_nano_usd", "cost_upper_nano_usd", "cost_reason"),
)
_COLUMNS = (*_ASKED, *_CAME)
# Columns are named, so that a file with more of them is written all the same. The texts are made of names above only.
_INSERT = f"INSERT INTO attempts ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_SETTLE = (
    f"UPDATE attempts SET {', '.join(f'{name} = ?' for name in _CAME)} "  # noqa: S608
    f"WHERE {' AND '.join(f'{name} IS ?' for name in _ASKED)} AND outcome IN ('pending', 'expired')"
)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM attempts"  # noqa: S608
_TAG = "INSERT INTO attempt_tags (attempt, name, value) VALUES (?, ?, ?)"
_TAGS = "SELECT name, value FROM attempt_tags WHERE attempt = ? ORDER BY name"


def insert(db: sqlite3.Connection, entry: Entry) -> bool:
    """Write a pending row, within a transaction when it has tags; returns whether it is new.

    Raises:
        LedgerConflict: a row of this id has other facts.
    """
    try:
        db.execute(_INSERT, (*_asked(entry), *_came(entry)))
    except sqlite3.IntegrityError:
        if find(db, entry.id) != entry:
            raise LedgerConflict(entry.id) from None
        return False
    if entry.tags:
        db.executemany(_TAG, [(entry.id, name, value) for name, value in entry.tags])
    return True


def settle(db: sqlite3.Connection, entry: Entry) -> bool:
    """Write the end of an attempt; returns whether it is new.

    A row that expired is settled like a pending one: the attempt lived longer than anybody thought. Tags stay as they
    were written. Where nothing is wrong it is a single statement, which needs no transaction around it.

    Raises:
        LedgerConflict: it was settled with other facts, or its pending row is another attempt's or missing.
    """
    if entry.outcome == "pending":
        raise LedgerConflict(entry.id)
    if db.execute(_SETTLE, (*_came(entry), *_asked(entry))).rowcount:
        return True
    if find(db, entry.id) != entry:
        raise LedgerConflict(entry.id)
    return False


def find(db: sqlite3.Connection, attempt: str) -> Entry | None:
    """The row of an attempt, or None."""
    row = db.execute(f"{_SELECT} WHERE id = ?", (attempt,)).fetchone()
    return None if row is None else _entry(row, tuple(db.execute(_TAGS, (attempt,))))


def select(db: sqlite3.Connection, call: str | None = None) -> list[Entry]:
    """Rows in the order of their ids, of one call or all, within a transaction."""
    where, values = ("", ()) if call is None else ("WHERE call = ?", (call,))
    tags: dict[str, list[tuple[str, str]]] = {}
    of_call = "" if call is None else "WHERE attempt IN (SELECT id FROM attempts WHERE call = ?)"
    query = f"SELECT attempt, name, value FROM attempt_tags {of_call} ORDER BY attempt, name"  # noqa: S608
    for attempt, name, value in db.execute(query, values):
        tags.setdefault(attempt, []).append((name, value))
    rows = db.execute(f"{_SELECT} {where} ORDER BY id", values)
    return [_entry(row, tuple(tags.get(row[0], ()))) for row in rows]


def _asked(entry: Entry) -> tuple[object, ...]:
    return (
        *(entry.id, entry.call, entry.number, entry.started_ms, entry.model, int(entry.streamed), entry.session),
        *(entry.billed, entry.decision, int(entry.hedge)),
    )


def _came(entry: Entry) -> tuple[object, ...]:
    usage, cost = entry.usage, entry.cost
    tokens = (
        (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens) if usage else (None,) * 4
    )
    return (
        *(entry.provider, entry.outcome, entry.status, entry.duration_ms, entry.first_content_ms, entry.request_id),
        *tokens,
        *_price(entry.price),
        *(cost.lower, cost.upper, cost.reason),
    )


def _price(price: Price | None) -> tuple[object, ...]:
    if price is None:
        return (None,) * 6
    cached = None if price.cached is None else f"{price.cached:f}"
    return f"{price.input:f}", f"{price.output:f}", price.source, price.at, price.catalogue, cached


def _entry(row: tuple[Any, ...], tags: tuple[tuple[str, str], ...]) -> Entry:
    """A row as `insert` and `settle` wrote it."""
    of = dict(zip(_COLUMNS, row, strict=True))
    usage = price = None
    if of["input_tokens"] is not None:
        usage = Usage(of["input_tokens"], of["output_tokens"], of["cached_tokens"], of["reasoning_tokens"])
    if of["input_usd_per_million"] is not None:
        price = Price(
            input=Decimal(of["input_usd_per_million"]),
            output=Decimal(of["output_usd_per_million"]),
            source=of["price_source"],
            at=of["price_at"],
            catalogue=of["price_catalogue"],
            cached=None if of["cached_usd_per_million"] is None else Decimal(of["cached_usd_per_million"]),
        )
    facts = {name: of[name] for name in (*_ASKED, *_CAME[:6])}
    facts |= {"streamed": bool(of["streamed"]), "hedge": bool(of["hedge"])}
    cost = Cost(of["cost_lower_nano_usd"], of["cost_upper_nano_usd"], of["cost_reason"])
    return Entry(**facts, usage=usage, price=price, cost=cost, tags=tags)

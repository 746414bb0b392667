"""The tables of the ledger's file, and the way from an older file to today's."""

from __future__ import annotations

import sqlite3
from pathlib import Path

SCHEMA_VERSION = 2
_TABLES = (
    """
CREATE TABLE IF NOT EXISTS attempts (
    id TEXT PRIMARY KEY, call TEXT NOT NULL, number INTEGER NOT NULL, started_ms INTEGER NOT NULL,
    model TEXT NOT NULL, provider TEXT NOT NULL, streamed INTEGER NOT NULL, session TEXT,
    outcome TEXT NOT NULL, status INTEGER, duration_ms INTEGER, first_content_ms INTEGER,
    input_tokens INTEGER, output_tokens INTEGER, cached_tokens INTEGER, reasoning_tokens INTEGER,
    input_usd_per_million TEXT, output_usd_per_million TEXT, price_source TEXT, price_at INTEGER,
    cost_lower_nano_usd INTEGER NOT NULL, cost_upper_nano_usd INTEGER, cost_reason TEXT NOT NULL, request_id TEXT
) WITHOUT ROWID
""",
    "CREATE INDEX IF NOT EXISTS attempts_by_call ON attempts (call, number)",
)
# What version 2 brought. A new file takes the same way as an old one, so that both end alike.
_SECOND = (
    "ALTER TABLE attempts ADD COLUMN cached_usd_per_million TEXT",
    "ALTER TABLE attempts ADD COLUMN price_catalogue TEXT",
    "ALTER TABLE attempts ADD COLUMN billed TEXT",
    "ALTER TABLE attempts ADD COLUMN decision TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE attempts ADD COLUMN hedge INTEGER NOT NULL DEFAULT 0",
    """
CREATE TABLE attempt_tags (
    attempt TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (attempt, name)
) WITHOUT ROWID
""",
    "CREATE INDEX attempt_tags_by_value ON attempt_tags (name, value)",
    # SQLite turns a sum that is too large into a float without a word: these refuse it.
    """
CREATE TABLE budget_counters (
    budget TEXT NOT NULL, period TEXT NOT NULL,
    spent_nano_usd INTEGER NOT NULL DEFAULT 0 CHECK (typeof(spent_nano_usd) = 'integer' AND spent_nano_usd >= 0),
    held_nano_usd INTEGER NOT NULL DEFAULT 0 CHECK (typeof(held_nano_usd) = 'integer' AND held_nano_usd >= 0),
    unsettled_nano_usd INTEGER NOT NULL DEFAULT 0
        CHECK (typeof(unsettled_nano_usd) = 'integer' AND unsettled_nano_usd >= 0),
    PRIMARY KEY (budget, period)
) WITHOUT ROWID
""",
    """
CREATE TABLE budget_bookings (
    attempt TEXT NOT NULL, budget TEXT NOT NULL, period TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('held', 'expired', 'settled')),
    spent_nano_usd INTEGER NOT NULL DEFAULT 0, held_nano_usd INTEGER NOT NULL DEFAULT 0,
    unsettled_nano_usd INTEGER NOT NULL DEFAULT 0, expires_ms INTEGER NOT NULL,
    PRIMARY KEY (attempt, budget, period)
) WITHOUT ROWID
""",
    "CREATE INDEX budget_bookings_held ON budget_bookings (expires_ms) WHERE state = 'held'",
)


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or bring those of an older file up to date; whole or not at all.

    Raises:
        sqlite3.DatabaseError: a newer hfrouter wrote the file.
    """
    if _version(db, path) == SCHEMA_VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        version = _version(db, path)  # another process may have done it while this one waited
        for statement in (*_TABLES, *_SECOND) if version < SCHEMA_VERSION else ():
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _version(db: sqlite3.Connection, path: Path) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise sqlite3.DatabaseError(
            f"{path} was written by a newer hfrouter (schema {version}); upgrade, or use another file"
        )
    return version

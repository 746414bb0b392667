"""An older file of the ledger: brought up to date once, whole or not at all, whoever opens it."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from hfrouter import Budget
from hfrouter.cost import schema
from hfrouter.cost.budget import limits_for
from hfrouter.cost.ledger import Entry
from hfrouter.cost.price import Cost, Price
from hfrouter.cost.schema import SCHEMA_VERSION
from hfrouter.cost.sqlite import SQLiteLedger
from tests.cost.entries import pending, settled

ROOT = Path(__file__).resolve().parents[2]
# What hfrouter wrote while its schema was of version 1, to the letter.
FIRST = """
CREATE TABLE IF NOT EXISTS attempts (
    id TEXT PRIMARY KEY, call TEXT NOT NULL, number INTEGER NOT NULL, started_ms INTEGER NOT NULL,
    model TEXT NOT NULL, provider TEXT NOT NULL, streamed INTEGER NOT NULL, session TEXT,
    outcome TEXT NOT NULL, status INTEGER, duration_ms INTEGER, first_content_ms INTEGER,
    input_tokens INTEGER, output_tokens INTEGER, cached_tokens INTEGER, reasoning_tokens INTEGER,
    input_usd_per_million TEXT, output_usd_per_million TEXT, price_source TEXT, price_at INTEGER,
    cost_lower_nano_usd INTEGER NOT NULL, cost_upper_nano_usd INTEGER, cost_reason TEXT NOT NULL, request_id TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attempts_by_call ON attempts (call, number);
PRAGMA user_version = 1;
"""
ROWS = [
    *[("001", "call-1", 1, 1_790_000_000_000, "openai/gpt-oss-20b", "groq", 1, "chat 7", "ok", 200, 900, 300)],
    *[("002", "call-1", 2, 1_790_000_000_001, "openai/gpt-oss-20b", "groq", 0, None, "pending", None, None, None)],
]
ENDS = [
    (1522, 34, None, None, "0.1", "0.5", "catalogue", 1_790_000_000, 169_200, 169_200, "", "req-1"),
    (None, None, None, None, None, None, None, None, 0, None, "pending", None),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of version 1 with a settled and a pending row."""
    file = tmp_path / "ledger.sqlite3"
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.executescript(FIRST)
        for row, end in zip(ROWS, ENDS, strict=True):
            db.execute(f"INSERT INTO attempts VALUES ({', '.join('?' * 24)})", row + end)
        db.commit()
    return file


def shape(path: Path) -> list[tuple[object, ...]]:
    """Tables, columns and indexes, as the file itself lists them."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        columns = [(name, *column) for name in tables for column in db.execute(f"PRAGMA table_info({name})")]
        return [*columns, *db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name")]


def version(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as db:
        found: int = db.execute("PRAGMA user_version").fetchone()[0]
        return found


def test_old_rows_are_read_as_they_were_written_and_settled_on(path: Path) -> None:
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        answered, begun = ledger.entries()
        assert answered.usage is not None
        assert (answered.usage.input_tokens, answered.cost) == (1522, Cost(169_200, 169_200))
        assert answered.price == Price(Decimal("0.1"), Decimal("0.5"), at=1_790_000_000)
        assert (answered.tags, answered.billed, answered.decision, answered.hedge) == ((), None, "", False)
        ledger.settle(settled(begun))
        ledger.begin(pending(tags=(("user", "ann"),)))
        assert [row.outcome for row in ledger.entries()] == ["ok", "ok", "pending"]
    assert version(path) == SCHEMA_VERSION


def test_an_old_file_ends_with_the_shape_of_a_new_one(path: Path, tmp_path: Path) -> None:
    for file in (path, tmp_path / "new.sqlite3"):
        with contextlib.closing(SQLiteLedger(file)) as ledger:
            ledger.begin(pending())
    assert shape(path) == shape(tmp_path / "new.sqlite3")


def test_a_change_of_schema_that_is_cut_short_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shape(path)
    monkeypatch.setattr(schema, "_SECOND", (*schema._SECOND[:6], "CREATE NONSENSE"))
    with pytest.raises(sqlite3.OperationalError, match="NONSENSE"):
        SQLiteLedger(path).entries()
    assert (version(path), shape(path)) == (1, before)
    monkeypatch.undo()
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        assert len(ledger.entries()) == 2


OPEN = """
import sys, time
from hfrouter.cost.sqlite import SQLiteLedger
from tests.cost.entries import pending
while time.time() < float(sys.argv[2]):
    pass
ledger = SQLiteLedger(sys.argv[1])
ledger.begin(pending())
ledger.close()
"""


def test_processes_that_change_the_schema_in_the_same_moment_do_it_once(path: Path) -> None:
    command = [sys.executable, "-c", OPEN, str(path), str(time.time() + 1)]
    openers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(6)]
    assert [opener.communicate(timeout=30)[1] for opener in openers] == [""] * 6
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        assert len(ledger.entries()) == 2 + 6


def test_an_older_hfrouter_at_work_settles_what_it_began_and_begins_nothing_more(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as old:
        with contextlib.closing(SQLiteLedger(path)) as ledger:
            ledger.begin(pending())
        with pytest.raises(sqlite3.OperationalError, match="24 values were supplied"):
            old.execute(f"INSERT INTO attempts VALUES ({', '.join('?' * 24)})", ROWS[0] + ENDS[0])
        old.execute("UPDATE attempts SET outcome = 'ok', status = 200 WHERE id = '002' AND outcome = 'pending'")
        old.commit()
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        assert [row.outcome for row in ledger.entries()] == ["ok", "ok", "pending"]


def test_every_fact_of_version_2_comes_back(tmp_path: Path) -> None:
    facts = {"tags": (("feature", "a'b"), ("user", "ann")), "billed": "bcb90fdcb1ff", "decision": "x\ny", "hedge": True}
    entry = pending(**facts)
    with contextlib.closing(SQLiteLedger(tmp_path / "ledger.sqlite3")) as ledger:
        ledger.begin(entry)
        ledger.begin(entry)
        assert ledger.entries() == [entry]
        ledger.settle(settled(entry))
        ledger.settle(settled(entry))
        assert ledger.entries("call-1") == [settled(entry)]
    assert isinstance(entry, Entry)


def test_plain_sql_sums_by_tag(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        for user, nano in (("ann", 5), ("bob", 7), ("ann", 11)):
            entry = pending(tags=(("feature", "chat"), ("user", user)))
            ledger.begin(entry)
            ledger.settle(settled(entry, cost=Cost(nano, nano)))
    query = """
        SELECT value, sum(cost_lower_nano_usd) FROM attempts JOIN attempt_tags ON attempt = id
        WHERE name = 'user' GROUP BY value ORDER BY value
    """
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute(query).fetchall() == [("ann", 16), ("bob", 7)]


QUERIES = re.findall(r"```sql\n(.+?)```", (ROOT / "docs" / "cost.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_queries_of_the_documentation_answer(tmp_path: Path) -> None:
    path, budget = tmp_path / "ledger.sqlite3", Budget(1, "day", each="user")
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        for user, cost in (("ann", Cost(5, 5)), ("bob", Cost(7, 9, "cached")), ("ann", Cost(11, 11))):
            entry = pending(tags=(("user", user),))
            limits = limits_for([budget], entry, "run")
            ledger.begin_within(entry, limits, entry.started_ms + 1)
            ledger.settle_within(settled(entry, cost=cost), limits)
    with contextlib.closing(sqlite3.connect(path)) as db:
        by_user, sums = [db.execute(query).fetchall() for query in QUERIES]
    assert by_user == [("ann", 2, 1.6e-8, 0), ("bob", 1, 7e-9, 1)]
    assert sums == [
        ('each user="ann"', "day 2026-09-21", 1.6e-8, 0, 0, 1),
        ('each user="bob"', "day 2026-09-21", 7e-9, 0, 2e-9, 1),
    ]

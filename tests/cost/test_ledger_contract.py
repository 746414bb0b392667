"""What every ledger keeps: one row per attempt, begun and settled exactly once."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hfrouter.cost.ledger import Entry, Ledger, LedgerConflict, MemoryLedger, NoLedger
from hfrouter.cost.price import Cost
from hfrouter.cost.sqlite import SQLiteLedger
from hfrouter.cost.usage import Usage
from tests.cost.entries import pending, settled

LEDGERS: dict[str, Callable[[Path], Ledger]] = {
    "memory": lambda _: MemoryLedger(),
    "sqlite": lambda folder: SQLiteLedger(folder / "state" / "ledger.sqlite3"),
}


@pytest.fixture(params=LEDGERS)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = LEDGERS[request.param](tmp_path)
    yield made
    made.close()


def test_it_is_a_ledger(ledger: Ledger) -> None:
    assert isinstance(ledger, Ledger)


def test_an_attempt_is_begun_then_settled(ledger: Ledger) -> None:
    entry = pending()
    ledger.begin(entry)
    assert ledger.entries() == [entry]
    ledger.settle(settled(entry))
    assert ledger.entries() == [settled(entry)]


ENDINGS: dict[str, dict[str, Any]] = {
    "answered": {},
    "without usage, price or bound": {"usage": None, "price": None, "cost": Cost(0, None, "no price")},
    "failed before any status": {"outcome": "connect_failed", "status": None, "first_content_ms": None},
    "tokens that are not said": {"usage": Usage(0, 0, None, None)},
    "no request id": {"request_id": None},
    "odd text": {"request_id": "%s ' \" \x00 ? é", "provider": ""},
}


@pytest.mark.parametrize("name", ENDINGS)
def test_every_field_comes_back_as_it_was_given(name: str, ledger: Ledger) -> None:
    begun = pending(session=None, streamed=False) if name == "answered" else pending()
    ledger.begin(begun)
    ledger.settle(settled(begun, **ENDINGS[name]))
    assert ledger.entries() == [settled(begun, **ENDINGS[name])]


def test_the_same_facts_again_change_nothing(ledger: Ledger) -> None:
    entry = pending()
    for _ in range(2):
        ledger.begin(entry)
    for _ in range(2):
        ledger.settle(settled(entry))
    assert ledger.entries() == [settled(entry)]


def test_an_attempt_begun_with_other_facts_is_a_conflict(ledger: Ledger) -> None:
    entry = pending()
    ledger.begin(entry)
    with pytest.raises(LedgerConflict, match=entry.id):
        ledger.begin(replace(entry, provider="other"))
    assert ledger.entries() == [entry]


def test_an_attempt_begun_again_after_its_end_is_a_conflict(ledger: Ledger) -> None:
    entry = pending()
    ledger.begin(entry)
    ledger.settle(settled(entry))
    with pytest.raises(LedgerConflict):
        ledger.begin(entry)
    assert ledger.entries() == [settled(entry)]


def test_an_attempt_settled_with_other_facts_is_a_conflict(ledger: Ledger) -> None:
    entry = pending()
    ledger.begin(entry)
    ledger.settle(settled(entry))
    with pytest.raises(LedgerConflict, match=entry.id):
        ledger.settle(settled(entry, cost=Cost(0, 0, "free")))
    assert ledger.entries() == [settled(entry)]


def test_an_attempt_that_was_never_begun_cannot_be_settled(ledger: Ledger) -> None:
    with pytest.raises(LedgerConflict):
        ledger.settle(settled(pending()))
    assert ledger.entries() == []


def test_an_attempt_cannot_be_settled_as_pending(ledger: Ledger) -> None:
    entry = pending()
    ledger.begin(entry)
    with pytest.raises(LedgerConflict):
        ledger.settle(replace(entry, status=200))
    assert ledger.entries() == [entry]


IDENTITY = {"call": "x", "number": 2, "started_ms": 5, "model": "a/b", "streamed": False, "session": None}


@pytest.mark.parametrize("field", IDENTITY)
def test_an_end_of_another_attempt_is_a_conflict(field: str, ledger: Ledger) -> None:
    entry = pending()
    ledger.begin(entry)
    with pytest.raises(LedgerConflict):
        ledger.settle(settled(entry, **{field: IDENTITY[field]}))
    assert ledger.entries() == [entry]


def test_rows_come_in_the_order_of_their_ids_and_by_call(ledger: Ledger) -> None:
    first, second, third = pending(), pending(call="call-2"), pending(number=2)
    for entry in (third, first, second):
        ledger.begin(entry)
    assert ledger.entries() == [first, second, third]
    assert ledger.entries("call-1") == [first, third]
    assert ledger.entries("call-3") == []
    assert ledger.entries("' OR 1=1 --") == []


def test_it_may_be_closed_twice_and_used_again(ledger: Ledger) -> None:
    entry = pending()
    ledger.begin(entry)
    ledger.close()
    ledger.close()
    ledger.settle(settled(entry))
    assert ledger.entries() == [settled(entry)]


def test_it_pickles(ledger: Ledger) -> None:
    entry = pending()
    ledger.begin(entry)
    copy = pickle.loads(pickle.dumps(ledger))
    assert copy.entries() == [entry]
    copy.close()


def test_threads_settle_each_attempt_exactly_once(ledger: Ledger) -> None:
    entries = [pending() for _ in range(40)]

    def race(number: int) -> int:
        conflicts = 0
        for entry in entries:
            try:
                ledger.settle(settled(entry, duration_ms=number))
            except LedgerConflict:
                conflicts += 1
        return conflicts

    for entry in entries:
        ledger.begin(entry)
    with ThreadPoolExecutor(4) as pool:
        conflicts = list(pool.map(race, range(1, 5)))
    assert sum(conflicts) == 3 * len(entries)
    assert [row.outcome for row in ledger.entries()] == ["ok"] * len(entries)


def test_no_ledger_keeps_nothing_and_minds_nothing() -> None:
    ledger = NoLedger()
    entry = pending()
    assert isinstance(ledger, Ledger)
    for step in (ledger.begin, ledger.settle, ledger.settle):
        step(entry)
    ledger.settle(settled(pending()))
    assert ledger.entries() == []
    ledger.close()


def test_only_a_ledger_in_memory_is_instant() -> None:
    assert MemoryLedger.instant
    assert NoLedger.instant
    assert not SQLiteLedger.instant


def test_an_entry_shows_what_it_is_before_it_is_settled() -> None:
    entry = Entry("1", "c", 1, 0, "a/b", "p", True)
    assert (entry.outcome, str(entry.cost), entry.cost.reason) == ("pending", "n/a", "pending")

"""The laws of reserve, settle and expire, in any order, replayed at will, on both stores."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hfrouter import Budget
from hfrouter.cost.budget import Refused, Standing
from hfrouter.cost.ledger import Entry
from hfrouter.cost.price import Cost
from hfrouter.cost.sqlite import SQLiteLedger
from tests.cost.entries import pending, settled
from tests.cost.stores import STORES, check_sums, limits

TTL = 1000
BUDGETS = (Budget("0.000001"), Budget("0.0000004", each="user"))
USERS = ("ann", "bob")
AMOUNTS = st.sampled_from((0, 1, 99, 100, 101, 300))


class Budgets(RuleBasedStateMachine):
    """Two budgets, two users; a model that adds up what is open and what has ended."""

    @initialize(kind=st.sampled_from(sorted(STORES)))
    def start(self, kind: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store: Any = STORES[kind](Path(self.folder.name))
        self.now = 1_790_000_000_000
        self.open: dict[str, Entry] = {}
        self.ended: dict[str, Entry] = {}
        self.expired: set[str] = set()

    def of(self, user: str, begun: dict[str, Entry]) -> list[Entry]:
        return [entry for entry in begun.values() if user in ("", entry.tags[0][1])]

    def expected(self, user: str) -> Standing:
        spent = sum(entry.cost.lower for entry in self.of(user, self.ended))
        unsettled = sum((entry.cost.upper or 0) - entry.cost.lower for entry in self.of(user, self.ended))
        held = 0
        for entry in self.of(user, self.open):
            if entry.id in self.expired:
                unsettled += entry.cost.upper or 0
            else:
                held += entry.cost.upper or 0
        return Standing(spent, held, unsettled)

    def expire(self) -> None:
        self.expired |= {entry.id for entry in self.open.values() if entry.started_ms + TTL <= self.now}

    @rule(
        user=st.sampled_from(USERS), amount=st.sampled_from((0, 1, 99, 100, 101, 300)), passes=st.integers(-1500, 1500)
    )
    def begin(self, user: str, amount: int, passes: int) -> None:
        self.now += passes  # the clock may be set back
        entry = pending(cost=Cost(0, amount, "pending"), tags=(("user", user),), started_ms=self.now)
        self.expire()
        fits = self.expected("").used + amount <= 1000 and self.expected(user).used + amount <= 400
        try:
            self.store.begin_within(entry, limits(entry, *BUDGETS), self.now + TTL)
        except Refused:
            assert amount
            assert not fits
        else:
            assert fits or not amount
            self.open[entry.id] = entry

    @precondition(lambda self: self.open)
    @rule(data=st.data(), lower=st.integers(0, 300), more=st.integers(0, 100))
    def settle(self, data: st.DataObject, lower: int, more: int) -> None:
        entry = self.open.pop(data.draw(st.sampled_from(sorted(self.open))))
        upper = entry.cost.upper or 0
        end = settled(entry, cost=Cost(min(lower, upper), min(lower + more, upper), "cached" if more else ""))
        self.ended[entry.id] = end
        self.expired.discard(entry.id)
        self.store.settle_within(end, limits(entry, *BUDGETS))

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def settle_again(self, data: st.DataObject) -> None:
        end = self.ended[data.draw(st.sampled_from(sorted(self.ended)))]
        self.store.settle_within(end, limits(end, *BUDGETS))

    @precondition(lambda self: self.open.keys() - self.expired)
    @rule(data=st.data())
    def begin_again(self, data: st.DataObject) -> None:
        """The same attempt, told twice: with the clock as it was, nothing more may expire by it."""
        entry = self.open[data.draw(st.sampled_from(sorted(self.open.keys() - self.expired)))]
        self.store.begin_within(entry, limits(entry, *BUDGETS), entry.started_ms + TTL)
        self.expired |= {e.id for e in self.open.values() if e.started_ms + TTL <= entry.started_ms}

    @invariant()
    def it_stands_as_the_model_says_and_never_beyond_a_limit(self) -> None:
        for user in ("", *USERS):
            probe = pending(tags=(("user", user or "ann"),))
            limit = limits(probe, *BUDGETS)[1 if user else 0]
            standing = self.store.standing(limit)
            assert standing == self.expected(user)
            assert min(standing.spent, standing.held, standing.unsettled) >= 0
            assert standing.used <= limit.nano

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            if isinstance(self.store, SQLiteLedger) and self.store.path.exists():
                check_sums(self.store.path)
                assert {row.id: row for row in self.store.entries() if row.id in self.ended} == self.ended
                self.store.close()
            self.folder.cleanup()


TestBudgets = Budgets.TestCase
TestBudgets.settings = settings(max_examples=60, stateful_step_count=40)

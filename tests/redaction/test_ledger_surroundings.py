"""A ledger that cannot be used is told of and costs no call, except under a budget, which sends nothing and says so."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hfrouter import Budget, BudgetExceeded, Policy, Router
from hfrouter.simulator import Simulator
from hfrouter.wire.clock import SystemClock
from tests.cost.test_writer_budget import UNUSABLE

ASK: dict[str, Any] = {"model": "openai/gpt-oss-120b", "messages": "What is 17 * 23?"}
EMBED: dict[str, Any] = {"model": "intfloat/multilingual-e5-large", "texts": ["hello"]}
CALLS: dict[str, Callable[[Router], Any]] = {
    "chat": lambda router: router.chat(**ASK).text,
    "stream": lambda router: "".join(delta.text for delta in router.stream(**ASK)),
    "embed": lambda router: router.embed(**EMBED).vectors,
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_ledger_is_told_of_once_and_costs_no_call(
    name: str, call: str, tmp_path: Path, sim: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    path = UNUSABLE[name][0](tmp_path)
    before = path.read_bytes() if path.is_file() else b""
    with caplog.at_level(logging.WARNING), Router(base_url=sim.base_url, token=sim.token, ledger=path) as router:
        assert CALLS[call](router)
        assert CALLS[call](router)
        assert [entry.outcome for entry in router.entries()] == ["ok", "ok"]
    told = [record for record in caplog.records if record.name == "hfrouter"]
    assert len(told) == 1
    assert "memory only" in told[0].getMessage()
    # A newer file may be switched to the log, which any version reads, before its version is known.
    assert name == "a newer schema" or (path.read_bytes() if path.is_file() else b"") == before


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", UNUSABLE)
def test_under_a_budget_an_unusable_ledger_sends_nothing_and_says_so(
    name: str, call: str, tmp_path: Path, sim: Simulator
) -> None:
    make, told = UNUSABLE[name]
    account: dict[str, Any] = {"base_url": sim.base_url, "token": sim.token, "ledger": make(tmp_path)}
    prices = {EMBED["model"]: (1, 1)}
    with (
        Router(**account, budgets=Budget(1), prices=prices) as router,
        pytest.raises(BudgetExceeded, match=told) as caught,
    ):
        CALLS[call](router)
    assert caught.value.attempts == ()
    assert not [exchange for exchange in sim.exchanges if exchange.method == "POST"]


class Jumping(SystemClock):
    """A clock that somebody sets: between the calls by any time, and by a minute at every look."""

    def __init__(self) -> None:
        self.off, self._looks = 0.0, itertools.count()

    def wall(self) -> float:
        return super().wall() + self.off + (60.0 if next(self._looks) % 2 else -60.0)


@pytest.mark.parametrize("ledger", ["memory", "file"])
def test_a_clock_that_jumps_changes_no_duration_no_cost_and_no_answer(
    ledger: str, tmp_path: Path, sim: Simulator
) -> None:
    clock, hour, month = Jumping(), 3600.0, 2_678_400.0
    account: dict[str, Any] = {"base_url": sim.base_url, "token": sim.token, "clock": clock, "seed": 0}
    where = "memory" if ledger == "memory" else tmp_path / "rows.sqlite3"
    answers = []
    with Router(**account, ledger=where, policy=Policy(order="groq"), budgets=Budget(5, "month")) as router:
        for clock.off in (0.0, -hour, hour, -month, month, 0.0):
            answers.append(router.chat(**ASK))
        rows = router.entries()
    assert [row.outcome for row in rows] == ["ok"] * len(answers)
    assert [row.call for row in rows] == [answer.id for answer in answers]  # in the order of the calls all the same
    assert all(0 <= (row.duration_ms or 0) < 30_000 for row in rows)
    assert [row.cost for row in rows] == [answer.cost for answer in answers]
    assert all(answer.cost.exact for answer in answers)

"""One budget, many processes: kept to the nano-dollar, also by those that are killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hfrouter import Budget, BudgetExceeded, Router
from hfrouter.cost.price import usd
from hfrouter.simulator import Exchange, Simulator
from tests.cost.stores import check_sums

ROOT = Path(__file__).resolve().parents[2]
MODEL = "openai/gpt-oss-120b:groq"


def asked(sim: Simulator) -> list[Exchange]:
    return [exchange for exchange in sim.exchanges if exchange.path.endswith("/chat/completions")]


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, "-m", f"tests.process.{script}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def test_sixteen_processes_spend_a_budget_up_and_never_pass_it() -> None:
    told = run("one_budget", "--processes", "16", "--limit", "400000")
    assert "overshoot 0, locked 0" in told


def test_writers_that_are_killed_lose_nothing_double_nothing_and_hold_nothing_for_ever() -> None:
    told = run("kill_nine", "--writers", "4", "--kills", "12", "--acknowledged", "300", "--pace", "0.05")
    assert "lost 0, doubled 0, integrity ok" in told


CALLER = """
import sys
from hfrouter import Budget, BudgetExceeded, Policy, Router
base_url, ledger, limit, seed = sys.argv[1:]
router = Router(base_url=base_url, token="hf_simulated", ledger=ledger, budgets=[Budget(limit, "month")])
answered = 0
try:
    while True:
        router.chat(model="openai/gpt-oss-120b:groq", messages=f"What is 17 * {seed}?", max_tokens=100)
        answered += 1
except BudgetExceeded as error:
    assert error.needed + error.spent + error.held + error.unsettled > error.limit, error
    assert not error.attempts
    print(answered)
router.close()
"""


def test_routers_in_many_processes_stop_at_the_budget_and_the_bill_agrees(sim: Simulator, tmp_path: Path) -> None:
    path, limit = tmp_path / "ledger.sqlite3", usd(1_500_000)
    arguments = [sys.executable, "-c", CALLER, sim.base_url, str(path), str(limit)]
    callers = [
        subprocess.Popen([*arguments, str(seed)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for seed in range(4)
    ]
    told = [caller.communicate(timeout=60) for caller in callers]
    # One of them, whichever it was, crossed the threshold.
    assert sorted(error for _, error in told) == ["", "", "", "80% of the budget of $0.0015 a month is used up\n"]
    check_sums(path)
    with Router(base_url=sim.base_url, token=sim.token, ledger=path) as router:
        entries = router.entries()
    assert len(entries) == len(asked(sim)) == sum(int(answered) for answered, _ in told)
    assert all(entry.cost.exact for entry in entries)
    spent = sum(entry.cost.lower for entry in entries)
    assert spent == sim.bill().total * 10**9
    assert spent <= limit * 10**9


@pytest.mark.parametrize("ledger", ["memory", "off", "file"])
def test_a_router_of_one_process_stops_at_its_budget_whatever_its_ledger(
    ledger: str, sim: Simulator, tmp_path: Path
) -> None:
    place = str(tmp_path / "ledger.sqlite3") if ledger == "file" else ledger
    router = Router(base_url=sim.base_url, token=sim.token, ledger=place, budgets=[Budget("0.001")])
    with router, pytest.raises(BudgetExceeded) as caught:
        [router.chat(model=MODEL, messages="hi", max_tokens=100) for _ in range(1000)]
    assert 10 < len(asked(sim)) < 1000
    assert sim.bill().total <= usd(1_000_000)
    assert caught.value.limit == usd(1_000_000)
    assert caught.value.budget == "$0.001 for this run"

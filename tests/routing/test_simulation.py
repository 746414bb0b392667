"""The routing engine in the simulation of policies, on a few fixed seeds: what the whole report must not lose."""

import doctest
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.policies import clock
from benchmarks.policies.client import simulate
from benchmarks.policies.contestants import ALL, ORACLES, OURS, PEERS
from benchmarks.policies.metrics import Figures
from benchmarks.policies.report import measure
from benchmarks.policies.scenarios import BY_NAME, SCENARIOS
from benchmarks.policies.world import World

SEEDS = (100, 101)
UNHEDGED = [name for name in OURS if "hedge" not in name]
DEAD = [scenario.name for scenario in SCENARIOS if scenario.name.startswith("dead-")]


def figures(scenario: str, *names: str, seeds: tuple[int, ...] = SEEDS) -> dict[str, Figures]:
    return {name: result.all for name, result in measure(scenario, seeds, {n: ALL[n] for n in names}).items()}


@pytest.mark.parametrize("scenario", DEAD)
def test_one_dead_of_four_costs_no_call_and_hardly_an_attempt(scenario: str) -> None:
    for name, found in figures(scenario, *UNHEDGED).items():
        assert found.success == 1, name
        assert found.attempts <= 1.05, name


def test_three_dead_of_four_cost_no_call_and_few_attempts() -> None:
    for name, found in figures("three-dead", *UNHEDGED).items():
        assert found.success == 1, name
        assert found.warm <= 1.10, name


def test_a_total_outage_is_not_hammered_and_ends_with_it() -> None:
    for name, found in figures("outage", *UNHEDGED).items():
        assert found.focus <= 1.2, name
        assert found.servable == 1, name


def test_cheapest_pays_little_more_than_an_oracle() -> None:
    for scenario in ("healthy", "cold", "dead-hang"):
        found = figures(scenario, "cheapest", "oracle, cheapest", seeds=SEEDS[:1])
        assert found["cheapest"].price <= 1.10 * found["oracle, cheapest"].price, scenario


def test_a_hedge_cuts_the_tail_to_a_quarter_at_the_same_price() -> None:
    found = figures("mixed", "balanced, hedge", *PEERS, seeds=(100, 101, 102))
    ours = found.pop("balanced, hedge")
    peers = [peer.first[2] for peer in found.values() if peer.price <= 1.05 * ours.price]
    assert ours.servable == 1
    assert ours.first[2] <= min(peers) / 4


def test_when_all_is_well_every_policy_asks_once() -> None:
    for name, found in figures("healthy", *PEERS, *UNHEDGED, *ORACLES, seeds=SEEDS[:1]).items():
        assert (found.success, found.attempts) == (1, 1), name


TRACE = """
from tests.routing.test_simulation import trace
print(trace("mixed", "fastest, hedge"))
"""


def trace(scenario: str, policy: str, seed: int = 100) -> str:
    world = World(BY_NAME[scenario].setting(seed))
    return simulate(ALL[policy](world, seed), world)[1].digest


def test_the_same_seed_gives_the_same_trace_in_any_process() -> None:
    here = trace("mixed", "fastest, hedge")
    environment = os.environ | {"PYTHONHASHSEED": "4711"}
    root = Path(__file__).parents[2]
    there = subprocess.run(
        [sys.executable, "-c", TRACE], env=environment, cwd=root, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here
    assert here != trace("mixed", "fastest, hedge", seed=101)


def test_virtual_time_passes_in_order() -> None:
    assert doctest.testmod(clock).attempted

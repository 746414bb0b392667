"""Who competes: each policy by its name."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.policies.ablations import Exploring, Limited, Softened
from benchmarks.policies.client import Contestant
from benchmarks.policies.ours import Ours
from benchmarks.policies.peers import Cooldown, Oracle, at_random, hf_cheapest, hf_fastest, in_order
from benchmarks.policies.world import World
from hfrouter.routing.policy import StrategyName

Make = Callable[[World, int], Contestant]


def _ours(strategy: StrategyName, hedge: bool = False, kind: type[Ours] = Ours) -> Make:
    return lambda world, seed: kind(world, seed, strategy, hedge=hedge)


PEERS: dict[str, Make] = {
    "random": at_random,
    "ordered fallbacks": lambda world, _: in_order(world),
    "HF :fastest": lambda world, _: hf_fastest(world),
    "HF :cheapest": lambda world, _: hf_cheapest(world),
    "latency+cooldown": lambda world, _: Cooldown(world),
}
OURS: dict[str, Make] = {
    f"{strategy}{', hedge' if hedge else ''}": _ours(strategy, hedge)
    for hedge in (False, True)
    for strategy in ("balanced", "cheapest", "fastest")
}
ORACLES: dict[str, Make] = {
    "oracle, cheapest": lambda world, _: Oracle(world, cheapest=True),
    "oracle, fastest": lambda world, _: Oracle(world, cheapest=False),
}
ALL = PEERS | OURS | ORACLES
VARIANTS: dict[str, Make] = {
    f"{strategy}{name}": _ours(strategy, kind=kind)
    for strategy in ("balanced", "cheapest")
    for name, kind in (
        ("", Ours),
        (" + softmax", Softened),
        (" + exploration", Exploring),
        (" + learned concurrency", Limited),
    )
}

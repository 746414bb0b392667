"""Ours: the routing engine itself, on virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable

from benchmarks.policies.client import ATTEMPTS, DEADLINE, FIRST_CONTENT
from benchmarks.policies.world import MODEL, Call, World
from hfrouter.routing.choice import Choice, wishes
from hfrouter.routing.commands import Flow
from hfrouter.routing.flow import route
from hfrouter.routing.health import Health
from hfrouter.routing.policy import Policy, StrategyName
from hfrouter.routing.target import Target

# Monotonic clocks do not begin at 0.
_BEGINNING = 10_000.0


class Ours:
    """A router's engine, with the health it gathers over all calls.

    Args:
        world: For its catalogue.
        seed: Of jitter and of the spread of open times.
        strategy: How targets are ordered.
        hedge: Whether hedging is on.
    """

    def __init__(self, world: World, seed: int, strategy: StrategyName, *, hedge: bool) -> None:
        self._targets = world.setting.targets()
        self._rng = random.Random(seed)
        self.health = Health(self._rng)
        self._policy = Policy(
            strategy=strategy, hedge=hedge, attempts=ATTEMPTS, deadline=DEADLINE, first_content=FIRST_CONTENT
        )

    def choice(self, call: Call) -> Choice:
        """The targets of a call."""
        return Choice(wishes(self._targets, [MODEL], self._policy, call.needs), call.needs, self.health)

    def flow(self, call: Call, now: Callable[[], float]) -> Flow:
        """Decide a call."""
        return route(self.choice(call), self._policy, lambda: _BEGINNING + now(), self._rng.random)

    def ended(
        self, target: Target, now: float, seconds: float, output_tokens: int, usd: float, *, broken: bool
    ) -> None:
        """A stream that was given to its reader has ended."""
        self.health.ended(target, _BEGINNING + now, seconds=seconds, output_tokens=output_tokens, broken=broken)
        self.health.hedges.spent(usd)

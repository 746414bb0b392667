"""What the engine leaves out, put on top of it: a softened choice, a share of exploration, learned concurrency.

Each is a variant of ours in the same world, so that what it would add can be read beside what it costs.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.policies.ours import Ours
from benchmarks.policies.world import Call, World
from hfrouter.routing.choice import Candidate, Choice
from hfrouter.routing.commands import Answer, Done, Flow, Launch
from hfrouter.routing.policy import StrategyName
from hfrouter.routing.target import Target
from hfrouter.routing.verdict import Verdict

# As proposed for balanced load: chance decides between the two best, by a tenth of the best score.
_TEMPERATURE = 0.1
# Of the calls, to any that is free and not much dearer than the best.
_EXPLORED, _DEARER = 0.02, 1.5
# Additive increase, multiplicative decrease, as in Netflix' concurrency limits.
_BEGIN, _DECREASE, _AT_MOST_EVERY = 20.0, 0.9, 0.5


class _Varied(Ours):
    """Ours, with something done to the ranking that a call begins with."""

    def __init__(self, world: World, seed: int, strategy: StrategyName, *, hedge: bool) -> None:
        super().__init__(world, seed, strategy, hedge=hedge)
        self.chance = random.Random(seed + 1)  # its own, so that ours keeps the luck it has without

    def choice(self, call: Call) -> Choice:
        """The targets of a call, varied."""
        choice = super().choice(call)
        ranked, first = choice.ranked, True

        def varied(now: float) -> list[Candidate]:
            nonlocal first
            found = ranked(now)
            if first:
                first = False
                found = self.vary(found)
            return found

        choice.ranked = varied  # type: ignore[method-assign]  # the engine has no hook for this, and needs none
        return choice

    def vary(self, ranked: list[Candidate]) -> list[Candidate]:
        """The ranking that is used instead."""
        raise NotImplementedError


class Softened(_Varied):
    """Chance decides between the two best."""

    def vary(self, ranked: list[Candidate]) -> list[Candidate]:
        """The second best first, now and then."""
        free = [c for c in ranked if c.held is None][:2]
        if len(free) < 2 or free[0].score.value <= 0:
            return ranked
        best, second = free
        behind = (second.score.value - best.score.value) / (_TEMPERATURE * best.score.value)
        if behind < 0 or self.chance.random() >= 1 / (1 + math.exp(min(behind, 50.0))):
            return ranked
        return [second, *(c for c in ranked if c is not second)]


class Exploring(_Varied):
    """A share of the calls goes to any target that is free and not much dearer."""

    def vary(self, ranked: list[Candidate]) -> list[Candidate]:
        """Any first, now and then."""
        free = [c for c in ranked if c.held is None]
        if not free or self.chance.random() >= _EXPLORED:
            return ranked
        chosen = self.chance.choice([c for c in free if c.score.usd <= _DEARER * free[0].score.usd] or free)
        return [chosen, *(c for c in ranked if c is not chosen)]


@dataclass(slots=True)
class _Limit:
    value: float = _BEGIN
    lowered: float = -math.inf


class Limited(_Varied):
    """A target takes as many calls at once as it has been seen to take; the others go to the next."""

    def __init__(self, world: World, seed: int, strategy: StrategyName, *, hedge: bool) -> None:
        super().__init__(world, seed, strategy, hedge=hedge)
        self._limits: dict[Target, _Limit] = {}

    def flow(self, call: Call, now: Callable[[], float]) -> Flow:
        """Decide a call, and learn from what is heard meanwhile."""
        inner = super().flow(call, now)
        sent: dict[int, Target] = {}
        answer: Answer = None
        while True:
            try:
                command = inner.send(answer)
            except StopIteration as end:
                done: Done = end.value
                return done
            if isinstance(command, Launch):
                sent[command.number] = command.target
            answer = yield command
            if isinstance(answer, Done):
                self._learn(sent[answer.number], answer, now())

    def vary(self, ranked: list[Candidate]) -> list[Candidate]:
        """Those that are full last."""
        return sorted(ranked, key=lambda c: c.vitals.running >= self._limit(c.target).value)

    def _limit(self, target: Target) -> _Limit:
        return self._limits.setdefault(target, _Limit())

    def _learn(self, target: Target, done: Done, now: float) -> None:
        limit, running = self._limit(target), self.health.of(target).running
        if done.judgement.status == 429 and now - limit.lowered >= _AT_MOST_EVERY:
            limit.value, limit.lowered = max(1.0, min(limit.value, running) * _DECREASE), now
        elif done.judgement.verdict is Verdict.OK and running >= limit.value / 2:
            limit.value += 1 / limit.value

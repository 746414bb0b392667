"""The peers: what others do, and what an oracle would."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from benchmarks.policies.client import ATTEMPTS, DEADLINE, FIRST_CONTENT
from benchmarks.policies.world import Call, World
from hfrouter.routing.commands import Abandon, Begun, Command, Done, Flow, Launch, Stopped, Wait
from hfrouter.routing.target import Target
from hfrouter.routing.verdict import Judgement, Verdict

Asking = Generator[Command, Done | Begun | None, Done]


class _Peer:
    """What they share: one attempt after the other, nothing learned."""

    def ended(
        self, target: Target, now: float, seconds: float, output_tokens: int, usd: float, *, broken: bool
    ) -> None:
        """Nobody of them looks at what follows the first content."""


def _ask(number: int, target: Target, left: float) -> Asking:
    """One attempt, to its end."""
    if left <= 0:
        raise Stopped(None)
    yield Launch(number, target, min(FIRST_CONTENT, left), left)
    done: Done | Begun | None = Begun(number)
    while isinstance(done, Begun):
        done = yield Wait(left)
    if done is None:
        yield Abandon(number)
        raise Stopped(None)
    return done


class InTurn(_Peer):
    """One target after the other, in an order that is known before: fallbacks.

    Args:
        order: The order for a call.
    """

    def __init__(self, order: Callable[[], Sequence[Target]]) -> None:
        self._order = order

    def flow(self, call: Call, now: Callable[[], float]) -> Flow:
        """Decide a call."""
        deadline, last = now() + DEADLINE, None
        for number, target in enumerate(self._order()[:ATTEMPTS], 1):
            done = yield from _ask(number, target, deadline - now())
            if done.judgement.verdict is Verdict.OK:
                return done
            last = done.judgement
        raise Stopped(last)


def at_random(world: World, seed: int) -> InTurn:
    """A new order for each call."""
    rng, targets = random.Random(seed), world.setting.targets()
    return InTurn(lambda: rng.sample(targets, len(targets)))


def in_order(world: World) -> InTurn:
    """The user's list, as LangChain's `with_fallbacks` takes it."""
    targets = world.setting.targets()
    return InTurn(lambda: targets)


def hf_fastest(world: World) -> InTurn:
    """The router's `:fastest`: highest throughput of the latest probe."""
    targets = sorted(world.setting.targets(), key=lambda t: -(t.throughput or 0.0))
    return InTurn(lambda: targets)


def hf_cheapest(world: World) -> InTurn:
    """The router's `:cheapest`: lowest price of output tokens."""
    targets = sorted(world.setting.targets(), key=lambda t: t.output_price or 0)
    return InTurn(lambda: targets)


@dataclass(slots=True)
class _Seen:
    latest: deque[float] = field(default_factory=lambda: deque(maxlen=10))
    minute: int = -1
    asked: int = 0
    failed: int = 0
    cooling: float = -math.inf


class Cooldown(_Peer):
    """The usual rule: lowest mean of the last ten first tokens, nothing seen counts as 0; failing targets cool down.

    As in LiteLLM's router: a time-out counts as 1,000 s; a 429 cools a target for 5 s, or as long as it asks, and so do
    more than half of at least five requests within a minute of the clock. When all are cooling, it waits 0.5 s and
    longer between its tries; as a kindness, a call does not go back to a target that failed it while another is left.
    """

    _COOLDOWN, _TIMED_OUT = 5.0, 1000.0
    _LEAST_ASKED = 5

    def __init__(self, world: World) -> None:
        self._seen = {target: _Seen() for target in world.setting.targets()}

    def flow(self, call: Call, now: Callable[[], float]) -> Flow:
        """Decide a call."""
        deadline, last, number = now() + DEADLINE, None, 0
        failed: set[Target] = set()
        for tried in range(ATTEMPTS):
            free = [target for target, seen in self._seen.items() if seen.cooling <= now()]
            if not free:
                if tried + 1 < ATTEMPTS:
                    yield Wait(0.5 * 2**tried)
                continue
            target = min([t for t in free if t not in failed] or free, key=self._mean)
            number += 1
            done = yield from _ask(number, target, deadline - now())
            self._note(target, done.judgement, done.first_content, now())
            if done.judgement.verdict is Verdict.OK:
                return done
            failed.add(target)
            last = done.judgement
        raise Stopped(last)

    def _mean(self, target: Target) -> float:
        latest = self._seen[target].latest
        return sum(latest) / len(latest) if latest else 0.0

    def _note(self, target: Target, judgement: Judgement, first: float | None, now: float) -> None:
        seen = self._seen[target]
        if seen.minute != now // 60:
            seen.minute, seen.asked, seen.failed = int(now // 60), 0, 0
        seen.asked += 1
        if judgement.verdict is Verdict.OK:
            seen.latest.append(first or 0.0)
            return
        seen.failed += 1
        if judgement.kind == "first_content_timeout":
            seen.latest.append(self._TIMED_OUT)
        limited = judgement.status == 429
        if limited or (seen.asked >= self._LEAST_ASKED and seen.failed * 2 > seen.asked):
            seen.cooling = now + max(self._COOLDOWN, (limited and judgement.retry_after) or 0.0)


class Oracle(_Peer):
    """Knows what befalls each provider at the time of each launch, though not its luck, and so takes the best one.

    Args:
        world: All of it.
        cheapest: Best is the cheapest one for the call's real tokens, or else the one that ends soonest.
    """

    def __init__(self, world: World, *, cheapest: bool) -> None:
        self._world, self._cheapest = world, cheapest
        self._targets = world.setting.targets()

    def flow(self, call: Call, now: Callable[[], float]) -> Flow:
        """Decide a call."""
        deadline, last = now() + DEADLINE, None
        failed: set[int] = set()
        for number in range(1, ATTEMPTS + 1):
            able = [i for i in range(len(self._targets)) if self._world.capable(i, now())]
            able = [i for i in able if i not in failed] or able
            if not able:
                break
            index = min(able, key=lambda i: self._cost(call, i, now()))
            done = yield from _ask(number, self._targets[index], deadline - now())
            if done.judgement.verdict is Verdict.OK:
                return done
            failed.add(index)
            last = done.judgement
        raise Stopped(last)

    def _cost(self, call: Call, index: int, now: float) -> float:
        if self._cheapest:
            return self._world.price(call, index, call.output_tokens)
        return self._world.expected(index, now, call.output_tokens)[1]

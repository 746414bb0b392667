"""Scenarios: which providers there are, what befalls them and when calls arrive, all drawn from a seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from benchmarks.policies.world import Call, Fault, Provider, Setting, Trouble

DURATION = 240.0
# What happens before is learning; the aims "after warm-up" count the rest.
WARM = 60.0
_RATE = 3.0

TUNE_SEEDS = tuple(range(100, 110))
REPORT_SEEDS = tuple(range(1, 11))

# Prices, first tokens and speeds as catalogues list them for one open model: 10x between the cheapest and the dearest.
_ALDER = Provider("alder", Decimal("0.05"), Decimal("0.24"), 0.90, 0.45, 70.0)
_BIRCH = Provider("birch", Decimal("0.09"), Decimal("0.36"), 0.55, 0.40, 110.0)
_CEDAR = Provider("cedar", Decimal("0.15"), Decimal("0.60"), 0.40, 0.35, 240.0)
_ELDER = Provider("elder", Decimal("0.15"), Decimal("0.75"), 0.28, 0.30, 450.0)
_HAZEL = Provider("hazel", Decimal("0.25"), Decimal("0.95"), 0.22, 0.30, 900.0)
_ROWAN = Provider("rowan", Decimal("0.50"), Decimal("2.40"), 0.70, 0.50, 90.0)
# In the order of a user's list, which is nobody's ranking.
_SIX = (_CEDAR, _ALDER, _HAZEL, _BIRCH, _ROWAN, _ELDER)
_FOUR = (_HAZEL, _ALDER, _ELDER, _BIRCH)
_COLD = {"alder": 0.05, "birch": 0.02, "cedar": 0.01, "elder": 0.005, "hazel": 0.005, "rowan": 0.03}

Window = tuple[float, float]
Faults = Callable[[random.Random, Sequence[Provider]], list[Fault]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of trouble.

    Attributes:
        name: For the report.
        about: One line.
        faults: What befalls whom.
        providers: Who is there.
        rate: Calls a second.
        bursts: How often traffic trebles for 10 s.
        lures: How many providers, counted from the first, have rows better than all others: those that fail, so that
            every policy wants them first.
        stale: How many times the catalogue is wrong for two of the providers, in each direction.
        streamed: Whether answers are streamed to their readers, or put together to their end.
        focus: The window whose attempts are counted; None for all of it.
        held_out: Reported, never tuned on.
    """

    name: str
    about: str
    faults: Faults
    providers: tuple[Provider, ...] = _FOUR
    rate: float = _RATE
    bursts: int = 1
    lures: int = 0
    stale: float = 1.0
    streamed: bool = True
    focus: Window | None = None
    held_out: bool = False

    def setting(self, seed: int, duration: float = DURATION) -> Setting:
        """Everything one seed fixes."""
        rng = random.Random(f"{self.name} {seed}")
        providers = list(self.providers)
        probed = [
            (p.first_token * rng.lognormvariate(0.0, 0.2), p.throughput * rng.lognormvariate(0.0, 0.15))
            for p in providers
        ]
        if self.stale != 1.0:
            better, worse = rng.sample(range(len(providers)), 2)
            for i, factor in ((better, 1 / self.stale), (worse, self.stale)):
                probed[i] = (probed[i][0] * factor, probed[i][1] / factor)
        for i in range(self.lures):
            providers[i], probed[i] = _lure(providers[i], providers[self.lures :], probed[self.lures :], i)
        calls = tuple(self._calls(rng, duration))
        return Setting(seed, tuple(providers), tuple(probed), tuple(self.faults(rng, providers)), calls)

    def _calls(self, rng: random.Random, duration: float) -> list[Call]:
        bursts = [rng.uniform(0.1, 0.9) * duration for _ in range(self.bursts)]
        calls: list[Call] = []
        now, most = 0.0, self.rate * 3
        while True:
            now += rng.expovariate(most)
            if now >= duration:
                return calls
            rate = most if any(start <= now < start + 10 for start in bursts) else self.rate
            keep, prompt, answer = (
                rng.random() * most < rate,
                rng.lognormvariate(6.8, 0.8),
                rng.lognormvariate(5.5, 0.6),
            )
            if keep:
                tokens = max(20, min(20_000, int(prompt))), max(20, min(2_000, int(answer)))
                calls.append(Call(len(calls), now, *tokens, self.streamed))


def _lure(
    provider: Provider, others: Sequence[Provider], probed: Sequence[tuple[float, float]], place: int
) -> tuple[Provider, tuple[float, float]]:
    """The provider and its row, made better than all others in every respect."""
    better = 0.9 - 0.1 * place
    dressed = replace(
        provider,
        input_price=min(p.input_price for p in others) * Decimal(str(better)),
        output_price=min(p.output_price for p in others) * Decimal(str(better)),
    )
    return dressed, (better * min(first for first, _ in probed), max(speed for _, speed in probed) / better)


def _window(rng: random.Random, shortest: float, longest: float) -> Window:
    start = rng.uniform(0.05, 0.85) * DURATION
    return start, start + rng.uniform(shortest, longest)


def _nothing(_rng: random.Random, _providers: Sequence[Provider]) -> list[Fault]:
    return []


def _dead(*kinds: Trouble, retry_after: float | None = None) -> Faults:
    """The first provider fails in the first way, the second in the second, from beginning to end."""

    def faults(_rng: random.Random, providers: Sequence[Provider]) -> list[Fault]:
        return [
            Fault(kind, provider.name, 0.0, math.inf, retry_after=retry_after)
            for kind, provider in zip(kinds, providers, strict=False)
        ]

    return faults


def _outage(_rng: random.Random, _providers: Sequence[Provider]) -> list[Fault]:
    return [Fault("503", "", 80.0, 160.0)]


def _cold(_rng: random.Random, providers: Sequence[Provider]) -> list[Fault]:
    return [Fault("cold", p.name, 0.0, math.inf, factor=_COLD[p.name]) for p in providers]


def _mixed(rng: random.Random, providers: Sequence[Provider]) -> list[Fault]:
    """Cold starts throughout, and a brown-out, a 503 burst, a silent hang and a drop of capacity, each somewhere."""
    names = [p.name for p in providers]
    rng.shuffle(names)
    return [
        *_cold(rng, providers),
        Fault("slow", names[0], *_window(rng, 30, 60), factor=8.0),
        Fault("503", names[1], *_window(rng, 20, 40)),
        Fault("503", names[1], *_window(rng, 5, 10)),
        Fault("hang", names[2], *_window(rng, 20, 40)),
        Fault("capacity", names[3], *_window(rng, 40, 80), factor=2),
        Fault("429", names[4], *_window(rng, 20, 40), retry_after=rng.choice((None, 2.0, 10.0))),
    ]


def _capacity(rng: random.Random, providers: Sequence[Provider]) -> list[Fault]:
    """Three of them take few answers at once, unannounced, at different times."""
    return [
        Fault("capacity", name, start, start + 80.0, factor=rng.choice((2, 3, 4)))
        for name, start in zip(rng.sample([p.name for p in providers], 3), (20.0, 60.0, 140.0), strict=True)
    ]


def _correlated(rng: random.Random, providers: Sequence[Provider]) -> list[Fault]:
    """Half of the providers fail together, twice; the router itself is out of reach, answers 502, or hangs, once."""
    faults = _cold(rng, providers)
    for kind, start in (("503", 30.0), ("hang", 150.0)):
        names = rng.sample([p.name for p in providers], 3)
        faults += [Fault(_TOGETHER[kind], name, start, start + 30.0) for name in names]
    return [
        *faults,
        Fault("unreachable", "", 75.0, 85.0),
        Fault("gateway", "", 110.0, 115.0),
        Fault("hang", "", 200.0, 205.0),
    ]


_TOGETHER: dict[str, Trouble] = {"503": "503", "hang": "hang"}


def _breaking(rng: random.Random, providers: Sequence[Provider]) -> list[Fault]:
    """Answers that break off or stall half-way, at two providers."""
    names = rng.sample([p.name for p in providers], 2)
    return [
        *_cold(rng, providers),
        Fault("break", names[0], 30.0, 150.0, share=0.3),
        Fault("stall", names[1], 100.0, 200.0, share=0.2),
    ]


def _drifting(rng: random.Random, providers: Sequence[Provider]) -> list[Fault]:
    """The hold-out: three drift to be many times slower, and each fails in part, in ways that change."""
    names = [p.name for p in providers]
    rng.shuffle(names)
    faults = [Fault("drift", name, rng.uniform(0, 60), 240.0, factor=rng.uniform(4, 12)) for name in names[:3]]
    for name in names:
        start = rng.uniform(0, 30)
        while start < DURATION:
            kind: Trouble = rng.choice(("503", "hang", "cut", "429", "break"))
            length, share = rng.uniform(10, 50), rng.uniform(0.05, 0.35)
            faults.append(Fault(kind, name, start, start + length, share=share))
            start += length + rng.uniform(10, 60)
    return faults


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("healthy", "six providers, nobody fails", _nothing, _SIX),
    Scenario("dead-503", "one of four, the most attractive, answers 503 throughout", _dead("503"), lures=1),
    Scenario("dead-hang", "one of four, the most attractive, never answers", _dead("hang"), lures=1),
    Scenario("dead-429", "one of four, the most attractive, answers 429 throughout", _dead("429"), lures=1),
    Scenario("dead-429-ra", "the same, with Retry-After: 2", _dead("429", retry_after=2.0), lures=1),
    Scenario(
        "dead-cut", "one of four, the most attractive, ends its answers before any content", _dead("cut"), lures=1
    ),
    Scenario("three-dead", "three of four: 503, silence and 429", _dead("503", "hang", "429"), lures=3),
    Scenario("outage", "all four answer 503 from 80 s to 160 s", _outage, focus=(80.0, 160.0)),
    Scenario("cold", "cold starts of 10 to 20 s, in 0.5 to 5 % of requests", _cold, _SIX),
    Scenario("mixed", "cold starts, a brown-out, 503s, silence, 429s, a drop of capacity", _mixed, _SIX, bursts=2),
    Scenario("sparse", "the same with a call every 6 s", _mixed, _SIX, rate=1 / 6),
    Scenario("sparse-dead", "one of four answers 503 throughout, a call every 6 s", _dead("503"), rate=1 / 6, lures=1),
    Scenario("capacity", "unannounced limits of 2 to 4 answers at once", _capacity, _SIX, bursts=3),
    Scenario("correlated", "three of six fail together; the router itself fails", _correlated, _SIX),
    Scenario("stale", "probes four times too good for one and too bad for another", _cold, _SIX, stale=4.0),
    Scenario("assembled", "whole answers; some break or stall half-way", _breaking, _SIX, streamed=False),
    Scenario("hold-out", "three drift, each fails in part", _drifting, _SIX, bursts=2, held_out=True),
)

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}

"""The world: providers with prices and speeds, the faults that befall them, and the calls that arrive.

What an attempt meets is drawn from the seed, the call, the provider and how many attempts the call has sent before:
whatever else a policy did, the same question meets the same luck, so policies differ by their choices alone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from hfrouter.routing.eligible import Needs
from hfrouter.routing.target import ModelId, Target
from hfrouter.routing.verdict import FAILURES, Judgement, Problem, judge

MODEL = ModelId("openai/gpt-oss-120b")
NEVER = math.inf

Trouble = Literal[
    "503", "hang", "429", "cut", "slow", "drift", "capacity", "unreachable", "gateway", "break", "stall", "cold"
]
# Faults in which nothing is answered at all, when they befall every request.
_DEADLY = frozenset({"503", "hang", "429", "cut", "unreachable", "gateway"})
_QUICK: dict[str, Judgement] = {
    "503": judge(Problem(503, "Service Unavailable")),
    "429": judge(Problem(429, "Too Many Requests")),
    "unreachable": FAILURES["connect_failed"],
    "gateway": judge(Problem(502, "Bad Gateway", html=True)),
}
# How much the first content of a provider slows down when it has as many answers under way as it is built for.
_BUILT_FOR = 60


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider as it really is.

    Attributes:
        name: Its slug.
        input_price: USD per million tokens.
        output_price: USD per million tokens.
        first_token: Median seconds to the first content.
        spread: Sigma of the logarithm of that.
        throughput: Median output tokens per second.
    """

    name: str
    input_price: Decimal
    output_price: Decimal
    first_token: float
    spread: float
    throughput: float


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls a provider for a while.

    Attributes:
        kind: What.
        provider: Whom; empty for all of them.
        start: In seconds.
        end: Likewise.
        share: Of the requests it befalls.
        factor: How many times slower (`slow`; `drift`: at its end), how many answers at once (`capacity`), or the share
            of requests that find the model not loaded and wait 10 to 20 s more (`cold`).
        retry_after: What a 429 asks for.
    """

    kind: Trouble
    provider: str
    start: float
    end: float
    share: float = 1.0
    factor: float = 1.0
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it arrives.

    Attributes:
        number: From 0.
        arrival: In seconds.
        input_tokens: Of its prompt.
        output_tokens: Of the answer it will get, wherever.
        streamed: Its reader sees the answer as it comes; otherwise it is put together to its end first.
    """

    number: int
    arrival: float
    input_tokens: int
    output_tokens: int
    streamed: bool = True

    @property
    def needs(self) -> Needs:
        """What the engine knows of it, which is not how long its answer will be."""
        return Needs(input_bytes=int(self.input_tokens * 3.9))


@dataclass(frozen=True, slots=True)
class Fate:
    """What an attempt meets, if it is not stopped before.

    Attributes:
        first: Seconds to the first content; infinite when there is none.
        fails: Seconds to a failure without content; infinite when it does not fail by itself.
        failure: That failure.
        ends: Seconds to the end of the answer, or to its break.
        broken: How the answer breaks off after its first content, or None.
        working: The provider works on it, and so bills its prompt even when it is stopped.
        throughput: Tokens per second once content comes.
    """

    first: float = NEVER
    fails: float = NEVER
    failure: Judgement | None = None
    ends: float = NEVER
    broken: Judgement | None = None
    working: bool = False
    throughput: float = 1.0


@dataclass(frozen=True, slots=True)
class Setting:
    """All that one seed of a scenario fixes.

    Attributes:
        seed: Of the luck of attempts.
        providers: In the order of the user's list.
        probed: What the catalogue says of each: first token and throughput.
        faults: All of them.
        calls: In the order of their arrival.
    """

    seed: int
    providers: tuple[Provider, ...]
    probed: tuple[tuple[float, float], ...]
    faults: tuple[Fault, ...]
    calls: tuple[Call, ...]

    def targets(self) -> list[Target]:
        """The catalogue."""
        return [
            Target(
                MODEL.model,
                provider.name,
                context_length=131_072,
                input_price=provider.input_price,
                output_price=provider.output_price,
                supports_tools=True,
                supports_structured_output=True,
                first_token_latency=first_token,
                throughput=throughput,
            )
            for provider, (first_token, throughput) in zip(self.providers, self.probed, strict=True)
        ]


class World:
    """The providers of a setting while calls are under way."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.index = {provider.name: i for i, provider in enumerate(setting.providers)}
        self.running = [0] * len(setting.providers)
        self._faults = [[f for f in setting.faults if f.provider in ("", p.name)] for p in setting.providers]
        self._rng = random.Random()

    def faults(self, index: int, now: float) -> list[Fault]:
        """What befalls a provider now."""
        return [fault for fault in self._faults[index] if fault.start <= now < fault.end]

    def fate(self, call: Call, index: int, asked: int, now: float) -> Fate:
        """What an attempt of a call meets.

        Args:
            call: Whose.
            index: The provider's.
            asked: How many attempts this call has sent before.
            now: In seconds.
        """
        rng, provider = self._rng, self.setting.providers[index]
        rng.seed(((self.setting.seed * 1_000_003 + call.number) * 64 + index) * 16 + asked)
        # Everything is drawn whether it is needed or not: a fault must not shift the luck of the rest.
        slowness, decoding = rng.gauss(0.0, provider.spread), rng.gauss(0.0, 0.15)
        cold, loading, quick, breaks, unlucky = (rng.random() for _ in range(5))
        faults = [fault for fault in self.faults(index, now) if unlucky < fault.share]
        factor = _slowed(faults, now)
        if refusal := self._refusal(faults, index, 0.05 + 0.15 * quick):
            return refusal
        load = 1.0 + (self.running[index] / _BUILT_FOR) ** 2
        waits = 10 + 10 * loading if cold < _coldness(faults) else 0.0
        first = provider.first_token * math.exp(slowness) * factor * load + waits
        throughput = provider.throughput * math.exp(decoding) / factor
        if any(fault.kind == "cut" for fault in faults):
            return Fate(fails=first, failure=FAILURES["cut"], working=True)
        seconds = call.output_tokens / throughput
        for fault in faults:
            if fault.kind in ("break", "stall"):
                broken = FAILURES["cut" if fault.kind == "break" else "idle_timeout"]
                wait = 0.0 if fault.kind == "break" else 20.0
                return Fate(
                    first, ends=first + seconds * breaks + wait, broken=broken, working=True, throughput=throughput
                )
        return Fate(first, ends=first + seconds, working=True, throughput=throughput)

    def _refusal(self, faults: Iterable[Fault], index: int, quick: float) -> Fate | None:
        for fault in faults:
            if fault.kind == "hang":
                return Fate()
            if fault.kind == "capacity" and self.running[index] >= fault.factor:
                return Fate(fails=quick, failure=_QUICK["429"])
            if fault.kind == "429" and fault.retry_after is not None:
                return Fate(
                    fails=quick, failure=judge(Problem(429, "Too Many Requests", retry_after=fault.retry_after))
                )
            if fault.kind in _QUICK:
                return Fate(fails=quick, failure=_QUICK[fault.kind])
        return None

    def price(self, call: Call, index: int, output_tokens: float) -> float:
        """What a provider bills for a call of so many output tokens, in USD; a float, since nobody pays it."""
        provider = self.setting.providers[index]
        return (float(provider.input_price) * call.input_tokens + float(provider.output_price) * output_tokens) / 1e6

    def servable(self, start: float, end: float) -> bool:
        """Whether one and the same provider would have answered at any time from start to end."""
        return any(
            not any(_hinders(fault) and fault.start <= end and start < fault.end for fault in faults)
            for faults in self._faults
        )

    def capable(self, index: int, now: float) -> bool:
        """Whether a provider would answer a request sent now within 12 s, as far as its faults go."""
        faults = self.faults(index, now)
        full = any(fault.kind == "capacity" and self.running[index] >= fault.factor for fault in faults)
        slow = self.setting.providers[index].first_token * _slowed(faults, now) > 12.0
        return not (full or slow or any(fault.kind in _DEADLY and fault.share >= 0.5 for fault in faults))

    def expected(self, index: int, now: float, output_tokens: int) -> tuple[float, float]:
        """What a provider is really like now: seconds to the first content, and to the end of so many tokens."""
        provider, faults = self.setting.providers[index], self.faults(index, now)
        factor, load = _slowed(faults, now), 1.0 + (self.running[index] / _BUILT_FOR) ** 2
        first = provider.first_token * factor * load + 15.0 * _coldness(faults)
        return first, first + output_tokens * factor / provider.throughput


def _hinders(fault: Fault) -> bool:
    """Whether it may take the provider from being capable: a lasting fault, or a limit that is perhaps reached."""
    return fault.kind == "capacity" or (fault.kind in _DEADLY and fault.share >= 0.5)


def _coldness(faults: Sequence[Fault]) -> float:
    return sum(fault.factor for fault in faults if fault.kind == "cold")


def _slowed(faults: Sequence[Fault], now: float) -> float:
    factor = 1.0
    for fault in faults:
        if fault.kind == "slow":
            factor *= fault.factor
        elif fault.kind == "drift":
            factor *= fault.factor ** ((now - fault.start) / (fault.end - fault.start))
    return factor

"""What a target is worth to a request: one score in USD, lower is better, made of price, time and reliability."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hfrouter.routing.estimates import CAP
from hfrouter.routing.policy import StrategyName
from hfrouter.routing.target import Target
from hfrouter.routing.vitals import Vitals

# What a second is worth, in USD. At 2e-4 a second weighs as much as 300 output tokens at $0.60 per million.
_SECOND: dict[StrategyName, float] = {"cheapest": 0.0, "balanced": 2e-4, "fastest": 1e-2}
# So many attempts under way double the time to the first content that is expected.
_CROWDED = 16
_MOST_FAILING = 0.9


@dataclass(slots=True)
class Score:
    """A score and its inputs.

    Attributes:
        value: USD that choosing the target is expected to cost, the value of time included; lower is better.
        usd: The likely price of this request; infinite when it is not known.
        latency: Seconds to the first content.
        throughput: Tokens per second after it.
        failing: Share of attempts that fail, from 0 to 1.
        running: Attempts of this process under way there.
    """

    value: float
    usd: float
    latency: float
    throughput: float
    failing: float
    running: int

    def __str__(self) -> str:
        price = "price not known" if self.usd == math.inf else f"${self.usd:.6f}"
        speed = f"{self.latency:.2f} s to the first content, {self.throughput:.0f} tokens/s"
        failing = f", {self.failing:.0%} failing" if self.failing >= 0.005 else ""
        running = f", {self.running} running" if self.running else ""
        return f"{self.value:.3g}, {price}, {speed}{failing}{running}"


def token_prices(target: Target) -> tuple[float, float]:
    """USD per input and per output token at the listed price; infinite when one is not known."""
    if target.is_free:
        return 0.0, 0.0
    if target.input_price is None or target.output_price is None:
        return math.inf, math.inf
    return float(target.input_price) / 1e6, float(target.output_price) / 1e6


def score(
    strategy: StrategyName, target: Target, usd: float, dearest: float, output_tokens: int, vitals: Vitals, now: float
) -> Score:
    """Score a target for a request.

    Args:
        strategy: Whose value of time counts; `in_order` scores everything alike.
        target: With the catalogue's probes, which count until this process has seen more.
        usd: Its likely price for this request; infinite when it is not known.
        dearest: What an unknown price counts as: the highest known one among the candidates.
        output_tokens: The likely number of this request.
        vitals: What was seen of the target.
        now: Monotonic seconds.

    The score is (price + v * (latency * (1 + running / 16) + tokens / throughput + failing * lost)) / (1 - failing): a
    second is worth v, a target that fails half the time is paid for twice. Attempts under way that are silent for
    longer than the estimate count as they stand: a hang is seen in seconds, not when the first time-out strikes.
    """
    speed = vitals.speed
    latency = speed.latency(target.first_token_latency, now)
    if vitals.silent:
        latency = max(latency, min(vitals.silence(now), CAP))
    throughput = speed.throughput(target.throughput, now)
    failing, running = speed.failing(now), vitals.running
    if strategy == "in_order":
        return Score(0.0, usd, latency, throughput, failing, running)
    second = _SECOND[strategy]
    price = usd if usd != math.inf or not second else dearest
    time = latency * (1 + running / _CROWDED) + output_tokens / throughput
    value = (price + second * (time + failing * speed.lost)) / (1 - min(failing, _MOST_FAILING))
    return Score(value, usd, latency, throughput, failing, running)

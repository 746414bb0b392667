"""Estimates of a target's speed and reliability, from the catalogue's probes and from what this process has seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

# The time to the first content rises fast and falls slowly (tower's peak EWMA), tamed for cold starts: one of 20 s must
# not banish a provider that mostly answers in 0.5 s.
_GAIN_UP, _FALL, CAP = 0.35, 15.0, 8.0
_GAIN_SPEED = 0.3
# The catalogue's value counts as so many samples, less and less over ten minutes.
_PRIOR, _FADE = 3.0, 600.0
_MOST_SAMPLES = 20
# A target without probe values is assumed to be slow rather than broken: the router's own probes fail it at 5 s.
_UNKNOWN_LATENCY, _UNKNOWN_THROUGHPUT = 5.0, 20.0
# The share of failures: each outcome counts for a tenth, and without news it is forgotten within a minute or two.
# Slower ones kept `cheapest` off the cheapest long after an outage (benchmarks/policies).
_GAIN_FAILING, _FORGET = 0.1, 30.0
_GAIN_LOST = 0.2
_TIME_LOST = 1.0
# Fewer tokens than this say more about the network than about the model.
_TELLING = 16


@dataclass(slots=True)
class Speed:
    """Running estimates of one target.

    >>> speed = Speed()
    >>> speed.latency(0.4, now=0.0)
    0.4
    >>> speed.first_content(2.0, now=0.0)
    >>> round(speed.latency(0.4, now=0.0), 2)
    0.8
    """

    _latency: float = 0.0
    _latency_at: float = 0.0
    _latencies: int = 0
    _throughput: float = 0.0
    _throughputs: int = 0
    _since: float = math.inf
    _latest: float = -math.inf
    _failing: float = 0.0
    _failing_at: float = 0.0
    _lost: float = _TIME_LOST

    def first_content(self, seconds: float, now: float) -> None:
        """Take down a time to the first content."""
        sample = min(seconds, CAP)
        if not self._latencies:
            self._latency = sample
        elif sample > self._latency:
            self._latency += _GAIN_UP * (sample - self._latency)
        else:
            self._latency += -math.expm1(-(now - self._latency_at) / _FALL) * (sample - self._latency)
        self._latency_at, self._since, self._latest = now, min(self._since, now), now
        self._latencies = min(self._latencies + 1, _MOST_SAMPLES)

    def at_least(self, seconds: float, now: float) -> None:
        """Take down that there was no first content for so long, and nobody waited for it."""
        if not self._latencies or seconds > self._latency:
            self.first_content(seconds, now)

    def decoded(self, tokens: int, seconds: float, now: float) -> None:
        """Take down how fast an answer came after its first content."""
        if tokens < _TELLING or seconds <= 0:
            return
        sample = tokens / seconds
        self._throughput += (_GAIN_SPEED if self._throughputs else 1.0) * (sample - self._throughput)
        self._throughputs = min(self._throughputs + 1, _MOST_SAMPLES)
        self._since, self._latest = min(self._since, now), now

    def whole(self, seconds: float, tokens: int, probed: float | None, now: float) -> None:
        """Take down an answer in one piece: what decoding does not explain was the time to the first content."""
        self.first_content(max(seconds - tokens / self.throughput(probed, now), 0.1 * seconds), now)

    def answered(self, now: float) -> None:
        """Take down an answer."""
        self._failing = (1 - _GAIN_FAILING) * self.failing(now)
        self._failing_at = now

    def failed(self, seconds: float, now: float) -> None:
        """Take down a failure and the time it took."""
        self._failing = self.failing(now) + _GAIN_FAILING * (1 - self.failing(now))
        self._failing_at = now
        self._lost += _GAIN_LOST * (seconds - self._lost)

    def latency(self, probed: float | None, now: float) -> float:
        """Seconds to the first content, given the catalogue's probe."""
        return self._blend(self._latency, self._latencies, _UNKNOWN_LATENCY if probed is None else probed, now)

    def throughput(self, probed: float | None, now: float) -> float:
        """Tokens per second, given the catalogue's probe."""
        return self._blend(self._throughput, self._throughputs, probed or _UNKNOWN_THROUGHPUT, now)

    def failing(self, now: float) -> float:
        """The share of attempts that fail, from 0 to 1."""
        if not self._failing:
            return 0.0
        return self._failing * math.exp(-(now - self._failing_at) / _FORGET)

    @property
    def lost(self) -> float:
        """Seconds a failed attempt costs."""
        return self._lost

    def _blend(self, seen: float, samples: int, probed: float, now: float) -> float:
        if not samples:
            return probed
        # The probe fades while samples come; they fade, and it returns, while none do. Else one outlier would banish a
        # target that is then never asked again.
        faded = math.exp(-max(0.0, self._latest - self._since) / _FADE)
        fresh = math.exp(-max(0.0, now - self._latest) / _FADE)
        prior = _PRIOR * (1 - fresh * (1 - faded))
        return (prior * probed + fresh * samples * seen) / (prior + fresh * samples)

"""Budgets of attempts: what retries, fallbacks and hedges may add to the traffic, whatever happens."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

# gRPC's retry throttle (gRFC A6): a failure takes 1, an answer gives 0.1 back, and at half nothing is asked again.
_THROTTLE, _GIVEN_BACK = 10.0, 0.1
# Finagle's and tower's retry budget: 20 % of the calls of the last 10 s, and 10 in any case.
_SHARE, _RESERVE, _WINDOW = 0.2, 10, 10.0
# Hedges: 10 % of requests, with a little to begin with; and 3 % of what was spent, since a loser bills its prompt.
_HEDGE_SHARE, _HEDGES_AT_START, _MOST_HEDGES = 0.1, 2.0, 10.0
_HEDGE_MONEY_SHARE = 0.03


@dataclass(slots=True)
class Throttle:
    """May a provider be asked again by the call that has just failed there? Not while it mostly fails.

    >>> throttle = Throttle()
    >>> for _ in range(5):
    ...     throttle.failed()
    >>> throttle.allows
    False
    """

    tokens: float = _THROTTLE

    @property
    def allows(self) -> bool:
        """Whether the same target may be asked once more."""
        return self.tokens > _THROTTLE / 2

    def answered(self) -> None:
        """Take down an answer."""
        self.tokens = min(_THROTTLE, self.tokens + _GIVEN_BACK)

    def failed(self) -> None:
        """Take down a failure."""
        self.tokens = max(0.0, self.tokens - 1)


@dataclass(slots=True)
class FallbackBudget:
    """How many fallbacks beyond the first of a call this process may make."""

    _calls: deque[float] = field(default_factory=deque)
    _taken: deque[float] = field(default_factory=deque)

    def called(self, now: float) -> None:
        """Take down a call."""
        self._calls.append(now)
        self._forget(now)

    def take(self, now: float) -> bool:
        """Take one, if there is one left."""
        self._forget(now)
        if len(self._taken) >= _RESERVE + _SHARE * len(self._calls):
            return False
        self._taken.append(now)
        return True

    def _forget(self, now: float) -> None:
        for times in (self._calls, self._taken):
            while times and times[0] <= now - _WINDOW:
                times.popleft()


@dataclass(slots=True)
class HedgeBudget:
    """How many hedges this process may make, and for how much.

    Money is in USD and approximate here: it decides whether to hedge, it is no account.
    """

    tokens: float = _HEDGES_AT_START
    usd: float = 0.0
    _calls: int = 0

    def called(self) -> None:
        """Take down a call."""
        self._calls += 1
        self.tokens = min(_MOST_HEDGES, self.tokens + _HEDGE_SHARE)

    def spent(self, usd: float) -> None:
        """Take down what an answer cost."""
        self.usd += usd * _HEDGE_MONEY_SHARE

    def allows(self, usd: float) -> bool:
        """Whether a hedge is left whose loser would cost so much. The first few need no spending behind them."""
        return self.tokens >= 1 and (usd <= self.usd or self._calls <= _MOST_HEDGES)

    def take(self, usd: float) -> None:
        """Take one."""
        self.tokens -= 1
        self.usd = max(0.0, self.usd - usd)

"""Running totals of the calls made inside `Router.track`."""

from __future__ import annotations

import os
import threading
from collections import deque
from dataclasses import dataclass, field, replace

from hfrouter.cost.price import Cost, Total
from hfrouter.cost.usage import Usage

_NOTHING = Total(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What is added up of an attempt that has ended."""

    provider: str
    ok: bool
    cost: Cost
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class _Sums:
    calls: int = 0
    attempts: int = 0
    cost: Total = _NOTHING
    total: Total = _NOTHING
    usage: Usage = field(default_factory=lambda: Usage(0, 0))
    providers: dict[str, Total] = field(default_factory=dict)

    def plus(self, news: _Attempt | None) -> _Sums:
        """The sums with an attempt more, or, for None, a call more."""
        if news is None:
            return replace(self, calls=self.calls + 1)
        before = self.providers.get(news.provider, _NOTHING)
        return replace(
            self,
            attempts=self.attempts + 1,
            cost=_plus(self.cost, news.cost) if news.ok else self.cost,
            total=_plus(self.total, news.cost),
            usage=_together(self.usage, news.usage),
            providers=self.providers | {news.provider: _plus(before, news.cost)},
        )


class Spent:
    """What the calls made inside `Router.track` have cost so far: exact at any moment, from any thread.

    An attempt counts when it ends, however it ends; a call when it ends. A stream that is left is counted then, one
    that is only dropped when Python frees it. Calls begun inside count wherever and whenever they end.

    >>> spent = Spent()
    >>> spent.attempted("groq", Cost(1_000_000, 1_000_000), Usage(10, 20), ok=True)
    >>> spent.attempted("novita", Cost(0, None, "no price in the catalogue"), None, ok=False)
    >>> spent.called()
    >>> spent
    <1 call, 2 attempts, $0.001 + 1 unknown>
    >>> spent.cost.usd, spent.usage.total_tokens, list(spent.providers)
    (Decimal('0.001'), 30, ['groq', 'novita'])
    """

    def __init__(self) -> None:
        # Appending is one step, also when garbage collection in the middle of a sum settles another attempt: whoever
        # adds up takes it from there, and never waits.
        self._news: deque[_Attempt | None] = deque()
        self._sums = _Sums()
        self._adding = threading.Lock()
        self._pid = os.getpid()

    def attempted(self, provider: str, cost: Cost, usage: Usage | None, *, ok: bool) -> None:
        """An attempt has ended. Callable from any thread."""
        self._news.append(_Attempt(provider, ok, cost, usage))
        self._add_up(wait=False)

    def called(self) -> None:
        """A call has ended. Callable from any thread."""
        self._news.append(None)
        self._add_up(wait=False)

    @property
    def calls(self) -> int:
        """Calls that have ended, those that failed included."""
        return self._add_up().calls

    @property
    def attempts(self) -> int:
        """Attempts that were sent and have ended."""
        return self._add_up().attempts

    @property
    def cost(self) -> Total:
        """What the answers cost."""
        return self._add_up().cost

    @property
    def total(self) -> Total:
        """What all attempts cost: answers, failures, hedges and what was left half-way."""
        return self._add_up().total

    @property
    def usage(self) -> Usage:
        """Tokens of all attempts, as far as they were reported."""
        return self._add_up().usage

    @property
    def providers(self) -> dict[str, Total]:
        """What the attempts at each provider cost."""
        return dict(self._add_up().providers)

    def _add_up(self, *, wait: bool = True) -> _Sums:
        if self._pid != os.getpid():  # a fork may have come while another thread held the lock
            self._adding, self._pid = threading.Lock(), os.getpid()
        if self._adding.acquire(blocking=wait):
            try:
                while self._news:
                    self._sums = self._sums.plus(self._news.popleft())
            finally:
                self._adding.release()
        return self._sums

    def __str__(self) -> str:
        sums = self._add_up()
        return f"{_count(sums.calls, 'call')}, {_count(sums.attempts, 'attempt')}, {sums.total}"

    def __repr__(self) -> str:
        return f"<{self}>"


def _plus(total: Total, cost: Cost) -> Total:
    return Total(
        known=total.known + (cost.lower if cost.exact else 0),
        unknown=total.unknown + (not cost.exact),
        lower=total.lower + cost.lower,
        upper=None if total.upper is None or cost.upper is None else total.upper + cost.upper,
    )


def _together(one: Usage, other: Usage | None) -> Usage:
    if other is None:
        return one
    return Usage(
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        _told(one.cached_tokens, other.cached_tokens),
        _told(one.reasoning_tokens, other.reasoning_tokens),
    )


def _told(one: int | None, other: int | None) -> int | None:
    return None if one is None and other is None else (one or 0) + (other or 0)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"

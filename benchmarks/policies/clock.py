"""Virtual time: a heap of things to do, done in order, without waiting for any of them."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Clock:
    """Seconds since the simulation began, which pass only from event to event.

    >>> clock, seen = Clock(), []
    >>> clock.at(2.0, seen.append, "later")
    >>> clock.at(1.0, seen.append, "sooner")
    >>> clock.run()
    >>> seen, clock.now
    (['sooner', 'later'], 2.0)
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[..., Any], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, when: float, do: Callable[..., Any], *given: Any) -> None:
        """Do something at a time; of several things at the same time, the one said first comes first."""
        self._count += 1
        heapq.heappush(self._events, (when, self._count, do, given))

    def run(self) -> None:
        """Until nothing is left to do."""
        while self._events:
            self.now, _, do, given = heapq.heappop(self._events)
            do(*given)

    def read(self) -> float:
        """The time, for those who want a function."""
        return self.now

"""What a provider has to give: so many requests in a time, and models that have to be loaded first."""

import time
from collections import deque
from collections.abc import Mapping

from hfrouter.simulator.script import ANY_PROVIDER

IDLE = 300.0
"""Seconds without a request after which a model is cold again, when nothing else is said."""


class Limits:
    """Requests per window, by provider. A request that is refused does not count. Used on the event loop only.

    Args:
        limits: (requests, seconds) by provider; `*` is for each of the others.

    Raises:
        ValueError: A number is not above 0.
    """

    def __init__(self, limits: Mapping[str, tuple[int, float]]) -> None:
        if any(number < 1 or seconds <= 0 for number, seconds in limits.values()):
            raise ValueError("A limit is a number of requests and a number of seconds, both above 0.")
        self._limits = dict(limits)
        self._taken: dict[str, deque[float]] = {}

    def admit(self, provider: str) -> bool:
        """Count a request, or return False when the window is full."""
        limit = self._limits.get(provider, self._limits.get(ANY_PROVIDER))
        if limit is None:
            return True
        taken, now = self._taken.setdefault(provider, deque()), time.monotonic()
        while taken and taken[0] <= now - limit[1]:
            taken.popleft()
        if len(taken) >= limit[0]:
            return False
        taken.append(now)
        return True

    def clear(self) -> None:
        """Forget what was taken."""
        self._taken.clear()


class Warmth:
    """Which models are loaded where. Used on the event loop only.

    Args:
        cold: Seconds that loading takes, by model, by provider, or under `*`.
        idle: Seconds without a request after which a model is cold again.

    Raises:
        ValueError: A number is negative.
    """

    def __init__(self, cold: Mapping[str, float], idle: float = IDLE) -> None:
        if idle < 0 or any(seconds < 0 for seconds in cold.values()):
            raise ValueError("Seconds cannot be negative.")
        self._cold = dict(cold)
        self._idle = idle
        self._ready: dict[tuple[str, str], float] = {}
        self._used: dict[tuple[str, str], float] = {}

    def wait(self, provider: str, model: str) -> float:
        """Return the seconds until a model is loaded; the first request starts the loading."""
        names = [name for name in (model, provider, ANY_PROVIDER) if name in self._cold]
        if not names:
            return 0.0
        key, now = (provider, model), time.monotonic()
        last = max(self._used.get(key, 0.0), self._ready.get(key, 0.0))
        if key not in self._ready or now - last > self._idle:
            self._ready[key] = now + self._cold[names[0]]
        self._used[key] = now
        return max(0.0, self._ready[key] - now)

    def clear(self) -> None:
        """Let everything be cold."""
        self._ready.clear()
        self._used.clear()

"""The health that all calls of a router share, whatever thread or event loop they run on."""

from __future__ import annotations

import logging
import os
import random
import threading
import weakref

from hfrouter.routing.health import Health

logger = logging.getLogger("hfrouter")


class SharedHealth:
    """Health, the lock under which it is read and changed, and the chance behind jitter.

    The lock is held for microseconds and never across an `await`. A pickle and a fork start with a clean slate: what
    one process has seen is no fact for another.

    Args:
        seed: Of jitter and spread; for tests.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._seed = seed
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self.lock = threading.RLock()  # garbage collection within may end a stream, which reports here
        self.rng = random.Random(self._seed)
        self.health = Health(self.rng, _opened)

    def __reduce__(self) -> tuple[type[SharedHealth], tuple[int | None]]:
        return SharedHealth, (self._seed,)


def _opened(name: str, seconds: float) -> None:
    logger.warning("%s keeps failing and is left alone for %.1f s", name, seconds)


_all: weakref.WeakSet[SharedHealth] = weakref.WeakSet()


def _after_fork() -> None:
    for shared in list(_all):
        shared._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

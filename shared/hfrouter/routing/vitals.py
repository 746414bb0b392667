"""The vitals of a target: what was seen of it, and why it is left alone. `Health` keeps and changes them."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from hfrouter.routing.breaker import Breaker
from hfrouter.routing.estimates import Speed

# A target that answered within the last minute is known to be well.
_PROVEN = 60.0
_TTFT_RING = 100


class Hold(Enum):
    """Why a target is left alone."""

    PAUSED = "rate limited"
    COLD = "loading"
    OPEN = "breaker open"
    SHUT = "shut"


@dataclass(frozen=True, slots=True)
class Held:
    """A target that should be left alone for now.

    Attributes:
        kind: Why.
        until: For how long, in monotonic seconds.
        why: The same for readers.
    """

    kind: Hold
    until: float
    why: str


@dataclass(slots=True)
class Vitals:
    """What was seen of one target.

    Attributes:
        speed: First content, tokens per second and share of failures.
        breaker: Its breaker.
        running: Attempts under way.
        ring: The latest times to the first content, for the delay of hedges.
        silent: When the attempts under way were launched that have shown no content yet, oldest first.
        answered: When it answered last.
        streams_badly: It sends tool calls in streams that cannot be put together; it is asked for whole answers.
    """

    speed: Speed = field(default_factory=Speed)
    breaker: Breaker = field(default_factory=Breaker)
    running: int = 0
    ring: deque[float] = field(default_factory=lambda: deque(maxlen=_TTFT_RING))
    silent: list[float] = field(default_factory=list)
    answered: float = -math.inf
    streams_badly: bool = False
    excused: bool = False  # its latest loss was put down to a kept connection, once
    paused: float = 0.0
    limits: int = 0  # 429s in a row
    cold: float = 0.0
    absent: float = 0.0
    absent_why: str = ""
    lacks: dict[frozenset[str], float] = field(default_factory=dict)
    too_long: tuple[tuple[int, int, int], float] | None = None

    def gone(self, launched: float) -> None:
        """An attempt is no longer under way."""
        self.running = max(0, self.running - 1)
        if launched in self.silent:
            self.silent.remove(launched)

    def silence(self, now: float) -> float:
        """Seconds for which attempts under way have shown nothing, since the target showed something last."""
        return now - self.silent[0] if self.silent else 0.0

    def proven(self, now: float) -> bool:
        """Whether it is known to be well."""
        return now - self.answered <= _PROVEN and not self.breaker.is_open

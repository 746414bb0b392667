"""The breaker: closed while a target answers, open after it kept failing, half-open for one probe."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

# Three failures in a row, or more than half of at least ten in 30 s (design; peers: Envoy 5 in a row, LiteLLM > 50 %).
_IN_A_ROW = 3
_VOLUME, _WINDOW = 10, 30.0
# Seconds a breaker is open, doubling each time a probe fails; and how far chance moves it, so that breakers that opened
# together do not probe together.
_OPEN, _LONGEST_OPEN = 5.0, 20.0
_SPREAD = 0.2


@dataclass(slots=True)
class Breaker:
    """The state of one breaker. Time is passed in, in monotonic seconds.

    Attributes:
        until: When it lets a probe through; 0 while it is closed.
        probing: A probe is on its way, and nobody else may go.

    >>> breaker = Breaker()
    >>> for _ in range(3):
    ...     breaker.failed(now=100.0, chance=0.5)
    >>> breaker.is_open, breaker.until
    (True, 105.0)
    """

    until: float = 0.0
    probing: bool = False
    _openings: int = 0
    _in_a_row: int = 0
    _recent: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=100))

    @property
    def is_open(self) -> bool:
        """Whether it is open or half-open."""
        return self._openings > 0

    def admits(self, now: float) -> bool:
        """Whether an attempt may go: always while closed, one at a time once the open time is over."""
        return not self._openings or (now >= self.until and not self.probing)

    def succeeded(self, now: float, *, probe: bool) -> bool:
        """Take down an answer. Only a probe closes an open breaker; what was sent before it opened proves nothing.

        Returns:
            Whether this closed it.
        """
        if not self._openings:
            self._in_a_row = 0
            self._recent.append((now, True))
            return False
        if not probe:
            return False
        self.until, self.probing = 0.0, False
        self._openings = self._in_a_row = 0
        self._recent.clear()
        return True

    def failed(self, now: float, chance: float, *, probe: bool = False) -> bool:
        """Take down a failure.

        Args:
            now: Monotonic seconds.
            chance: From 0 to 1, for the spread of the open time.
            probe: It was the probe of a half-open breaker.

        Returns:
            Whether this opened it, for the first time or again.
        """
        if self._openings:
            if not probe:
                return False  # sent before it opened
            self.probing = False
            self._open(now, chance)
            return True
        self._in_a_row += 1
        self._recent.append((now, False))
        if self._in_a_row < _IN_A_ROW and not self._mostly_failing(now):
            return False
        self._open(now, chance)
        return True

    def released(self) -> None:
        """A probe that said nothing, as one the caller cancelled, gives its permit back."""
        self.probing = False

    def _open(self, now: float, chance: float) -> None:
        seconds = min(_OPEN * 2.0 ** min(self._openings, 10), _LONGEST_OPEN)
        self._openings += 1
        self.until = now + seconds * (1 - _SPREAD + 2 * _SPREAD * chance)

    def _mostly_failing(self, now: float) -> bool:
        recent = [ok for at, ok in self._recent if at > now - _WINDOW]
        return len(recent) >= _VOLUME and recent.count(False) * 2 > len(recent)

"""The clock: durations by the monotonic clock, moments by the wall clock. Injected, so that tests can hold it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Both clocks in seconds."""

    def monotonic(self) -> float:
        """For durations; never jumps."""

    def wall(self) -> float:
        """Since 1970; may jump."""


class SystemClock:
    """The computer's clocks."""

    def monotonic(self) -> float:
        """For durations; never jumps."""
        return time.monotonic()

    def wall(self) -> float:
        """Since 1970; may jump."""
        return time.time()

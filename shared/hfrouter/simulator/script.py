"""The queue of scripted faults: which request gets which."""

import random
import threading
import time
from dataclasses import dataclass

from hfrouter.simulator.fault import Fault

ANY_PROVIDER = "*"
# What can be made to fail like a provider, and is none: `/v1/models`, and the Hub's own endpoints below `/api/`.
CATALOGUE = "catalogue"
HUB = "hub"
NO_PROVIDERS = frozenset({CATALOGUE, HUB})


def _check(fits: bool, sentence: str) -> None:
    if not fits:
        raise ValueError(sentence)


@dataclass(slots=True)
class _Script:
    """One `fail()` call: its faults in order, how often, for whom."""

    provider: str
    model: str | None
    faults: tuple[Fault, ...]
    left: int | None
    probability: float
    until: float | None
    position: int = 0

    def fits(self, provider: str, model: str) -> bool:
        anybody = self.provider == ANY_PROVIDER and provider not in NO_PROVIDERS
        return (anybody or self.provider == provider) and self.model in (None, model)

    def spent(self) -> bool:
        return self.left == 0 or (self.until is not None and time.monotonic() >= self.until)

    def take(self) -> Fault:
        fault = self.faults[self.position]
        self.position = (self.position + 1) % len(self.faults)
        if self.left is not None:
            self.left -= 1
        return fault


class Scripts:
    """The queue of scripted faults. Thread-safe; chance comes from the given seed only."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(f"faults:{seed}")
        self._scripts: list[_Script] = []

    def add(
        self,
        provider: str,
        faults: tuple[Fault, ...],
        *,
        model: str | None,
        times: int | None,
        probability: float,
        seconds: float | None,
    ) -> None:
        """Queue faults: the sequence is repeated `times` times (None: for ever), for at most `seconds`."""
        _check(bool(faults), "Name at least one fault.")
        _check(times is None or times >= 1, "times is at least 1, or None for ever.")
        _check(0 < probability <= 1, "probability is above 0 and at most 1.")
        left = None if times is None else times * len(faults)
        until = None if seconds is None else time.monotonic() + seconds
        with self._lock:
            self._scripts.append(_Script(provider, model, faults, left, probability, until))

    def next(self, provider: str, model: str) -> Fault | None:
        """Return the fault for a request that reaches `provider`, and count it as used."""
        with self._lock:
            self._scripts = [script for script in self._scripts if not script.spent()]
            for script in self._scripts:
                if script.fits(provider, model) and (
                    script.probability >= 1 or self._random.random() < script.probability
                ):
                    return script.take()
        return None

    def drop(self, provider: str | None = None) -> None:
        """Forget the scripted faults, all of them or those of one provider."""
        with self._lock:
            self._scripts = [s for s in self._scripts if provider is not None and s.provider != provider]

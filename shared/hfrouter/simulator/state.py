"""What one simulator knows; shared by the caller's threads and the server's."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from hfrouter.simulator.cache import PromptCache
from hfrouter.simulator.catalogue import Catalogue
from hfrouter.simulator.fault import Fault
from hfrouter.simulator.log import Log
from hfrouter.simulator.script import ANY_PROVIDER, Scripts

CATALOGUE = "catalogue"
"""The name under which `fail()` reaches `/v1/models`."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a provider is: seconds to the first token, tokens per second after it (None: at once)."""

    latency: float = 0.0
    rate: float | None = None

    def of(self, tokens: int) -> float:
        """Return the seconds that so many tokens take."""
        return tokens / self.rate if self.rate else 0.0


def paces(latency: float | Mapping[str, float], rate: float | Mapping[str, float | None] | None) -> dict[str, Pace]:
    """Return the pace of each named provider, and under `*` that of all others."""
    slow = dict(latency) if isinstance(latency, Mapping) else {ANY_PROVIDER: latency}
    fast = dict(rate) if isinstance(rate, Mapping) else {ANY_PROVIDER: rate}
    names = {ANY_PROVIDER, *slow, *fast}
    return {
        name: Pace(slow.get(name, slow.get(ANY_PROVIDER, 0.0)), fast.get(name, fast.get(ANY_PROVIDER)))
        for name in names
    }


@dataclass(slots=True)
class State:
    """Catalogue, faults, log and caches of one simulator.

    Attributes:
        catalogue: What is on offer; replaced whole, never changed.
        scripts: The scripted faults.
        log: What was asked.
        paces: Speed by provider; the key `*` is for all others.
        seed: Makes ids, timings and the choice of faults repeatable.
        cache: The providers' prompt caches.
        stopping: Set while the server closes its connections, which is then not the clients' doing.
    """

    catalogue: Catalogue
    scripts: Scripts
    log: Log
    paces: Mapping[str, Pace]
    seed: int
    cache: PromptCache = field(default_factory=PromptCache)
    stopping: threading.Event = field(default_factory=threading.Event)
    _first: Catalogue = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._first = self.catalogue

    def pace(self, provider: str) -> Pace:
        """Return how fast a provider is."""
        return self.paces.get(provider, self.paces[ANY_PROVIDER])

    def reset(self) -> None:
        """Forget faults, log, bill and prompt caches; offer the first catalogue again."""
        self.catalogue = self._first
        self.scripts.drop()
        self.log.clear()
        self.cache.clear()

    def fail(
        self,
        provider: str,
        *faults: Fault,
        model: str | None = None,
        times: int | None = 1,
        probability: float = 1.0,
        seconds: float | None = None,
    ) -> None:
        """Queue faults for a provider, for `*`, or for the catalogue.

        Raises:
            ValueError: There is no such provider or model, or a number does not fit.
        """
        if provider not in {*self.catalogue.providers, ANY_PROVIDER, CATALOGUE}:
            known = ", ".join(sorted(self.catalogue.providers))
            raise ValueError(f"There is no provider {provider!r} here; there are {known}.")
        if model is not None and self.catalogue.get(model) is None:
            raise ValueError(f"There is no model {model!r} here.")
        self.scripts.add(provider, faults, model=model, times=times, probability=probability, seconds=seconds)

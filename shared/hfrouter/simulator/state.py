"""What one simulator knows; shared by the caller's threads and the server's."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hfrouter.simulator.account import Account
from hfrouter.simulator.cache import PromptCache
from hfrouter.simulator.catalogue import Catalogue
from hfrouter.simulator.embedding.models import EmbeddingModels
from hfrouter.simulator.fault import Fault
from hfrouter.simulator.log import Log
from hfrouter.simulator.script import ANY_PROVIDER, NO_PROVIDERS, Scripts
from hfrouter.simulator.supply import Limits, Warmth


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
        embeddings: The embedding models.
        account: The rules about money.
        limits: Requests per window.
        warmth: Which models are loaded.
        cache: The providers' prompt caches.
        seen: Digests of the requests hf-inference has answered, for its own cache.
        stopping: Set while the server closes its connections, which is then not the clients' doing.
    """

    catalogue: Catalogue
    scripts: Scripts
    log: Log
    paces: Mapping[str, Pace]
    seed: int
    embeddings: EmbeddingModels = field(default_factory=EmbeddingModels)
    account: Account = field(default_factory=Account)
    limits: Limits = field(default_factory=lambda: Limits({}))
    warmth: Warmth = field(default_factory=lambda: Warmth({}))
    cache: PromptCache = field(default_factory=PromptCache)
    seen: set[bytes] = field(default_factory=set)
    stopping: threading.Event = field(default_factory=threading.Event)
    _first: tuple[Catalogue, Account] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._first = self.catalogue, self.account

    @property
    def providers(self) -> set[str]:
        """Every provider of a chat or an embedding model."""
        return self.catalogue.providers | self.embeddings.providers

    def pace(self, provider: str) -> Pace:
        """Return how fast a provider is."""
        return self.paces.get(provider, self.paces[ANY_PROVIDER])

    def reset(self) -> None:
        """Forget faults, log, bill, caches and what was loaded; offer the first catalogue and credits again."""
        self.catalogue, self.account = self._first
        self.limits.clear()
        self.warmth.clear()
        self.scripts.drop()
        self.log.clear()
        self.cache.clear()
        self.seen.clear()

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
        if provider not in NO_PROVIDERS:
            self.check_names(providers=[provider])
        if model is not None and not self._offers(model):
            raise ValueError(f"There is no model {model!r} here.")
        self.scripts.add(provider, faults, model=model, times=times, probability=probability, seconds=seconds)

    def check_names(self, *, providers: Iterable[str] = (), names: Iterable[str] = ()) -> None:
        """Check that providers, and names of providers or models, are on offer; `*` always is.

        Raises:
            ValueError: One is not.
        """
        known = self.providers | {ANY_PROVIDER}
        wrong = [name for name in providers if name not in known]
        wrong += [name for name in names if name not in known and not self._offers(name)]
        if wrong:
            there_are = ", ".join(sorted(self.providers))
            raise ValueError(f"There is no provider {wrong[0]!r} here; there are {there_are}.")

    def _offers(self, model: str) -> bool:
        return self.catalogue.get(model) is not None or self.embeddings.get(model) is not None

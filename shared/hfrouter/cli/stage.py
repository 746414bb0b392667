"""The demo's stage: one router, providers that fail on cue, and the ledger's rows of every call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hfrouter import Policy, Router
from hfrouter.cli.report import Call
from hfrouter.simulator import Fault, Simulator

# In the simulation every provider's first content comes within milliseconds, so a second without any is a hang.
_FIRST_CONTENT = 1.0
_ORDER = ("groq", "novita", "cerebras", "together")

RATE_LIMITED = Fault.rate_limited()
UNAVAILABLE = Fault.status(503)
HANGS = Fault.hang()
CUT = Fault.cut_before_content()
GONE = Fault.gone()


@dataclass(frozen=True, slots=True)
class Stage:
    """Where calls are made and watched.

    Attributes:
        router: The one router of all calls.
        sim: The simulator behind it, or None when real providers answer.
        model: The chat model to ask.
        embedding_model: The embedding model to ask.
    """

    router: Router
    sim: Simulator | None
    model: str
    embedding_model: str

    def ask(
        self, name: str, expected: str, ask: Callable[[], str], trouble: Fault | None = None, provider: str = "groq"
    ) -> Call:
        """Make a call and keep the rows the ledger got.

        Args:
            name: For the report.
            expected: What a right answer says; alternatives are divided by `|`.
            ask: Makes the call.
            trouble: What a provider is made to do meanwhile, each time it is asked.
            provider: Which one.
        """
        before = {entry.id for entry in self.router.entries()}
        if self.sim is not None and trouble is not None:
            self.sim.fail(provider, trouble, times=None)
        try:
            answer = ask()
        finally:
            if self.sim is not None:
                self.sim.heal()
        rows = tuple(entry for entry in self.router.entries() if entry.id not in before)
        right = any(wanted in answer.lower() for wanted in expected.lower().split("|"))
        return Call(name, rows, right=right)


@contextmanager
def stage(model: str, embedding_model: str, *, live: bool) -> Iterator[Stage]:
    """A router before the real providers, or before simulated ones on a socket of this machine."""
    if live:
        with Router() as router:
            yield Stage(router, None, model, embedding_model)
        return
    policy = Policy(order=_ORDER, first_content=_FIRST_CONTENT)
    with (
        Simulator(seed=0) as sim,
        Router(base_url=sim.base_url, token=sim.token, ledger="memory", policy=policy) as router,
    ):
        yield Stage(router, sim, model, embedding_model)

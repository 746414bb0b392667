"""The demo's stage: one router, providers that fail on cue, and the ledger's rows of every call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hfrouter import Policy, Router
from hfrouter.cli.report import Call
from hfrouter.simulator import Fault, Simulator

# In the simulation every provider's first content comes within milliseconds, so a second without any is a hang.
_FIRST_CONTENT = 1.0
_ORDER = ("groq", "novita", "cerebras", "together")
# Between two calls, so that what one learned of a failing provider does not spare it in the next.
_PASSES = 120.0

RATE_LIMITED = Fault.rate_limited()
UNAVAILABLE = Fault.status(503)
HANGS = Fault.hang()
CUT = Fault.cut_before_content()
GONE = Fault.gone()


class _SkippingClock:
    """The computer's clocks, and what the demo has skipped."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def skip(self, seconds: float) -> None:
        self._skipped += seconds

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped

    def wall(self) -> float:
        return time.time() + self._skipped


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
    clock: _SkippingClock = field(default_factory=_SkippingClock)

    def ask(
        self,
        name: str,
        expected: str,
        ask: Callable[[], str],
        trouble: Fault | None = None,
        provider: str = "groq",
        *,
        at_once: bool = False,
    ) -> Call:
        """Make a call and keep the rows the ledger got.

        Args:
            name: For the report.
            expected: What a right answer says; alternatives are divided by `|`.
            ask: Makes the call.
            trouble: What a provider is made to do meanwhile, each time it is asked.
            provider: Which one.
            at_once: No time passes before it.
        """
        if not at_once:
            self.clock.skip(_PASSES)
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
    policy, clock = Policy(order=_ORDER, first_content=_FIRST_CONTENT), _SkippingClock()
    with (
        Simulator(seed=0) as sim,
        Router(base_url=sim.base_url, token=sim.token, ledger="memory", policy=policy, clock=clock) as router,
    ):
        yield Stage(router, sim, model, embedding_model, clock)

"""One call against a run of the fault server, by each of the four ways to call, and what came of it."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from hfrouter import Completion, Entry, Policy, Router
from tests.faults.server import CANARIES, KEY, MODEL, PROMPT, Run

SLACK = 2.0  # seconds a busy machine may add to a deadline
ASK: dict[str, Any] = {"model": MODEL, "messages": PROMPT}


# As many as there are synchronous calls at once, so that none waits for a thread.
_threads = ThreadPoolExecutor(128, "caller")


async def _threaded(work: Callable[[], Completion]) -> Completion:
    return await asyncio.get_running_loop().run_in_executor(_threads, work)


@dataclass
class Outcome:
    """What came of a call.

    Attributes:
        answer: The completion, or None.
        error: What was raised, or None.
        shown: Text that a stream gave, piece by piece.
        seconds: The call took.
        entries: Of the ledger.
    """

    answer: Completion | None = None
    error: Exception | None = None
    shown: list[str] = field(default_factory=list)
    seconds: float = 0.0
    entries: list[Entry] = field(default_factory=list)


async def chat(router: Router, run: Run, shown: list[str]) -> Completion:
    run.gate.set()
    return await _threaded(lambda: router.chat(**ASK))


async def achat(router: Router, run: Run, shown: list[str]) -> Completion:
    run.gate.set()
    return await router.achat(**ASK)


async def stream(router: Router, run: Run, shown: list[str]) -> Completion:
    def read() -> Completion:
        with router.stream(**ASK) as opened:
            run.gate.set()
            shown.extend(delta.text for delta in opened)
            return opened.completion()

    return await _threaded(read)


async def astream(router: Router, run: Run, shown: list[str]) -> Completion:
    async with await router.astream(**ASK) as opened:
        run.gate.set()
        async for delta in opened:
            shown.append(delta.text)  # noqa: PERF401 (one by one: what came before a break counts)
        return opened.completion()


CALLERS: dict[str, Callable[[Router, Run, list[str]], Awaitable[Completion]]] = {
    "chat": chat,
    "achat": achat,
    "stream": stream,
    "astream": astream,
}


async def call(caller: str, run: Run, policy: Policy, **more: Any) -> Outcome:
    """Call once, with a router of its own."""
    outcome, began = Outcome(), time.monotonic()
    with Router(base_url=run.base_url, token=KEY, policy=policy, seed=1, **{"ledger": "memory"} | more) as router:
        try:
            outcome.answer = await CALLERS[caller](router, run, outcome.shown)
        except Exception as error:  # whatever it is, the test judges it
            outcome.error = error
        outcome.seconds = time.monotonic() - began
        outcome.entries = router.entries()
    return outcome


def secrets_in(*values: object) -> set[str]:
    """Canaries found in values, in every form they show themselves."""
    return {canary for canary in CANARIES for value in values for text in _forms(value) if canary in text}


def _forms(value: object) -> Iterator[str]:
    yield from (str(value), repr(value))
    if not isinstance(value, BaseException):
        return
    yield from map(repr, (value.args, getattr(value, "__notes__", ()), getattr(value, "attempts", ())))
    yield getattr(value, "explain", str)()
    yield pickle.dumps(value).decode("latin-1")
    for inner in (value.__cause__, value.__context__):
        if inner is not None:
            yield from _forms(inner)

"""The driver: obeys the engine. It starts, waits for and stops attempts, and decides nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

from hfrouter.errors import (
    AttemptFailed,
    ContextOverflow,
    DeadlineExceeded,
    HFRouterError,
    OutOfCredits,
    RequestRejected,
    RouteExhausted,
)
from hfrouter.routing.flow import Abandon, Done, Flow, Launch, Stopped, Wait, route
from hfrouter.routing.verdict import Judgement, Scope, Verdict
from hfrouter.wire.attempt import Opened
from hfrouter.wire.call import Call

T = TypeVar("T")
Start = Callable[[Call, Launch], Awaitable[Done]]


async def drive(call: Call, start: Start, kind: type[T], rng: random.Random, *, patient: bool = False) -> T:
    """Carry out a call.

    Args:
        call: With at least one target.
        start: Carries out one attempt.
        kind: What the attempts of `start` give.
        rng: For the jitter of pauses.
        patient: Wait for a target that is loading; see `route`.

    Returns:
        The value of the attempt that won.

    Raises:
        HFRouterError: the one that fits, with all attempts.
    """
    left = max(0.0, call.began + call.policy.deadline - call.clock.monotonic())
    limits = call.policy.model_copy(update={"deadline": left})
    flow = route(call.targets, limits, call.clock.monotonic, rng.random, patient=patient)
    try:
        done = await _obey(flow, call, start)
    except Stopped as stopped:
        _raise(stopped.last, call)
    assert isinstance(done.value, kind)  # noqa: S101 (for the type checker)
    return done.value


async def _obey(flow: Flow, call: Call, start: Start) -> Done:
    running: dict[int, asyncio.Task[Done]] = {}
    try:
        command = next(flow)
        while True:
            answer: Done | None = None
            match command:
                case Launch(number, target):
                    call.note("launch", f"{target.id}, first content within {command.first_content:.1f} s", number)
                    running[number] = asyncio.ensure_future(start(call, command))
                case Wait(seconds) if not running:
                    call.note("wait", f"{seconds:.2f} s")
                    await asyncio.sleep(seconds)
                case Wait(seconds):
                    answer = await _first(running, seconds)
                case Abandon(number):
                    call.note("abandon", "the deadline passed", number)
                    await _stop(running.pop(number))
            command = flow.send(answer)
    except StopIteration as end:
        won: Done = end.value
        return won
    finally:
        flow.close()
        for task in running.values():
            await _stop(task)


async def _first(running: dict[int, asyncio.Task[Done]], seconds: float) -> Done | None:
    """The first attempt to end, or None when the time runs out."""
    await asyncio.wait(running.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    number = next((number for number, task in running.items() if task.done()), None)
    return None if number is None else running.pop(number).result()


async def _stop(task: asyncio.Task[Done]) -> None:
    """Cancel an attempt and wait for its end; an answer that came all the same is closed.

    By a callback, since the caller may be cancelled again while this waits, as by anyio's scopes on every tick.
    """
    task.add_done_callback(_discard)
    task.cancel()
    await asyncio.wait([task])


_closing: set[asyncio.Task[None]] = set()


def _discard(task: asyncio.Task[Done]) -> None:
    """Close the answer of an attempt nobody waits for; the set keeps the closing alive until it is done."""
    if task.cancelled() or task.exception() is not None or not isinstance(opened := task.result().value, Opened):
        return
    closing = asyncio.get_running_loop().create_task(opened.aclose())
    _closing.add(closing)
    closing.add_done_callback(_closing.discard)


def _raise(last: Judgement | None, call: Call) -> NoReturn:
    """Raise the error of the tree that fits the failure that ended the call."""
    attempts = call.attempts
    call.note("end", last.kind if last else "the deadline passed")
    error = _error(last, call)
    error.attempts, error.journal = attempts, call.journal
    error.status_code = next((a.status for a in reversed(attempts) if a.status is not None), None)
    if last is None:
        raise error from None
    raise error from AttemptFailed(str(attempts[-1]) if attempts else last.kind, last.kind)


def _error(last: Judgement | None, call: Call) -> HFRouterError:
    if last is None:
        return DeadlineExceeded(
            f"no answer within the deadline of {call.policy.deadline:g} s; raise Policy.deadline or allow more "
            "providers."
        )
    said = f": {last.text}" if last.text else ""
    if last.scope is Scope.ACCOUNT:
        return OutOfCredits(
            f"the Hugging Face account cannot pay for this call ({last.status} {last.kind}{said}); add credits or "
            "raise the spending limit at https://huggingface.co/settings/billing, or bill an organisation with bill_to."
        )
    if last.scope is Scope.CREDENTIAL:
        return RequestRejected(
            f"the token was refused ({last.status} {last.kind}{said}); check HF_TOKEN and its "
            "permission 'Make calls to Inference Providers' at https://huggingface.co/settings/tokens."
        )
    if last.kind == "context_overflow":
        return ContextOverflow(
            f"the request is longer than the model's context ({last.status}{said}); shorten it, "
            "or name a model with a longer context in Policy.models."
        )
    if last.kind == "certificate_refused":
        return RouteExhausted(
            "the TLS certificate of the router was not accepted; if a proxy of your company opens TLS, "
            "set SSL_CERT_FILE to its certificate."
        )
    if last.verdict is Verdict.FATAL or last.kind in {"unsupported_parameter", "too_large", "model_not_found"}:
        return RequestRejected(f"the request was rejected ({last.status} {last.kind}{said}); change it and call again.")
    tried = "no provider answered" if len(call.attempts) == 1 else f"all {len(call.attempts)} attempts failed"
    return RouteExhausted(
        f"{tried}, the last with {last.kind}{said}; try again later, or allow more providers or models in the policy."
    )

"""The driver: obeys the engine. It starts, waits for and stops attempts, and decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NoReturn, TypeVar

from hfrouter.errors import (
    AttemptFailed,
    ContextOverflow,
    DeadlineExceeded,
    HFRouterError,
    OutOfCredits,
    RequestRejected,
    RouteExhausted,
)
from hfrouter.routing.commands import Abandon, Answer, Begun, Done, Flow, Launch, Stopped, Wait
from hfrouter.routing.flow import route
from hfrouter.routing.journal import Event
from hfrouter.routing.verdict import FAILURES, Judgement, Scope, Verdict
from hfrouter.wire.attempt import Opened
from hfrouter.wire.call import Call

T = TypeVar("T")
Start = Callable[[Call, Launch], Awaitable[Done]]
_WHY = {
    "deadline": "the deadline passed",
    "hedge": "another was faster",
    "request": "another was refused for the request",
}
# Candidates that are written down with their scores; the rest is counted.
_SHOWN = 10


async def drive(call: Call, start: Start, kind: type[T], *, streamed: bool = True, patient: bool = False) -> T:
    """Carry out a call.

    Args:
        call: With at least one target.
        start: Carries out one attempt.
        kind: What the attempts of `start` give.
        streamed: Its attempts ask for streams.
        patient: Wait for a target that is loading; see `route`.

    Returns:
        The value of the attempt that won.

    Raises:
        HFRouterError: the one that fits, with all attempts.
    """
    left = max(0.0, call.began + call.policy.deadline - call.clock.monotonic())
    now, jitter = call.clock.monotonic, call.shared.rng.random
    flow = route(call.choice, call.policy, now, jitter, deadline=left, streamed=streamed, patient=patient)
    try:
        done = await _Drive(call, flow, start, streamed=streamed).obey()
    except Stopped as stopped:
        _raise(stopped, call)
    assert isinstance(done.value, kind)  # noqa: S101 (for the type checker)
    return done.value


class _Drive:
    """The attempts of a call that are under way, and who has begun to answer."""

    def __init__(self, call: Call, flow: Flow, start: Start, *, streamed: bool) -> None:
        self.call, self.flow, self.start, self.streamed = call, flow, start, streamed
        self.running: dict[int, asyncio.Task[Done]] = {}
        self.begun: list[int] = []
        self.wake: asyncio.Future[None] | None = None
        self.latest: asyncio.Task[Done] | None = None  # ended, and not yet the call's answer

    async def obey(self) -> Done:
        call = self.call
        if call.policy.hedge:
            call.begun = self.begins
        try:
            command = self.ask(None)
            while True:
                answer: Answer = None
                match command:
                    case Launch(number):
                        _note_launch(call, command, streamed=self.streamed)
                        self.running[number] = asyncio.ensure_future(self.start(call, command))
                    case Wait(seconds) if not self.running:
                        call.note("wait", f"{seconds:.2f} s")
                        await asyncio.sleep(seconds)
                    case Wait(seconds):
                        answer = await self.first(seconds)
                    case Abandon(number, why):
                        call.note("abandon", _WHY[why], number)
                        if why != "deadline":
                            call.leave(number, FAILURES["hedge_lost"])
                        await _stop(self.running.pop(number))
                command = self.ask(answer)
        except StopIteration as end:
            won: Done = end.value
            self.latest = None
            return won
        finally:
            call.begun = None
            with call.shared.lock:
                self.flow.close()
            if self.latest is not None:  # cancelled while the losers of a hedge were being stopped
                _discard(self.latest)
            for task in self.running.values():
                await _stop(task)

    def ask(self, answer: Answer) -> Launch | Wait | Abandon:
        """Give the engine an answer and take its next command; it reads and changes the health of all calls."""
        with self.call.shared.lock:
            return self.flow.send(answer)

    def begins(self, number: int) -> None:
        """An attempt shows its first content."""
        self.begun.append(number)
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)

    async def first(self, seconds: float) -> Answer:
        """The first attempt to end or to begin, or None when the time runs out."""
        if not self.begun:
            waited: list[asyncio.Future[Any]] = list(self.running.values())
            if self.call.begun is not None:
                self.wake = asyncio.get_running_loop().create_future()
                waited.append(self.wake)
            await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            self.wake = None
        number = next((number for number, task in self.running.items() if task.done()), None)
        if number is not None:
            self.begun = [n for n in self.begun if n != number]
            self.latest = self.running.pop(number)
            done = self.latest.result()
            if done.flowing and isinstance(done.value, Opened):
                done.value.account.flowing = True
            return done
        return Begun(self.begun.pop(0)) if self.begun else None


def _note_launch(call: Call, launch: Launch, *, streamed: bool) -> None:
    now, at = call.clock.monotonic(), call.clock.monotonic() - call.began
    shown = launch.ranking if launch.number == 1 else [c for c in launch.ranking if c.target == launch.target]

    def ranks() -> Iterator[Event]:
        for candidate in shown[:_SHOWN]:
            yield Event(at, "rank", candidate.explain(now))
        if len(shown) > _SHOWN:
            yield Event(at, "rank", f"and {len(shown) - _SHOWN} more")

    call.journal.add_later(ranks)
    unary = ", in one piece" if launch.unary else ""
    limit = f", first content within {launch.first_content:.1f} s" if streamed and not launch.unary else ""
    call.note("launch", f"{launch.target.id}{unary} ({launch.why}){limit}", launch.number)


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


def _raise(stopped: Stopped, call: Call) -> NoReturn:
    """Raise the error of the tree that fits the failure that ended the call."""
    last, attempts = stopped.last, call.attempts
    call.note("end", (last.kind if last else "the deadline passed") + (f"; {stopped.why}" if stopped.why else ""))
    error = _error(_account_failure(call) or last if last else None, call)
    error.attempts, error.journal = attempts, call.journal
    error.status_code = next((a.status for a in reversed(attempts) if a.status is not None), None)
    if last is None:
        raise error from None
    raise error from AttemptFailed(str(attempts[-1]) if attempts else last.kind, last.kind)


def _account_failure(call: Call) -> Judgement | None:
    """What the Hugging Face account failed with, which ends the call when the user's endpoint could not help either."""
    judged = [a.judgement for a in call.accounts if a.judgement is not None and not a.target.url]
    return next((j for j in judged if j.scope in (Scope.ACCOUNT, Scope.CREDENTIAL)), None)


def _error(last: Judgement | None, call: Call) -> HFRouterError:
    if last is None:
        return DeadlineExceeded(
            f"no answer within the deadline of {call.policy.deadline:g} s; raise Policy.deadline or allow more "
            "providers."
        )
    if last.kind == "over_budget" and call.refused is not None:
        return call.refused.error()
    said = f": {last.text}" if last.text else ""
    here = next((a.target for a in reversed(call.accounts) if a.judgement is last), None)
    own = f"your endpoint {here.provider!r}" if here is not None and here.url else ""
    if own and last.scope in (Scope.ACCOUNT, Scope.CREDENTIAL):
        return RequestRejected(f"{own} refused the call ({last.status} {last.kind}{said}); check its token.")
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
            f"the TLS certificate of {own or 'the router'} was not accepted; if a proxy of your company opens TLS, "
            "set SSL_CERT_FILE to its certificate."
        )
    if last.verdict is Verdict.FATAL or last.kind in {"unsupported_parameter", "too_large", "model_not_found"}:
        return RequestRejected(f"the request was rejected ({last.status} {last.kind}{said}); change it and call again.")
    tried = "no provider answered" if len(call.attempts) == 1 else f"all {len(call.attempts)} attempts failed"
    return RouteExhausted(
        f"{tried}, the last with {last.kind}{said}; try again later, or allow more providers or models in the policy."
    )

"""Carries out one attempt: sends it, reads it, judges it, accounts for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hfrouter.cost.budget import Refused
from hfrouter.result import Delta
from hfrouter.routing.commands import Done, Launch
from hfrouter.routing.target import Target
from hfrouter.routing.verdict import ANSWERED, FAILURES
from hfrouter.wire.call import Account, Call
from hfrouter.wire.http import Lane, Reply, WireFailure, enter
from hfrouter.wire.problem import PAYER
from hfrouter.wire.reader import Failed, Reader, read_error
from hfrouter.wire.request import Request

# A unary answer shows nothing until it is whole: 19.6 to 20.0 s were recorded for healthy ones. While another target is
# left it gets what a first content gets, or three times what its tokens should take, at 20 a second where nobody knows.
_UNARY_LEAST = 60.0
_UNARY_FACTOR = 3.0
_SLOW = 20.0


@dataclass(slots=True)
class Opened:
    """An answer that is read, or open from its commit on.

    Attributes:
        account: Settled when the answer is whole, else open.
        reader: Where the rest comes from.
        held: Deltas read before the commit.
    """

    account: Account
    reader: Reader
    held: deque[Delta] = field(default_factory=deque)

    async def aclose(self) -> None:
        """Account for an answer nobody will read, and close it."""
        self.account.settle_later(self.account.leaving)
        await self.reader.aclose()


class Chat:
    """Carries out the attempts of a chat call: the driver's `start`, to the end of an answer or to its commit.

    Args:
        request: Checked and encoded.
        url: Where the router is asked for chat completions.
    """

    def __init__(self, request: Request, url: str) -> None:
        self.request, self.url = request, url

    async def whole(self, call: Call, launch: Launch) -> Done:
        """Carry out an attempt to the end of its answer: a cut before that is an ordinary failure."""
        stream = self.request.upstream_stream(call.policy) and not launch.unary
        return await self._attempt(call, launch, stream=stream, to_the_end=True)

    async def until_commit(self, call: Call, launch: Launch) -> Done:
        """Carry out an attempt to its first meaningful content, and leave it open there."""
        return await self._attempt(call, launch, stream=not launch.unary, to_the_end=False)

    async def _attempt(self, call: Call, launch: Launch, *, stream: bool, to_the_end: bool) -> Done:
        headers = call.headers(self._url(launch.target))
        sent = {**self.request.body, "authorization": headers.get("authorization", "").partition(" ")[2]}
        sent[PAYER] = headers.get(PAYER)
        lane = await enter()
        account = Account(call, launch, streamed=stream)
        if self.request.needs.max_tokens is None:
            call.note("note", f"max_tokens {self.request.max_tokens_for(launch.target)} by default", launch.number)
        reply: Reply | None = None
        try:
            await call.writer.begin(account.entry, call.policy.deadline)
            first_by = asyncio.get_running_loop().time() + launch.first_content
            reply = await self._open(lane, account, headers, stream=stream, first_by=first_by)
            if reply.status >= 300:
                raise Failed(await read_error(reply, call.clock.wall(), sent))
            idle = self.request.idle(call.policy)
            reader = Reader(reply, idle, first_by, sent, choices=self.request.choices)
            opened = Opened(account, reader)
            account.reads(reader.assembly)
            if not stream:
                await self._read_unary(opened, launch)
            elif to_the_end:
                await _read_to_end(opened)
            if not to_the_end:
                await _read_to_commit(opened, call.policy.commit_on == "answer")
                return account.done(ANSWERED, opened)
            await account.settle(ANSWERED)
            await reader.aclose()
        except (Failed, WireFailure) as failure:
            return await failed(account, reply or lane, failure)
        except Refused as refusal:
            return await refused(account, lane, refusal)
        except BaseException:
            account.settle_later(account.leaving)
            await (reply or lane).aclose()
            raise
        return account.done(ANSWERED, opened)

    async def _open(
        self, lane: Lane, account: Account, headers: Mapping[str, str], *, stream: bool, first_by: float
    ) -> Reply:
        """Send, and wait for status and headers no longer than for the first content."""
        launch, policy = account.launch, account.call.policy
        content = self.request.bytes_for(launch.target, stream=stream)
        limit = first_by if stream else asyncio.get_running_loop().time() + self._unary_limit(launch)
        account.sent = True
        try:
            async with asyncio.timeout_at(limit):
                reply = await lane.send("POST", self._url(launch.target), headers, content, policy.connect)
        except TimeoutError:
            raise Failed.of("first_content_timeout" if stream else "answer_timeout") from None
        account.answered_by(reply.status, reply.headers)
        return reply

    def _url(self, target: Target) -> str:
        return f"{target.url}/chat/completions" if target.url else self.url

    def _unary_limit(self, launch: Launch) -> float:
        """Seconds a unary answer may take."""
        target, tokens = launch.target, self.request.max_tokens_for(launch.target)
        expected = (target.first_token_latency or 0.0) + tokens / (target.throughput or _SLOW)
        alone = launch.first_content >= launch.remaining
        return min(max(_UNARY_LEAST if alone else launch.first_content, _UNARY_FACTOR * expected), launch.remaining)

    async def _read_unary(self, opened: Opened, launch: Launch) -> None:
        limit = max(1.0, self._unary_limit(launch) - opened.account.seconds)
        try:
            async with asyncio.timeout(limit):
                await opened.reader.read_whole()
        except TimeoutError:
            raise Failed.of("answer_timeout") from None
        opened.account.content()
        _check(opened)


async def failed(account: Account, way: Reply | Lane, failure: Failed | WireFailure) -> Done:
    """End an attempt that failed: settle, close, report."""
    judgement = failure.judgement if isinstance(failure, Failed) else FAILURES[failure.kind]
    if isinstance(failure, WireFailure) and failure.kept:
        judgement = replace(judgement, kept=True)
    try:
        await account.settle(judgement)
    finally:
        await way.aclose()
    return account.done(judgement)


async def refused(account: Account, lane: Lane, refusal: Refused) -> Done:
    """Take back an attempt that a budget refuses: nothing was written, nothing is sent."""
    call = account.call
    call.refused = refusal
    call.accounts.remove(account)
    call.note("note", str(refusal), account.launch.number)
    await lane.aclose()
    return account.done(FAILURES["over_budget"])


async def _read_to_end(opened: Opened) -> None:
    while (delta := await opened.reader.next()) is not None:
        if delta.meaningful:
            opened.account.content()
    _check(opened)


async def _read_to_commit(opened: Opened, answer_only: bool) -> None:
    """Read to the first content that is more than blanks: those may yet turn out to be an empty answer."""
    while (delta := await opened.reader.next()) is not None:
        opened.held.append(delta)
        if delta.meaningful:
            opened.account.content()
        if delta.text.strip() or delta.tool_calls or (delta.reasoning.strip() and not answer_only):
            opened.reader.strict = False
            return
    _check(opened)


def _check(opened: Opened) -> None:
    """Refuse an answer that is whole but says nothing, or calls a tool without a name."""
    if opened.reader.assembly.nameless_call:
        raise Failed.of("malformed_tool_call")
    if opened.reader.assembly.empty:
        raise Failed.of("empty_answer")

"""Streams as callers hold them: `AsyncStream` on their own loop, `Stream` over the bridge.

Both are opened at their commit: when the call returns, the first content is here and no other target may answer.
Leaving a loop over one closes the upstream at once; so does dropping one that was never iterated.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self

from hfrouter.cost.price import Cost, Total
from hfrouter.cost.usage import Usage
from hfrouter.errors import HFRouterError
from hfrouter.result import Attempt, Completion, Delta
from hfrouter.routing.target import Target
from hfrouter.wire import bridge
from hfrouter.wire.ahead import Ahead
from hfrouter.wire.attempt import Opened
from hfrouter.wire.call import Call
from hfrouter.wire.flowing import Flowing, NotYours, drop


class _About:
    """What both kinds of stream can tell."""

    _flowing: Flowing

    def _tell(self) -> None:
        """Tell the router's hooks, on this thread, what there is to tell."""
        if (watch := self._flowing.call.watch) is not None:
            watch.flush()

    @property
    def target(self) -> Target:
        """The catalogue row that serves the stream."""
        return self._flowing.opened.account.target

    @property
    def provider(self) -> str:
        """Who serves the stream."""
        return self.target.provider

    @property
    def model(self) -> str:
        """The Hub repo id that answers."""
        return self.target.model

    @property
    def id(self) -> str:
        """The call's id in the ledger."""
        return self._flowing.call.id

    @property
    def usage(self) -> Usage | None:
        """Tokens, once the provider has reported them."""
        return self._flowing.opened.reader.assembly.usage

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts that have ended; at the end of the stream, all of them."""
        return self._flowing.call.attempts

    @property
    def cost(self) -> Cost | None:
        """What the answering attempt cost; None before the end."""
        attempt = self._flowing.opened.account.attempt
        return attempt.cost if attempt else None

    def explain(self) -> str:
        """The decisions of the call as text."""
        return self._flowing.call.journal.explain()

    def completion(self) -> Completion:
        """The whole answer, as `Router.chat` would have given it.

        Raises:
            HFRouterError: when the stream has not ended whole.
        """
        attempt = self._flowing.opened.account.attempt
        if attempt is None or not attempt.ok:
            raise HFRouterError("the stream has not ended; read it to its end first.")
        return completed(self._flowing.call, self._flowing.opened)


def completed(call: Call, opened: Opened) -> Completion:
    """The result of a call whose answer was read to its end."""
    attempt = opened.account.attempt
    assert attempt is not None  # noqa: S101 (settled when the answer was whole)
    return Completion(
        body=opened.reader.assembly.body(),
        target=opened.account.target,
        attempts=call.attempts,
        cost=attempt.cost,
        total=Total.of(a.cost for a in call.attempts),
        journal=call.journal,
        id=call.id,
        answer=attempt,
    )


class AsyncStream(_About):
    """A stream for asynchronous callers: iterate it, best inside `async with`.

    Raises while iterating:
        StreamInterrupted: it broke; nothing is replayed.
    """

    def __init__(self, call: Call, opened: Opened) -> None:
        self._flowing = Flowing(call, opened)
        self._dropped = weakref.finalize(self, drop, self._flowing)
        self._dropped.atexit = False

    async def __aiter__(self) -> AsyncIterator[Delta]:
        mine = True
        try:
            while (delta := await self._flowing.next()) is not None:
                yield delta
        except NotYours:
            mine = False  # somebody else's to close
            raise
        finally:
            if mine:
                await self.aclose()

    async def __anext__(self) -> Delta:
        delta = None
        try:
            delta = await self._flowing.next()
        finally:
            if delta is None:
                self._tell()
        if delta is None:
            raise StopAsyncIteration
        return delta

    async def aclose(self) -> None:
        """Close the upstream now."""
        try:
            await self._flowing.aclose()
        finally:
            self._tell()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AsyncStream from {self.target.id}>"


class Stream(_About):
    """A stream for synchronous callers: iterate it, best inside `with`.

    It is read ahead by at most 64 deltas on the bridge's thread.

    Raises while iterating:
        StreamInterrupted: it broke; nothing is replayed.
    """

    def __init__(self, call: Call, opened: Opened) -> None:
        """Runs on the bridge's loop."""
        self._flowing = Flowing(call, opened)
        self._ahead = Ahead(self._flowing)
        self._pid = os.getpid()
        self._dropped = weakref.finalize(self, _drop, self._ahead, self._flowing)
        self._dropped.atexit = False

    @classmethod
    def open(cls, make: Callable[[], Coroutine[Any, Any, tuple[Call, Opened]]]) -> Stream:
        """Open a stream on the bridge and wait for its first content."""

        async def opening() -> Stream:
            return cls(*await make())

        return bridge.run(opening)

    def __iter__(self) -> Iterator[Delta]:
        try:
            while (delta := self._next()) is not None:
                yield delta
        finally:
            self.close()

    def __next__(self) -> Delta:
        delta = self._next()
        if delta is None:
            raise StopIteration
        return delta

    def _next(self) -> Delta | None:
        if self._pid != os.getpid():
            raise HFRouterError("this stream belongs to the process that opened it; open one in this process.")
        delta = None
        try:
            delta = self._ahead.get()
        finally:
            if delta is None:
                self._tell()
        return delta

    def close(self) -> None:
        """Close the upstream now, and wait at most 0.5 s for its row to be written."""
        if self._pid == os.getpid() and self._dropped.alive:
            self._dropped()
            self._ahead.wait()
            self._tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Stream from {self.target.id}>"


def _drop(ahead: Ahead, flowing: Flowing) -> None:
    """Close the upstream of a stream that is left; what there is to tell, whoever calls next tells."""
    ahead.stop()
    if flowing.call.watch is not None:
        flowing.call.watch.leave()

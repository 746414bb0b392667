"""Streams as callers hold them: `AsyncStream` on their own loop, `Stream` over the bridge.

Both are opened at their commit: when the call returns, the first content is here and no other target may answer.
Leaving a loop over one closes the upstream at once; so does dropping one that was never iterated.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self

from hfrouter.cost.price import Cost, Total
from hfrouter.cost.usage import Usage
from hfrouter.errors import HFRouterError, StreamInterrupted
from hfrouter.result import Attempt, Completion, Delta
from hfrouter.routing.target import Target
from hfrouter.routing.verdict import ANSWERED, FAILURES
from hfrouter.wire import bridge
from hfrouter.wire.attempt import Opened
from hfrouter.wire.call import Call
from hfrouter.wire.reader import Failed

# Deltas read ahead of a synchronous reader: 1 us each in a burst, 17 to 19 us when pulled one by one (measured).
_AHEAD = 64


class _NotYours(HFRouterError):
    """The stream is being read by somebody else."""


class _Flowing:
    """The answer behind a stream: read, ended and accounted for exactly once."""

    def __init__(self, call: Call, opened: Opened) -> None:
        self.call, self.opened = call, opened
        self.loop = asyncio.get_running_loop()
        self.ended = self.closed = self.reading = False

    async def next(self) -> Delta | None:
        """The next delta; None at the end.

        Raises:
            _NotYours: another task is reading, or the stream belongs to another event loop.
        """
        if self.reading:
            raise _NotYours("another task is reading this stream; let one read, and share what it gives.")
        if asyncio.get_running_loop() is not self.loop:
            raise _NotYours("this stream belongs to another event loop; open one on this loop.")
        if self.opened.held:
            return self.opened.held.popleft()
        if self.ended:
            return None
        self.reading = True
        try:
            delta = await self.opened.reader.next()
        except Failed as failure:
            await self._end(failure)
            raise self._interrupted(failure) from None
        except asyncio.CancelledError:
            await self.aclose()
            raise
        finally:
            self.reading = False
        if delta is None:
            await self._end(None)
        return delta

    async def aclose(self) -> None:
        """Close the upstream; what was not read to the end is accounted for as abandoned."""
        self.abandon()
        self.closed = True
        await self.opened.reader.aclose()

    def abandon(self) -> None:
        """Account for a stream that is left before its end; callable from any thread."""
        if not self.ended:
            self.ended = True
            self.opened.held.clear()
            self.call.note("end", "the stream was left before its end")
            self.opened.account.settle_later(FAILURES["abandoned"])

    async def _end(self, failure: Failed | None) -> None:
        self.ended = self.closed = True
        account, reader = self.opened.account, self.opened.reader
        try:
            await account.settle(failure.judgement if failure else ANSWERED)
        finally:
            await reader.aclose()
        self.call.note("end", failure.judgement.kind if failure else "answered")

    def _interrupted(self, failure: Failed) -> StreamInterrupted:
        attempt, judgement = self.opened.account.attempt, failure.judgement
        said = f": {judgement.text}" if judgement.text else ""
        return StreamInterrupted(
            f"the stream broke after content was delivered ({judgement.kind}{said}); what came is in .partial, "
            "call again for a whole answer.",
            self.call.attempts,
            self.call.journal,
            partial=self.opened.reader.assembly.text,
            usage=self.opened.reader.assembly.usage,
            cost=attempt.cost if attempt else None,
        )


class _About:
    """What both kinds of stream can tell."""

    _flowing: _Flowing

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
    )


class AsyncStream(_About):
    """A stream for asynchronous callers: iterate it, best inside `async with`.

    Raises while iterating:
        StreamInterrupted: it broke; nothing is replayed.
    """

    def __init__(self, call: Call, opened: Opened) -> None:
        self._flowing = _Flowing(call, opened)
        self._dropped = weakref.finalize(self, _drop_async, self._flowing)
        self._dropped.atexit = False

    async def __aiter__(self) -> AsyncIterator[Delta]:
        mine = True
        try:
            while (delta := await self._flowing.next()) is not None:
                yield delta
        except _NotYours:
            mine = False  # somebody else's to close
            raise
        finally:
            if mine:
                await self._flowing.aclose()

    async def __anext__(self) -> Delta:
        delta = await self._flowing.next()
        if delta is None:
            raise StopAsyncIteration
        return delta

    async def aclose(self) -> None:
        """Close the upstream now."""
        await self._flowing.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AsyncStream from {self.target.id}>"


def _drop_async(flowing: _Flowing) -> None:
    """Account at once, since the loop may be about to end; close on the loop, while there is one.

    On its own thread the task is made at once: when `asyncio.run` ends, it is cancelled with all others, and the loop
    closes the connection itself. A task made during that would close it a second time.
    """
    flowing.abandon()
    if flowing.closed or flowing.loop.is_closed():
        return
    if asyncio._get_running_loop() is flowing.loop:
        _close_soon(flowing)
    else:
        flowing.loop.call_soon_threadsafe(_close_soon, flowing)


_closing: set[asyncio.Task[None]] = set()


def _close_soon(flowing: _Flowing) -> asyncio.Task[None]:
    """Close on the stream's own loop; the set keeps the task alive until it is done."""
    task = flowing.loop.create_task(flowing.aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)
    return task


class Stream(_About):
    """A stream for synchronous callers: iterate it, best inside `with`.

    It is read ahead by at most 64 deltas on the bridge's thread.

    Raises while iterating:
        StreamInterrupted: it broke; nothing is replayed.
    """

    def __init__(self, call: Call, opened: Opened) -> None:
        """Runs on the bridge's loop."""
        self._flowing = _Flowing(call, opened)
        self._ahead = _Ahead(self._flowing)
        self._pid = os.getpid()
        self._dropped = weakref.finalize(self, self._ahead.stop)
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
        return self._ahead.get()

    def close(self) -> None:
        """Close the upstream now, and wait at most 0.5 s for its row to be written."""
        if self._pid == os.getpid() and self._dropped.alive:
            self._dropped()
            self._ahead.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Stream from {self.target.id}>"


class _Ahead:
    """Reads a stream on the bridge's loop into a bounded buffer for a reader on another thread."""

    def __init__(self, flowing: _Flowing) -> None:
        self._flowing = flowing
        self._items: deque[Delta | BaseException | None] = deque()
        self._mutex = threading.Lock()
        self._arrived = threading.Lock()
        self._arrived.acquire()
        self._reading = threading.Lock()
        self._waiting = self._over = False
        self._room, self._full = asyncio.Event(), False
        self._ended = threading.Event()
        self._task = flowing.loop.create_task(self._read())
        self._task.add_done_callback(self._close)

    async def _read(self) -> None:
        try:
            while True:
                delta = await self._flowing.next()
                self._put(delta)
                if delta is None:
                    return
                if len(self._items) >= _AHEAD:
                    self._room.clear()
                    self._full = True  # from here on whoever takes an item makes room
                    if len(self._items) >= _AHEAD:
                        await self._room.wait()
                    self._full = False
        except BaseException as error:  # noqa: BLE001 (handed to the reader's thread, cancellation included)
            self._put(error)

    def _close(self, _: asyncio.Task[None]) -> None:
        """However the reading ended, even before it began: close the upstream, then say so."""
        _close_soon(self._flowing).add_done_callback(lambda _: self._ended.set())

    def _put(self, item: Delta | BaseException | None) -> None:
        with self._mutex:
            self._items.append(item)
            if self._waiting and self._arrived.locked():
                self._arrived.release()
            self._waiting = False

    def get(self) -> Delta | None:
        """The next delta; None at the end.

        Raises:
            HFRouterError: another thread is reading.
        """
        if not self._reading.acquire(blocking=False):
            raise HFRouterError("another thread is reading this stream; let one read, and share what it gives.")
        try:
            return self._get()
        finally:
            self._reading.release()

    def _get(self) -> Delta | None:
        if self._over:
            return None
        while True:
            with self._mutex:
                if self._items:
                    item = self._items.popleft()
                    break
                self._waiting = True
            self._arrived.acquire()
        if self._full and len(self._items) <= _AHEAD // 2:
            bridge.call_soon(self._room.set)
        if isinstance(item, Delta):
            return item
        self._over = True
        if isinstance(item, asyncio.CancelledError):
            return None
        if item is not None:
            raise item
        return None

    def stop(self) -> None:
        """Stop reading and close the upstream, from any thread; does not wait."""
        self._over = True
        bridge.call_soon(self._task.cancel)

    def wait(self) -> None:
        """Wait for the close, unless that would be on the loop that does it."""
        if not bridge.is_own_thread():
            self._ended.wait(bridge.GRACE)

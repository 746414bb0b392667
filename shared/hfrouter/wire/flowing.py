"""The answer behind a stream: read by one reader, ended and accounted for exactly once."""

from __future__ import annotations

import asyncio
import os

from hfrouter.errors import HFRouterError, StreamInterrupted
from hfrouter.result import Delta
from hfrouter.routing.verdict import ANSWERED, FAILURES
from hfrouter.wire.attempt import Opened
from hfrouter.wire.call import Call
from hfrouter.wire.reader import Failed


class NotYours(HFRouterError):
    """The stream is being read by somebody else."""


class Flowing:
    """The answer behind a stream: read, ended and accounted for exactly once."""

    def __init__(self, call: Call, opened: Opened) -> None:
        self.call, self.opened = call, opened
        self.loop, self.pid = asyncio.get_running_loop(), os.getpid()
        self.ended = self.closed = self.reading = False

    async def next(self) -> Delta | None:
        """The next delta; None at the end.

        Raises:
            NotYours: another task is reading, or the stream belongs to another event loop.
        """
        if self.reading:
            raise NotYours("another task is reading this stream; let one read, and share what it gives.")
        if asyncio.get_running_loop() is not self.loop:
            raise NotYours("this stream belongs to another event loop; open one on this loop.")
        if self.opened.held:
            return self.opened.held.popleft()
        if self.ended:
            return None
        self.reading, broke = True, None
        try:
            delta = await self.opened.reader.next()
        except Failed as failure:
            await self._end(failure)
            broke = self._interrupted(failure)
        except asyncio.CancelledError:
            await self.aclose()
            raise
        finally:
            self.reading = False
        if broke is not None:
            raise broke  # out here, without the failure: its frames hold what was read
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
            self._tell("abandoned")

    async def _end(self, failure: Failed | None) -> None:
        self.ended = self.closed = True
        account, reader = self.opened.account, self.opened.reader
        try:
            await account.settle(failure.judgement if failure else ANSWERED)
        finally:
            self._tell("interrupted", StreamInterrupted) if failure else self._tell("ok")
            await reader.aclose()
        self.call.note("end", failure.judgement.kind if failure else "answered")

    def _tell(self, outcome: str, error: type[Exception] | None = None) -> None:
        if self.call.watch is not None:
            self.call.watch.ended(outcome, error)

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


def drop(flowing: Flowing) -> None:
    """Account at once, since the loop may be about to end; close on the loop, while there is one.

    On its own thread the task is made at once: when `asyncio.run` ends, it is cancelled with all others, and the loop
    closes the connection itself. A task made during that would close it a second time.
    """
    if flowing.pid != os.getpid():  # after a fork it is the parent's to end
        return
    flowing.abandon()
    if flowing.call.watch is not None:
        flowing.call.watch.leave()
    if flowing.closed or flowing.loop.is_closed():
        return
    if asyncio._get_running_loop() is flowing.loop:
        close_soon(flowing)
    else:
        flowing.loop.call_soon_threadsafe(close_soon, flowing)


_closing: set[asyncio.Task[None]] = set()


def close_soon(flowing: Flowing) -> asyncio.Task[None]:
    """Close on the stream's own loop; the set keeps the task alive until it is done."""
    task = flowing.loop.create_task(flowing.aclose())
    _closing.add(task)
    task.add_done_callback(_closing.discard)
    return task

"""Reads one answer as it arrives: deltas, timers, and whether it ended whole."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hfrouter.result import Delta
from hfrouter.routing.verdict import FAILURES, Judgement, Verdict, judge
from hfrouter.wire.assemble import Assembly
from hfrouter.wire.http import Reply, WireFailure
from hfrouter.wire.problem import problem_of, read_problem, texts_of
from hfrouter.wire.sse import ErrorEvent, EventTooLarge, SSEDecoder

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
# Once a finish_reason was seen the answer is whole; usage and [DONE] may follow, and some servers hold the line open.
_AFTER_FINISH = 2.0
_END_OF_BODY = 0.05
# Finish reasons that say the answer was given up: vLLM and SGLang, OpenRouter-style routers, DeepSeek.
_BROKEN_OFF = ("abort", "error", "cancelled", "insufficient_system_resource")
_BLANK = b" \t\r\n\xef\xbb\xbf"  # the last three are a byte order mark
_ERROR_BODY_SECONDS = 5.0


class Failed(Exception):  # carries a judgement to the driver, not an error of the tree
    """An attempt failed."""

    def __init__(self, judgement: Judgement) -> None:
        super().__init__(judgement.kind)
        self.judgement = judgement

    @classmethod
    def of(cls, kind: str, words: str = "") -> Failed:
        """A failure without an error answer, by its kind, perhaps with words of our own."""
        failure = FAILURES[kind]
        return cls(replace(failure, text=words) if words else failure)


class Reader:
    """An answer with a 2xx status, read delta by delta.

    Timers run only inside `next()`, count content and not bytes, and end by themselves.

    Args:
        reply: Status and headers are here.
        idle: Seconds between two content events.
        first_by: Loop time by which the first content must be here.
        messages: Of the request, so that an error inside the answer cannot repeat them.
        choices: How many were asked for.
        strict: Nothing was delivered yet: fail at once, also on an event that is not JSON. Else what came before a
            failure is delivered first, and one event of plain text is skipped.
    """

    def __init__(
        self, reply: Reply, idle: float, first_by: float, messages: object, *, choices: int = 1, strict: bool = True
    ) -> None:
        self.assembly = Assembly(choices)
        self.strict = strict
        self.started = False
        self.ended = self._whole = self._closing = False
        self._reply = reply
        self._pieces = reply.pieces()
        self._decoder = SSEDecoder()
        self._ready: deque[Delta] = deque()
        self._idle, self._first_by, self._finish_by = idle, first_by, 0.0
        self._opening = True
        self._failure: Failed | None = None
        self._messages = messages
        self._events = self._skipped = self._size = 0

    async def next(self) -> Delta | None:
        """The next delta; None at the end of a whole answer.

        Raises:
            Failed: the answer is cut, stalled, broken or an error.
        """
        if self._ready:
            return self._ready.popleft()
        if self._failure is not None:
            raise self._failure
        if self.ended:
            return None
        lost = ""
        try:
            async with asyncio.timeout_at(self._limit()):
                while not self._ready and not self.ended:
                    await self._read()
        except TimeoutError:
            lost = "idle_timeout" if self.started else "first_content_timeout"
        except WireFailure as failure:
            lost = failure.kind
        except Failed as failure:
            self._failure = failure
        # Raised out here, so that nothing the HTTP client raised hangs on our errors: it holds the request and the key.
        if lost and not self.assembly.finished:
            raise Failed.of(lost)
        if lost:
            self._end()
        if self._failure is not None and (self.strict or not self._ready):
            raise self._failure
        return self._ready.popleft() if self._ready else None

    def _limit(self) -> float:
        """Loop time by which something must come; after the finish reason one moment for all that may follow."""
        if not self.started:
            return self._first_by
        now = asyncio.get_running_loop().time()
        if not self.assembly.finished:
            return now + self._idle
        self._finish_by = self._finish_by or now + _AFTER_FINISH
        return self._finish_by

    async def read_whole(self, start: bytes = b"") -> None:
        """Read a unary answer: one JSON object, or a stream that came all the same.

        Args:
            start: Of the body, where it was read already.

        Raises:
            Failed: it is none, or an error.
        """
        body = bytearray(start)
        try:
            async for piece in self._pieces:
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    raise Failed.of("answer_too_large")
        except WireFailure as failure:
            raise Failed.of(failure.kind) from failure
        event = _parse(bytes(body))
        if event is None and body.lstrip(_BLANK).startswith((b"data:", b"event:", b":")):
            self._decode(bytes(body))
            if not self.ended:
                self._close_stream()
            return
        if event is None:
            raise Failed.of("cut" if body.lstrip()[:1] == b"{" else "not_an_answer")
        self._take(event)
        if not self._events:
            raise Failed.of("not_an_answer")
        self._end()

    async def aclose(self) -> None:
        """Close the connection, once; after a whole answer, leave it to the next request."""
        self.ended = True
        if self._closing:
            return
        self._closing = True
        try:
            await self._drain()
        finally:
            self._closing = False
            await self._reply.aclose()

    async def _drain(self) -> None:
        if self._whole:
            # The end of the body follows [DONE] in the same breath; unread, it would cost the next call a connection.
            with contextlib.suppress(TimeoutError, WireFailure):
                async with asyncio.timeout(_END_OF_BODY):
                    async for _ in self._pieces:
                        pass

    async def _read(self) -> None:
        if self._opening and "html" in self._reply.headers.get("content-type", ""):
            raise Failed.of("not_an_answer")
        piece = await anext(self._pieces, None)
        if piece is None:
            self._close_stream()
            return
        self._size += len(piece)
        if self._size > MAX_BODY_BYTES:
            raise Failed.of("answer_too_large")
        if self._opening and (start := piece.lstrip(_BLANK)):
            # Content types are wrong often enough: the first byte tells an object and a page from a stream.
            self._opening = False
            if start.startswith(b"<"):
                raise Failed.of("not_an_answer")
            if start.startswith(b"{"):
                await self.read_whole(start)
                return
        self._decode(piece)

    def _decode(self, piece: bytes) -> None:
        try:
            for data in self._decoder.feed(piece):
                self._event(data)
                if self.ended:
                    return
        except EventTooLarge:
            raise Failed.of("answer_too_large") from None

    def _close_stream(self) -> None:
        for data in self._decoder.close():
            self._event(data)
        if not self.ended:
            if not self.assembly.finished:
                raise Failed.of("cut" if self._events else "not_an_answer")
            self._end()

    def _event(self, data: str) -> None:
        event = _parse(data)
        if type(data) is ErrorEvent:
            raise self._error(event if event is not None else {"error": str(data)})
        if event is not None:
            self._take(event)
        elif (words := data.strip()) == "[DONE]":
            if not self._events:
                raise Failed.of("empty_answer")
            self.assembly.finished = True
            self._end()
        elif words:
            # One line of noise in a stream that was shown is skipped; half an object is content that was lost.
            self._skipped += 1
            if self.strict or self._skipped > 1 or words.startswith("{"):
                raise Failed.of("malformed_event")

    def _take(self, event: Mapping[str, Any]) -> None:
        if _is_error(event):
            raise self._error(event)
        for choice in _list(event.get("choices")):
            if isinstance(choice, dict) and (choice.get("error") or choice.get("finish_reason") in _BROKEN_OFF):
                raise self._error(choice) if choice.get("error") else Failed.of("cut")
        if event.get("choices") or event.get("usage"):
            self._events += 1
        try:
            deltas = self.assembly.feed(event)
        except RecursionError:
            raise Failed.of("malformed_event") from None
        if deltas:
            self._ready.extend(deltas)
            self.started = True

    def _error(self, event: Mapping[str, Any]) -> Failed:
        """The failure an event tells of, in words that repeat neither the request nor the answer so far."""
        answer = texts_of((event.get("choices"), self.assembly.body().get("choices")))
        return Failed(judge(problem_of(event, None, (*texts_of(self._messages), *answer))))

    def _end(self) -> None:
        self._ready.extend(self.assembly.close())
        self.ended = self._whole = True
        if self.assembly.nameless_call:
            self._failure = Failed.of("malformed_tool_call")


async def read_error(reply: Reply, now: float, messages: object) -> Judgement:
    """Judge an answer with an error status, reading no more of its body than 64 kB and 5 s.

    Args:
        reply: Status and headers are here.
        now: Wall-clock seconds since 1970, for dates in `Retry-After`.
        messages: Of the request, so that the error cannot repeat them.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(_ERROR_BODY_SECONDS):
            async for piece in reply.pieces():
                body += piece
                if len(body) >= MAX_ERROR_BYTES:
                    break
    except (TimeoutError, WireFailure):
        pass  # the status alone is enough to judge
    problem = read_problem(reply.status, reply.headers, bytes(body[:MAX_ERROR_BYTES]), now, texts_of(messages))
    judgement = judge(problem)
    # The header of OpenAI's servers and SDK. Its `true` is left to our own rules, which know the budget of a call.
    if judgement.verdict is Verdict.RETRY and reply.headers.get("x-should-retry", "").strip().lower() == "false":
        return replace(judgement, verdict=Verdict.FALLBACK)
    return judgement


def _parse(data: str | bytes) -> Mapping[str, Any] | None:
    """A JSON object, or None."""
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_error(event: Mapping[str, Any]) -> bool:
    """Whether an event is an error: by its key, its name, or by having words where choices should be."""
    if event.get("error") or event.get("object") == "error" or event.get("type") == "error":
        return True
    return "choices" not in event and isinstance(event.get("message") or event.get("detail"), (str, Sequence))

"""Writes an answer to the client, healthy or with a scripted fault."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from hfrouter.simulator.answer import Answer
from hfrouter.simulator.connection import ClientLeft, Connection
from hfrouter.simulator.fault import Fault
from hfrouter.simulator.personality import Chunk, Generation, Personality
from hfrouter.simulator.refusal import compact
from hfrouter.simulator.state import Pace

_WELL = Fault("none")
_BREAKS = ("cut_before_content", "cut_after", "stall_after", "error_event")


class Delivery:
    """One answer on its way.

    Args:
        connection: Where to.
        personality: Who writes.
        generation: What is written.
        headers: The complete response headers but the content type and length.
        fault: What goes wrong; None for nothing.
        pace: How fast.
        note: Called with changes for the log, always before the bytes they describe are sent.
    """

    def __init__(
        self,
        connection: Connection,
        personality: Personality,
        generation: Generation,
        headers: dict[str, str],
        fault: Fault | None,
        pace: Pace,
        note: Callable[..., None],
    ) -> None:
        self._connection = connection
        self._personality = personality
        self._generation = _emptied(generation) if fault is not None and fault.name == "empty_answer" else generation
        self._headers = headers
        self._fault = fault or _WELL
        self._pace = pace
        self._note = note
        self._produced = 0
        self._reasoned = 0
        self._visible = 0

    # --- streamed --------------------------------------------------------------------------------------------------

    async def stream(self) -> None:
        """Write the answer as server-sent events."""
        await self._before_headers()
        self._bill()
        self._note(status=200)
        await self._connection.start(200, {**self._headers, "content-type": self._personality.stream_type})
        if self._fault.name == "keep_alive_comments":
            return await self._comments(b": keep-alive\n\n")
        try:
            await self._events()
        except ClientLeft:
            self._bill()
            raise

    async def _events(self) -> None:
        waiting, breaking = True, self._fault.name in _BREAKS
        for number, chunk in enumerate(self._chunks(), 1):
            if breaking and self._reached(chunk):
                breaking = False
                if await self._break():
                    return None
            if chunk.kind != "role" and waiting:
                waiting = False
                await self._connection.wait(self._pace.latency + self._seconds("slow_first_token"))
            await self._connection.wait(self._pace.of(chunk.tokens))
            self._count(chunk)
            event = _event(self._shown(chunk))
            if self._fault.name == "malformed_event" and number == self._fault.options["at"]:
                await self._connection.write(_broken(event))
            await self._connection.write(event)
        self._bill()
        self._note(finished=True)
        ends = self._personality.done and self._fault.name not in ("no_done", "no_finish")
        return await self._connection.end(b"data: [DONE]\n\n" if ends else b"")

    def _chunks(self) -> Iterator[Chunk]:
        """Yield the chunks that the fault leaves."""
        for chunk in self._personality.chunks(self._generation):
            if self._fault.name == "no_finish" and chunk.kind in ("finish", "usage"):
                continue
            if self._fault.name == "no_usage" and chunk.kind == "usage":
                continue
            yield chunk

    def _shown(self, chunk: Chunk) -> dict[str, Any]:
        data = chunk.data
        if self._fault.name == "no_usage":
            data = _without_usage(data)
        if self._fault.name == "running_usage":
            usage = self._personality.usage(self._generation.produced(self._produced, self._reasoned))
            data = {**data, "usage": usage}
        return data

    def _count(self, chunk: Chunk) -> None:
        self._produced += chunk.tokens
        self._visible += chunk.tokens if chunk.visible else 0
        self._reasoned += chunk.tokens if chunk.kind == "reasoning" else 0

    def _reached(self, coming: Chunk) -> bool:
        """Whether the break comes before this chunk: at its token, or at the latest before the finish."""
        options = self._fault.options
        wanted = int(options.get("tokens", options.get("after", 0)))
        if wanted == 0:
            return coming.kind != "role"
        return self._visible >= wanted or coming.kind in ("finish", "usage")

    async def _break(self) -> bool:
        """Do what the fault says at its token. Returns whether the answer is over."""
        self._bill()
        if self._fault.name == "error_event":
            self._note(finished=True)
            await self._connection.end(_event(self._error()))
            return True
        if self._fault.name == "stall_after":
            await self._connection.wait(self._fault.options["seconds"])
            if self._fault.options["resume"]:
                return False
        await self._connection.drop()
        return True

    # --- unary -----------------------------------------------------------------------------------------------------

    async def unary(self) -> None:
        """Write the answer as one JSON body."""
        await self._before_headers()
        body = compact(self._whole())
        if self._fault.name == "malformed_event":
            body = body[: len(body) // 2]
        headers = {**self._headers, "content-type": self._personality.unary_type}
        if self._fault.name == "keep_alive_comments":
            self._note(status=200)
            await self._connection.start(200, headers)
            return await self._comments(b" ")
        seconds = self._pace.latency + self._pace.of(self._generation.completion_tokens)
        await self._connection.wait(seconds + self._seconds("slow_first_token"))
        self._produced = self._generation.completion_tokens
        if self._fault.name != "error_event":
            self._bill()
        self._note(status=200)
        await self._connection.start(200, {**headers, "content-length": str(len(body))})
        if self._fault.name in _BREAKS and self._fault.name != "error_event":
            share = self._share(len(body))
            await self._connection.write(body[:share])
            if await self._break():
                return None
            body = body[share:]
        self._note(finished=True)
        return await self._connection.end(body)

    def _whole(self) -> dict[str, Any]:
        if self._fault.name == "error_event":
            return self._error()
        body = self._personality.body(self._generation)
        if self._fault.name == "no_usage":
            return _without_usage(body)
        if self._fault.name == "no_finish":
            body = {**body, "choices": [{**choice, "finish_reason": None} for choice in body["choices"]]}
        return body

    def _share(self, size: int) -> int:
        """Return how many bytes go out before the break: the share its tokens have of the whole, never all."""
        wanted = int(self._fault.options.get("tokens", 0))
        total = max(1, sum(answer.visible_tokens for answer in self._generation.answers))
        return min(size - 1, math.floor(size * wanted / total))

    # --- both ------------------------------------------------------------------------------------------------------

    async def _before_headers(self) -> None:
        await self._connection.wait(self._seconds("slow_headers"))

    def _seconds(self, fault: str) -> float:
        return float(self._fault.options["seconds"]) if self._fault.name == fault else 0.0

    async def _comments(self, comment: bytes) -> None:
        left = float(self._fault.options["seconds"])
        while left > 0:
            await self._connection.write(comment)
            pause = min(left, float(self._fault.options["every"]))
            await self._connection.wait(pause)
            left -= pause
        await self._connection.drop()

    def _error(self) -> dict[str, Any]:
        message, family = self._fault.options["message"], self._fault.options["family"]
        if family == "string":
            return {"error": message, "error_type": "overloaded"}
        return {"error": {"message": message, "type": "server_error", "param": None, "code": None}}

    def _bill(self) -> None:
        """Note what was produced so far; it is what will be charged."""
        prompt = self._generation.prompt_tokens
        usage = {"prompt_tokens": prompt, "completion_tokens": self._produced, "total_tokens": prompt + self._produced}
        self._note(usage=usage)


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + compact(data) + b"\n\n"


def _broken(event: bytes) -> bytes:
    """Return an event whose JSON ends in the middle."""
    return event[: len(event) // 2].rstrip() + b"\n\n"


def _without_usage(data: dict[str, Any]) -> dict[str, Any]:
    data = {key: value for key, value in data.items() if key != "usage"}
    if isinstance(data.get("x_groq"), dict):
        data["x_groq"] = {key: value for key, value in data["x_groq"].items() if key != "usage"}
    return data


def _emptied(generation: Generation) -> Generation:
    return replace(generation, answers=tuple(Answer("", "", (), "stop") for _ in generation.answers))

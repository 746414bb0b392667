"""A raw TCP server that misbehaves exactly as a script says: bytes, pauses, cuts and resets, for some providers.

It knows nothing of HTTP beyond what it must read a request. Each run has a base URL of its own on the one server, a
small catalogue there, and a script that the faulty providers follow while the others answer rightly.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import struct
import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

KEY = "hf_KEYcanary4e1b7d"
PROMPT = "PROMPTcanary-c05d: what is 17 * 23?"
RIGHT = "It is 391, ANSWERcanary-9a2f."
HALF = "It is ANSWERcanary-77"
CANARIES = ("KEYcanary", "PROMPTcanary", "ANSWERcanary")
MODEL = "org/m"
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
_LIFE = 30.0  # of a connection, in seconds: nothing here outlives a test by more


class Gate(Enum):
    """A step that is no bytes."""

    COMMIT = "wait until the caller holds the first content"


Step = bytes | float | Gate


@dataclass(frozen=True)
class Script:
    """What a provider sends.

    Attributes:
        steps: Bytes as they are, pauses in seconds, or the gate.
        forever: Sent again and again after the steps, until the other side leaves.
        then: After the steps: `close` the connection, `reset` it, `hold` it open, or `keep` it for another request.
    """

    steps: Iterable[Step] = ()
    forever: tuple[Step, ...] = ()
    then: Literal["close", "reset", "hold", "keep"] = "close"


# A connection that a script closes is announced as such, so that no fault reaches into the next request.
CLOSE = "connection: close"
KEEP = "connection: keep-alive"


def http(
    body: bytes | object = b"",
    status: int = 200,
    kind: str | None = "application/json",
    *more: str,
    length: int = -1,
    connection: str = CLOSE,
) -> bytes:
    """An answer with a content length, a wrong one where asked; an object is sent as JSON, `more` are header lines."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} As Told", f"content-length: {len(raw) if length < 0 else length}", *more, connection]
    lines += [f"content-type: {kind}"] if kind else []
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + raw


def head(kind: str = "text/event-stream", connection: str = CLOSE) -> bytes:
    """Status and headers of an answer in HTTP chunks."""
    lines = ["HTTP/1.1 200 OK", f"content-type: {kind}", "transfer-encoding: chunked", connection]
    return "\r\n".join([*lines, "", ""]).encode()


def framed(*pieces: Step) -> tuple[Step, ...]:
    """Pieces as HTTP chunks; pauses stay."""
    return tuple(b"%x\r\n%b\r\n" % (len(p), p) if isinstance(p, bytes) else p for p in pieces)


LAST = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def event(data: object, name: str = "") -> bytes:
    """A server-sent event; bytes are sent as they are, anything else as JSON."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return (f"event: {name}\n" if name else "").encode() + b"data: " + raw + b"\n\n"


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of a streamed completion."""
    delta = {} if text is None else {"content": text}
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "model": "served",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    } | more


def whole(content: Any = RIGHT, finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    """A unary completion."""
    return {
        "id": "c1",
        "object": "chat.completion",
        "model": "served",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content} | message}
        ],
        "usage": USAGE,
    }


STOP = event(chunk(finish="stop"))
COUNTED = event(chunk(choices=[], usage=USAGE))
HEALTHY_STREAM = Script((head(connection=KEEP), *framed(event(chunk(RIGHT)), STOP, COUNTED, DONE), LAST), then="keep")
HEALTHY = Script((http(whole(), connection=KEEP),), then="keep")


def catalogue(providers: Collection[str]) -> dict[str, Any]:
    """A `/v1/models` body: one model, its providers priced alike."""
    rows = [{"provider": p, "status": "live", "pricing": {"input": 1, "output": 2}} for p in providers]
    return {"object": "list", "data": [{"id": MODEL, "providers": rows}]}


@dataclass
class Run:
    """One call's world.

    Attributes:
        base_url: For `Router`.
        script: What the faulty providers follow.
        faulty: Who they are.
        healthy: Numbers of the requests, from 1, that are answered rightly whoever is asked.
        asked: Providers in the order they were asked.
        gate: Opened when the caller holds the first content.
    """

    base_url: str
    script: Script
    faulty: Collection[str]
    providers: Collection[str]
    healthy: Collection[int] = ()
    asked: list[str] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def answer(self, method: str, body: bytes) -> Script:
        """What to send for a request."""
        if method == "GET":
            return Script((http(catalogue(self.providers), connection=KEEP),), then="keep")
        request = json.loads(body)
        provider = str(request["model"]).partition(":")[2]
        self.asked.append(provider)
        if provider in self.faulty and len(self.asked) not in self.healthy:
            return self.script
        return HEALTHY_STREAM if request.get("stream") else HEALTHY


class FaultServer:
    """The server, on a thread and a loopback port of its own.

    Attributes:
        port: Where it listens.
        strays: Requests that belong to no run: a followed redirect, say.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._runs: dict[str, Run] = {}
        self._numbers = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self.strays: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._live, daemon=True, name="faults")
        self._thread.start()

    def run(
        self, script: Script, faulty: Collection[str] = ("first",), providers: Collection[str] = ("first", "second")
    ) -> Run:
        """A world in which these providers follow the script."""
        key = f"r{next(self._numbers)}"
        made = self._runs[key] = Run(f"http://127.0.0.1:{self.port}/{key}/v1", script, faulty, providers)
        return made

    def close(self) -> None:
        """Stop listening, cut every connection, end the thread."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(5)
        self._thread.join(5)

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._connected, sock=self._listening, limit=2**20)
        )
        self._loop.run_forever()
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._loop.call_soon(self._loop.stop)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(_LIFE):
                    while await self._exchange(reader, writer):
                        pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read a request and follow its script; whether the connection may serve another."""
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        run = self._runs.get(path.split("/")[1])
        if run is None or not path.endswith(("/v1/models", "/v1/chat/completions")):
            self.strays.append(f"{method} {path}")
            return False
        script = run.answer(method, body)
        for step in script.steps:
            await self._take(step, run, writer)
        while script.forever:
            for step in script.forever:
                await self._take(step, run, writer)
        if script.then == "hold":
            await reader.read()
        if script.then == "reset":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        return script.then == "keep"

    async def _take(self, step: Step, run: Run, writer: asyncio.StreamWriter) -> None:
        if isinstance(step, bytes):
            writer.write(step.replace(b"@PORT@", str(self.port).encode()))
            await writer.drain()
        elif isinstance(step, float):
            await asyncio.sleep(step)
        else:
            while not run.gate.is_set():  # noqa: ASYNC110 (it is set on another thread)
                await asyncio.sleep(0.005)


@contextlib.contextmanager
def serving() -> Iterator[FaultServer]:
    """A server for as long as it is needed."""
    server = FaultServer()
    try:
        yield server
    finally:
        server.close()

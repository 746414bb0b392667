"""A raw server in the place of the Hugging Face router, whose providers play scripts: faults first, then health.

It shares nothing with the simulator or the product. Times in an act are those of the scenario; the server multiplies
them by its pace, so that a minute of a scenario need not be a minute of anybody's life.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.wire.replay import DONE, catalogue, chunk, event, usage

WORDS = tuple(f"word{number:02d}" for number in range(1, 61))
TOKENS = (WORDS[0], *(f" {word}" for word in WORDS[1:]))
ANSWER = "".join(TOKENS)

MODEL, SPARE = "org/first-8b", "org/spare-70b"
PRIMARY, FALLBACK = f"{MODEL}:alpha", f"{MODEL}:beta"
LARGER = f"{SPARE}:gamma"
_PRICE = {"pricing": {"input": 0.5, "output": 1.5}}
LISTING = catalogue(
    (PRIMARY, {"context_length": 8192, **_PRICE}),
    (FALLBACK, {"context_length": 8192, **_PRICE}),
    (LARGER, {"context_length": 131072, **_PRICE}),
)


@dataclass(frozen=True)
class Act:
    """What a provider does with one request. The default is the whole answer.

    Attributes:
        status: HTTP status.
        error: The body of an answer with an error status.
        headers: Of the answer, beside its framing.
        reset: The connection is reset before any byte.
        silent: Seconds without a byte before the connection is closed.
        late: Seconds from the headers to the first token.
        tokens: How many come; after fewer than all the connection ends, without a terminator.
        hold: Seconds of silence after these tokens.
        broken: Before the event of this number (from 1) comes one that is no JSON,
        noise: which is this.
        done: Whether `[DONE]` ends the answer.
    """

    status: int = 200
    error: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: bool = False
    silent: float = 0.0
    late: float = 0.0
    tokens: int = len(TOKENS)
    hold: float = 0.0
    broken: int = 0
    noise: str = "upstream buffer flushed"
    done: bool = True


HEALTHY = Act()


def refusing(status: int, message: str, code: str = "", **headers: str) -> Act:
    """An error answer."""
    error = {"error": {"message": message, "type": "invalid_request_error", "code": code or None}}
    return Act(status, error, {name.replace("_", "-"): value for name, value in headers.items()})


@dataclass
class Asked:
    """A chat request.

    Attributes:
        target: `model:provider`, as asked for.
        at: Scenario seconds after the start.
        body: As parsed.
        end: `whole` when everything was sent, `ended` when the script ended the connection, `left` when the other side
            closed it; empty while it is being answered.
    """

    target: str
    at: float
    body: Mapping[str, Any]
    end: str = ""


# What a provider does with its n-th request, from 1.
Script = Callable[[int, Asked], Act]


def always(act: Act) -> Script:
    return lambda _number, _asked: act


def once(act: Act) -> Script:
    return lambda number, _asked: act if number == 1 else HEALTHY


def until(second: float, act: Act) -> Script:
    return lambda _number, asked: act if asked.at < second else HEALTHY


class Upstream:
    """The server: a loopback port of its own, one thread for each connection.

    Args:
        scripts: By target; a target without one is healthy.
        pace: Real seconds for a second of the scenario.
        now: The clock of `Asked.at`, in real seconds.
        between: Real seconds between two tokens.
    """

    def __init__(
        self,
        scripts: Mapping[str, Script] | None = None,
        *,
        pace: float = 1.0,
        now: Callable[[], float] = time.monotonic,
        between: float = 0.0,
    ) -> None:
        self.asked: list[Asked] = []
        self._scripts = dict(scripts or {})
        self._pace, self._now, self._between = pace, now, between
        self._began = now()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.base_url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Upstream:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def of(self, target: str) -> list[Asked]:
        """The requests to a target."""
        return [asked for asked in self.asked if asked.target == target]

    def settled(self, seconds: float = 3.0) -> list[str]:
        """How all requests ended, once none is being answered; waits so long at most."""
        until = time.monotonic() + seconds
        while not all(asked.end for asked in self.asked) and time.monotonic() < until:
            time.sleep(0.002)
        return [asked.end for asked in self.asked]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, connection.makefile("rb") as reader, contextlib.suppress(OSError, ValueError):
            while (request := _read(reader)) is not None:
                path, body = request
                if path.endswith("/models"):
                    connection.sendall(_whole(200, LISTING))
                elif not self._answer(connection, json.loads(body)):
                    break
        with self._lock:
            self._open.discard(connection)

    def _answer(self, connection: socket.socket, body: Mapping[str, Any]) -> bool:
        """Play the act; whether the connection may serve another request."""
        with self._lock:
            asked = Asked(body["model"], (self._now() - self._began) / self._pace, body)
            self.asked.append(asked)
            number = len(self.of(asked.target))
        act = self._scripts.get(asked.target, always(HEALTHY))(number, asked)
        try:
            whole = self._play(connection, act)
        except OSError:
            asked.end = "left"
            return False
        asked.end = "whole" if whole else "ended"
        return whole

    def _play(self, connection: socket.socket, act: Act) -> bool:
        if act.silent:
            self._pause(connection, act.silent)
        if act.reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if act.silent or act.reset:
            return False
        if act.status != 200:
            connection.sendall(_whole(act.status, act.error, act.headers))
            return True
        connection.sendall(_head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}))
        if act.late:
            self._pause(connection, act.late)
        for number, part in enumerate(_events(act), 1):
            if number == act.broken:
                connection.sendall(_framed(event(act.noise)))
            connection.sendall(_framed(part))
            if self._between:
                self._pause(connection, self._between / self._pace)
        if act.hold:
            self._pause(connection, act.hold)
        if act.tokens < len(TOKENS):
            return False
        connection.sendall(_framed(DONE if act.done else b"") + b"0\r\n\r\n")
        return True

    def _pause(self, connection: socket.socket, seconds: float) -> None:
        """Wait, but no longer than the other side stays.

        Raises:
            ConnectionResetError: it has left.
        """
        readable, _, _ = select.select([connection], [], [], seconds * self._pace)
        if readable and not connection.recv(1, socket.MSG_PEEK):
            raise ConnectionResetError


def _events(act: Act) -> Iterator[bytes]:
    yield from (chunk(token) for token in TOKENS[: act.tokens])
    if act.tokens == len(TOKENS):
        yield chunk(finish="stop")
        yield event({"id": "c1", "model": "served", "choices": [], "usage": usage(12, len(TOKENS))})


def _read(reader: Any) -> tuple[str, bytes] | None:
    first = reader.readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    length = 0
    while line := reader.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        length = int(value) if name.lower() == "content-length" else length
    return first[1], reader.read(length)


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} As Told", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _whole(status: int, body: object, headers: Mapping[str, str] | None = None) -> bytes:
    raw = json.dumps(body).encode()
    kind = {"content-type": "application/json", "content-length": str(len(raw))}
    return _head(status, kind | dict(headers or {})) + raw


def _framed(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""

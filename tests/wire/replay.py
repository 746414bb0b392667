"""A raw TCP server that answers exactly what a test says, byte for byte, and keeps what it was asked.

It knows nothing of HTTP beyond what it must read a request: the answers, right or broken, are the test's own.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}
DONE = b"data: [DONE]\n\n"


def event(data: object, *, name: str = "") -> bytes:
    """An SSE event; text is sent as it is, anything else as JSON."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def chunk(content: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    """An event with one choice."""
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta | more.pop("delta", {}), "finish_reason": finish}
    return event({"id": "c1", "model": "served", "choices": [choice]} | more)


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def whole(content: str | None = "Hello", finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A unary answer."""
    return {
        "id": "c1",
        "object": "chat.completion",
        "model": "served",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content} | message}
        ],
        "usage": usage(3, 2),
    }


@dataclass(frozen=True)
class Answer:
    """What is sent.

    Attributes:
        pieces: Sent one by one, bytes as they are; a number is a pause in seconds. May be endless.
        status: HTTP status.
        headers: Sent as they are; framing is added.
        framing: `chunked`, `length` (as large as the pieces), or `close` (the end of the connection is the end).
        then: After the pieces: `end` as HTTP wants it, `cut` the connection, `reset` it, or `hold` it open.
    """

    pieces: Iterable[bytes | float] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: SSE)
    framing: Literal["chunked", "length", "close"] = "chunked"
    then: Literal["end", "cut", "reset", "hold"] = "end"

    @classmethod
    def stream(cls, *pieces: bytes | float, **more: Any) -> Answer:
        return cls(pieces, **more)

    @classmethod
    def json(cls, body: object, status: int = 200, **more: Any) -> Answer:
        return cls((json.dumps(body).encode(),), status, JSON, "length", **more)

    @classmethod
    def text(cls, body: bytes, status: int = 200, kind: str = "text/plain") -> Answer:
        return cls((body,), status, {"content-type": kind}, "length")


def cut_up(body: bytes, how: Literal["whole", "bytes", "random"], seed: int = 0) -> list[bytes]:
    """A body in pieces: one, one for each byte, or of random sizes."""
    if how == "whole":
        return [body] if body else []
    if how == "bytes":
        return [body[i : i + 1] for i in range(len(body))]
    rng, pieces, at = random.Random(seed), [], 0
    while at < len(body):
        size = rng.choice((1, 2, 3, 7, 40, 300, 3000))
        pieces.append(body[at : at + size])
        at += size
    return pieces


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    header_lines: tuple[str, ...]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in self.header_lines)}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def catalogue(*rows: str | tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A `/v1/models` body from `org/name:provider`, perhaps with facts about the row."""
    models: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        name, facts = (row, {}) if isinstance(row, str) else row
        model, _, provider = name.partition(":")
        models.setdefault(model, []).append({"provider": provider, "status": "live", **facts})
    return {"object": "list", "data": [{"id": name, "providers": rows} for name, rows in models.items()]}


class Place:
    """A router of its own on the shared server: a base URL with a catalogue and the answers to chat requests.

    Attributes:
        base_url: For `Router`.
        asked: Chat requests so far.
        left: Set when a connection that was held open, or written to for ever, was closed from the other side.
    """

    def __init__(self, base_url: str, listing: object, answers: Sequence[Answer]) -> None:
        self.base_url = base_url
        self.listing = listing
        self.asked: list[Asked] = []
        self.left = threading.Event()
        self._answers = list(answers)

    def next(self, asked: Asked) -> Answer:
        """The next answer; the last one stays."""
        if asked.path.endswith("/models"):
            return Answer.json(self.listing)
        self.asked.append(asked)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


class Server:
    """The server: one thread for each connection, on a loopback port of its own."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listening.getsockname()[1]
        self._places: dict[str, Place] = {}
        self._count = itertools.count()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._ending = False
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def place(self, *answers: Answer, models: Sequence[str | tuple[str, Mapping[str, Any]]] = ("org/m:one",)) -> Place:
        """A place that gives these answers in turn, with one row `org/m:one` unless told otherwise."""
        key = f"/p{next(self._count)}"
        place = Place(f"http://127.0.0.1:{self.port}{key}/v1", catalogue(*models), answers)
        self._places[key] = place
        return place

    def close(self) -> None:
        self._ending = True
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._accepting.join(2)
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(2)

    def _accept(self) -> None:
        while not self._ending:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, connection.makefile("rb") as reader, contextlib.suppress(OSError, ValueError):
            while (asked := _read(reader)) is not None:
                place = self._places.get("/" + asked.path.split("/")[1])
                if place is None:
                    break  # asked for something that is nowhere, such as the Hub
                if not _send(connection, place.next(asked), place.left):
                    break
        self._open.discard(connection)


def _read(reader: Any) -> Asked | None:
    first = reader.readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    lines: list[str] = []
    while line := reader.readline().decode("latin-1").rstrip("\r\n"):
        lines.append(line)
    asked = Asked(first[0], first[1], tuple(lines), b"")
    return Asked(first[0], first[1], tuple(lines), reader.read(int(asked.headers.get("content-length", 0))))


def _send(connection: socket.socket, answer: Answer, left: threading.Event) -> bool:
    """Send an answer; whether the connection may serve another request."""
    pieces, headers = answer.pieces, dict(answer.headers)
    if answer.framing == "chunked":
        headers["transfer-encoding"] = "chunked"
    elif answer.framing == "length":
        pieces = list(pieces)
        headers.setdefault("content-length", str(sum(len(p) for p in pieces if isinstance(p, bytes))))
    else:
        headers["connection"] = "close"
    head = [f"HTTP/1.1 {answer.status} As Told", *(f"{name}: {value}" for name, value in headers.items())]
    frame: Callable[[bytes], bytes] = _framed if answer.framing == "chunked" else bytes
    try:
        waiting = "\r\n".join([*head, "", ""]).encode("latin-1")
        for piece in pieces:
            # What is sent at once goes in one packet with the head, so that timing is the test's own.
            if isinstance(piece, bytes):
                waiting += frame(piece)
                if len(waiting) < 4096 and answer.framing == "length":
                    continue
            connection.sendall(waiting)
            waiting = b""
            if not isinstance(piece, bytes) and _left_within(connection, piece):
                raise ConnectionResetError
        if answer.then == "end" and answer.framing == "chunked":
            waiting += b"0\r\n\r\n"
        connection.sendall(waiting)
    except OSError:
        left.set()
        return False
    if answer.then == "hold":
        _wait_for_the_end(connection)
        left.set()
    if answer.then == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return answer.then == "end" and answer.framing != "close"


def _framed(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""


def _left_within(connection: socket.socket, seconds: float) -> bool:
    """Pause, but no longer than the other side stays."""
    readable, _, _ = select.select([connection], [], [], seconds)
    return bool(readable) and not connection.recv(1, socket.MSG_PEEK)


def _wait_for_the_end(connection: socket.socket) -> None:
    connection.settimeout(10)
    with contextlib.suppress(OSError):
        while connection.recv(4096):
            pass


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()

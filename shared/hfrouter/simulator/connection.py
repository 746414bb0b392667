"""One HTTP exchange seen from the server: it writes, waits, drops, and notices when the client leaves."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

DROP = "hfrouter.simulator.drop"
"""Name of the ASGI extension that loses the TCP connection: called with True for a reset, False for a plain close."""

_GRACE = 5.0  # seconds to wait for the event loop to tell that a dropped connection is gone


class ClientLeft(Exception):
    """The client disconnected before the answer was complete."""


class Connection:
    """Writes one response.

    Use as an async context manager once the request body has been read; meanwhile it watches for a disconnect.

    Raises:
        ClientLeft: From `start`, `write` and `wait`, when the client is gone.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._drop: Callable[[bool], None] = (scope.get("extensions") or {})[DROP]
        self._gone = asyncio.Event()
        self._ended = False
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Connection":
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status line and headers. Without a content length the body is chunked."""
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._sent({"type": "http.response.start", "status": status, "headers": encoded})

    async def write(self, data: bytes) -> None:
        """Send a part of the body at once."""
        await self._sent({"type": "http.response.body", "body": data, "more_body": True})
        await self.wait(0)

    async def end(self, data: bytes = b"") -> None:
        """Send the last part of the body and end the response."""
        self._ended = True
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def wait(self, seconds: float) -> None:
        """Wait, but no longer than the client stays."""
        if seconds <= 0:
            await asyncio.sleep(0)
        else:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), seconds)
        if self._gone.is_set():
            raise ClientLeft

    async def drop(self, *, reset: bool = False) -> None:
        """Lose the TCP connection: nothing more is sent, no terminator either."""
        self._ended = True
        self._drop(reset)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), _GRACE)

    async def _sent(self, message: dict[str, Any]) -> None:
        if self._gone.is_set():
            raise ClientLeft
        await self._send(message)

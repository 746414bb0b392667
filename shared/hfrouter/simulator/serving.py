"""uvicorn on a thread of its own, with connections that can be lost on purpose and a stop that does not wait."""

import asyncio
import contextlib
import socket
import struct
import threading
from typing import Any, cast

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from hfrouter.simulator.app import build
from hfrouter.simulator.connection import DROP
from hfrouter.simulator.state import State

_BACKLOG = 512  # connections
_KEEP_ALIVE = 30  # seconds an idle connection is kept
_DRAIN = 2.0  # seconds for handlers to end once their connections are gone


class _Protocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol; it tells the application how to lose the connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        application = self.app

        async def with_drop(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {**(scope.get("extensions") or {}), DROP: self.drop}
            await application(cast(Any, scope), cast(Any, receive), cast(Any, send))

        self.app = cast(Any, with_drop)

    def drop(self, reset: bool) -> None:
        """Lose the connection: with a TCP reset, or closed after what was written, without an end of the body."""
        if reset:
            with contextlib.suppress(OSError):
                linger = struct.pack("ii", 1, 0)
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()
        else:
            self.transport.close()


class _Server(uvicorn.Server):
    """A server that is woken up to stop, instead of looking for it ten times a second."""

    def __init__(self, config: uvicorn.Config, state: State, up: threading.Event) -> None:
        super().__init__(config)
        self._state = state
        self._up = up
        self._stop = asyncio.Event()

    def request_stop(self) -> None:
        """End `main_loop`; call it on the server's event loop."""
        self._stop.set()

    async def main_loop(self) -> None:
        """Serve until asked to stop."""
        self._up.set()
        await self._stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close everything at once; handlers see their client leave."""
        self._state.stopping.set()
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if tasks := list(self.server_state.tasks):
            _, late = await asyncio.wait(tasks, timeout=_DRAIN)
            for task in late:
                task.cancel()
        await asyncio.sleep(0)
        for server in self.servers:
            await server.wait_closed()


class Serving:
    """One run of the server.

    Args:
        state: What the application knows.
        listener: A bound socket; it is closed at the end.
    """

    def __init__(self, state: State, listener: socket.socket) -> None:
        self._state = state
        self._listener = listener
        self.port: int = listener.getsockname()[1]
        self._up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: _Server | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"hfrouter-simulator-{self.port}", daemon=True)

    def start(self, timeout: float) -> None:
        """Start the thread and wait until connections are accepted.

        Raises:
            RuntimeError: The server did not come up.
        """
        self._state.stopping.clear()
        self._thread.start()
        if not self._up.wait(timeout) or self._error is not None:
            self._listener.close()
            raise RuntimeError("The simulator's server did not start.") from self._error

    def stop(self) -> None:
        """Close every connection and end the thread."""
        if self._loop is not None and self._server is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._server.request_stop)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits in start()
            self._error = error
        finally:
            self._listener.close()
            self._up.set()

    async def _serve(self) -> None:
        config = uvicorn.Config(
            build(self._state),
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE,
        )
        self._server = _Server(config, self._state, self._up)
        self._loop = asyncio.get_running_loop()
        await self._server.serve(sockets=[self._listener])

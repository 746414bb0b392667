"""The HTTP client, the one the OpenAI SDK ships: the only room that knows which package that is.

The SDK sits on `httpx` (2.x) or `httpx2` (3.x). Both are reached through the class the SDK exports, never by name. One
client serves all calls of an event loop: headers are ours alone and set per request, no cookie is kept, no redirect is
followed, nothing is retried.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from concurrent.futures import Future
from http.cookiejar import DefaultCookiePolicy
from typing import Any

from hfrouter.errors import ConfigurationError

# Below the pool of the SDK's client (1,000): openai 2.x leaks pool slots when cancels meet a full pool (measured).
_IN_FLIGHT = 256


# Encodings that change no byte; a transfer coding under the wrong name was recorded from cerebras (2025-03-11).
_PLAIN = frozenset({"", "identity", "chunked", "aws-chunked"})


class WireFailure(Exception):  # carries a kind to the judge, not an error of the tree
    """No usable answer came.

    Attributes:
        kind: A key of `routing.verdict.FAILURES`.
        kept: It met a connection kept from an earlier request.
    """

    def __init__(self, kind: str, *, kept: bool = False) -> None:
        super().__init__(kind)
        self.kind, self.kept = kind, kept


class Reply:
    """An answer whose status and headers are here and whose body is still on the way."""

    __slots__ = ("_lane", "_response", "headers", "status")

    def __init__(self, lane: Lane, response: Any) -> None:
        self._lane, self._response = lane, response
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives.

        Raises:
            WireFailure: `compressed_answer`, or `cut` when the connection is lost.
        """
        if self.headers.get("content-encoding", "").lower() not in _PLAIN:
            raise WireFailure("compressed_answer")
        try:
            async for piece in self._response.aiter_raw():
                yield piece
        except _package().TransportError as error:
            raise WireFailure("cut") from error

    async def aclose(self) -> None:
        """Close the connection unless the body was read to its end. May be called again."""
        self._lane.leave()
        await self._response.aclose()


class Lane:
    """A place among the requests in flight of one event loop. It is left once, by the reply or by who entered."""

    __slots__ = ("_client", "_open")

    def __init__(self, client: _Client) -> None:
        self._client, self._open = client, True

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None, connect: float
    ) -> Reply:
        """Send a request and return when status and headers of its answer are here.

        Args:
            method: `GET` or `POST`.
            url: Absolute.
            headers: All that are sent beside `host`, `content-length` and `connection`.
            content: The body.
            connect: Seconds to open a connection; every other time limit is the caller's.

        Raises:
            WireFailure: `connect_failed`, `connect_timeout`, `certificate_refused` or `connection_lost`.
        """
        package, client = _package(), self._client
        opened = False

        async def watch(event: str, _: Mapping[str, Any]) -> None:
            nonlocal opened
            opened = opened or event == "connection.connect_tcp.started"

        try:
            request = client.http.build_request(
                method,
                url,
                content=content,
                headers=dict(headers),
                timeout=client.timeout(None, connect=connect),
                extensions={"trace": watch},
            )
            return Reply(self, await client.http.send(request, stream=True))
        except package.ConnectTimeout as error:
            raise WireFailure("connect_timeout") from error
        except package.ConnectError as error:
            raise WireFailure("certificate_refused" if "CERTIFICATE" in str(error) else "connect_failed") from error
        except (package.TransportError, package.InvalidURL) as error:
            broke = (package.RemoteProtocolError, package.ReadError, package.WriteError)
            raise WireFailure("connection_lost", kept=not opened and isinstance(error, broke)) from error

    async def aclose(self) -> None:
        """Leave; a lane closes like a reply, for those who hold either."""
        self.leave()

    def leave(self) -> None:
        """Give the place to another request. May be called again."""
        if self._open:
            self._open = False
            self._client.slots.release()


async def enter() -> Lane:
    """Wait for a place among the requests in flight, which is nobody's failure and on no provider's time.

    Raises:
        ConfigurationError: outside asyncio, or when the environment's certificates or proxies cannot be used.
    """
    client = await _client()
    await client.slots.acquire()
    return Lane(client)


async def send(method: str, url: str, headers: Mapping[str, str], content: bytes | None, connect: float) -> Reply:
    """Enter and send what may be repeated: once more where a kept connection was closed; see `Lane.send`."""
    lane = await enter()
    try:
        try:
            return await lane.send(method, url, headers, content, connect)
        except WireFailure as failure:
            if not failure.kept:
                raise
        return await lane.send(method, url, headers, content, connect)
    except BaseException:
        lane.leave()
        raise


def _names_nobody(record: logging.LogRecord) -> bool:
    """Whether a line of the HTTP package's log may be said: addresses of the Hub's bills name who pays."""
    return "/billing/usage" not in record.getMessage()


class _Client:
    """The SDK's client for one event loop, with our limit on requests in flight."""

    def __init__(self) -> None:
        import openai

        # A proxy of the environment is for the world outside, not for what runs on this machine.
        local: dict[str, None] = dict.fromkeys(("all://127.0.0.1", "all://localhost", "all://[::1]"))
        self.http: Any = openai.DefaultAsyncHttpxClient(follow_redirects=False, verify=_trust(), mounts=local)
        self.http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        logging.getLogger(_package().__name__).addFilter(_names_nobody)
        self.slots = asyncio.Semaphore(_IN_FLIGHT)
        self.timeout: Any = openai.Timeout


_held: dict[asyncio.AbstractEventLoop, tuple[int, _Client, AsyncGenerator[None, None]]] = {}
_import: tuple[int, Future[None]] | None = None


def running_loop() -> asyncio.AbstractEventLoop:
    """The running event loop.

    Raises:
        ConfigurationError: there is none, as under trio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "hfrouter runs on asyncio, and no asyncio loop is running here; under trio, use the synchronous methods."
        ) from None


async def _client() -> _Client:
    """The running loop's client, made on first use and closed with its loop.

    It is held by an asynchronous generator, because `loop.shutdown_asyncgens()`, which `asyncio.run` calls, closes
    those; a weak map keyed by loop would keep every loop alive through its sockets (50 of 50 measured).
    """
    loop, pid = running_loop(), os.getpid()
    held = _held.get(loop)
    if held is not None and held[0] == pid:
        return held[1]
    await _load()
    held = _held.get(loop)  # another call may have made it meanwhile
    if held is not None and held[0] == pid:
        return held[1]
    for old, (owner, _, _) in list(_held.items()):
        if old.is_closed() or owner != pid:
            _held.pop(old, None)
    try:
        client = _Client()
    except Exception as error:  # noqa: BLE001 (whatever the environment's settings break, it is theirs to mend)
        raise ConfigurationError(
            f"no HTTP client can be made here ({type(error).__name__}: {error}); look at SSL_CERT_FILE, SSL_CERT_DIR "
            "and the proxy variables of the environment."
        ) from None
    holder = _hold(loop, client)
    _held[loop] = (pid, client, holder)
    await anext(holder)
    return client


async def _load() -> None:
    """Import the SDK on a thread, once: it takes half a second, which no event loop should stand still."""
    global _import
    if _import is None or _import[0] != os.getpid():
        _import = os.getpid(), Future()
        try:
            threading.Thread(target=_do_import, args=(_import[1],), daemon=True, name="hfrouter-import").start()
        except RuntimeError:  # the interpreter is ending and starts no more threads
            _do_import(_import[1])
    if not _import[1].done():
        await asyncio.shield(asyncio.wrap_future(_import[1]))


def _do_import(done: Future[None]) -> None:
    try:
        import openai  # noqa: F401 (loaded for whoever comes next)
    finally:
        done.set_result(None)


async def _hold(loop: asyncio.AbstractEventLoop, client: _Client) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        held = _held.get(loop)
        if held is not None and held[1] is client:
            _held.pop(loop, None)
        await client.http.aclose()


async def close_client() -> None:
    """Close the running loop's client, if there is one."""
    held = _held.get(asyncio.get_running_loop())
    if held is not None and held[0] == os.getpid():
        await held[2].aclose()


@functools.cache
def _trust() -> Any:
    """The certificates that are trusted, read once per process and not once per event loop (25 to 45 ms, measured)."""
    return _package().create_ssl_context()


def _package() -> Any:
    import openai

    return sys.modules[openai.DefaultAsyncHttpxClient.__mro__[1].__module__.partition(".")[0]]

"""The HTTP client, the one the OpenAI SDK ships: the only room that knows which package that is.

The SDK sits on `httpx` (2.x) or `httpx2` (3.x). Both are reached through the class the SDK exports, never by name. One
client serves all calls of an event loop: headers are ours alone and set per request, no cookie is kept, no redirect is
followed, nothing is retried.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any

from hfrouter.errors import ConfigurationError

# Below the pool of the SDK's client (1,000): openai 2.x leaks pool slots when cancels meet a full pool (measured).
_IN_FLIGHT = 256


# Encodings that change no byte; a transfer coding under the wrong name was recorded from cerebras (2025-03-11).
_PLAIN = frozenset({"", "identity", "chunked", "aws-chunked"})


class WireFailure(Exception):  # carries a kind to the judge, not an error of the tree
    """No usable answer came; `kind` is a key of `routing.verdict.FAILURES`."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Reply:
    """An answer whose status and headers are here and whose body is still on the way."""

    __slots__ = ("_client", "_response", "headers", "status")

    def __init__(self, client: _Client, response: Any) -> None:
        self._client: _Client | None = client
        self._response = response
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
        client, self._client = self._client, None
        if client is not None:
            client.slots.release()
            await self._response.aclose()


class _Client:
    """The SDK's client for one event loop, with our limit on requests in flight."""

    def __init__(self) -> None:
        import openai

        self.http: Any = openai.DefaultAsyncHttpxClient(follow_redirects=False, verify=_trust())
        self.http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.slots = asyncio.Semaphore(_IN_FLIGHT)
        self.timeout: Any = openai.Timeout


_held: dict[asyncio.AbstractEventLoop, tuple[int, _Client, AsyncGenerator[None, None]]] = {}


async def send(method: str, url: str, headers: Mapping[str, str], content: bytes | None, connect: float) -> Reply:
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
    client = await _client()
    package = _package()
    await client.slots.acquire()
    try:
        request = client.http.build_request(
            method, url, content=content, headers=dict(headers), timeout=client.timeout(None, connect=connect)
        )
        response = await client.http.send(request, stream=True)
    except package.ConnectTimeout as error:
        client.slots.release()
        raise WireFailure("connect_timeout") from error
    except package.ConnectError as error:
        client.slots.release()
        raise WireFailure("certificate_refused" if "CERTIFICATE" in str(error) else "connect_failed") from error
    except (package.TransportError, package.InvalidURL) as error:
        client.slots.release()
        raise WireFailure("connection_lost") from error
    except BaseException:
        client.slots.release()
        raise
    return Reply(client, response)


async def _client() -> _Client:
    """The running loop's client, made on first use and closed with its loop.

    It is held by an asynchronous generator, because `loop.shutdown_asyncgens()`, which `asyncio.run` calls, closes
    those; a weak map keyed by loop would keep every loop alive through its sockets (50 of 50 measured).
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "hfrouter runs on asyncio, and no asyncio loop is running here; under trio, use the synchronous methods."
        ) from None
    held = _held.get(loop)
    if held is not None and held[0] == os.getpid():
        return held[1]
    for old in [old for old, (pid, _, _) in _held.items() if old.is_closed() or pid != os.getpid()]:
        del _held[old]
    await _load()
    client = _Client()
    holder = _hold(loop, client)
    _held[loop] = (os.getpid(), client, holder)
    await anext(holder)
    return client


async def _load() -> None:
    """Import the SDK on a thread: it takes half a second, which no event loop should stand still."""
    if "openai" in sys.modules:
        return
    loop = asyncio.get_running_loop()
    loaded: asyncio.Future[None] = loop.create_future()

    def work() -> None:
        import openai  # noqa: F401 (loaded for whoever comes next)

        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(lambda: None if loaded.done() else loaded.set_result(None))

    threading.Thread(target=work, daemon=True, name="hfrouter-import").start()
    await loaded


async def _hold(loop: asyncio.AbstractEventLoop, client: _Client) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
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

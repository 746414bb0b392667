"""Synchronous callers on the asynchronous core: one daemon thread with one event loop per process.

A blocked synchronous read can be neither cancelled nor bounded: the SDK's `timeout=1` let a trickled body run for 10 s,
and closing the client from another thread did not free it (measured). Here a deadline is exact in synchronous code too.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import os
import queue
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from hfrouter.errors import HFRouterError
from hfrouter.wire.http import close_client

T = TypeVar("T")
# After Ctrl-C or at exit: time for connections to be closed and rows to be written.
GRACE = 0.5


class _Loop(asyncio.SelectorEventLoop):
    """Resolves names on a thread of its own: asyncio's executor refuses work once the main thread has ended."""

    def __init__(self) -> None:
        super().__init__()
        self._names: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._resolve, daemon=True, name="hfrouter-names").start()

    def _resolve(self) -> None:
        while True:
            self._names.get()()

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        answer: asyncio.Future[Any] = self.create_future()

        def work() -> None:
            try:
                found: Any = socket.getaddrinfo(host, port, **hints)
            except OSError as error:
                found = error
            if not self.is_closed():
                self.call_soon_threadsafe(give, found)

        def give(found: Any) -> None:
            if not answer.done():
                answer.set_exception(found) if isinstance(found, OSError) else answer.set_result(found)

        self._names.put(work)
        return await answer


class _Bridge:
    """The process's thread and loop, made on first use and made anew after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: _Loop | None = None
        self._thread: threading.Thread | None = None
        self._registered = False

    def loop(self) -> _Loop:
        """The loop, started when there is none."""
        if self._loop is None:
            with self._lock:
                if self._loop is None:
                    self._start()
        assert self._loop is not None  # noqa: S101 (for the type checker: _start sets it)
        return self._loop

    def _start(self) -> None:
        loop = _Loop()
        self._thread = threading.Thread(target=self._main, args=(loop,), daemon=True, name="hfrouter-bridge")
        self._thread.start()
        self._loop = loop
        if not self._registered:
            self._registered = True
            atexit.register(self._stop)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=self._forked)

    @staticmethod
    def _main(loop: _Loop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.close()

    def _forked(self) -> None:
        self._lock = threading.Lock()
        self._loop = self._thread = None

    def _stop(self) -> None:
        """At exit: cancel what runs, close the client, stop the loop; at most `GRACE` seconds."""
        loop, thread, self._loop = self._loop, self._thread, None
        if loop is None or thread is None or not thread.is_alive():
            return
        closing = asyncio.run_coroutine_threadsafe(_wind_up(), loop)
        with contextlib.suppress(Exception):  # exiting: nobody is left to tell
            closing.result(GRACE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(GRACE)

    def on_its_thread(self) -> bool:
        """Whether the caller runs on the bridge's own thread."""
        return threading.current_thread() is self._thread


async def _wind_up() -> None:
    for task in _others():
        task.cancel()
    while others := _others():  # what is cancelled may have something to close
        await asyncio.gather(*others, return_exceptions=True)
    await close_client()
    await asyncio.get_running_loop().shutdown_asyncgens()


def _others() -> list[asyncio.Task[Any]]:
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


_bridge = _Bridge()


def submit(make: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
    """Run a coroutine function on the bridge's loop, in a copy of the caller's context, without waiting."""
    loop, context = _bridge.loop(), contextvars.copy_context()
    future: Future[T] = Future()
    tasks: list[asyncio.Task[T]] = []

    def start() -> None:
        task = loop.create_task(make(), context=context)
        tasks.append(task)
        task.add_done_callback(lambda done: _hand_over(done, future))

    def stop(done: Future[T]) -> None:
        if done.cancelled():
            call_soon(lambda: tasks[0].cancel() if tasks else None)

    future.add_done_callback(stop)
    loop.call_soon_threadsafe(start)
    return future


def _hand_over(task: asyncio.Task[T], future: Future[T]) -> None:
    if not future.set_running_or_notify_cancel():
        if not task.cancelled():
            task.exception()  # looked at, so that nobody is warned of an error nobody waits for
    elif task.cancelled():
        future.set_exception(asyncio.CancelledError())
    elif (error := task.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())


def run(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function on the bridge's loop and wait for it.

    Ctrl-C cancels it, waits at most 0.5 s for its connections to close, and is raised again.

    Raises:
        RuntimeError: when called on the bridge's own thread, where waiting would never end.
    """
    if _bridge.on_its_thread():
        raise RuntimeError(
            "a synchronous hfrouter call was made on hfrouter's own event loop; use the asynchronous twin there."
        )
    loop, context = _bridge.loop(), contextvars.copy_context()
    ended = threading.Lock()
    ended.acquire()
    tasks: list[asyncio.Task[T]] = []

    def start() -> None:
        task = loop.create_task(make(), context=context)
        tasks.append(task)
        task.add_done_callback(lambda _: ended.release())

    loop.call_soon_threadsafe(start)
    try:
        ended.acquire()
    except BaseException:
        call_soon(lambda: tasks[0].cancel() if tasks else None)
        ended.acquire(timeout=GRACE)
        raise
    if tasks[0].cancelled():
        raise HFRouterError("the call was stopped because the interpreter is ending; make it before that.")
    return tasks[0].result()


def call_soon(callback: Callable[[], object]) -> None:
    """Run a callback on the bridge's loop if it still runs; at exit there is nothing left to do."""
    loop = _bridge._loop
    if loop is not None and not loop.is_closed():
        loop.call_soon_threadsafe(callback)


def is_own_thread() -> bool:
    """Whether the caller runs on the bridge's own thread."""
    return _bridge.on_its_thread()

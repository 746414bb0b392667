"""Counts every suspension of every task of a loop, and cancels a task at the n-th."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any


class Counted(Coroutine[Any, Any, Any]):
    """A coroutine that tells when it suspends: what `asyncio.Task` drives in the place of the real one."""

    def __init__(self, inner: Coroutine[Any, Any, Any], suspended: Callable[[], None]) -> None:
        self._inner, self._suspended = inner, suspended

    def send(self, value: Any) -> Any:
        waits_for = self._inner.send(value)
        self._suspended()
        return waits_for

    def throw(self, *error: Any) -> Any:
        waits_for = self._inner.throw(*error)
        self._suspended()
        return waits_for

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()


class Cancelling:
    """Cancels `task` when the tasks of its loop have been suspended `at` times.

    Attributes:
        cancelled: Whether it came to that while the task was running.
    """

    def __init__(self, at: int) -> None:
        self.at = at
        self.task: asyncio.Task[Any] | None = None
        self.cancelled = False
        self._count = 0

    def suspended(self) -> None:
        self._count += 1
        if self._count == self.at and self.task is not None:
            self.cancelled = self.task.cancel()


@contextmanager
def cancelling(at: int) -> Iterator[Cancelling]:
    """Tasks that are made inside are counted: those of the call as well as those it makes itself."""
    loop, found = asyncio.get_running_loop(), Cancelling(at)
    before = loop.get_task_factory()

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> asyncio.Task[Any]:
        return asyncio.Task(Counted(coroutine, found.suspended), loop=loop, **more)

    loop.set_task_factory(make)
    try:
        yield found
    finally:
        loop.set_task_factory(before)

"""The ways to leave a stream after its first piece, sync and async."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

from hfrouter import Router


class Left(Exception):
    """The reader had something else to do."""


def by_break(stream: Callable[[], Iterator[Any]]) -> None:
    for _ in stream():
        break


def by_close(stream: Callable[[], Iterator[Any]]) -> None:
    held = stream()
    next(held)
    held.close()  # type: ignore[attr-defined]


def by_del(stream: Callable[[], Iterator[Any]]) -> None:
    held = stream()
    next(held)
    del held


def by_error(stream: Callable[[], Iterator[Any]]) -> None:
    with contextlib.suppress(Left):
        for _ in stream():
            raise Left


def by_with(stream: Callable[[], Iterator[Any]]) -> None:
    held = stream()
    with held if hasattr(held, "__exit__") else closing(held) as inside:  # type: ignore[type-var, union-attr]
        next(inside)


async def aby_break(stream: Callable[[], Awaitable[AsyncIterator[Any]]]) -> None:
    async for _ in await stream():
        break


async def aby_close(stream: Callable[[], Awaitable[AsyncIterator[Any]]]) -> None:
    held = await stream()
    await anext(held)
    await held.aclose()  # type: ignore[attr-defined]


async def aby_del(stream: Callable[[], Awaitable[AsyncIterator[Any]]]) -> None:
    held = await stream()
    await anext(held)
    del held


async def aby_error(stream: Callable[[], Awaitable[AsyncIterator[Any]]]) -> None:
    with contextlib.suppress(Left):
        async for _ in await stream():
            raise Left


async def aby_with(stream: Callable[[], Awaitable[AsyncIterator[Any]]]) -> None:
    held = await stream()
    async with held if hasattr(held, "__aexit__") else aclosing(held) as inside:  # type: ignore[type-var, union-attr]
        await anext(inside)


LEAVING = (by_break, by_close, by_del, by_error, by_with)
ALEAVING = (aby_break, aby_close, aby_del, aby_error, aby_with)


def descriptors() -> int:
    """Open descriptors of this process; 0 where nobody says."""
    listing = Path("/proc/self/fd")
    return sum(1 for _ in listing.iterdir()) if listing.is_dir() else 0


async def alone(seconds: float) -> None:
    """Wait until this is the loop's only task.

    Raises:
        TimeoutError: there still is another one.
    """
    async with asyncio.timeout(seconds):
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)


def under_way(router: Router) -> list[str]:
    """Targets whose health still counts an attempt as under way, which would be held against them for ever."""
    shared = router._shared
    with shared.lock:
        return [
            f"{key}: {vitals.running} running, {len(vitals.silent)} silent, probing {vitals.breaker.probing}"
            for key, vitals in shared.health._vitals.items()
            if vitals.running or vitals.silent or vitals.breaker.probing
        ]

"""Streams left half-way, in every way there is: the upstream is closed at once, and no garbage collector helps."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hfrouter import Policy, Router
from hfrouter.wire import bridge
from tests.cancellation.leaving import ALEAVING, LEAVING, alone, descriptors, under_way
from tests.cancellation.other_side import UNFINISHED
from tests.cancellation.ten_thousand import abandon
from tests.cancellation.ways import ASYNC, SYNC
from tests.scenarios.upstream import FALLBACK, PRIMARY, Upstream

# Seconds in which the other side must see the end; it takes milliseconds, and a busy machine some more.
BOUND = 2.0


ROUNDS = 3


def until(fits: Callable[[], bool]) -> bool:
    """Whether it comes to that within the bound."""
    end = time.monotonic() + BOUND
    while not fits() and time.monotonic() < end:
        time.sleep(0.002)
    return fits()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream({PRIMARY: UNFINISHED}) as server:
        yield server


@pytest.fixture
def made(upstream: Upstream) -> Iterator[Router]:
    """A router whose clients are made and whose catalogue is read."""
    order = [target.partition(":")[2] for target in (PRIMARY, FALLBACK)]
    with Router(base_url=upstream.base_url, token="hf_leave", ledger="memory", policy=Policy(order=order)) as router:
        router.targets()
        yield router


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No garbage collector: what is left must end by itself."""
    gc.disable()
    yield
    gc.enable()


def accounted(upstream: Upstream, router: Router, streams: int) -> None:
    """So many requests have ended, and their rows with them: the other side may see the end a moment before we do."""
    assert until(lambda: len(upstream.asked) == streams and all(asked.end for asked in upstream.asked))
    assert until(lambda: all(row.outcome != "pending" for row in router.entries()) and not under_way(router))
    assert [asked.end for asked in upstream.asked] == ["left"] * streams
    assert [row.outcome for row in router.entries()] == ["abandoned"] * streams
    assert len({row.call for row in router.entries()}) == streams


@pytest.mark.parametrize("leave", LEAVING, ids=lambda leave: leave.__name__)
@pytest.mark.parametrize("way", SYNC)
def test_a_stream_that_is_left_is_closed_and_accounted_for_once(
    way: str, leave: Callable[[Callable[[], Iterator[Any]]], None], upstream: Upstream, made: Router, uncollected: None
) -> None:
    leave(lambda: SYNC[way](made))
    accounted(upstream, made, 1)
    before = descriptors()
    for _ in range(ROUNDS):
        leave(lambda: SYNC[way](made))
    accounted(upstream, made, 1 + ROUNDS)
    assert until(lambda: descriptors() <= before)
    assert until(lambda: not asyncio.all_tasks(bridge._bridge.loop()))


@pytest.mark.parametrize("leave", ALEAVING, ids=lambda leave: leave.__name__)
@pytest.mark.parametrize("way", ASYNC)
async def test_so_is_an_asynchronous_one(
    way: str,
    leave: Callable[[Callable[[], Awaitable[AsyncIterator[Any]]]], Awaitable[None]],
    upstream: Upstream,
    made: Router,
    uncollected: None,
) -> None:
    await leave(lambda: ASYNC[way](made))
    await asyncio.to_thread(accounted, upstream, made, 1)
    before = descriptors()
    for _ in range(ROUNDS):
        await leave(lambda: ASYNC[way](made))
    await asyncio.to_thread(accounted, upstream, made, 1 + ROUNDS)
    assert await asyncio.to_thread(until, lambda: descriptors() <= before)
    await alone(BOUND)


@pytest.mark.parametrize("way", SYNC)
def test_a_stream_nobody_ever_read_is_closed_too(way: str, upstream: Upstream, made: Router, uncollected: None) -> None:
    held = SYNC[way](made)
    del held
    time.sleep(0.05)
    opened = len(upstream.asked)  # LangChain's is a generator, and does nothing before it is read
    assert opened == (way != "LangChain")
    accounted(upstream, made, opened)


@pytest.mark.parametrize("way", ASYNC)
async def test_so_is_an_asynchronous_one_nobody_ever_read(
    way: str, upstream: Upstream, made: Router, uncollected: None
) -> None:
    held = await ASYNC[way](made)
    del held
    await asyncio.sleep(0.05)
    opened = len(upstream.asked)
    assert opened == (way != "LangChain")
    await asyncio.to_thread(accounted, upstream, made, opened)


def test_two_hundred_of_all_kinds_leave_nothing_behind(tmp_path: Path) -> None:
    """`make abandon` does it with ten thousand."""
    assert abandon(200, tmp_path / "ledger.sqlite3") == []

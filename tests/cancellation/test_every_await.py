"""A call with a fallback, cancelled once at each of its suspensions: whatever it was at, it leaves nothing behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hfrouter import Policy, Router
from hfrouter.routing import flow
from hfrouter.wire import http
from tests.cancellation.leaving import alone, under_way
from tests.cancellation.suspensions import cancelling
from tests.cancellation.ways import CALLS
from tests.scenarios.outage import Skipping
from tests.scenarios.upstream import ANSWER, FALLBACK, PRIMARY, Act, Upstream, always, refusing

# More than any of the calls has: a loop that never ends is a failure too.
MOST = 600
PATIENCE, PROMPTLY = 10.0, 1.0
LIMITED = always(refusing(429, "Rate limit reached."))
CUT = always(Act(tokens=20))
UNAVAILABLE = always(refusing(503, "Service unavailable."))


def made(upstream: Upstream, ledger: str = "memory", *, hedge: bool = False) -> Router:
    order = [target.partition(":")[2] for target in (PRIMARY, FALLBACK)]
    policy = Policy(order=order, hedge=hedge)
    return Router(base_url=upstream.base_url, token="hf_cancel", ledger=ledger, seed=0, policy=policy)


def taken_slots() -> int:
    """Requests that count as in flight on this loop."""
    held = http._held.get(asyncio.get_running_loop())
    return http._IN_FLIGHT - held[1].slots._value if held else 0


async def cancelled_at(number: int, upstream: Upstream, router: Router, way: str, *, stubborn: bool = False) -> bool:
    """Call and cancel at this suspension; whether the call was still running then.

    Args:
        number: From 1.
        upstream: The other side.
        router: Which makes no other call meanwhile.
        way: Of `CALLS`.
        stubborn: Cancel again on every tick until the call has ended, as anyio's scopes do.
    """
    before, earlier = len(upstream.asked), len(router.entries())
    with cancelling(number) as cancel:
        task = cancel.task = asyncio.ensure_future(CALLS[way](router))
        async with asyncio.timeout(PATIENCE):
            while not (task.done() or cancel.cancelled):
                await asyncio.wait([task], timeout=0.001)
        while stubborn and not task.done():
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task], timeout=PROMPTLY)
    assert task.done(), f"still running, cancelled at suspension {number}"
    assert task.cancelled() == cancel.cancelled, f"the cancel at suspension {number} was swallowed"
    await alone(PROMPTLY)
    ends = (await asyncio.to_thread(upstream.settled))[before:]
    rows = (await asyncio.to_thread(router.entries))[earlier:]
    where = f"suspension {number}: {ends}, {[row.outcome for row in rows]}"
    assert "" not in ends, where
    assert [row.number for row in rows] == list(range(1, len(rows) + 1)), where
    assert all(row.outcome != "pending" for row in rows), where
    # One that was cancelled before its bytes had left has a row, and the other side knows nothing of it.
    assert len(ends) <= len(rows) <= len(ends) + cancel.cancelled, where
    assert taken_slots() == 0, where
    assert under_way(router) == [], where
    if not cancel.cancelled:
        assert task.result() == ANSWER
    return cancel.cancelled


@pytest.mark.parametrize("stubborn", [False, True], ids=["once", "again and again"])
@pytest.mark.parametrize("way", CALLS)
async def test_a_call_cancelled_at_any_await_leaves_nothing_behind(way: str, stubborn: bool) -> None:
    with Upstream({PRIMARY: LIMITED}) as upstream:
        await every_await(way, upstream, stubborn=stubborn)


@pytest.mark.parametrize("way", ["Router.achat", "Router.astream"])
def test_so_does_the_first_call_of_a_router_and_a_loop(way: str) -> None:
    """It has a client to make and a catalogue to read."""

    async def first(number: int, upstream: Upstream) -> bool:
        async with made(upstream) as router:
            return await cancelled_at(number, upstream, router, way)

    for number in range(1, MOST):
        with Upstream({PRIMARY: LIMITED}) as upstream:
            if not asyncio.run(first(number, upstream)):
                assert number > 5
                return
    pytest.fail("the call never ended")


@pytest.mark.parametrize("way", [way for way in CALLS if "stream" not in way])
async def test_so_does_one_whose_first_answer_was_cut(way: str) -> None:
    with Upstream({PRIMARY: CUT}) as upstream:
        await every_await(way, upstream)


@pytest.mark.parametrize("way", ["Router.achat", "Router.astream"])
async def test_so_does_one_with_a_ledger_that_takes_its_time(way: str, tmp_path: Path) -> None:
    with Upstream({PRIMARY: LIMITED}) as upstream:
        await every_await(way, upstream, ledger=str(tmp_path / "ledger{}.sqlite3"))


async def test_so_does_one_that_pauses_before_it_asks_again() -> None:
    """Up to the second attempt; what follows it is the same as after a 429."""
    with Upstream({PRIMARY: UNAVAILABLE}) as upstream:
        await every_await("Router.achat", upstream, until=2)


@pytest.mark.parametrize("way", CALLS)
async def test_so_does_one_that_is_hedged(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_HEDGE_LEAST", "_HEDGE_BLIND"):
        monkeypatch.setattr(flow, name, 0.02)
    with Upstream({PRIMARY: always(Act(silent=30)), FALLBACK: always(Act(late=0.01))}) as upstream:
        await every_await(way, upstream, hedge=True)
        assert upstream.of(FALLBACK)


async def test_so_does_the_probe_of_an_open_breaker() -> None:
    """And its permit comes back: nobody else may ask the target while a probe is out."""
    with Upstream({PRIMARY: CUT}) as upstream:
        for number in range(1, MOST):
            async with made(upstream) as router:
                clock = router._planner._clock = Skipping()
                for _ in range(3):
                    assert await CALLS["Router.achat"](router) == ANSWER
                clock.skip_to(clock.monotonic() + 30)
                asked = len(upstream.of(PRIMARY))
                if not await cancelled_at(number, upstream, router, "Router.achat"):
                    assert len(upstream.of(PRIMARY)) == asked + 1
                    return
    pytest.fail("the call never ended")


async def every_await(
    way: str,
    upstream: Upstream,
    *,
    ledger: str = "memory",
    until: int | None = None,
    hedge: bool = False,
    stubborn: bool = False,
) -> None:
    """Cancel at every suspension, up to the first at which so many requests of the call had been sent."""
    async with made(upstream, hedge=hedge) as router:
        assert await CALLS[way](router) == ANSWER  # the client is made, the catalogue read
    for number in range(1, MOST):
        # A router of its own each time: what health has learned must not change the course of the call.
        async with made(upstream, ledger.format(number), hedge=hedge) as router:
            before = len(upstream.asked)
            if not await cancelled_at(number, upstream, router, way, stubborn=stubborn):
                assert number > 5
                return
            sent = len(upstream.asked) - before
            assert (await router.achat(model=FALLBACK, messages="Say the sixty words.")).text == ANSWER
            if sent == until:
                return
    pytest.fail("the call never ended")

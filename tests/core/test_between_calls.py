"""What one call must not do to the next ones, and what rivals must not do to their call, on real sockets."""

from __future__ import annotations

import asyncio
import pickle
import time
from typing import Any

import pytest

from hfrouter import DeadlineExceeded, HFRouterError, NoTargetAvailable, Policy, Router
from hfrouter.cost.ledger import Entry, MemoryLedger
from hfrouter.routing.commands import Done, Launch
from hfrouter.simulator import Fault, Simulator
from hfrouter.wire import driver
from hfrouter.wire.attempt import Opened
from hfrouter.wire.call import Call
from hfrouter.wire.driver import drive

MODEL = "openai/gpt-oss-120b"
ASK: dict[str, Any] = {"model": MODEL, "messages": "What is 17 * 23?"}


def test_a_provider_that_hangs_does_not_fail_every_call_whose_deadline_is_short(sim: Simulator, router: Router) -> None:
    sim.fail("groq", Fault.hang(), times=None)
    assert [router.chat(**ASK, timeout=2).provider for _ in range(2)] == ["novita"] * 2


def test_errors_pickle_when_nothing_was_sent(router: Router) -> None:
    errors: list[HFRouterError] = []
    for policy in (Policy(only="nobody"), Policy(deadline=1e-9)):
        with pytest.raises((NoTargetAvailable, DeadlineExceeded)) as caught:
            router.chat(**ASK, policy=policy)
        errors.append(caught.value)
    for error in errors:
        again = pickle.loads(pickle.dumps(error))
        assert again.explain() == error.explain() != ""


async def closing_of_the_loser() -> None:
    await asyncio.gather(*driver._closing)


async def test_a_stream_that_commits_in_the_moment_it_loses_is_one_attempt_and_no_failure(sim: Simulator) -> None:
    policy = Policy(order=["groq", "novita"], hedge=True)
    async with Router(base_url=sim.base_url, token=sim.token, ledger="memory", seed=0, policy=policy) as router:
        for _ in range(20):
            await router.achat(**ASK)
        watch = router._watch("chat", None, streamed=True)
        call, chat = await router._plan(watch, ASK["model"], ASK["messages"], policy, None, {})
        both, ready = asyncio.Event(), list[Done]()

        async def start(call: Call, launch: Launch) -> Done:
            call.begun = None  # their first contents come in the same moment as their commits
            ready.append(await chat.until_commit(call, launch))
            if len(ready) == 2:
                both.set()
            await both.wait()
            return ready[0] if ready[0].number == launch.number else ready[1]

        health, now = router._shared.health, time.monotonic()
        health.launched(novita := call.choice.targets[[t.provider for t in call.choice.targets].index("novita")], now)
        before = health.of(novita).running
        opened = await drive(call, start, Opened)
        async with asyncio.timeout(5):
            await closing_of_the_loser()
        assert (opened.account.target.provider, call.attempts[0].outcome) == ("groq", "hedge_lost")
        assert health.of(novita).running == before
        assert health.of(novita).speed.failing(now) == 0
        await opened.aclose()
        assert health.of(opened.account.target).running == 0


class SlowLedger(MemoryLedger):
    """One that is slow to write that an attempt has ended."""

    instant = False

    def settle(self, entry: Entry) -> None:
        time.sleep(1.1)
        super().settle(entry)


def test_a_slow_ledger_is_not_on_the_providers_time(sim: Simulator) -> None:
    policy = Policy(order=["groq", "novita"], only=["groq", "novita"])
    sim.fail("groq", Fault.status(500), times=1)
    with Router(base_url=sim.base_url, token=sim.token, ledger=SlowLedger(), seed=0, policy=policy) as router:
        assert [a.provider for a in router.chat(**ASK).attempts] == ["groq", "groq"]
        health = router._shared.health
        row = next(row for row in router.targets(MODEL) if row.provider == "groq")
        assert health.of(row).speed.lost < 1.0  # the prior is 1 s, and the failure took milliseconds


def test_plans_do_not_keep_old_catalogues_in_memory(sim: Simulator) -> None:
    class Later:
        by = 0.0

        def monotonic(self) -> float:
            return time.monotonic() + self.by

        def wall(self) -> float:
            return time.time() + self.by

    clock = Later()
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory", seed=0, clock=clock) as router:
        for n in range(3):
            router.chat(**ASK, policy=Policy(deadline=100 + n))
            clock.by += 400
            router.targets()  # refreshes in the background
            time.sleep(0.2)
        router.chat(**ASK, policy=Policy(deadline=200))
        assert len({id(kept.listing) for kept in router._planner._plans._kept.values()}) == 1

"""What one call must not do to the next ones, and what a rival must not do to its call: tables, and real sockets."""

from __future__ import annotations

import asyncio
import pickle
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from hfrouter import DeadlineExceeded, HFRouterError, NoTargetAvailable, Policy, Router
from hfrouter.cost.ledger import Entry, MemoryLedger
from hfrouter.routing.commands import Done, Launch
from hfrouter.routing.eligible import Needs
from hfrouter.routing.target import Target
from hfrouter.routing.verdict import Problem, judge
from hfrouter.simulator import Fault, Simulator
from hfrouter.wire import driver
from hfrouter.wire.attempt import Opened
from hfrouter.wire.call import Call
from hfrouter.wire.driver import drive
from tests.routing.player import (
    CERTIFICATE,
    COLD_20,
    CUT,
    E500,
    MALFORMED,
    NO_CREDITS,
    OK,
    OVER_BUDGET,
    OVERFLOW,
    Ends,
    World,
    http,
)

MODEL = "openai/gpt-oss-120b"
ASK: dict[str, Any] = {"model": MODEL, "messages": "What is 17 * 23?"}
ONE = Policy(attempts=1)


def target(provider: str, *, latency: float = 0.5, url: str = "") -> Target:
    price = Decimal(1)
    return Target(
        *("org/m", provider),
        input_price=price,
        output_price=price,
        context_length=8_000,
        first_token_latency=latency,
        throughput=100.0,
        url=url,
    )


A, B, C, OWN = target("a"), target("b"), target("c"), target("own", url="http://own")


# -- one call ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(OWN, A), (A, OWN)], ids=["the user's own", "the router's"])
def test_a_certificate_speaks_for_its_own_server_only(order: tuple[Target, Target]) -> None:
    played = World().call(order, [(0, CERTIFICATE), (1, OK)])
    assert played.asked == " ".join(t.provider for t in order)
    assert played.stopped is None


def test_a_rival_that_no_budget_pays_rules_nobody_out_once_the_first_has_failed() -> None:
    played = World().call([A, B, C], [(9, E500), (0, OVER_BUDGET), (1, OK)], Policy(hedge=True))
    assert played.timeline == ["0 a", "3 hedge b", "9 b", "10 answered by 2"]


def test_who_embeds_is_waited_for_by_all_calls_while_it_loads() -> None:
    world = World()
    world.call([A, B], [(0, COLD_20)], ONE, patient=True)
    world.sleep(5)
    assert world.call([A, B], [(1, OK)], patient=True).timeline == ["0 wait 15", "15 a", "16 answered by 1"]


# -- what calls leave for the next ones -------------------------------------------------------------------------------


def test_an_answer_that_would_be_too_long_says_nothing_of_requests_that_ask_for_less() -> None:
    world = World()
    world.call([A], [(0, OVERFLOW)], needs=Needs(input_bytes=100, max_tokens=100_000))
    assert world.call([A, B], [(1, OK)], needs=Needs(input_bytes=2_000, max_tokens=100)).asked == "a"
    assert world.call([A, B], [(1, OK)], needs=Needs(input_bytes=100, max_tokens=100_000)).asked == "b"


def test_a_picture_that_does_not_fit_says_nothing_of_text() -> None:
    world = World()
    world.call([A], [(0, OVERFLOW)], needs=Needs(input_bytes=5_100, image_bytes=5_000))
    assert world.call([A, B], [(1, OK)], needs=Needs(input_bytes=6_000)).asked == "a"


def test_an_account_that_pays_again_is_no_longer_shut() -> None:
    world = World()
    world.call([A, B], [(0, NO_CREDITS)])
    world.sleep(1)
    assert world.call([A, B], [(0, OK)]).asked == "a"
    assert world.call([A, B], [(0, CUT), (0, OK)]).asked == "a b"


def test_what_was_sent_before_the_account_was_shut_does_not_open_it() -> None:
    world = World()
    probe, launched = world.health.launched(B, world.now), world.now
    world.sleep(1)
    world.call([A], [(0, NO_CREDITS)])
    world.health.answered(B, launched, world.now, probe=probe)
    assert world.call([A, OWN], [(0, OK)]).asked == "own"


def test_what_is_not_supported_in_a_request_without_parameters_is_no_parameter() -> None:
    world = World()
    says = http(400, "assistant message prefill is not supported")
    world.call([A, B], [(0, says), (1, OK)])
    assert world.call([A, B], [(1, OK)]).asked == "a"


def test_messages_that_a_target_does_not_support_say_nothing_of_others_with_the_same_parameters() -> None:
    world, needs = World(), Needs(parameters=frozenset({"max_tokens", "temperature"}))
    says = http(400, "image input is not supported by this model")
    world.call([A, B], [(0, says), (1, OK)], needs=replace(needs, images=True))
    assert world.call([A, B], [(1, OK)], needs=needs).asked == "a"


def test_one_slow_answer_does_not_banish_a_target_more_the_longer_it_is_ago() -> None:
    world, quick, slow = World(), target("a"), target("b", latency=3.0)
    world.call([quick], [Ends(9, OK, 9)], ranked=True)
    assert world.choice([quick, slow], ranked=True).ranked(world.now)[0].target is quick
    world.sleep(3_600)
    assert world.choice([quick, slow], ranked=True).ranked(world.now)[0].target is quick


def test_a_stream_that_garbles_tool_calls_after_its_commit_is_asked_in_one_piece_from_then_on() -> None:
    world, needs = World(), Needs(tools=True)
    world.call([A], [Ends(1, OK, 1, flowing=True)], needs=needs)
    world.health.ended(A, world.now, seconds=1.0, output_tokens=9, broken=True, how=(MALFORMED, needs))
    assert world.call([A], [(1, OK)], needs=needs).launches[0].unary
    assert world.health.of(A).speed.failing(world.now) == 0


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Error downloading image from https://example.com/cat.png", "bad_request"),
        ("Error loading image", "bad_request"),
        ("Uploading failed: error loading the file", "bad_request"),
        ("Model org/m is currently loading", "cold"),
        ("Loading model", "cold"),
    ],
)
def test_a_picture_that_cannot_be_loaded_is_no_model_that_is_loading(text: str, kind: str) -> None:
    assert judge(Problem(400, text)).kind == kind


# -- on real sockets --------------------------------------------------------------------------------------------------


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

"""What one call learns, the next ones know: breakers, pauses, sessions, hedges; real sockets, a clock held by hand."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hfrouter import Policy, RouteExhausted, Router, StreamInterrupted
from hfrouter.simulator import Fault, Simulator

MODEL = "openai/gpt-oss-120b"
ASK: dict[str, Any] = {"model": MODEL, "messages": "What is 17 * 23?"}
ORDER = ["groq", "novita", "together", "cerebras"]


class HeldClock:
    """The computer's clocks, and as much later as the test says."""

    def __init__(self) -> None:
        self.later = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.later

    def wall(self) -> float:
        return time.time() + self.later


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
def router(sim: Simulator, clock: HeldClock) -> Iterator[Router]:
    policy = Policy(order=ORDER, first_content=2)
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory", seed=0, policy=policy, clock=clock) as made:
        yield made


def asked(sim: Simulator) -> list[str]:
    """The providers asked, in order."""
    return [exchange.provider for exchange in sim.exchanges if exchange.path.endswith("/chat/completions")]


def test_a_provider_that_keeps_failing_is_left_alone_and_probed_once_it_may_have_recovered(
    sim: Simulator, router: Router, clock: HeldClock, caplog: pytest.LogCaptureFixture
) -> None:
    sim.fail("groq", Fault.status(503), times=None)
    with caplog.at_level(logging.WARNING, "hfrouter"):
        for _ in range(3):
            assert router.chat(**ASK).provider == "novita"
    failed = asked(sim).count("groq")
    assert failed == 3
    assert [r.message for r in caplog.records if "groq" in r.message] != []
    for _ in range(5):
        assert router.chat(**ASK).attempts[0].provider == "novita"
    assert asked(sim).count("groq") == failed
    clock.later += 7  # 5 s and 20 %
    assert router.chat(**ASK).attempts[0].provider == "groq"  # the probe, which fails
    assert router.chat(**ASK).attempts[0].provider == "novita"
    sim.reset()
    clock.later += 13  # 10 s and 20 %
    assert router.chat(**ASK).provider == "groq"
    assert router.chat(**ASK).provider == "groq"


def test_a_rate_limit_is_kept_for_the_calls_to_come(sim: Simulator, router: Router, clock: HeldClock) -> None:
    sim.fail("groq", Fault.rate_limited(retry_after=30))
    assert [a.provider for a in router.chat(**ASK).attempts] == ["groq", "novita"]
    sim.reset()
    clock.later += 29
    assert [a.provider for a in router.chat(**ASK).attempts] == ["novita"]
    clock.later += 2
    assert [a.provider for a in router.chat(**ASK).attempts] == ["groq"]


def test_in_an_outage_of_all_each_call_asks_one_and_no_more(sim: Simulator, router: Router) -> None:
    for provider in ORDER:
        sim.fail(provider, Fault.status(503), times=None)
    policy = Policy(only=ORDER)
    for _ in range(6):
        with pytest.raises(RouteExhausted):
            router.chat(**ASK, policy=policy)
    before = len(asked(sim))
    with pytest.raises(RouteExhausted) as caught:
        router.chat(**ASK, policy=policy)
    assert len(asked(sim)) - before == 1
    assert "all are held back" in caught.value.explain()
    sim.reset()
    assert router.chat(**ASK, policy=policy).text


def test_a_lone_provider_is_never_locked_out(sim: Simulator, router: Router) -> None:
    sim.fail("groq", Fault.status(500), times=None)
    for _ in range(3):
        with pytest.raises(RouteExhausted):
            router.chat(**ASK | {"model": f"{MODEL}:groq"}, timeout=1)
    sim.reset()
    assert router.chat(**ASK | {"model": f"{MODEL}:groq"}).provider == "groq"


def test_a_target_that_is_gone_is_not_asked_again_for_ten_minutes(
    sim: Simulator, router: Router, clock: HeldClock
) -> None:
    sim.fail("groq", Fault.gone())
    assert [a.provider for a in router.chat(**ASK).attempts] == ["groq", "novita"]
    sim.reset()
    clock.later += 590
    assert [a.provider for a in router.chat(**ASK).attempts] == ["novita"]
    clock.later += 20
    assert [a.provider for a in router.chat(**ASK).attempts] == ["groq"]


def test_a_parameter_a_target_does_not_support_is_remembered_for_requests_that_have_it(
    sim: Simulator, router: Router
) -> None:
    sim.fail("groq", Fault.status(422, body={"error": {"message": "parameter 'seed' is not supported"}}))
    assert [a.provider for a in router.chat(**ASK, seed=1).attempts] == ["groq", "novita"]
    assert [a.provider for a in router.chat(**ASK, seed=2).attempts] == ["novita"]
    assert [a.provider for a in router.chat(**ASK).attempts] == ["groq"]


def test_a_session_keeps_its_provider_while_it_is_healthy(sim: Simulator, clock: HeldClock) -> None:
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory", seed=0, clock=clock) as router:
        first = router.chat(**ASK).provider
        other = next(p for p in ORDER if p != first)
        assert router.chat(**ASK, session="s", provider={"order": [other]}).provider == other
        assert router.chat(**ASK, session="s").provider == other
        assert router.chat(**ASK, session="t").provider == first
        sim.fail(other, Fault.status(503), times=2)
        assert router.chat(**ASK, session="s").provider != other
        clock.later += 601
        assert router.chat(**ASK, session="s").provider == first


@pytest.fixture
def hedging(sim: Simulator) -> Iterator[Router]:
    """A router whose groq is known to be quick, so that a hedge comes after half a second."""
    policy = Policy(order=ORDER, hedge=True)
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory", seed=0, policy=policy) as made:
        for _ in range(20):
            made.chat(**ASK)
        yield made


def test_a_hedge_answers_while_the_first_is_silent_and_both_are_accounted_for(sim: Simulator, hedging: Router) -> None:
    sim.fail("groq", Fault.hang())
    answer = hedging.chat(**ASK)
    assert (answer.provider, answer.answer.outcome) == ("novita", "ok")
    assert [(a.provider, a.outcome) for a in answer.attempts] == [("groq", "hedge_lost"), ("novita", "ok")]
    assert answer.cost.exact
    assert answer.total.upper != answer.cost.upper  # the loser may have been billed
    rows = hedging.entries(answer.id)
    assert [(row.outcome, row.hedge) for row in rows] == [("hedge_lost", False), ("ok", True)]
    assert rows[0].cost.lower == 0
    assert rows[0].cost.upper
    assert "hedge after 0." in answer.explain()
    assert "another was faster" in answer.explain()


def test_a_stream_is_hedged_until_its_commit(sim: Simulator, hedging: Router) -> None:
    sim.fail("groq", Fault.hang())
    with hedging.stream(**ASK) as stream:
        text = "".join(delta.text for delta in stream)
    assert "391" in text
    assert [(a.provider, a.outcome) for a in stream.attempts] == [("groq", "hedge_lost"), ("novita", "ok")]


def test_a_hedge_that_is_slower_is_stopped(sim: Simulator, hedging: Router) -> None:
    sim.fail("groq", Fault.slow_first_token(1.0))
    sim.fail("novita", Fault.hang())
    answer = hedging.chat(**ASK)
    assert [(a.provider, a.outcome) for a in answer.attempts] == [("groq", "ok"), ("novita", "hedge_lost")]
    assert (answer.provider, answer.usage) == ("groq", answer.attempts[0].usage)


def test_an_answer_that_began_is_not_hedged_however_long_it_takes(sim: Simulator, hedging: Router) -> None:
    sim.fail("groq", Fault.stall_after(3, 1.5))
    answer = hedging.chat(**ASK, timeout=30)
    assert {a.outcome for a in answer.attempts} <= {"ok", "cut", "idle_timeout"}


def test_without_leave_nothing_is_hedged(sim: Simulator, router: Router) -> None:
    sim.fail("groq", Fault.slow_first_token(0.8))
    assert len(router.chat(**ASK).attempts) == 1


async def test_the_same_for_asynchronous_callers(sim: Simulator, hedging: Router) -> None:
    sim.fail("groq", Fault.hang())
    answer = await hedging.achat(**ASK)
    assert [(a.provider, a.outcome) for a in answer.attempts] == [("groq", "hedge_lost"), ("novita", "ok")]
    sim.reset()
    sim.fail("groq", Fault.hang())
    async with await hedging.astream(**ASK) as stream:
        async for _ in stream:
            pass
    assert stream.provider != "groq"


def test_why_a_call_went_where_it_went_can_be_read_from_the_ledger(sim: Simulator, router: Router) -> None:
    sim.fail("groq", Fault.rate_limited())
    answer = router.chat(**ASK)
    text = router.explain(answer.id)
    for words in (
        "rank",
        "to the first content",
        "tokens/s",
        f"launch 1  {MODEL}:groq",
        "429 rate_limited",
        "novita ok",
    ):
        assert words in text
    assert "17 * 23" not in text


def test_a_stream_that_breaks_after_its_commit_counts_against_its_provider(sim: Simulator, router: Router) -> None:
    sim.fail("groq", Fault.cut_after(3), times=None)
    for _ in range(3):
        with pytest.raises(StreamInterrupted), router.stream(**ASK) as stream:
            list(stream)
    assert router.chat(**ASK).provider == "novita"


def test_a_pickled_router_starts_with_a_clean_slate(sim: Simulator, router: Router) -> None:
    import pickle

    sim.fail("groq", Fault.rate_limited(retry_after=60))
    router.chat(**ASK)
    copy = pickle.loads(pickle.dumps(router))
    assert copy._shared.health is not router._shared.health

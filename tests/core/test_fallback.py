"""Fallback over real sockets: providers fail in every scripted way, calls answer, and the account is right."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hfrouter import (
    Completion,
    ContextOverflow,
    DeadlineExceeded,
    HFRouterError,
    NoTargetAvailable,
    OutOfCredits,
    Policy,
    RequestRejected,
    RouteExhausted,
    Router,
    StreamInterrupted,
)
from hfrouter.simulator import Fault, Simulator

MODEL = "openai/gpt-oss-120b"
ASK: dict[str, Any] = {"model": MODEL, "messages": "What is 17 * 23?"}

# Faults that another provider makes good, and the outcome our account must give the failed attempt.
SURVIVED = {
    "429": (Fault.rate_limited(), "rate_limited"),
    "429 with Retry-After": (Fault.rate_limited(retry_after=30), "rate_limited"),
    "410": (Fault.gone(), "gone"),
    "500 json": (Fault.status(500), "server_error"),
    "503 json": (Fault.status(503), "server_error"),
    "502 html": (Fault.status(502, html=True), "server_error"),
    "403 firewall": (Fault.status(403, html=True), "blocked"),
    "model_not_supported": (Fault.model_not_supported(), "model_not_supported"),
    "cold": (Fault.loading(), "cold"),
    "hang": (Fault.hang(), "first_content_timeout"),
    "slow first token": (Fault.slow_first_token(30), "first_content_timeout"),
    "keep-alive comments": (Fault.keep_alive_comments(30), "first_content_timeout"),
    "cut before content": (Fault.cut_before_content(), "cut"),
    "reset": (Fault.reset(), "connection_lost"),
    "error event": (Fault.error_event(), None),
    "error body in a 200": (Fault.error_body_200(), None),
    "html in a 200": (Fault.html_200(), "not_an_answer"),
    "empty answer": (Fault.empty_answer(), "empty_answer"),
}
# Faults after content: a whole answer can still come from elsewhere, a stream that was shown cannot be taken back.
LATE = {
    "cut after content": (Fault.cut_after(2), "cut"),
    "stall": (Fault.stall_after(2, 30), "idle_timeout"),
    "no finish": (Fault.no_finish(), "cut"),
}
QUICK = Policy(order=["groq", "novita", "together", "cerebras"], first_content=0.4, idle=0.4)


def by_chat(router: Router, **changes: Any) -> Completion:
    return router.chat(**ASK | changes)


def by_stream(router: Router, **changes: Any) -> Completion:
    with router.stream(**ASK | changes) as stream:
        for _ in stream:
            pass
        return stream.completion()


async def by_achat(router: Router, **changes: Any) -> Completion:
    return await router.achat(**ASK | changes)


async def by_astream(router: Router, **changes: Any) -> Completion:
    async with await router.astream(**ASK | changes) as stream:
        async for _ in stream:
            pass
        return stream.completion()


def check_answer(answer: Completion, sim: Simulator, router: Router, outcome: str | None, provider: str) -> None:
    """The answer is right, and its account agrees with the simulator's own log and bill."""
    assert "391" in answer.text
    assert answer.provider == provider
    assert answer.model == MODEL
    failed, served = answer.attempts[0], answer.attempts[-1]
    assert not failed.ok
    assert outcome in (None, failed.outcome)
    billed = sim.bill().lines[-1]
    assert served.usage is not None
    assert (served.usage.input_tokens, served.usage.output_tokens) == (billed.prompt_tokens, billed.completion_tokens)
    assert answer.cost.usd == billed.cost
    rows = router.entries(answer.id)
    assert [row.outcome for row in rows] == [attempt.outcome for attempt in answer.attempts]
    assert [row.cost for row in rows] == [attempt.cost for attempt in answer.attempts]


@pytest.mark.parametrize("call", [by_chat, by_stream], ids=["chat", "stream"])
@pytest.mark.parametrize("name", SURVIVED)
def test_a_failure_before_content_is_survived(
    name: str, call: Callable[..., Completion], sim: Simulator, router: Router
) -> None:
    fault, outcome = SURVIVED[name]
    sim.fail("groq", fault, times=None)
    check_answer(call(router, policy=QUICK), sim, router, outcome, "novita")


@pytest.mark.parametrize("call", [by_achat, by_astream], ids=["achat", "astream"])
@pytest.mark.parametrize("name", SURVIVED)
async def test_a_failure_before_content_is_survived_asynchronously(
    name: str, call: Callable[..., Any], sim: Simulator, router: Router
) -> None:
    fault, outcome = SURVIVED[name]
    sim.fail("groq", fault, times=None)
    check_answer(await call(router, policy=QUICK), sim, router, outcome, "novita")


@pytest.mark.parametrize("name", LATE)
def test_a_whole_answer_survives_a_failure_after_content(name: str, sim: Simulator, router: Router) -> None:
    fault, outcome = LATE[name]
    sim.fail("groq", fault, times=None)
    answer = by_chat(router, policy=QUICK)
    check_answer(answer, sim, router, outcome, "novita")
    assert answer.total.unknown == 1  # what the cut answer cost is not known, and is not said to be nothing
    assert not answer.attempts[0].cost.exact


@pytest.mark.parametrize("name", LATE)
def test_a_stream_that_breaks_after_content_is_never_a_success(name: str, sim: Simulator, router: Router) -> None:
    fault, outcome = LATE[name]
    sim.fail("groq", fault)
    shown = []
    with pytest.raises(StreamInterrupted) as caught, router.stream(**ASK, policy=QUICK) as stream:
        shown += [delta.text for delta in stream]
    error = caught.value
    assert error.partial.startswith("".join(shown))
    assert error.partial not in str(error) or not error.partial
    assert error.cost is not None
    assert not error.cost.exact
    assert [row.outcome for row in router.entries()] == [outcome]
    assert len(sim.exchanges) <= 2  # the catalogue, one attempt: nothing was replayed


def test_a_stream_without_done_is_whole_once_it_has_a_finish_reason(sim: Simulator, router: Router) -> None:
    sim.fail("groq", Fault.no_done())
    answer = by_stream(router)
    assert (answer.provider, answer.finish_reason, len(answer.attempts)) == ("groq", "stop", 1)


def test_a_fast_server_error_is_asked_once_more_while_attempts_are_left_for_the_others(
    sim: Simulator, router: Router
) -> None:
    sim.fail("groq", Fault.status(500))
    answer = router.chat(**ASK, provider={"only": ["groq", "novita"]})
    assert [(a.provider, a.outcome) for a in answer.attempts] == [("groq", "server_error"), ("groq", "ok")]


def test_with_as_many_others_as_attempts_it_is_left(sim: Simulator, router: Router) -> None:
    sim.fail("groq", Fault.status(500))
    answer = by_chat(router)
    assert [(a.provider, a.outcome) for a in answer.attempts] == [("groq", "server_error"), ("novita", "ok")]


def test_fallback_goes_on_to_the_next_model(sim: Simulator, router: Router) -> None:
    sim.fail("cerebras", Fault.rate_limited(), times=None)
    answer = router.chat(model="zai-org/GLM-4.6", messages="What is 17 * 23?", models=[MODEL])
    assert (answer.model, answer.provider) == (MODEL, "groq")
    assert "391" in answer.text


def test_a_pin_of_the_user_forbids_other_providers_but_not_other_models(sim: Simulator, router: Router) -> None:
    sim.fail("groq", Fault.gone(), model=MODEL, times=None)
    with pytest.raises(RouteExhausted) as caught:
        router.chat(model=f"{MODEL}:groq", messages="What is 17 * 23?")
    assert [a.provider for a in caught.value.attempts] == ["groq"]
    answer = router.chat(model=f"{MODEL}:groq", messages="What is 17 * 23?", models=["openai/gpt-oss-20b"])
    assert (answer.model, answer.provider) == ("openai/gpt-oss-20b", "groq")


def test_at_most_four_attempts_are_made_and_the_error_lists_them(sim: Simulator, router: Router) -> None:
    for provider in ("groq", "novita", "together", "cerebras"):
        sim.fail(provider, Fault.gone(), times=None)
    with pytest.raises(RouteExhausted) as caught:
        router.chat(**ASK)
    error = caught.value
    assert [a.number for a in error.attempts] == [1, 2, 3, 4]
    assert f"attempt 1 {MODEL}:groq 410 gone after" in str(error)
    assert error.__cause__ is not None
    assert len([x for x in sim.exchanges if x.path.endswith("/chat/completions")]) == 4


def test_the_deadline_bounds_the_whole_call(sim: Simulator, router: Router) -> None:
    for provider in ("groq", "novita", "together", "cerebras"):
        sim.fail(provider, Fault.hang(), times=None)
    with pytest.raises(DeadlineExceeded) as caught:
        router.chat(**ASK, policy=Policy(first_content=0.3, deadline=0.8))
    assert isinstance(caught.value, TimeoutError)
    assert [row.outcome for row in router.entries()][-1] == "abandoned"
    assert "pending" not in {row.outcome for row in router.entries()}


def test_the_only_provider_is_given_the_whole_deadline(sim: Simulator, router: Router) -> None:
    sim.fail("cerebras", Fault.slow_first_token(0.8))
    answer = router.chat(model="zai-org/GLM-4.6", messages="What is 17 * 23?", policy=Policy(first_content=0.2))
    assert len(answer.attempts) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.payment_required(), OutOfCredits),
        (Fault.spending_limit(), OutOfCredits),
        (Fault.content_policy(), RequestRejected),
        (Fault.status(422, body={"error": "Input validation error"}), RequestRejected),
        (Fault.context_length(), ContextOverflow),
    ],
    ids=["402", "spending limit", "content policy", "422", "context"],
)
def test_what_no_provider_can_mend_is_asked_once(
    fault: Fault, error: type[Exception], sim: Simulator, router: Router
) -> None:
    sim.fail("groq", fault, times=None)
    with pytest.raises(error) as caught:
        router.chat(**ASK)
    assert len(caught.value.attempts) == 1  # type: ignore[attr-defined]  # every error of the tree has attempts


def test_a_refused_token_is_an_error_of_the_caller(sim: Simulator) -> None:
    with (
        Router(base_url=sim.base_url, token=Simulator.BAD_TOKEN, ledger="memory") as router,
        pytest.raises(RequestRejected) as caught,
    ):
        router.chat(**ASK)
    assert caught.value.status_code == 401
    assert Simulator.BAD_TOKEN not in str(caught.value)


def test_nothing_eligible_says_why_for_each_candidate(router: Router) -> None:
    with pytest.raises(NoTargetAvailable) as caught:
        router.chat(**ASK, provider={"max_price": 0.01})
    assert set(caught.value.reasons) == {f"{MODEL}:{p}" for p in ("groq", "cerebras", "novita", "together")}
    assert all("over the cap" in reason for reason in caught.value.reasons.values())


def test_a_row_without_a_price_costs_an_unknown_amount(sim: Simulator, router: Router) -> None:
    answer = router.chat(model="openai/gpt-oss-20b:together", messages="What is 17 * 23?")
    assert answer.cost.usd is None
    assert str(answer.cost) == "n/a"
    assert str(answer.total) == "n/a (1 unknown)"
    assert router.entries()[0].cost.reason == "no price in the catalogue"


def test_a_free_row_costs_a_known_zero(router: Router) -> None:
    assert router.chat(model="zai-org/GLM-4.6", messages="What is 17 * 23?").cost.usd == Decimal(0)


def test_cheapest_and_fastest_choose_by_the_catalogue(sim: Simulator) -> None:
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory") as router:
        assert router.chat(model=f"{MODEL}:cheapest", messages="What is 2 + 2?").provider == "novita"
        assert router.chat(model=f"{MODEL}:fastest", messages="What is 2 + 2?").provider == "cerebras"
        assert router.chat(**ASK, policy=Policy(strategy="in_order")).provider == "groq"


def test_preferred_leaves_the_choice_to_hugging_face_and_prices_who_served(sim: Simulator, router: Router) -> None:
    answer = router.chat(model=f"{MODEL}:preferred", messages="What is 17 * 23?")
    assert sim.exchanges[-1].model == f"{MODEL}:preferred" or sim.exchanges[-1].body["model"] == f"{MODEL}:preferred"
    assert answer.provider == sim.exchanges[-1].provider
    assert answer.cost.usd == sim.bill().lines[-1].cost


def test_preferred_keeps_its_place_and_gives_way_to_a_restricting_policy(sim: Simulator, router: Router) -> None:
    answer = router.chat(model="openai/gpt-oss-20b:groq", messages="What is 2 + 2?", models=[f"{MODEL}:preferred"])
    assert answer.provider == "groq"
    assert answer.model == "openai/gpt-oss-20b"
    answer = router.chat(model=f"{MODEL}:preferred", messages="What is 2 + 2?", provider={"only": ["novita"]})
    assert answer.provider == "novita"
    assert "not left to Hugging Face" in answer.explain()


def test_a_ledger_that_cannot_be_read_is_an_error_of_the_tree(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_bytes(b"this is no database" * 100)
    with Router(ledger=tmp_path / "ledger") as router, pytest.raises(HFRouterError, match="cannot be read"):
        router.entries()


def test_explain_tells_the_plan_the_attempts_and_the_end(sim: Simulator, router: Router) -> None:
    sim.fail("groq", Fault.rate_limited())
    told = router.chat(**ASK).explain()
    assert "plan" in told
    assert f"launch 1  {MODEL}:groq" in told
    assert "rate_limited" in told
    assert f"launch 2  {MODEL}:novita" in told
    assert "17 * 23" not in told

"""A provider fails: the answer comes all the same, says who gave it and what it cost, and errors are hfrouter's own."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.base.llms.types import ChatMessage

import hfrouter
from hfrouter.simulator import Fault, Simulator

ASKED = [ChatMessage("What is 2 + 2?")]
LONG = [ChatMessage("Count from 1 to 400.")]
ORDER = ("groq", "novita", "together", "cerebras")


async def _last(responses: Any) -> Any:
    *_, last = [response async for response in await responses]
    return last


ENDPOINTS = {
    "complete": lambda llm: llm.complete("What is 2 + 2?"),
    "chat": lambda llm: llm.chat(ASKED),
    "stream_complete": lambda llm: list(llm.stream_complete("What is 2 + 2?"))[-1],
    "stream_chat": lambda llm: list(llm.stream_chat(ASKED))[-1],
    "acomplete": lambda llm: asyncio.run(llm.acomplete("What is 2 + 2?")),
    "achat": lambda llm: asyncio.run(llm.achat(ASKED)),
    "astream_complete": lambda llm: asyncio.run(_last(llm.astream_complete("What is 2 + 2?"))),
    "astream_chat": lambda llm: asyncio.run(_last(llm.astream_chat(ASKED))),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)
def test_every_endpoint_falls_back_and_tells_what_the_bill_tells(endpoint: Any, llm: Any, sim: Simulator) -> None:
    sim.fail("groq", Fault.rate_limited(), times=None)
    response = endpoint(llm)
    (line,) = sim.bill()
    about = response.additional_kwargs
    assert (about["provider"], about["model_name"]) == (line.provider, line.model) == ("novita", llm.model)
    assert (about["prompt_tokens"], about["completion_tokens"]) == (line.prompt_tokens, line.completion_tokens)
    assert response.raw.usage.completion_tokens == line.completion_tokens
    assert Decimal(about["cost_details"]["usd"]) == line.cost
    assert Decimal(about["cost_details"]["total_usd"]) == sim.bill().total
    assert about["cost"] == float(line.cost or 0)
    assert [attempt["outcome"] for attempt in about["attempts"]] == ["rate_limited", "ok"]
    assert about["finish_reason"] == "stop"
    rows = llm.active_router.entries(about["call_id"])
    assert [row.provider for row in rows] == ["groq", "novita"]


def test_a_fallback_model_answers_when_no_provider_of_the_first_one_does(make: Any, sim: Simulator) -> None:
    for provider in ("groq", "novita", "together"):
        sim.fail(provider, Fault.rate_limited(), model="openai/gpt-oss-20b", times=None)
    llm = make(model="openai/gpt-oss-20b", fallback_models="meta-llama/Llama-3.3-70B-Instruct", provider=None)
    about = llm.chat(ASKED).additional_kwargs
    assert about["model_name"] == "meta-llama/Llama-3.3-70B-Instruct"
    assert about["attempts"][0]["model"] == "openai/gpt-oss-20b"


def test_a_call_may_have_its_own_routing_and_parameters(llm: Any, sent: Any) -> None:
    response = llm.chat(ASKED, provider="cerebras", temperature=0.5, stop="x", extra_body={"top_k": 3})
    assert response.additional_kwargs["provider"] == "cerebras"
    body = sent()
    assert (body["temperature"], body["stop"], body["top_k"]) == (0.5, ["x"], 3)


def test_only_what_is_set_is_sent(make: Any, sent: Any) -> None:
    make(max_tokens=64, seed=1, additional_kwargs={"reasoning_effort": "low"}).chat(ASKED, seed=None)
    body = sent()
    assert body.pop("max_tokens") == 64
    assert body.pop("reasoning_effort") == "low"
    assert set(body) == {"model", "messages"}


def test_cost_is_bounds_where_it_is_not_known(llm: Any, sim: Simulator) -> None:
    sim.fail("groq", Fault.no_usage())
    about = llm.complete("Hello", provider="groq").additional_kwargs
    assert "cost" not in about
    assert "prompt_tokens" not in about
    details = about["cost_details"]
    assert details["usd"] is None
    assert Decimal(details["lower_usd"]) <= sim.bill().total <= Decimal(details["upper_usd"])


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.payment_required(), hfrouter.OutOfCredits),
        (Fault.context_length(), hfrouter.ContextOverflow),
        (Fault.content_policy(), hfrouter.RequestRejected),
        (Fault.rate_limited(), hfrouter.RouteExhausted),
    ],
    ids=lambda each: getattr(each, "name", None),
)
@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=ENDPOINTS)
def test_errors_are_those_of_hfrouter_unchanged(
    endpoint: Any, fault: Fault, error: type[Exception], make: Any, sim: Simulator
) -> None:
    sim.fail("groq", fault, times=None)
    with pytest.raises(error) as caught:
        endpoint(make(provider="groq", max_retries=0))
    assert type(caught.value) is error
    assert caught.value.attempts[0].provider == "groq"  # type: ignore[attr-defined]


def test_a_stream_that_cannot_be_opened_raises_when_it_is_asked_for(make: Any, sim: Simulator) -> None:
    sim.fail("groq", Fault.rate_limited(), times=None)
    llm = make(provider="groq", max_retries=0)
    with pytest.raises(hfrouter.RouteExhausted):
        llm.stream_chat(ASKED)
    with pytest.raises(hfrouter.RouteExhausted):
        asyncio.run(llm.astream_chat(ASKED))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_that_breaks_keeps_what_came(asynchronous: bool, llm: Any, sim: Simulator, chats: Any) -> None:
    sim.fail("groq", Fault.cut_after(20))
    came: list[str] = []

    async def read() -> None:
        if asynchronous:
            async for response in await llm.astream_chat(LONG):
                came.append(response.delta)  # noqa: PERF401 (the break must leave what came)
        else:
            came.extend(response.delta for response in llm.stream_chat(LONG))

    with pytest.raises(hfrouter.StreamInterrupted) as caught:
        asyncio.run(read())
    assert caught.value.partial == "".join(came)
    assert len(chats()) == 1


def test_max_retries_counts_attempts_beyond_the_first(make: Any, sim: Simulator, chats: Any) -> None:
    for provider in ORDER:
        sim.fail(provider, Fault.rate_limited(), times=None)
    with pytest.raises(hfrouter.RouteExhausted):
        make(max_retries=1).chat(ASKED)
    assert len(chats()) == 2

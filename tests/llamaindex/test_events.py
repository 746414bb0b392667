"""Every call tells LlamaIndex's instrumentation once how it ended, whatever the ending."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index_instrumentation.dispatcher import instrument_tags

import hfrouter
from hfrouter.simulator import Fault, Simulator

ASKED = [ChatMessage("What is 2 + 2?")]
LONG = [ChatMessage("Count from 1 to 400.")]


async def _drained(responses: Any) -> Any:
    return [response async for response in await responses]


ENDPOINTS = {
    "complete": lambda llm: llm.complete("What is 2 + 2?"),
    "chat": lambda llm: llm.chat(ASKED),
    "stream_complete": lambda llm: list(llm.stream_complete("What is 2 + 2?")),
    "stream_chat": lambda llm: list(llm.stream_chat(ASKED)),
    "acomplete": lambda llm: asyncio.run(llm.acomplete("What is 2 + 2?")),
    "achat": lambda llm: asyncio.run(llm.achat(ASKED)),
    "astream_complete": lambda llm: asyncio.run(_drained(llm.astream_complete("What is 2 + 2?"))),
    "astream_chat": lambda llm: asyncio.run(_drained(llm.astream_chat(ASKED))),
}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_call_is_one_event_and_one_pair_of_llamaindex_events(
    name: str, llm: Any, sim: Simulator, events: Any, calls: Any
) -> None:
    sim.fail("groq", Fault.rate_limited())
    ENDPOINTS[name](llm)
    (event,) = calls()
    (line,) = sim.bill()
    assert (event.outcome, event.provider, event.model) == ("ok", "novita", llm.model)
    assert event.streamed == ("stream" in name)
    assert Decimal(event.cost) == Decimal(event.cost_lower) == Decimal(event.cost_upper) == sim.bill().total
    assert event.usage["completion_tokens"] == line.completion_tokens
    assert [attempt["outcome"] for attempt in event.attempts] == ["rate_limited", "ok"]
    assert event.seconds > 0
    kinds = Counter(type(each).__name__ for each in events)
    family = "LLMCompletion" if "complete" in name else "LLMChat"
    assert kinds[f"{family}StartEvent"] == kinds[f"{family}EndEvent"] == 1
    assert not kinds["LLMChatStartEvent" if "complete" in name else "LLMCompletionStartEvent"]
    assert event.span_id == next(each for each in events if type(each).__name__ == f"{family}StartEvent").span_id


def test_no_prompt_and_no_answer_are_in_it(llm: Any, calls: Any) -> None:
    answer = llm.complete("The secret word is xylophone. What is the secret word?").text
    assert "xylophone" in answer
    assert "xylophone" not in calls()[0].model_dump_json()


def test_a_failed_call_is_an_event_with_its_attempts(make: Any, sim: Simulator, calls: Any) -> None:
    sim.fail("groq", Fault.rate_limited(), times=None)
    for use in (ENDPOINTS["chat"], ENDPOINTS["stream_chat"], ENDPOINTS["achat"], ENDPOINTS["astream_chat"]):
        with pytest.raises(hfrouter.RouteExhausted):
            use(make(provider="groq", max_retries=0))
    assert [event.outcome for event in calls()] == ["RouteExhausted"] * 4
    assert all(event.attempts[0]["status"] == 429 for event in calls())
    assert all(event.cost == "0" for event in calls())


def test_a_refused_call_is_an_event_that_cost_nothing(make: Any, calls: Any) -> None:
    with pytest.raises(hfrouter.ConfigurationError, match="gpt-oss-120b"):
        make(model="openai/gpt-oss-120").chat(ASKED)
    (event,) = calls()
    assert (event.outcome, event.cost, event.attempts) == ("ConfigurationError", "0", [])


def test_a_broken_stream_is_an_event_with_bounds(llm: Any, sim: Simulator, calls: Any) -> None:
    sim.fail("groq", Fault.cut_after(20))
    with pytest.raises(hfrouter.StreamInterrupted):
        list(llm.stream_chat(LONG))
    (event,) = calls()
    assert (event.outcome, event.cost, event.provider) == ("StreamInterrupted", None, "groq")
    assert Decimal(event.cost_lower) <= sim.bill().total <= Decimal(event.cost_upper)


def test_a_stream_that_is_left_is_an_event_with_bounds(llm: Any, sim: Simulator, calls: Any) -> None:
    for _response in llm.stream_chat(LONG):
        break
    (event,) = calls()
    assert (event.outcome, event.cost, event.provider) == ("abandoned", None, "groq")
    assert len(event.attempts) == 1
    assert Decimal(event.cost_upper) > 0


def test_a_stream_that_is_never_read_is_an_event_too(llm: Any, calls: Any, left: Any, sim: Simulator) -> None:
    sim.fail("groq", Fault.stall_after(5, seconds=30))
    responses = llm.stream_chat(LONG)
    del responses
    gc.collect()
    assert [event.outcome for event in calls()] == ["abandoned"]
    assert left()


async def test_asynchronous_streams_that_are_left_or_never_read_are_events_too(llm: Any, calls: Any) -> None:
    responses = await llm.astream_chat(LONG)
    async for _response in responses:
        break
    await responses.aclose()
    del responses
    unread = await llm.astream_chat(LONG)
    del unread
    gc.collect()
    await asyncio.sleep(0.05)
    assert [event.outcome for event in calls()] == ["abandoned"] * 2
    assert all(event.cost is None for event in calls())


async def test_a_cancelled_call_is_an_event_whose_cost_is_open(llm: Any, sim: Simulator, calls: Any) -> None:
    sim.fail("groq", Fault.hang())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await llm.achat(ASKED)
    (event,) = calls()
    assert (event.outcome, event.cost, event.cost_upper) == ("CancelledError", None, None)


def test_tags_are_those_of_the_call_even_when_a_stream_is_read_elsewhere(llm: Any, calls: Any) -> None:
    with instrument_tags({"tenant": "a"}):
        responses = llm.stream_chat(ASKED)
    reader = threading.Thread(target=list, args=(responses,))
    reader.start()
    reader.join()
    (event,) = calls()
    assert event.tags == {"tenant": "a"}


def test_tokens_are_counted_once(make: Any, sim: Simulator) -> None:
    counter = TokenCountingHandler()
    llm = make(callback_manager=CallbackManager([counter]))
    for use in ENDPOINTS.values():
        use(llm)
    assert len(counter.llm_token_counts) == len(ENDPOINTS)
    assert counter.prompt_llm_token_count == sum(line.prompt_tokens for line in sim.bill())
    assert counter.completion_llm_token_count == sum(line.completion_tokens for line in sim.bill())


def test_tokens_reported_again_and_again_are_counted_once(make: Any, sim: Simulator) -> None:
    counter = TokenCountingHandler()
    sim.fail("groq", Fault.running_usage())
    list(make(callback_manager=CallbackManager([counter])).stream_chat(ASKED))
    assert counter.completion_llm_token_count == sim.bill()[0].completion_tokens


def test_the_callback_manager_may_come_later(llm: Any) -> None:
    counter = TokenCountingHandler()
    llm.callback_manager = CallbackManager([counter])
    llm.complete("Hello")
    assert len(counter.llm_token_counts) == 1


def test_a_rate_limiter_is_asked_once_for_each_call(make: Any) -> None:
    rate_limiter = pytest.importorskip("llama_index.core.rate_limiter")
    asked: list[int] = []

    class Counting(rate_limiter.TokenBucketRateLimiter):  # type: ignore[misc,name-defined]
        def acquire(self, num_tokens: int = 0) -> None:
            asked.append(num_tokens)

    llm = make(rate_limiter=Counting(requests_per_minute=1000))
    llm.complete("Hello")
    llm.chat(ASKED)
    assert len(asked) == 2

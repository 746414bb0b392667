"""Streams: what each response holds, and that leaving one closes the upstream."""

from __future__ import annotations

import asyncio
import gc
import inspect
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.base.llms.types import ChatMessage, TextBlock, ThinkingBlock
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler

from hfrouter import Attempt, Body, Completion, Cost, Delta, Target, Total
from hfrouter.simulator import Fault, Simulator
from llamaindex_hfrouter import convert

LONG = [ChatMessage("Count from 1 to 400.")]
FEW = [ChatMessage("Count from 1 to 9.")]


def test_each_response_holds_all_that_has_come(llm: Any) -> None:
    text = thought = ""
    for response in llm.stream_chat(FEW):
        text += response.delta
        thought += response.additional_kwargs.get("thinking_delta", "")
        assert (response.message.content or "") == text
        blocks = response.message.blocks
        assert sum(isinstance(block, TextBlock) for block in blocks) <= 1
        assert blocks[0].content == thought
    assert text == "1 2 3 4 5 6 7 8 9"


def test_everything_about_the_answer_is_on_the_last_response(llm: Any) -> None:
    *before, last = llm.stream_chat(FEW)
    for name in ("cost", "cost_details", "provider", "attempts", "total_tokens", "finish_reason"):
        assert name in last.additional_kwargs
        assert not any(name in response.additional_kwargs for response in before)
    assert last.raw.choices[0].message.content == last.message.content
    assert last.raw.usage.total_tokens == last.additional_kwargs["total_tokens"]


def test_a_stream_ends_with_what_a_chat_gives(make: Any) -> None:
    whole = make(provider="groq").chat(FEW)
    *_, last = make(provider="groq").stream_chat(FEW)
    assert last.message == whole.message
    own = ("call_id", "attempts")
    assert {k: v for k, v in last.additional_kwargs.items() if k not in own} == {
        k: v for k, v in whole.additional_kwargs.items() if k not in own
    }


async def test_streams_are_generators_as_the_core_wants_them(llm: Any) -> None:
    assert inspect.isgenerator(llm.stream_chat(FEW))
    assert inspect.isgenerator(llm.stream_complete("Hello"))
    assert inspect.iscoroutinefunction(llm.astream_chat)
    for opening in (llm.astream_chat(FEW), llm.astream_complete("Hello")):
        responses = await opening
        assert inspect.isasyncgen(responses)
        await responses.aclose()


@pytest.mark.parametrize("endpoint", ["stream_chat", "stream_complete"])
@pytest.mark.parametrize("debugging", [False, True])
def test_leaving_a_stream_closes_the_upstream(
    endpoint: str, debugging: bool, make: Any, sim: Simulator, left: Any, events: Any
) -> None:
    sim.fail("groq", Fault.stall_after(5, seconds=30))
    # Handlers that keep what they are told keep the frames of LlamaIndex's own generators.
    handlers: list[Any] = [LlamaDebugHandler(print_trace_on_end=False)] if debugging else []
    llm = make(callback_manager=CallbackManager(handlers))
    for response in getattr(llm, endpoint)(LONG if endpoint == "stream_chat" else LONG[0].content):
        if response.delta:
            break
    assert left()
    assert llm.active_router.entries()[-1].outcome == "abandoned"


def test_a_closed_stream_closes_the_upstream(llm: Any, sim: Simulator, left: Any, events: Any) -> None:
    sim.fail("groq", Fault.stall_after(5, seconds=30))
    responses = llm.stream_chat(LONG)
    next(responses)
    responses.close()
    assert left()


@pytest.mark.parametrize("endpoint", ["astream_chat", "astream_complete"])
async def test_leaving_an_asynchronous_stream_closes_the_upstream(
    endpoint: str, llm: Any, sim: Simulator, left: Any, events: Any
) -> None:
    sim.fail("groq", Fault.stall_after(5, seconds=30))
    responses = await getattr(llm, endpoint)(LONG if endpoint == "astream_chat" else LONG[0].content)
    async for _response in responses:
        break
    await responses.aclose()
    assert await asyncio.to_thread(left)


async def test_a_dropped_asynchronous_stream_closes_the_upstream(llm: Any, sim: Simulator, left: Any) -> None:
    sim.fail("groq", Fault.stall_after(5, seconds=30))
    async for _response in await llm.astream_chat(LONG):
        break
    gc.collect()
    assert await asyncio.to_thread(left)


async def test_a_cancelled_task_closes_the_upstream(llm: Any, sim: Simulator, left: Any) -> None:
    sim.fail("groq", Fault.stall_after(5, seconds=30))

    async def read() -> None:
        async for _response in await llm.astream_chat(LONG):
            pass

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await read()
    assert await asyncio.to_thread(left)


def test_a_stream_carries_one_answer(llm: Any, chats: Any) -> None:
    with pytest.raises(ValueError, match="one answer"):
        llm.stream_chat(FEW, n=2)
    assert not chats()


def completion(message: dict[str, Any], finish: str = "stop", **more: Any) -> Completion:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, **more}
    cost = Cost(0, None, "no price in the catalogue")
    attempt = Attempt(1, "a/b", "groq", "ok", 200, 0.1, 0.1, None, cost)
    total = Total.of([cost])
    body = Body({"choices": [choice], "usage": None})
    return Completion(body, Target("a/b", "groq"), (attempt,), cost, total, None, "id", attempt)  # type: ignore[arg-type]


def test_reasoning_alone_is_taken_for_the_answer_unless_that_is_turned_off() -> None:
    alone = completion({"content": "", "reasoning_content": "42"})
    answer = convert.Answer()
    answer.step(Delta(reasoning="42"))
    last = answer.end(alone, streamed=True)
    assert (last.delta, last.message.content) == ("42", "42")
    kept = convert.Answer(promote=False).end(alone, streamed=False)
    assert [type(block) for block in kept.message.blocks] == [ThinkingBlock]
    cut = convert.Answer().end(completion({"content": "", "reasoning_content": "4"}, "length"), streamed=False)
    assert cut.message.content is None


def test_what_is_not_known_is_not_there() -> None:
    about = convert.Answer().end(completion({"content": "Hi"}), streamed=False).additional_kwargs
    assert "cost" not in about
    assert "total_tokens" not in about
    assert about["cost_details"] == {
        "usd": None,
        "lower_usd": "0",
        "upper_usd": None,
        "total_usd": None,
        "total_lower_usd": "0",
        "total_upper_usd": None,
        "reason": "no price in the catalogue",
    }


def test_logprobs_are_where_llamaindex_has_a_place_for_them() -> None:
    token = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}
    several = {**token, "top_logprobs": [token, {"token": "Ho", "logprob": -2.0, "bytes": None}]}
    answered = completion({"content": "Hi"}, logprobs={"content": [several, token]})
    found = convert.Answer().end(answered, streamed=False).logprobs
    assert found is not None
    assert [[top.token for top in tops] for tops in found] == [["Hi", "Ho"], ["Hi"]]
    assert convert.Answer().end(completion({"content": "Hi"}, logprobs=None), streamed=False).logprobs is None

"""Streams: their chunks add up, a break is an error, and leaving one closes the upstream."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler

import hfrouter
from hfrouter.simulator import Exchange, Fault, Simulator
from langchain_hfrouter import HFRouterStreamError

LONG = "Count from 1 to 400."


def until(fits: Callable[[], bool]) -> bool:
    end = time.monotonic() + 3
    while not fits() and time.monotonic() < end:
        time.sleep(0.005)
    return fits()


@pytest.fixture
def left(chats: Callable[[], list[Exchange]]) -> Callable[[], bool]:
    return lambda: until(lambda: bool(chats()) and chats()[-1].closed_by_client)


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_everything_about_the_whole_answer_is_on_one_chunk(version: str, chat: Any) -> None:
    chunks = list(chat(output_version=version).stream("What is 2 + 2?"))
    names = ("finish_reason", "model_name", "provider", "id", "attempts", "cost", "cost_details")
    for name in names:
        assert sum(name in chunk.response_metadata for chunk in chunks) == 1, name
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1
    assert all(chunk.response_metadata["model_provider"] == "huggingface" for chunk in chunks)
    assert [chunk.chunk_position for chunk in chunks][-1] == "last"


def test_the_sum_of_a_stream_equals_the_answer_of_an_invoke(chat: Any, added: Any) -> None:
    whole = chat(provider="groq").invoke("What is 2 + 2?")
    total = added(chat(provider="groq").stream("What is 2 + 2?"))
    assert total.text == whole.text
    assert total.additional_kwargs == whole.additional_kwargs
    assert total.usage_metadata == whole.usage_metadata
    own = ("id", "call_id", "attempts", "system_fingerprint")
    about = [{k: v for k, v in m.response_metadata.items() if k not in own} for m in (total, whole)]
    assert about[0] == about[1]
    assert set(total.response_metadata) == set(whole.response_metadata)


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_reasoning_comes_first_and_as_a_block(version: str, chat: Any, added: Any) -> None:
    model = chat(output_version=version, provider="groq")
    for message in (model.invoke("What is 2 + 2?"), added(model.stream("What is 2 + 2?"))):
        assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]
        assert message.additional_kwargs["reasoning_content"] == message.content_blocks[0]["reasoning"]


def test_a_repeated_report_of_usage_is_not_added_up(chat: Any, sim: Simulator, added: Any) -> None:
    sim.fail("groq", Fault.running_usage())
    total = added(chat(provider="groq").stream("Count from 1 to 30."))
    (line,) = sim.bill()
    assert total.usage_metadata["output_tokens"] == line.completion_tokens


def test_usage_can_be_left_out(chat: Any, added: Any) -> None:
    assert added(chat(stream_usage=False).stream("Hello")).usage_metadata is None
    assert added(chat().stream("Hello", stream_usage=False)).usage_metadata is None
    assert added(chat(stream_usage=False).stream("Hello", stream_usage=True)).usage_metadata is not None


@pytest.mark.parametrize(
    "fault",
    [Fault.cut_after(20), Fault.error_event(after=20), Fault.no_finish()],
    ids=lambda fault: fault.name,
)
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_stream_cut_after_content_is_no_success(
    fault: Fault, asynchronous: bool, chat: Any, sim: Simulator, chats: Any
) -> None:
    sim.fail("groq", fault)
    came: list[str] = []

    async def read() -> None:
        if asynchronous:
            async for chunk in chat().astream(LONG):
                came.append(chunk.text)  # noqa: PERF401 (the break must leave what came)
        else:
            came.extend(chunk.text for chunk in chat().stream(LONG))

    with pytest.raises(HFRouterStreamError) as caught:
        await read()
    error = caught.value
    assert isinstance(error, hfrouter.StreamInterrupted)
    assert error.is_retryable
    assert error.partial == "".join(came)
    assert error.partial.startswith("1 2 3")
    assert error.partial not in str(error)
    assert error.cost is not None
    assert len(chats()) == 1  # nothing is replayed behind what the reader has seen


def test_an_invoke_falls_back_where_a_stream_cannot(chat: Any, sim: Simulator) -> None:
    sim.fail("groq", Fault.cut_after(20))
    message = chat().invoke(LONG)
    assert message.text.endswith("400")
    details = message.response_metadata["cost_details"]
    assert details["usd"] is not None
    assert details["total_usd"] is None  # what the cut attempt cost is not known, only bounded
    assert float(details["total_lower_usd"]) <= float(sim.bill().total) <= float(details["total_upper_usd"])


def test_leaving_a_stream_closes_the_upstream(chat: Any, sim: Simulator, left: Any) -> None:
    sim.fail("groq", Fault.stall_after(5, seconds=30))
    for chunk in chat().stream(LONG):
        if chunk.text:
            break
    assert left()


def test_a_dropped_stream_closes_the_upstream(chat: Any, sim: Simulator, left: Any) -> None:
    sim.fail("groq", Fault.stall_after(5, seconds=30))
    stream = chat().stream(LONG)
    next(stream)
    del stream
    gc.collect()
    assert left()


async def test_leaving_an_asynchronous_stream_closes_the_upstream(chat: Any, sim: Simulator, left: Any) -> None:
    sim.fail("groq", Fault.stall_after(5, seconds=30))
    stream = chat().astream(LONG)
    async for _chunk in stream:
        break
    await stream.aclose()
    assert await asyncio.to_thread(left)


async def test_a_cancelled_task_closes_the_upstream(chat: Any, sim: Simulator, left: Any) -> None:
    sim.fail("groq", Fault.stall_after(5, seconds=30))

    async def read() -> None:
        async for _chunk in chat().astream(LONG):
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(left)


def test_abandoned_streams_stand_in_the_ledger(chat: Any, sim: Simulator) -> None:
    sim.fail("groq", Fault.stall_after(5, seconds=30))
    model = chat()
    for _chunk in model.stream(LONG):
        break
    (entry,) = model.active_router.entries()
    assert entry.outcome == "abandoned"
    assert entry.cost.usd is None
    assert entry.cost.upper


def test_a_stream_carries_one_answer(chat: Any) -> None:
    with pytest.raises(ValueError, match="one answer"):
        list(chat().stream("Hello", n=2))
    with pytest.raises(ValueError, match="one answer"):
        chat(n=2, streaming=True)


class _Tokens(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []

    def on_llm_new_token(self, token: str, **_named: Any) -> None:
        self.tokens.append(token)


@pytest.mark.parametrize("way", ["stream", "streaming", "astream"])
async def test_each_token_is_reported_once(way: str, chat: Any) -> None:
    seen = _Tokens()
    config = {"callbacks": [seen]}
    if way == "streaming":
        text = chat(streaming=True).invoke("Repeat: one two three", config=config).text
    elif way == "stream":
        text = "".join(chunk.text for chunk in chat().stream("Repeat: one two three", config=config))
    else:
        text = "".join([chunk.text async for chunk in chat().astream("Repeat: one two three", config=config)])
    assert "".join(seen.tokens) == text == "one two three"


def test_token_probabilities_are_passed_on(chat: Any, sim: Simulator, added: Any) -> None:
    tokens = [{"token": "4", "logprob": -0.1, "bytes": [52], "top_logprobs": []}]
    body = {
        "id": "x",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "4"},
                "logprobs": {"content": tokens},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
    sim.fail("groq", Fault.status(200, body=body))
    assert chat(logprobs=True).invoke("2 + 2?").response_metadata["logprobs"] == {"content": tokens}

"""A provider fails, and nobody notices but the metadata: each item is checked against the simulator's own record."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from hfrouter.simulator import Fault, Simulator
from langchain_hfrouter import ChatHFRouter

Ask = Callable[[ChatHFRouter, str], Awaitable[AIMessage]]


async def invoked(model: ChatHFRouter, prompt: str) -> AIMessage:
    return model.invoke(prompt)


async def ainvoked(model: ChatHFRouter, prompt: str) -> AIMessage:
    return await model.ainvoke(prompt)


async def streamed(model: ChatHFRouter, prompt: str) -> AIMessage:
    first, *rest = model.stream(prompt)
    return sum(rest, first)


async def astreamed(model: ChatHFRouter, prompt: str) -> AIMessage:
    first, *rest = [chunk async for chunk in model.astream(prompt)]
    return sum(rest, first)


async def streamed_blocks(model: ChatHFRouter, prompt: str) -> AIMessage:
    return await streamed(model.model_copy(update={"output_version": "v1"}), prompt)


async def invoked_streaming(model: ChatHFRouter, prompt: str) -> AIMessage:
    return ChatHFRouter(**{**model.__dict__, "streaming": True}).invoke(prompt)


async def stream_events(model: ChatHFRouter, prompt: str) -> AIMessage:
    return model.stream_events(prompt, version="v3").output


WAYS = [invoked, ainvoked, streamed, astreamed, streamed_blocks, invoked_streaming, stream_events]
FAULTS = [
    Fault.rate_limited(),
    Fault.status(503),
    Fault.reset(),
    Fault.cut_before_content(),
    Fault.error_event(after=0),
    Fault.empty_answer(),
    Fault.html_200(),
    Fault.loading(),
]


@pytest.mark.parametrize("ask", WAYS, ids=lambda way: way.__name__)
async def test_the_metadata_tells_what_the_simulator_saw(ask: Ask, chat: Any, sim: Simulator, chats: Any) -> None:
    sim.fail("groq", Fault.rate_limited())
    message = await ask(chat(), "What is 2 + 2?")
    failed, served = chats()
    about = message.response_metadata
    assert "4" in message.text
    assert (failed.provider, served.provider) == ("groq", "novita")
    assert about["model_provider"] == "huggingface"
    assert about["model_name"] == served.model == "openai/gpt-oss-120b"
    assert about["provider"] == served.provider
    assert about["finish_reason"] == "stop"
    assert about["id"]
    assert [(a["number"], a["provider"], a["outcome"], a["status"]) for a in about["attempts"]] == [
        (1, "groq", "rate_limited", failed.status),
        (2, "novita", "ok", served.status),
    ]
    assert all(0 <= a["seconds"] < 5 for a in about["attempts"])
    assert [a["cost_usd"] for a in about["attempts"]] == ["0", f"{served.cost:f}"]


@pytest.mark.parametrize("ask", WAYS, ids=lambda way: way.__name__)
async def test_cost_and_usage_are_those_of_the_bill(ask: Ask, chat: Any, sim: Simulator) -> None:
    sim.fail("groq", Fault.gone())
    message = await ask(chat(), "What is 2 + 2?")
    (line,) = sim.bill()
    details = message.response_metadata["cost_details"]
    assert Decimal(details["usd"]) == Decimal(details["total_usd"]) == line.cost == sim.bill().total
    assert message.response_metadata["cost"] == float(line.cost)
    assert details["lower_usd"] == details["upper_usd"] == details["usd"]
    assert details["reason"] == ""
    usage = message.usage_metadata
    assert (usage["input_tokens"], usage["output_tokens"]) == (line.prompt_tokens, line.completion_tokens)
    assert usage["total_tokens"] == line.prompt_tokens + line.completion_tokens


@pytest.mark.parametrize("ask", WAYS[:4], ids=lambda way: way.__name__)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_a_failure_before_the_answer_is_not_seen(fault: Fault, ask: Ask, chat: Any, sim: Simulator) -> None:
    sim.fail("groq", fault, times=2)
    message = await ask(chat(), "Repeat: all is well")
    assert message.text == "all is well"
    assert message.response_metadata["provider"] == "novita"
    assert json.loads(json.dumps(message.response_metadata)) == message.response_metadata


async def test_an_answer_without_usage_has_no_cost_but_bounds(chat: Any, sim: Simulator) -> None:
    sim.fail("groq", Fault.no_usage())
    message = chat().invoke("Hello", max_tokens=1000)
    assert "cost" not in message.response_metadata
    assert message.usage_metadata is None
    details = message.response_metadata["cost_details"]
    assert (details["usd"], details["total_usd"], details["lower_usd"]) == (None, None, "0")
    assert details["reason"] == "no usage reported"
    assert Decimal(details["upper_usd"]) >= sim.bill().total


async def test_a_free_answer_costs_a_known_nothing(chat: Any) -> None:
    message = chat(model="zai-org/GLM-4.6", provider=None).invoke("Hello")
    assert message.response_metadata["cost"] == 0.0
    assert message.response_metadata["cost_details"]["usd"] == "0"
    assert message.response_metadata["cost_details"]["reason"] == "free"


async def test_a_provider_without_price_leaves_the_cost_unknown(chat: Any) -> None:
    message = chat(model="openai/gpt-oss-20b", provider="together").invoke("Hello")
    assert "cost" not in message.response_metadata
    assert message.response_metadata["cost_details"]["upper_usd"] is None


async def test_a_fallback_model_is_named_as_the_one_that_answered(chat: Any, sim: Simulator) -> None:
    for provider in ("groq", "novita", "together", "cerebras"):
        sim.fail(provider, Fault.status(503), model="openai/gpt-oss-120b", times=None)
    usage = UsageMetadataCallbackHandler()
    model = chat(fallback_models=["meta-llama/Llama-3.3-70B-Instruct"], provider={"only": ["groq"]})
    message = model.invoke("Hello", config={"callbacks": [usage]})
    assert message.response_metadata["model_name"] == "meta-llama/Llama-3.3-70B-Instruct"
    assert list(usage.usage_metadata) == ["meta-llama/Llama-3.3-70B-Instruct"]


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke"])
async def test_a_tool_loop_goes_on_while_providers_fail(way: str, chat: Any, sim: Simulator, added: Any) -> None:
    sim.fail("groq", Fault.rate_limited(), Fault.cut_before_content(), times=None)
    model = chat().bind_tools([multiply])
    messages: list[Any] = [HumanMessage("What is 6 times 7? Use multiply.")]
    for _turn in range(4):
        if way == "stream":
            answer = added(model.stream(messages))
        else:
            answer = model.invoke(messages) if way == "invoke" else await model.ainvoke(messages)
        messages.append(answer)
        if not answer.tool_calls:
            break
        messages += [multiply.invoke(call) for call in answer.tool_calls]
    kinds = [type(message).__name__.removesuffix("Chunk") for message in messages]
    assert kinds == ["HumanMessage", "AIMessage", "ToolMessage", "AIMessage"]
    assert isinstance(messages[2], ToolMessage)
    assert messages[2].content == "42"
    assert "42" in messages[3].text
    assert {m.response_metadata["provider"] for m in messages if isinstance(m, AIMessage)} == {"novita"}


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_structured_output_survives_a_failing_provider(
    method: str, asynchronous: bool, chat: Any, sim: Simulator
) -> None:
    sim.fail("groq", Fault.status(503), times=2)
    model = chat().with_structured_output(Person, method=method, include_raw=True)
    prompt = "Ada is 36 years old. Answer in JSON with the keys name and age."
    answer = await model.ainvoke(prompt) if asynchronous else model.invoke(prompt)
    assert answer["parsing_error"] is None
    assert isinstance(answer["parsed"], Person)
    assert answer["parsed"].age == 36
    assert answer["raw"].response_metadata["provider"] == "novita"

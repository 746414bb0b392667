"""Twenty-three things an LLM of LlamaIndex has to do, each as a function that raises when it does not.

The same functions run under pytest, inside a running event loop, and as a plain script: `python probes.py`.
A synchronous probe calls synchronous methods wherever it runs, as notebooks and web handlers do.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from typing import Any

from llama_index.core import PromptTemplate
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ThinkingBlock, ToolCallBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.tools import FunctionTool
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel

from hfrouter.simulator import Simulator
from llamaindex_hfrouter import HFRouter

SUM = "What is 2 + 2?"
MESSAGES = [ChatMessage(SUM)]
PERSON = PromptTemplate("Ada Lovelace is 36 years old.")


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


ADD, WEATHER = FunctionTool.from_defaults(fn=add), FunctionTool.from_defaults(fn=weather)


def body(sim: Simulator) -> dict[str, Any]:
    chats = [exchange.body for exchange in sim.exchanges if exchange.path.endswith("/chat/completions")]
    found: dict[str, Any] = chats[-1]
    return found


def complete(llm: HFRouter, sim: Simulator) -> None:
    response = llm.complete(SUM)
    assert "4" in response.text
    assert response.additional_kwargs["provider"] == "groq"


def chat(llm: HFRouter, sim: Simulator) -> None:
    response = llm.chat(MESSAGES)
    assert "4" in (response.message.content or "")
    assert response.additional_kwargs["total_tokens"] == response.raw.usage.total_tokens


def stream_complete(llm: HFRouter, sim: Simulator) -> None:
    responses = list(llm.stream_complete("Count from 1 to 9."))
    assert responses[-1].text == "".join(response.delta or "" for response in responses)
    assert responses[-1].text.endswith("9")


def stream_chat(llm: HFRouter, sim: Simulator) -> None:
    responses = list(llm.stream_chat([ChatMessage("Count from 1 to 9.")]))
    assert responses[-1].message.content == "".join(response.delta or "" for response in responses)


async def acomplete(llm: HFRouter, sim: Simulator) -> None:
    assert "4" in (await llm.acomplete(SUM)).text


async def achat(llm: HFRouter, sim: Simulator) -> None:
    assert "4" in ((await llm.achat(MESSAGES)).message.content or "")


async def astream_complete(llm: HFRouter, sim: Simulator) -> None:
    texts = [response.text async for response in await llm.astream_complete(SUM)]
    assert "4" in texts[-1]


async def astream_chat(llm: HFRouter, sim: Simulator) -> None:
    deltas = [response.delta async for response in await llm.astream_chat(MESSAGES)]
    assert "4" in "".join(delta or "" for delta in deltas)


async def achat_in_a_new_loop(llm: HFRouter, sim: Simulator) -> None:
    def elsewhere() -> str | None:
        return asyncio.run(llm.achat(MESSAGES)).message.content

    here = (await llm.achat(MESSAGES)).message.content
    before = len(sim.exchanges)
    assert await asyncio.to_thread(elsewhere) == here
    assert (await llm.achat(MESSAGES)).message.content == here
    assert len(sim.exchanges) == before + 2  # each was asked once


def chat_with_tools(llm: HFRouter, sim: Simulator) -> None:
    (call,) = llm.get_tool_calls_from_response(llm.chat_with_tools([ADD], user_msg="Add 3 and 4."))
    assert (call.tool_name, call.tool_kwargs) == ("add", {"a": 3, "b": 4})
    assert body(sim)["tool_choice"] == "auto"


def tool_required(llm: HFRouter, sim: Simulator) -> None:
    llm.chat_with_tools([ADD], user_msg="Hello", tool_required=True)
    assert body(sim)["tool_choice"] == "required"


def stream_chat_with_tools(llm: HFRouter, sim: Simulator) -> None:
    *_, last = llm.stream_chat_with_tools([ADD], user_msg="Add 3 and 4.")
    (call,) = llm.get_tool_calls_from_response(last)
    assert call.tool_kwargs == {"a": 3, "b": 4}


async def astream_chat_with_tools(llm: HFRouter, sim: Simulator) -> None:
    async for last in await llm.astream_chat_with_tools([ADD], user_msg="Add 3 and 4."):
        llm.get_tool_calls_from_response(last, error_on_no_tool_call=False)
    (call,) = llm.get_tool_calls_from_response(last)
    assert call.tool_kwargs == {"a": 3, "b": 4}


def parallel_calls(llm: HFRouter, sim: Simulator) -> None:
    asked: dict[str, Any] = {"user_msg": "Add 3 and 4, and tell me the weather in Paris."}
    *_, last = llm.stream_chat_with_tools([ADD, WEATHER], allow_parallel_tool_calls=True, **asked)
    calls = llm.get_tool_calls_from_response(last)
    assert [(call.tool_name, call.tool_kwargs) for call in calls] == [
        ("add", {"a": 3, "b": 4}),
        ("weather", {"city": "Paris"}),
    ]
    assert len({call.tool_id for call in calls}) == 2
    assert len(last.message.additional_kwargs["tool_calls"]) == 2


def structured_predict(llm: HFRouter, sim: Simulator) -> None:
    assert llm.structured_predict(Person, PERSON) == Person(name="Ada Lovelace", age=36)
    assert body(sim)["response_format"]["type"] == "json_schema"


def stream_structured_predict(llm: HFRouter, sim: Simulator) -> None:
    found = list(llm.stream_structured_predict(Person, PERSON))
    assert found[-1] == Person(name="Ada Lovelace", age=36)
    assert len(found) > 2  # it grew
    by_tool = llm.model_copy(update={"pydantic_program_mode": PydanticProgramMode.FUNCTION})
    assert list(by_tool.stream_structured_predict(Person, PERSON))[-1] == found[-1]
    assert body(sim)["tool_choice"] == "required"


def reasoning(llm: HFRouter, sim: Simulator) -> None:
    blocks = llm.chat(MESSAGES).message.blocks
    assert [type(block) for block in blocks] == [ThinkingBlock, TextBlock]
    assert isinstance(blocks[0], ThinkingBlock)
    assert blocks[0].content


def reasoning_stream(llm: HFRouter, sim: Simulator) -> None:
    responses = list(llm.stream_chat(MESSAGES))
    thought = "".join(response.additional_kwargs.get("thinking_delta", "") for response in responses)
    assert thought
    assert responses[-1].message.blocks[0].content == thought  # type: ignore[union-attr]


def image(llm: HFRouter, sim: Simulator) -> None:
    shown = ImageBlock(url="http://127.0.0.1/cat.png", detail="low")
    seeing = llm.model_copy(update={"model": "meta-llama/Llama-4-Scout-17B-16E-Instruct"})
    seeing.chat([ChatMessage(role="user", blocks=[TextBlock(text="What is this?"), shown])])
    assert body(sim)["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "http://127.0.0.1/cat.png", "detail": "low"}},
    ]


def tool_messages(llm: HFRouter, sim: Simulator) -> None:
    called = ToolCallBlock(tool_call_id="c1", tool_name="add", tool_kwargs={"a": 1, "b": 2})
    llm.chat(
        [
            ChatMessage("Add 1 and 2."),
            ChatMessage(role="assistant", blocks=[called]),
            ChatMessage(role="tool", content="3", additional_kwargs={"tool_call_id": "c1"}),
        ]
    )
    function = {"name": "add", "arguments": '{"a": 1, "b": 2}'}
    assert body(sim)["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
    ]


def token_counting(llm: HFRouter, sim: Simulator) -> None:
    counter = TokenCountingHandler()
    counting = llm.model_copy(update={"callback_manager": CallbackManager([counter])})
    before = len(sim.bill())
    counting.chat(MESSAGES)
    list(counting.stream_chat(MESSAGES))
    counting.complete(SUM)
    list(counting.stream_complete(SUM))
    billed = [(line.prompt_tokens, line.completion_tokens) for line in list(sim.bill())[before:]]
    counted = [(each.prompt_token_count, each.completion_token_count) for each in counter.llm_token_counts]
    assert counted == billed
    assert len(counted) == 4


def usage_in_streams(llm: HFRouter, sim: Simulator) -> None:
    *_, last = llm.stream_chat(MESSAGES, stream_options={"include_usage": True})
    assert last.raw.usage.total_tokens == last.additional_kwargs["total_tokens"] > 0


async def function_agent(llm: HFRouter, sim: Simulator) -> None:
    found = await FunctionAgent(tools=[add], llm=llm, timeout=20).run("Add 3 and 40.")
    assert "43" in str(found.response.content)
    assert found.raw["usage"]["total_tokens"]


PROBES: list[Callable[..., Any]] = [
    *(complete, chat, stream_complete, stream_chat, acomplete, achat, astream_complete, astream_chat),
    *(achat_in_a_new_loop, chat_with_tools, tool_required, stream_chat_with_tools, astream_chat_with_tools),
    *(parallel_calls, structured_predict, stream_structured_predict, reasoning, reasoning_stream, image),
    *(tool_messages, token_counting, usage_in_streams, function_agent),
]


def main() -> None:
    """Run them all as a script does: each asynchronous one in a loop of its own, one LLM for all."""
    with Simulator(seed=0) as sim:
        llm = HFRouter(
            "openai/gpt-oss-120b",
            token=sim.token,
            base_url=sim.base_url,
            ledger="memory",
            provider={"order": ["groq"]},
        )
        for probe in PROBES:
            done = probe(llm, sim)
            if inspect.iscoroutine(done):
                asyncio.run(done)
            print("ok", probe.__name__)


if __name__ == "__main__":
    main()
    print(len(PROBES), "of", len(PROBES), "openai" in sys.modules)

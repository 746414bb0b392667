"""What people build from an LLM, while the first provider fails all the time."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core import Document, MockEmbedding, VectorStoreIndex
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import ContextChatEngine, SimpleChatEngine
from llama_index.core.extractors import SummaryExtractor
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import TextNode

from hfrouter.simulator import Fault, Simulator

pytestmark = [
    # Workflows look at every attribute of an agent, those that pydantic deprecates included.
    pytest.mark.filterwarnings("ignore:(The `|Accessing the ):pydantic.warnings.PydanticDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
    # LlamaIndex's memory leaves its SQLite connection open, and its bridge from synchronous to asynchronous code closes
    # an event loop without its generators, and so without hfrouter's connections on it.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@pytest.fixture(autouse=True)
def failing(sim: Simulator, make: Any) -> Iterator[None]:
    sim.fail("groq", Fault.rate_limited(), times=None)
    yield
    # What is left open is found here and not in the tests of others: a call lets go of the loops that have ended.
    asyncio.run(make(provider="novita").acomplete("Hello"))
    gc.collect()


@pytest.fixture
def every_call_fell_back(sim: Simulator, calls: Any) -> Any:
    def check(at_least: int) -> None:
        events = calls()
        assert len(events) >= at_least
        assert {event.provider for event in events} == {"novita"}
        assert events[0].attempts[0]["outcome"] == "rate_limited"
        assert all(event.outcome == "ok" for event in events)
        assert len(sim.bill()) == len(events)  # no call was made twice

    return check


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_function_agent_with_two_tools(streaming: bool, llm: Any, every_call_fell_back: Any) -> None:
    agent = FunctionAgent(tools=[add, weather], llm=llm, streaming=streaming, timeout=20)
    running = agent.run("Add 3 and 40, and tell me the weather in Paris.")
    seen = [event async for event in running.stream_events()]
    found = await running
    results = {event.tool_name: event.tool_output.content for event in seen if isinstance(event, ToolCallResult)}
    assert results == {"add": "43", "weather": "sunny in Paris"}
    assert "43" in str(found)
    assert "sunny in Paris" in str(found)
    assert found.raw["usage"]["total_tokens"] > 0
    if streaming:
        steps = [event for event in seen if isinstance(event, AgentStream)]
        assert "43" in "".join(step.delta for step in steps)
    every_call_fell_back(2)


async def test_thoughts_of_an_agent_are_streamed(make: Any) -> None:
    agent = FunctionAgent(tools=[add], llm=make(provider="cerebras"), timeout=20)
    running = agent.run("Add 3 and 40.")
    thoughts = [e.thinking_delta async for e in running.stream_events() if isinstance(e, AgentStream)]
    await running
    assert "".join(thought or "" for thought in thoughts)


async def test_messages_of_an_agent_can_be_stored_as_json_and_sent_again(llm: Any, sent: Any) -> None:
    memory = ChatMemoryBuffer.from_defaults(llm=llm)
    await FunctionAgent(tools=[add], llm=llm, timeout=20).run("Add 3 and 40.", memory=memory)
    stored = [message.model_dump_json() for message in memory.get_all()]
    history = [ChatMessage.model_validate_json(text) for text in stored]
    await llm.achat([*history, ChatMessage("Thank you.")])
    messages = sent()["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant", "user"]
    assert messages[1]["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a": 3, "b": 40}'}
    assert messages[2]["tool_call_id"] == messages[1]["tool_calls"][0]["id"]


async def test_other_agents(llm: Any, every_call_fell_back: Any) -> None:
    workflow = AgentWorkflow.from_tools_or_functions([add], llm=llm, timeout=20)
    assert isinstance(next(iter(workflow.agents.values())), FunctionAgent)
    assert "43" in str(await workflow.run("Add 3 and 40."))
    answered = await ReActAgent(tools=[], llm=llm, timeout=20).run("Hello")
    assert str(answered)
    every_call_fell_back(3)


def test_a_simple_chat_engine(llm: Any, every_call_fell_back: Any, sent: Any) -> None:
    engine = SimpleChatEngine.from_defaults(llm=llm, system_prompt="Be brief.")
    assert "4" in str(engine.chat("What is 2 + 2?"))
    streamed = engine.stream_chat("Count from 1 to 9.")
    assert "".join(streamed.response_gen).endswith("9")
    assert [message["role"] for message in sent()["messages"]] == ["system", "user", "assistant", "user"]

    async def more() -> str:
        streamed = await engine.astream_chat("Count from 1 to 5.")
        return "".join([token async for token in streamed.async_response_gen()])

    assert asyncio.run(more()).endswith("5")
    every_call_fell_back(3)


def test_a_chat_engine_with_an_index(llm: Any, every_call_fell_back: Any) -> None:
    documents = [Document(text="The launch code of Project Heron is 7241.")]
    index = VectorStoreIndex.from_documents(documents, embed_model=MockEmbedding(embed_dim=8))
    memory = ChatMemoryBuffer.from_defaults(llm=llm)
    assert memory.token_limit == int(131_072 * 0.75)
    engine = ContextChatEngine.from_defaults(retriever=index.as_retriever(), llm=llm, memory=memory)
    assert "7241" in str(engine.chat("What is the launch code of Project Heron?"))
    streamed = engine.stream_chat("What is the launch code of Project Heron?")
    assert "7241" in "".join(streamed.response_gen)
    for mode in ("compact", "refine", "tree_summarize"):
        query = index.as_query_engine(llm=llm, response_mode=mode)
        assert "7241" in str(query.query("What is the launch code of Project Heron?"))
    streaming = index.as_query_engine(llm=llm, streaming=True)
    assert "7241" in str(streaming.query("What is the launch code of Project Heron?").get_response())
    every_call_fell_back(6)


async def test_synchronous_interfaces_in_a_running_loop(llm: Any, every_call_fell_back: Any) -> None:
    """LlamaIndex bridges with a new thread and a new event loop at each of these calls."""
    documents = [Document(text="The launch code of Project Heron is 7241.")]
    index = VectorStoreIndex.from_documents(documents, embed_model=MockEmbedding(embed_dim=8))
    fusion = QueryFusionRetriever([index.as_retriever(), index.as_retriever()], llm=llm, num_queries=2)
    extractor = SummaryExtractor(llm=llm)
    for _ in range(3):
        assert fusion.retrieve("What is the launch code?")
        assert extractor.extract([TextNode(text="The launch code of Project Heron is 7241.")])
    every_call_fell_back(6)

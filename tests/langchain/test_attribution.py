"""Tags and totals go through LangChain: chains, batches, parallel branches, streams, agents, retrievers, caches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore

import hfrouter
from hfrouter import Total
from hfrouter.simulator import Fault, Simulator
from langchain_hfrouter import ChatHFRouter, HFRouterEmbeddings
from langchain_hfrouter.errors import HFRouterConfigurationError

ANN = (("user", "ann"),)
CONFIG: RunnableConfig = {"metadata": {"thread_id": "7", "hfrouter_tags": {"user": "ann"}}}
ASK = "What is 17 * 23?"


def ainvoked(model: Any, asked: Any, config: RunnableConfig | None) -> Any:
    return asyncio.run(model.ainvoke(asked, config))


def astreamed(model: Any, asked: Any, config: RunnableConfig | None) -> Any:
    async def read() -> list[Any]:
        return [chunk async for chunk in model.astream(asked, config)]

    return asyncio.run(read())


def aevents(model: Any, asked: Any, config: RunnableConfig | None) -> Any:
    async def read() -> list[Any]:
        return [event async for event in model.astream_events(asked, config, version="v2")]

    return asyncio.run(read())


WAYS: dict[str, Callable[..., Any]] = {
    "invoke": lambda model, asked, config: model.invoke(asked, config),
    "ainvoke": ainvoked,
    "stream": lambda model, asked, config: list(model.stream(asked, config)),
    "astream": astreamed,
    "astream_events": aevents,
    "batch": lambda model, asked, config: model.batch([asked] * 3, config),
    "abatch": lambda model, asked, config: asyncio.run(model.abatch([asked] * 3, config)),
}


def tags_of(model: Any) -> set[Any]:
    return {row.tags for row in model.active_router.entries()}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return WAYS[request.param]


@pytest.mark.parametrize("streaming", [False, True])
def test_the_tags_of_a_config_are_those_of_its_calls(chat: Any, way: Callable[..., Any], streaming: bool) -> None:
    model = chat(streaming=streaming)
    way(model, ASK, CONFIG)
    assert tags_of(model) == {ANN}


def test_a_chain_hands_them_down(chat: Any, way: Callable[..., Any]) -> None:
    model = chat()
    chain = ChatPromptTemplate.from_template("{question}") | model | StrOutputParser()
    way(chain, {"question": ASK}, CONFIG)
    assert tags_of(model) == {ANN}


def test_tags_of_the_context_go_everywhere_a_chain_goes(chat: Any, way: Callable[..., Any]) -> None:
    model = chat()
    chain = RunnableParallel(one=model, other=RunnableLambda(lambda asked: model.invoke(asked)) | StrOutputParser())
    with hfrouter.tags(user="ann"), model.active_router.track() as spent:
        way(chain, ASK, None)
    assert tags_of(model) == {ANN}
    assert spent.attempts == len(model.active_router.entries())
    assert spent.total == Total.of(row.cost for row in model.active_router.entries())


def test_parallel_branches_and_inner_functions_have_the_tags_of_the_config(chat: Any, way: Callable[..., Any]) -> None:
    model = chat()
    inner = RunnableLambda(lambda asked: model.invoke(asked).text)
    way(RunnableParallel(one=model, two=inner, three=inner | model), ASK, CONFIG)
    assert tags_of(model) == {ANN}


def test_batches_with_a_config_each_are_attributed_each(chat: Any) -> None:
    model = chat()
    configs: Any = [{"metadata": {"hfrouter_tags": {"user": f"user {number}"}}} for number in range(5)]
    model.batch([ASK] * 5, configs)
    asyncio.run(model.abatch([ASK] * 5, configs))
    found = model.active_router.spending(by="user")
    assert list(found) == [f"user {number}" for number in range(5)]


def test_what_is_nearer_wins(chat: Any, way: Callable[..., Any]) -> None:
    model = chat(metadata={"hfrouter_tags": {"user": "model", "feature": "search"}})
    with hfrouter.tags(user="context", run="7", feature="none"):
        way(model, ASK, CONFIG)
    assert tags_of(model) == {(("feature", "search"), ("run", "7"), ("user", "ann"))}


def test_a_bound_model_has_its_own(chat: Any, way: Callable[..., Any]) -> None:
    model = chat()
    way(model.bind(hfrouter_tags={"feature": "search"}), ASK, CONFIG)
    assert tags_of(model) == {(("feature", "search"), ("user", "ann"))}


def test_other_metadata_is_not_written_down(chat: Any, way: Callable[..., Any]) -> None:
    model = chat()
    way(model, ASK, {"metadata": {"question": ASK}, "tags": ["a"]})
    assert tags_of(model) == {()}


@pytest.mark.parametrize("wrong", ["ann", ["user"], {"user": 7}, {"user": "ann\r\nx: y"}, {"a b": "x"}], ids=repr)
def test_a_malformed_tag_is_refused_before_anything_is_sent(
    chat: Any, sim: Simulator, way: Callable[..., Any], wrong: Any
) -> None:
    model = chat()
    with pytest.raises(HFRouterConfigurationError, match="tag"):
        way(model, ASK, {"metadata": {"hfrouter_tags": wrong}})
    assert not sim.exchanges


def test_generate_takes_them_as_metadata(chat: Any) -> None:
    model = chat()
    model.generate([[HumanMessage(ASK)]], metadata=CONFIG["metadata"])
    asyncio.run(model.agenerate([[HumanMessage(ASK)]], metadata=CONFIG["metadata"]))
    list(model.stream_events(ASK, CONFIG, version="v3"))
    assert len(model.active_router.entries()) == 3
    assert tags_of(model) == {ANN}


def test_users_share_a_cache(chat: Any) -> None:
    model = chat(cache=InMemoryCache())
    for user in ("ann", "bob"):
        model.invoke(ASK, {"metadata": {"hfrouter_tags": {"user": user}}})
    assert tags_of(model) == {ANN}
    assert len(model.active_router.entries()) == 1


def test_a_loop_of_tool_calls_is_one_run(chat: Any, sim: Simulator) -> None:
    @tool
    def multiply(a: int, b: int) -> int:
        """Multiply two numbers."""
        return a * b

    model: ChatHFRouter = chat()
    bound = model.bind_tools([multiply])

    def agent(asked: str) -> AIMessage:
        messages: list[BaseMessage] = [HumanMessage(asked)]
        for _ in range(4):
            answer = bound.invoke(messages)
            messages.append(answer)
            if not answer.tool_calls:
                return answer
            messages.extend(multiply.invoke(call) for call in answer.tool_calls)
        raise AssertionError("it did not come to an end")

    sim.fail("groq", Fault.rate_limited(), times=None)
    with model.active_router.track(run="7") as spent:
        answer = RunnableLambda(agent).invoke("Use the tool multiply to compute 17 times 23.", CONFIG)
    assert "391" in answer.text
    assert spent.calls >= 2
    assert tags_of(model) == {(("run", "7"), ("user", "ann"))}
    assert spent.total == Total.of(row.cost for row in model.active_router.entries())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_retrieval_chain_attributes_its_embeddings_too(chat: Any, sim: Simulator, asynchronous: bool) -> None:
    model = chat()
    embeddings = HFRouterEmbeddings(model="BAAI/bge-small-en-v1.5", router=model.active_router)
    store = InMemoryVectorStore(embeddings)
    with hfrouter.tags(feature="index"):
        store.add_documents([Document("The ferry leaves at 18:40.")])
    prompt = ChatPromptTemplate.from_template("Answer from this: {context}\nQuestion: {question}")
    chain = {"context": store.as_retriever(), "question": RunnablePassthrough()} | prompt | model
    with model.active_router.track() as spent:
        ainvoked(chain, "When?", CONFIG) if asynchronous else chain.invoke("When?", CONFIG)
    rows = model.active_router.entries()
    assert [row.tags for row in rows] == [(("feature", "index"),), ANN, ANN]
    assert spent.total == Total.of(row.cost for row in rows[1:])

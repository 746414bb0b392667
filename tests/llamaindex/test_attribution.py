"""Tags and totals go through LlamaIndex: endpoints, query engines, agents; and its event has the same figures."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index_instrumentation.dispatcher import instrument_tags

import hfrouter
from hfrouter import CallEvent, Total
from hfrouter.simulator import Fault, Simulator

ASKED = [ChatMessage("What is 17 * 23?")]
ANN = (("user", "ann"),)
CARRIED = {"tenant": "7", "question": "What is 17 * 23?", "hfrouter_tags": {"user": "ann"}}


async def _drained(responses: Any) -> Any:
    return [response async for response in await responses]


ENDPOINTS = {
    "complete": lambda llm, **more: llm.complete("What is 2 + 2?", **more),
    "chat": lambda llm, **more: llm.chat(ASKED, **more),
    "stream_complete": lambda llm, **more: list(llm.stream_complete("What is 2 + 2?", **more)),
    "stream_chat": lambda llm, **more: list(llm.stream_chat(ASKED, **more)),
    "acomplete": lambda llm, **more: asyncio.run(llm.acomplete("What is 2 + 2?", **more)),
    "achat": lambda llm, **more: asyncio.run(llm.achat(ASKED, **more)),
    "astream_complete": lambda llm, **more: asyncio.run(_drained(llm.astream_complete("What is 2 + 2?", **more))),
    "astream_chat": lambda llm, **more: asyncio.run(_drained(llm.astream_chat(ASKED, **more))),
}


def tags_of(llm: Any) -> set[Any]:
    return {row.tags for row in llm.active_router.entries()}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_instrument_tags_carry_those_of_hfrouter_and_no_others(name: str, llm: Any, calls: Any) -> None:
    with instrument_tags(CARRIED):
        ENDPOINTS[name](llm)
    assert tags_of(llm) == {ANN}
    assert calls()[0].tags == CARRIED


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_call_has_its_own_over_those_around_it(name: str, llm: Any) -> None:
    with hfrouter.tags(user="context", run="7"), instrument_tags(CARRIED):
        ENDPOINTS[name](llm, tags={"feature": "search"})
        ENDPOINTS[name](llm, hfrouter_tags={"user": "bob"})
    assert tags_of(llm) == {
        (("feature", "search"), ("run", "7"), ("user", "ann")),
        (("run", "7"), ("user", "bob")),
    }


@pytest.mark.parametrize("wrong", ["ann", {"user": 7}, {"user": "ann\r\nx: y"}, {"a b": "x"}], ids=repr)
def test_a_malformed_tag_is_refused_before_anything_is_sent(llm: Any, chats: Any, wrong: Any) -> None:
    with instrument_tags({"hfrouter_tags": wrong}), pytest.raises(hfrouter.ConfigurationError, match="tag"):
        llm.chat(ASKED)
    with pytest.raises(hfrouter.ConfigurationError, match="tag"):
        llm.chat(ASKED, tags=wrong)
    assert not chats()


def test_an_index_and_its_queries_are_attributed(llm: Any, sim: Simulator) -> None:
    from llamaindex_hfrouter import HFRouterEmbedding

    router = llm.active_router
    embedding = HFRouterEmbedding(model_name="BAAI/bge-small-en-v1.5", router=router)
    with instrument_tags({"hfrouter_tags": {"feature": "index"}}):
        index = VectorStoreIndex.from_documents([Document(text="The ferry leaves at 18:40.")], embed_model=embedding)
    engine = index.as_query_engine(llm=llm)
    with router.track(user="ann") as spent:
        assert "18:40" in str(engine.query("When does the ferry leave?"))
        asyncio.run(engine.aquery("When does the ferry leave?"))
    rows = router.entries()
    assert [row.tags for row in rows] == [(("feature", "index"),), *[ANN] * 4]
    assert spent.total == Total.of(row.cost for row in rows[1:])


@pytest.mark.filterwarnings("ignore:(The `|Accessing the ):pydantic.warnings.PydanticDeprecationWarning")
@pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_an_agent_is_one_run(llm: Any, sim: Simulator) -> None:
    def multiply(a: int, b: int) -> int:
        """Multiply two numbers."""
        return a * b

    sim.fail("groq", Fault.rate_limited(), times=None)
    agent = FunctionAgent(tools=[multiply], llm=llm, streaming=False)
    router = llm.active_router
    with router.track(run="7") as spent, instrument_tags(CARRIED):
        answer = await agent.run("Use the tool multiply to compute 17 times 23.")
    assert "391" in str(answer)
    assert spent.calls >= 2
    assert tags_of(llm) == {(("run", "7"), ("user", "ann"))}
    assert spent.total == Total.of(row.cost for row in router.entries())


@pytest.mark.parametrize("name", ENDPOINTS)
def test_its_event_and_hfrouters_have_the_same_figures(name: str, llm: Any, sim: Simulator, calls: Any) -> None:
    seen: list[Any] = []
    llm.active_router.listen(seen.append)
    sim.fail("groq", Fault.rate_limited())
    ENDPOINTS[name](llm)
    (event,) = calls()
    (call,) = (each for each in seen if isinstance(each, CallEvent))
    assert (event.call_id, event.provider, event.model) == (call.call, call.provider, call.model)
    assert Decimal(event.cost) == call.total.usd == sim.bill().total
    assert [attempt["outcome"] for attempt in event.attempts] == [attempt.outcome for attempt in call.attempts]
    assert call.streamed == event.streamed

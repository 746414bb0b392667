"""The ways to hold a stream or an answer, sync and async: the core's and both adapters'."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from llama_index.core.llms import ChatMessage

from hfrouter import Router
from langchain_hfrouter import ChatHFRouter
from llamaindex_hfrouter import HFRouter
from tests.scenarios.upstream import MODEL

PROMPT = "Say the sixty words."
SYNC: dict[str, Callable[[Router], Iterator[Any]]] = {
    "core": lambda router: router.stream(model=MODEL, messages=PROMPT),
    "LangChain": lambda router: ChatHFRouter(model=MODEL, router=router).stream(PROMPT),
    "LlamaIndex": lambda router: HFRouter(model=MODEL, router=router).stream_chat([ChatMessage(PROMPT)]),
}


async def _core(router: Router) -> AsyncIterator[Any]:
    return await router.astream(model=MODEL, messages=PROMPT)


async def _langchain(router: Router) -> AsyncIterator[Any]:
    return ChatHFRouter(model=MODEL, router=router).astream(PROMPT)


async def _llamaindex(router: Router) -> AsyncIterator[Any]:
    return await HFRouter(model=MODEL, router=router).astream_chat([ChatMessage(PROMPT)])


ASYNC: dict[str, Callable[[Router], Awaitable[AsyncIterator[Any]]]] = {
    "core": _core,
    "LangChain": _langchain,
    "LlamaIndex": _llamaindex,
}


def _read(name: str) -> Callable[[Router], Awaitable[str]]:
    async def read(router: Router) -> str:
        said = ""
        async for piece in await ASYNC[name](router):
            said += (piece.delta or "") if name == "LlamaIndex" else piece.text
        return said

    return read


async def _whole(router: Router) -> str:
    return (await router.achat(model=MODEL, messages=PROMPT)).text


async def _ainvoke(router: Router) -> str:
    return (await ChatHFRouter(model=MODEL, router=router).ainvoke(PROMPT)).text


async def _achat(router: Router) -> str:
    response = await HFRouter(model=MODEL, router=router).achat([ChatMessage(PROMPT)])
    return response.message.content or ""


# Each gives the whole text.
CALLS: dict[str, Callable[[Router], Awaitable[str]]] = {
    "Router.achat": _whole,
    "Router.astream": _read("core"),
    "LangChain ainvoke": _ainvoke,
    "LangChain astream": _read("LangChain"),
    "LlamaIndex achat": _achat,
    "LlamaIndex astream_chat": _read("LlamaIndex"),
}

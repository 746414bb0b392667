"""LlamaIndex on the stage: a query engine over real documents, and an agent with tools."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from llama_index.core import VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.schema import TextNode
from llama_index.core.tools import BaseTool, FunctionTool

from hfrouter.cli.report import Call
from hfrouter.cli.stage import CUT, GONE, RATE_LIMITED, Stage
from llamaindex_hfrouter import HFRouter, HFRouterEmbedding


def add(a: int, b: int) -> int:
    """Add two whole numbers a and b."""
    return a + b


def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers a and b."""
    return a * b


def retrieval(stage: Stage, passages: list[str]) -> Iterator[Call]:
    """A query engine over this project's own documentation, embedded through the router."""
    embedding = HFRouterEmbedding(model_name=stage.embedding_model, router=stage.router)
    engines: list[BaseQueryEngine] = []

    def index() -> str:
        made = VectorStoreIndex([TextNode(text=passage) for passage in passages], embed_model=embedding)
        llm = HFRouter(model=stage.model, router=stage.router, temperature=0)
        engines.append(made.as_query_engine(llm=llm, similarity_top_k=3))
        return f"{len(made.index_struct.nodes_dict)} passages"

    yield stage.ask("index, LlamaIndex", f"{len(passages)} passages", index, GONE, "hf-inference")
    for question, expected, trouble in (
        ("How many attempts bound a call?", "4|four", RATE_LIMITED),
        ("How can the ledger be turned off?", "HFROUTER_LEDGER", CUT),
    ):
        yield stage.ask("query, LlamaIndex", expected, partial(_answer, engines[0], question), trouble)


def agent(stage: Stage) -> Iterator[Call]:
    """A FunctionAgent that must call a tool before it can answer."""
    llm = HFRouter(model=stage.model, router=stage.router, temperature=0)
    tools: list[BaseTool | Callable[..., Any]] = [FunctionTool.from_defaults(add), FunctionTool.from_defaults(multiply)]
    asking = FunctionAgent(llm=llm, tools=tools, system_prompt="Use the tools to compute.")

    async def run() -> str:
        return str(await asking.run("Use the tools to multiply 17 by 23, and tell me the result."))

    yield stage.ask("agent, LlamaIndex", "391", lambda: asyncio.run(run()), RATE_LIMITED)


def _answer(engine: BaseQueryEngine, question: str) -> str:
    return str(engine.query(question))

"""Models in front of the simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from hfrouter.simulator import Exchange, Simulator
from langchain_hfrouter import ChatHFRouter

MODEL = "openai/gpt-oss-120b"
ORDER = ("groq", "novita", "together", "cerebras")

Chat = Callable[..., ChatHFRouter]


@pytest.fixture
def chat(sim: Simulator) -> Chat:
    """Makes models that try groq, novita, together and cerebras in this order."""

    def make(**settings: Any) -> ChatHFRouter:
        defaults = {"model": MODEL, "api_key": sim.token, "base_url": sim.base_url, "ledger": "memory"}
        return ChatHFRouter(**{**defaults, "provider": {"order": list(ORDER)}, **settings})

    return make


@pytest.fixture
def chats(sim: Simulator) -> Callable[[], list[Exchange]]:
    """The chat requests the simulator has had, without those for the catalogue."""
    return lambda: [exchange for exchange in sim.exchanges if exchange.path.endswith("/chat/completions")]


@pytest.fixture
def added() -> Callable[[Iterable[AIMessageChunk]], AIMessageChunk]:
    """The sum of a stream's chunks, as LangChain and its users make it."""

    def add(chunks: Iterable[AIMessageChunk]) -> AIMessageChunk:
        first, *rest = chunks
        for chunk in rest:
            first = first + chunk
        return first

    return add

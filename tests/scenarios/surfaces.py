"""The ways a user calls: whole answers and raw streams of both adapters, each told as the same few facts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.llms import ChatMessage

from hfrouter import Router
from langchain_hfrouter import ChatHFRouter
from llamaindex_hfrouter import HFRouter

PROMPT = "Say the sixty words."
Pieces = Iterator[tuple[str, Mapping[str, Any]]]


@dataclass
class Call:
    """What came of one call.

    Attributes:
        text: What the caller holds, be it all or not.
        about: Facts beside the last piece: `model_name`, `provider`, `attempts`, `output_tokens`.
        error: What was raised, or None.
        seconds: Real seconds the call took.
    """

    text: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Surface:
    """A way to call.

    Attributes:
        name: For the table.
        raw: It shows text before the answer is whole.
        pieces: Calls a model of this router and yields what comes, with the facts beside it.
    """

    name: str
    raw: bool
    pieces: Callable[[Router, str, list[str] | None], Pieces]

    def call(self, router: Router, model: str, fallback_models: list[str] | None = None) -> Call:
        """Call once and keep whatever comes of it."""
        call, began = Call(), time.monotonic()
        try:
            for text, about in self.pieces(router, model, fallback_models):
                call.text += text
                call.about = {**call.about, **about}
        except Exception as error:
            call.error = error
        call.seconds = time.monotonic() - began
        return call


def _langchain(router: Router, model: str, models: list[str] | None) -> ChatHFRouter:
    return ChatHFRouter(model=model, router=router, fallback_models=models)


def _llamaindex(router: Router, model: str, models: list[str] | None) -> HFRouter:
    return HFRouter(model=model, router=router, fallback_models=models)


def _told(message: Any) -> dict[str, Any]:
    tokens = {} if message.usage_metadata is None else {"output_tokens": message.usage_metadata["output_tokens"]}
    return {**message.response_metadata, **tokens}


def _invoke(router: Router, model: str, models: list[str] | None) -> Pieces:
    message = _langchain(router, model, models).invoke(PROMPT)
    yield message.text, _told(message)


def _stream(router: Router, model: str, models: list[str] | None) -> Pieces:
    for piece in _langchain(router, model, models).stream(PROMPT):
        yield piece.text, _told(piece)


def _shown(response: Any) -> dict[str, Any]:
    about = response.additional_kwargs
    tokens = {"output_tokens": about["completion_tokens"]} if "completion_tokens" in about else {}
    return {**about, **tokens}


def _chat(router: Router, model: str, models: list[str] | None) -> Pieces:
    response = _llamaindex(router, model, models).chat([ChatMessage(PROMPT)])
    yield response.message.content or "", _shown(response)


def _stream_chat(router: Router, model: str, models: list[str] | None) -> Pieces:
    for response in _llamaindex(router, model, models).stream_chat([ChatMessage(PROMPT)]):
        yield response.delta or "", _shown(response)


SURFACES = (
    Surface("LangChain invoke", False, _invoke),
    Surface("LlamaIndex chat", False, _chat),
    Surface("LangChain stream", True, _stream),
    Surface("LlamaIndex stream_chat", True, _stream_chat),
)

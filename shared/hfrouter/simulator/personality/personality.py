"""The plain OpenAI-compatible provider that the recorded ones differ from."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Literal

from hfrouter.simulator import tokens
from hfrouter.simulator.answer import Answer, ToolCall
from hfrouter.simulator.log import Price
from hfrouter.simulator.personality.generation import Chunk, Generation, counts, uuid
from hfrouter.simulator.refusal import Refusal, error_object, hexadecimal

Json = dict[str, Any]
_REASONING_MODELS = ("openai/gpt-oss", "deepseek-ai/DeepSeek-R1", "deepseek-ai/DeepSeek-V4", "zai-org/GLM-")


class Personality:
    """Writes a generation the way a provider does. Subclasses override what was recorded differently.

    Args:
        name: The provider's slug.
        pinned_path: The path of its chat endpoint below `/{provider}`, when it is not the usual one.
    """

    stream_type = "text/event-stream"
    unary_type = "application/json"
    done = True
    """Whether its streams end with `data: [DONE]`."""
    spaced_arguments = True
    lacks_arguments: Refusal | None = None
    """Its own answer to a tool call without `arguments`; None for an ordinary 400."""
    reports_cache = False
    pinned_path = "/v1/chat/completions"
    """The path of its chat endpoint below `/{provider}`."""
    default_max_tokens: int | None = None
    """Tokens after which an answer ends when the request sets no limit; None for no such cap."""

    def __init__(self, name: str, *, pinned_path: str | None = None) -> None:
        self.name = name
        if pinned_path is not None:
            self.pinned_path = pinned_path

    # --- names -----------------------------------------------------------------------------------------------------

    def model_name(self, model: str) -> str:
        """Return the provider's own id of a model."""
        return model

    def pinned_model(self, path: str, body: Any) -> str | None:
        """Return the model that a request of the per-provider route names; None when the path is not its own."""
        if path != self.pinned_path:
            return None
        return str(body.get("model")) if isinstance(body, dict) else ""

    def completion_id(self, generation: Generation) -> str:
        """Return the id of the completion."""
        return f"chatcmpl-{uuid(generation.random('id'))}"

    def call_id(self, generation: Generation, call: ToolCall, index: int, choice: int) -> str:
        """Return the id of a tool call."""
        return f"call_{hexadecimal(generation.random(f'call:{choice}:{index}'), 24)}"

    def headers(self, generation: Generation) -> dict[str, str]:
        """Return the provider's own response headers; they win over the router's."""
        return {"cache-control": "no-cache"}

    def reasons(self, model: str) -> bool:
        """Whether a model shows its reasoning here."""
        return model.startswith(_REASONING_MODELS)

    def inline_reasoning(self, model: str) -> bool:
        """Whether the reasoning stands inside the content, between `<think>` tags."""
        return False

    # --- usage -----------------------------------------------------------------------------------------------------

    def usage(self, generation: Generation) -> Json:
        """Return the usage object."""
        return counts(generation)

    def cost(self, price: Price | None, usage: Mapping[str, int]) -> Decimal | None:
        """Return what a request costs in USD; None when the row names no price."""
        return price.cost(usage) if price else None

    # --- unary -----------------------------------------------------------------------------------------------------

    def body(self, generation: Generation) -> Json:
        """Return the body of an answer that is not streamed."""
        return {
            "id": self.completion_id(generation),
            "object": "chat.completion",
            "created": generation.created,
            "model": self.model_name(generation.model),
            "choices": [self.choice(generation, answer, index) for index, answer in enumerate(generation.answers)],
            "usage": self.usage(generation),
        }

    def choice(self, generation: Generation, answer: Answer, index: int) -> Json:
        """Return one choice of a unary body."""
        message = self.message(generation, answer, index)
        return {"index": index, "message": message, "logprobs": None, "finish_reason": answer.finish}

    def message(self, generation: Generation, answer: Answer, index: int) -> Json:
        """Return the message of one choice."""
        message: Json = {"role": "assistant", "content": answer.text}
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if answer.calls:
            message["tool_calls"] = self.calls(generation, answer, index)
        return message

    def calls(self, generation: Generation, answer: Answer, choice: int) -> list[Json]:
        """Return the tool calls of a unary message."""
        return [
            {
                "id": self.call_id(generation, call, index, choice),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for index, call in enumerate(answer.calls)
        ]

    # --- streamed --------------------------------------------------------------------------------------------------

    def chunks(self, generation: Generation) -> Iterator[Chunk]:
        """Yield the events of a stream, without the `[DONE]` at its end."""
        for index, answer in enumerate(generation.answers):
            yield self.chunk(generation, "role", index, {"role": "assistant", "content": ""})
            for token in tokens.split(answer.reasoning):
                yield self.chunk(generation, "reasoning", index, {"reasoning_content": token}, count=1)
            for token in tokens.split(answer.text or ""):
                yield self.chunk(generation, "content", index, {"content": token}, count=1)
            yield from self.call_chunks(generation, answer, index)
            yield self.chunk(generation, "finish", index, {}, finish=answer.finish)
        if generation.include_usage:
            yield Chunk({**self.frame(generation), "choices": [], "usage": self.usage(generation)}, "usage")

    def frame(self, generation: Generation) -> Json:
        """Return the keys that every chunk starts with."""
        return {
            "id": self.completion_id(generation),
            "object": "chat.completion.chunk",
            "created": generation.created,
            "model": self.model_name(generation.model),
        }

    def chunk(
        self,
        generation: Generation,
        kind: Literal["role", "reasoning", "content", "call", "idle", "finish"],
        index: int,
        delta: Json,
        *,
        finish: str | None = None,
        count: int = 0,
    ) -> Chunk:
        """Return one event with one choice."""
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return Chunk({**self.frame(generation), "choices": [choice]}, kind, count)

    def call_chunks(self, generation: Generation, answer: Answer, index: int) -> Iterator[Chunk]:
        """Yield tool calls in fragments: id, type and name first, then pieces of the arguments."""
        for number, made in enumerate(self.calls(generation, answer, index)):
            function = made["function"]
            head = {**made, "index": number, "function": {"name": function["name"], "arguments": ""}}
            named = tokens.count(function["name"])
            yield self.chunk(generation, "call", index, {"tool_calls": [head]}, count=named)
            for piece in tokens.split(function["arguments"]):
                delta = {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}
                yield self.chunk(generation, "call", index, delta, count=1)

    # --- errors ----------------------------------------------------------------------------------------------------

    def error(self, message: str, status: int) -> Json:
        """Return the provider's error body."""
        return error_object(message, "invalid_request_error" if status < 500 else "server_error")

    def rate_limited(self) -> Json:
        """Return the body of its 429."""
        return error_object("Rate limit reached. Please try again later.", "rate_limit_exceeded")

    def too_long(self, limit: int, asked: int) -> Json:
        """Return the body of its 400 for a prompt that does not fit."""
        message = (
            f"This model's maximum context length is {limit} tokens. However, your messages resulted in {asked} "
            "tokens. Please reduce the length of the messages."
        )
        return error_object(message, "invalid_request_error", param="messages", code="context_length_exceeded")

    def invalid(self, answer: Refusal, body: Any, raw: bytes) -> Refusal:
        """Return its own form of the refusal of a request that does not fit."""
        return answer

    def cold(self, model: str, seconds: float) -> Refusal | None:
        """Return what it says while a model is being loaded; None for a provider that lets the caller wait."""
        return None

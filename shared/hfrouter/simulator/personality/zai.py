"""zai-org, recorded 2025-10-23 (auto route, GLM-4.6): plain, with tools, streamed and not."""

import time
from collections.abc import Iterator
from typing import Any, Literal

from hfrouter.simulator import tokens
from hfrouter.simulator.answer import Answer, ToolCall
from hfrouter.simulator.personality.generation import Chunk, Generation, counts
from hfrouter.simulator.personality.personality import Personality
from hfrouter.simulator.refusal import hexadecimal

Json = dict[str, Any]


class Zai(Personality):
    """No `object`, keys in alphabetical order, a role in every delta, whole tool calls, real cache hits."""

    stream_type = "text/event-stream;charset=UTF-8"
    unary_type = "application/json; charset=UTF-8"
    spaced_arguments = False
    reports_cache = True
    pinned_path = "/api/paas/v4/chat/completions"

    def __init__(self) -> None:
        super().__init__("zai-org")

    def model_name(self, model: str) -> str:
        """Return the name alone, in lower case."""
        return model.split("/")[-1].lower()

    def completion_id(self, generation: Generation) -> str:
        """Return the local time of Peking and 16 hexadecimal digits."""
        stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(generation.created + 8 * 3600))
        return stamp + hexadecimal(generation.random("id"), 16)

    def call_id(self, generation: Generation, call: ToolCall, index: int, choice: int) -> str:
        """Return a negative number of 64 bits; the calls of one answer count up."""
        return f"call_-{8_223_400_000_000_000_000 + generation.random('calls').getrandbits(45) - index}"

    def usage(self, generation: Generation) -> Json:
        """Return usage with the cached tokens."""
        plain, details = counts(generation), {"cached_tokens": generation.cached_tokens}
        return {
            "completion_tokens": plain["completion_tokens"],
            "prompt_tokens": plain["prompt_tokens"],
            "prompt_tokens_details": details,
            "total_tokens": plain["total_tokens"],
        }

    def body(self, generation: Generation) -> Json:
        """Return the unary body, its keys in alphabetical order."""
        return {
            "choices": [self.choice(generation, answer, index) for index, answer in enumerate(generation.answers)],
            "created": generation.created,
            "id": self.completion_id(generation),
            "model": self.model_name(generation.model),
            "request_id": self.completion_id(generation),
            "usage": self.usage(generation),
        }

    def choice(self, generation: Generation, answer: Answer, index: int) -> Json:
        """Return a choice; there is no `logprobs`."""
        return {"finish_reason": answer.finish, "index": index, "message": self.message(generation, answer, index)}

    def message(self, generation: Generation, answer: Answer, index: int) -> Json:
        """Return the message; content starts with a line end, and there is none beside tool calls."""
        message: Json = {}
        if answer.text is not None:
            message["content"] = f"\n{answer.text}"
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        message["role"] = "assistant"
        if answer.calls:
            message["tool_calls"] = [
                {
                    "function": {"arguments": call.arguments, "name": call.name},
                    "id": self.call_id(generation, call, number, index),
                    "index": number,
                    "type": "function",
                }
                for number, call in enumerate(answer.calls)
            ]
        return message

    def chunks(self, generation: Generation) -> Iterator[Chunk]:
        """Yield the stream: a line end first, each tool call whole, usage on the last chunk, asked for or not."""
        last = len(generation.answers) - 1
        for index, answer in enumerate(generation.answers):
            yield self.chunk(generation, "role", index, {"role": "assistant", "content": "\n"})
            for token in tokens.split(answer.reasoning):
                delta = {"role": "assistant", "reasoning_content": token}
                yield self.chunk(generation, "reasoning", index, delta, count=1)
            for token in tokens.split(answer.text or ""):
                yield self.chunk(generation, "content", index, {"role": "assistant", "content": token}, count=1)
            for number, call in enumerate(answer.calls):
                size = tokens.count(call.name) + tokens.count(call.arguments)
                made = self._streamed(generation, call, number, index)
                yield self.chunk(generation, "call", index, {"tool_calls": [made]}, count=size)
            end = self.chunk(generation, "finish", index, {"role": "assistant", "content": ""}, finish=answer.finish)
            yield Chunk({**end.data, "usage": self._last_usage(generation)}, "finish") if index == last else end

    def frame(self, generation: Generation) -> Json:
        """Return the keys every chunk starts with; `object` is not among them."""
        return {
            "id": self.completion_id(generation),
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
        """Return one event; `finish_reason` is only there when it has a value."""
        choice = {"index": index, **({"finish_reason": finish} if finish else {}), "delta": delta}
        return Chunk({**self.frame(generation), "choices": [choice]}, kind, count)

    def error(self, message: str, status: int) -> Json:
        """Return an error with a number of its own for a code."""
        return {"error": {"code": "1210" if status < 500 else "1234", "message": message}}

    def rate_limited(self) -> Json:
        """Return the body of a 429 that passes."""
        return {"error": {"code": "1302", "message": "Rate limit reached for requests"}}

    def too_long(self, limit: int, asked: int) -> Json:
        """Return a 400 for a prompt that does not fit."""
        return {"error": {"code": "1261", "message": f"Prompt exceeds max length: {asked} tokens, limit is {limit}"}}

    def _streamed(self, generation: Generation, call: ToolCall, number: int, choice: int) -> Json:
        made = f"call_{hexadecimal(generation.random(f'call:{choice}:{number}'), 24)}"
        function = {"name": call.name, "arguments": call.arguments}
        return {"id": made, "index": number, "type": "function", "function": function}

    def _last_usage(self, generation: Generation) -> Json:
        return {**counts(generation), "prompt_tokens_details": {"cached_tokens": generation.cached_tokens}}

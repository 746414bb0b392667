"""hf-inference, recorded 2025-01 to 2025-03: chat by text-generation-inference, billed by its computing time."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal

from hfrouter.simulator import hardware, tokens
from hfrouter.simulator.log import Price
from hfrouter.simulator.personality.generation import Chunk, Generation, counts
from hfrouter.simulator.personality.personality import Personality
from hfrouter.simulator.refusal import Refusal, loading

Json = dict[str, Any]
_BEFORE, _AFTER = "/models/", "/v1/chat/completions"


class HFInference(Personality):
    """The id is empty, a role stands in every delta, usage is streamed only when asked for, 422 is plain text."""

    def __init__(self) -> None:
        super().__init__("hf-inference")

    def pinned_model(self, path: str, body: Any) -> str | None:
        """Return the model, which is in the path here; the one of the body does not count."""
        if path.startswith(_BEFORE) and path.endswith(_AFTER):
            return path.removeprefix(_BEFORE).removesuffix(_AFTER)
        return None

    def completion_id(self, generation: Generation) -> str:
        """Return nothing, as recorded."""
        return ""

    def headers(self, generation: Generation) -> dict[str, str]:
        """Return the computing time, which is what is billed; a stream cannot know it yet."""
        sha = hashlib.sha1(generation.model.encode(), usedforsecurity=False).hexdigest()
        headers = {
            "access-control-allow-credentials": "true",
            "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            "x-compute-type": "cache" if generation.cached_tokens else "2-a10-g",
            "x-sha": sha,
        }
        time = {} if generation.streamed else {"x-compute-time": str(hardware.seconds(counts(generation)))}
        return headers | time

    def cost(self, price: Price | None, usage: Mapping[str, int]) -> Decimal | None:
        """Return what the computing time costs."""
        return hardware.cost(usage)

    def body(self, generation: Generation) -> Json:
        """Return the unary body in TGI's order of keys."""
        return {
            **self._frame(generation, "chat.completion"),
            "choices": [self.choice(generation, answer, index) for index, answer in enumerate(generation.answers)],
            "usage": self.usage(generation),
        }

    def chunks(self, generation: Generation) -> Iterator[Chunk]:
        """Yield the stream: no role of its own; usage in a chunk of its own, only when asked for."""
        for index, answer in enumerate(generation.answers):
            for token in tokens.split(answer.reasoning):
                yield self._spoken(generation, "reasoning", index, token)
            for token in tokens.split(answer.text or ""):
                yield self._spoken(generation, "content", index, token)
            yield from self.call_chunks(generation, answer, index)
            yield self.chunk(generation, "finish", index, {"role": "assistant", "content": ""}, finish=answer.finish)
        if generation.include_usage:
            yield Chunk({**self.frame(generation), "choices": [], "usage": self.usage(generation)}, "usage")

    def frame(self, generation: Generation) -> Json:
        """Return the keys every chunk starts with."""
        return self._frame(generation, "chat.completion.chunk")

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
        """Return one event; `usage` is null in it."""
        made = super().chunk(generation, kind, index, delta, finish=finish, count=count)
        return replace(made, data={**made.data, "usage": None})

    def error(self, message: str, status: int) -> Json:
        """Return TGI's error."""
        return {"error": message, "error_type": "validation" if status < 500 else "generation"}

    def rate_limited(self) -> Json:
        """Return TGI's 429."""
        return {"error": "Model is overloaded", "error_type": "overloaded"}

    def too_long(self, limit: int, asked: int) -> Json:
        """Return TGI's answer to a prompt that does not fit."""
        message = f"`inputs` must have less than {limit} tokens. Given: {asked}"
        return {"error": f"Input validation error: {message}", "error_type": "validation"}

    def invalid(self, answer: Refusal, body: Any, raw: bytes) -> Refusal:
        """Return TGI's 422: plain text when the JSON has another shape (recorded 2025-01), else an object."""
        messages = body.get("messages") if isinstance(body, dict) else None
        if isinstance(messages, str):
            end = raw.find(written := json.dumps(messages, ensure_ascii=False).encode()) + len(written)
            text = f"messages: invalid type: string {written.decode()}, expected a sequence at line 1 column {end}"
            text = f"Failed to deserialize the JSON body into the target type: {text}"
            return Refusal(422, text, content_type="text/plain; charset=utf-8", router=False)
        error = answer.body.get("error") if isinstance(answer.body, dict) else None
        message = error.get("message") if isinstance(error, dict) else error
        return Refusal(422, self.error(f"Input validation error: {message}", 422), router=False)

    def cold(self, model: str, seconds: float) -> Refusal:
        """Return the 503 with the estimated time."""
        return loading(model, seconds)

    def _frame(self, generation: Generation, kind: str) -> Json:
        return {
            "object": kind,
            "id": "",
            "created": generation.created,
            "model": generation.model,
            "system_fingerprint": "3.0.1-sha-bb9095a",
        }

    def _spoken(self, generation: Generation, kind: Literal["reasoning", "content"], index: int, token: str) -> Chunk:
        key = "content" if kind == "content" else "reasoning_content"
        return self.chunk(generation, kind, index, {"role": "assistant", key: token}, count=1)

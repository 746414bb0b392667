"""novita, recorded 2025-02/03 (with headers) and 2026-08."""

from collections.abc import Iterator
from typing import Any, Literal

from hfrouter.simulator.answer import Answer
from hfrouter.simulator.personality.generation import Chunk, Generation, counts
from hfrouter.simulator.personality.personality import Personality
from hfrouter.simulator.refusal import error_object, hexadecimal

Json = dict[str, Any]


class Novita(Personality):
    """Sends a usage chunk with empty `choices` unasked; details are null, ids bare hexadecimal."""

    pinned_path = "/v3/openai/chat/completions"

    def __init__(self) -> None:
        super().__init__("novita")

    def model_name(self, model: str) -> str:
        """Return the Hub id in lower case."""
        return model.lower()

    def completion_id(self, generation: Generation) -> str:
        """Return 32 hexadecimal digits (2026; in 2025 they were prefixed)."""
        return hexadecimal(generation.random("id"), 32)

    def headers(self, generation: Generation) -> dict[str, str]:
        """Return novita's headers; the request id stays the router's."""
        rng = generation.random("headers")
        return {
            "cache-control": "no-cache",
            "x-trace-id": hexadecimal(rng, 32),
            "inference-id": self.completion_id(generation),
        }

    def usage(self, generation: Generation) -> Json:
        """Return usage with null details."""
        return {**counts(generation), "prompt_tokens_details": None, "completion_tokens_details": None}

    def body(self, generation: Generation) -> Json:
        """Return the unary body."""
        return {**super().body(generation), "system_fingerprint": ""}

    def choice(self, generation: Generation, answer: Answer, index: int) -> Json:
        """Return a choice with the content filter's results."""
        message = self.message(generation, answer, index)
        return {
            "index": index,
            "message": message,
            "finish_reason": answer.finish,
            "content_filter_results": _filters(),
        }

    def chunks(self, generation: Generation) -> Iterator[Chunk]:
        """Yield the stream; it ends with a usage chunk whether or not it was asked for."""
        for chunk in super().chunks(generation):
            if chunk.kind == "role":
                index = chunk.data["choices"][0]["index"]
                yield self.chunk(generation, "role", index, {"role": "assistant"})
            elif chunk.kind != "usage":
                yield chunk
        metrics = {"ttft_ms": generation.random("sla").randrange(200, 900), "ts_us": generation.created * 1_000_000}
        end = {**self.frame(generation), "choices": [], "system_fingerprint": "", "usage": self.usage(generation)}
        yield Chunk({**end, "sla_metrics": metrics}, "usage")

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
        """Return one event; there is no `logprobs`."""
        choice = {"index": index, "delta": delta, "finish_reason": finish, "content_filter_results": _filters()}
        return Chunk({**self.frame(generation), "choices": [choice], "system_fingerprint": ""}, kind, count)

    def rate_limited(self) -> Json:
        """Return novita's 429."""
        return error_object("Rate limit exceeded, please retry later", "rate_limit_exceeded", code="429")


def _filters() -> Json:
    plain: Json = {name: {"filtered": False} for name in ("hate", "self_harm", "sexual", "violence")}
    return plain | {name: {"filtered": False, "detected": False} for name in ("jailbreak", "profanity")}

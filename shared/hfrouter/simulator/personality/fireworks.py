"""fireworks-ai, recorded 2025-02 and 2025-03 (with headers); its defaults show in a header (2025-12)."""

from collections.abc import Iterator
from typing import Any, Literal

from hfrouter.simulator import tokens
from hfrouter.simulator.answer import Answer
from hfrouter.simulator.personality.generation import Chunk, Generation, counts, uuid
from hfrouter.simulator.personality.personality import Personality
from hfrouter.simulator.refusal import error_object, hexadecimal

Json = dict[str, Any]
_SAMPLING = (
    '{{"max_tokens": {limit}, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0, '
    '"frequency_penalty": 0.0, "presence_penalty": 0.0, "repetition_penalty": 1.0, "mirostat_target": null, '
    '"mirostat_lr": 0.1}}'
)


class Fireworks(Personality):
    """Model names are paths, ids bare UUIDs; without `max_tokens` an answer ends after 2,048 tokens."""

    stream_type = "text/event-stream; charset=utf-8"
    pinned_path = "/inference/v1/chat/completions"
    default_max_tokens = 2048

    def __init__(self) -> None:
        super().__init__("fireworks-ai")

    def model_name(self, model: str) -> str:
        """Return a path such as `accounts/fireworks/models/glm-4p7`."""
        return f"accounts/fireworks/models/{model.split('/')[-1].lower().replace('.', 'p')}"

    def completion_id(self, generation: Generation) -> str:
        """Return a bare UUID; the request id is the same."""
        return uuid(generation.random("id"))

    def headers(self, generation: Generation) -> dict[str, str]:
        """Return fireworks' headers: what it read, its effective defaults, limits without a reset."""
        rng, prompt = generation.random("headers"), generation.prompt_tokens
        milliseconds = rng.randrange(80, 300)
        return {
            "cf-cache-status": "DYNAMIC",
            "cf-ray": f"{hexadecimal(rng, 16)}-IAD",
            "fireworks-middleware-version": "v2",
            "fireworks-prompt-tokens": str(prompt),
            "fireworks-cached-prompt-tokens": str(generation.cached_tokens),
            "fireworks-sampling-options": _SAMPLING.format(limit=generation.max_tokens or self.default_max_tokens),
            "fireworks-server-processing-time": f"{milliseconds / 1000:.3f}",
            "server": "cloudflare",
            "server-timing": f'total;dur={milliseconds + 35}.0;desc="Total Response Time"',
            "vary": "Accept-Encoding",
            "x-envoy-upstream-service-time": str(milliseconds + 2),
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-limit-tokens-generated": "6000",
            "x-ratelimit-limit-tokens-prompt": "60000",
            "x-ratelimit-over-limit": "no",
            "x-ratelimit-remaining-requests": "59",
            "x-ratelimit-remaining-tokens-generated": "6000",
            "x-ratelimit-remaining-tokens-prompt": str(max(0, 60_000 - prompt)),
            "x-request-id": self.completion_id(generation),
        }

    def usage(self, generation: Generation) -> Json:
        """Return usage in fireworks' order."""
        plain = counts(generation)
        return {key: plain[key] for key in ("prompt_tokens", "total_tokens", "completion_tokens")}

    def choice(self, generation: Generation, answer: Answer, index: int) -> Json:
        """Return a choice; there is no `logprobs`."""
        return {"index": index, "message": self.message(generation, answer, index), "finish_reason": answer.finish}

    def chunks(self, generation: Generation) -> Iterator[Chunk]:
        """Yield the stream: a bare role, arguments in fragments, usage on the last chunk, asked for or not."""
        last = len(generation.answers) - 1
        for index, answer in enumerate(generation.answers):
            yield self.chunk(generation, "role", index, {"role": "assistant"})
            for token in tokens.split(answer.reasoning):
                yield self.chunk(generation, "reasoning", index, {"reasoning_content": token}, count=1)
            for token in tokens.split(answer.text or ""):
                yield self.chunk(generation, "content", index, {"content": token}, count=1)
            yield from self.call_chunks(generation, answer, index)
            end = self.chunk(generation, "finish", index, {}, finish=answer.finish)
            yield Chunk({**end.data, "usage": self.usage(generation)}, "finish") if index == last else end

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
        """Return one event; `usage` is null in all but the last."""
        choice = {"index": index, "delta": delta, "finish_reason": finish}
        return Chunk({**self.frame(generation), "choices": [choice], "usage": None}, kind, count)

    def rate_limited(self) -> Json:
        """Return fireworks' 429."""
        return error_object("Too many requests", "rate_limit_exceeded", code="RATE_LIMIT_EXCEEDED")

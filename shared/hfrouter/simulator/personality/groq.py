"""groq, recorded 2026-10-04 (auto route, gpt-oss-20b, with headers) and 2026-03 (Kimi-K2)."""

from collections.abc import Iterator
from typing import Any

from hfrouter.simulator import tokens
from hfrouter.simulator.answer import Answer, ToolCall
from hfrouter.simulator.personality.generation import Chunk, Generation, counts, uuid
from hfrouter.simulator.personality.personality import Personality
from hfrouter.simulator.refusal import error_object, hexadecimal

Json = dict[str, Any]
_OWN_NAMES = {"meta-llama/Llama-3.3-70B-Instruct": "llama-3.3-70b-versatile"}


class Groq(Personality):
    """Whole tool calls in one chunk, and with `include_usage` the same usage three times in one stream."""

    spaced_arguments = False
    pinned_path = "/openai/v1/chat/completions"

    def __init__(self) -> None:
        super().__init__("groq")

    def model_name(self, model: str) -> str:
        """Return groq's id: the Hub id in lower case, with a name of its own for Llama."""
        return _OWN_NAMES.get(model, model.lower())

    def call_id(self, generation: Generation, call: ToolCall, index: int, choice: int) -> str:
        """Return an id in the form of the model's own chat template."""
        if "Kimi" in generation.model:
            return f"functions.{call.name}:{index}"
        rng = generation.random(f"call:{choice}:{index}")
        return f"fc_{uuid(rng)}" if "gpt-oss" in generation.model else f"call_{hexadecimal(rng, 24)}"

    def headers(self, generation: Generation) -> dict[str, str]:
        """Return groq's headers. The rate limits are those of the router's account, not the caller's."""
        rng = generation.random("headers")
        return {
            "cache-control": "no-cache",
            "cf-cache-status": "DYNAMIC",
            "cf-ray": f"{hexadecimal(rng, 16)}-IAD",
            "server": "cloudflare",
            "x-groq-region": "yul",
            "x-ratelimit-limit-requests": "1440000",
            "x-ratelimit-limit-tokens": "1000000",
            "x-ratelimit-remaining-requests": "1439999",
            "x-ratelimit-remaining-tokens": str(1_000_000 - generation.prompt_tokens),
            "x-ratelimit-reset-requests": "60ms",
            "x-ratelimit-reset-tokens": f"{rng.randrange(80, 200)}ms",
            "x-request-id": self._request_id(generation),
        }

    def usage(self, generation: Generation) -> Json:
        """Return usage with timings; there is no word about cached tokens."""
        rng, plain = generation.random("usage"), counts(generation)
        prompt_time = round(plain["prompt_tokens"] * 0.00005 + rng.random() / 100, 9)
        completion_time = round(plain["completion_tokens"] * 0.001 + rng.random() / 1000, 9)
        usage = {
            "queue_time": round(rng.random() / 5, 9),
            "prompt_tokens": plain["prompt_tokens"],
            "prompt_time": prompt_time,
            "completion_tokens": plain["completion_tokens"],
            "completion_time": completion_time,
            "total_tokens": plain["total_tokens"],
            "total_time": round(prompt_time + completion_time, 9),
        }
        if generation.reasoning_tokens:
            usage["completion_tokens_details"] = {"reasoning_tokens": generation.reasoning_tokens}
        return usage

    def body(self, generation: Generation) -> Json:
        """Return the unary body, with groq's own keys at its end."""
        return {
            **super().body(generation),
            "usage_breakdown": None,
            "system_fingerprint": self._fingerprint(generation),
            "x_groq": {"id": self._request_id(generation), "seed": self._seed(generation)},
            "service_tier": "on_demand",
        }

    def message(self, generation: Generation, answer: Answer, index: int) -> Json:
        """Return the message; it has no `content` beside tool calls."""
        message: Json = {"role": "assistant"}
        if answer.text is not None:
            message["content"] = answer.text
        if answer.reasoning:
            message["reasoning"] = answer.reasoning
        if answer.calls:
            message["tool_calls"] = self.calls(generation, answer, index)
        return message

    def frame(self, generation: Generation) -> Json:
        """Return the keys every chunk starts with."""
        return {**super().frame(generation), "system_fingerprint": self._fingerprint(generation)}

    def chunks(self, generation: Generation) -> Iterator[Chunk]:
        """Yield the stream: role with `x_groq`, reasoning on its channel, text or whole calls, usage."""
        last = len(generation.answers) - 1
        for index, answer in enumerate(generation.answers):
            role = self.chunk(generation, "role", index, {"role": "assistant", "content": ""})
            yield Chunk(
                {**role.data, "x_groq": {"id": self._request_id(generation), "seed": self._seed(generation)}}, "role"
            )
            channel = {"channel": "analysis"} if "gpt-oss" in generation.model else {}
            for token in tokens.split(answer.reasoning):
                yield self.chunk(generation, "reasoning", index, {"reasoning": token, **channel}, count=1)
            for token in tokens.split(answer.text or ""):
                yield self.chunk(generation, "content", index, {"content": token}, count=1)
            for number, call in enumerate(self.calls(generation, answer, index)):
                size = tokens.count(call["function"]["name"]) + tokens.count(call["function"]["arguments"])
                yield self.chunk(generation, "call", index, {"tool_calls": [{**call, "index": number}]}, count=size)
            finish = self.chunk(generation, "finish", index, {}, finish=answer.finish)
            yield finish if index < last else self._last(generation, finish)
        if generation.include_usage:
            usage = self.usage(generation)
            end = {**self.frame(generation), "choices": [], "usage": usage, "service_tier": "on_demand"}
            yield Chunk(end, "usage")

    def rate_limited(self) -> Json:
        """Return groq's 429."""
        return error_object(
            "Rate limit reached for model in organization on tokens per minute (TPM). Please try again later.",
            "tokens",
            code="rate_limit_exceeded",
        )

    def _last(self, generation: Generation, finish: Chunk) -> Chunk:
        """Add the usage to the finish chunk: always in `x_groq`, beside it only when it was asked for."""
        usage = self.usage(generation)
        more: Json = {"x_groq": {"id": self._request_id(generation), "usage": usage}}
        if generation.include_usage:
            more["usage"] = usage
        return Chunk({**finish.data, **more}, "finish")

    def _request_id(self, generation: Generation) -> str:
        alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
        return "req_01" + "".join(generation.random("request").choices(alphabet, k=24))

    def _fingerprint(self, generation: Generation) -> str:
        return f"fp_{hexadecimal(generation.random('fingerprint'), 10)}"

    def _seed(self, generation: Generation) -> int:
        return generation.random("seed").getrandbits(31) if generation.seed is None else generation.seed

"""cerebras, recorded 2025-03 (with headers), 2025-10-21 and 2025-11-11 (auto route)."""

from collections.abc import Iterator
from typing import Any, Literal

from hfrouter.simulator import tokens
from hfrouter.simulator.answer import Answer, ToolCall
from hfrouter.simulator.personality.generation import Chunk, Generation, counts
from hfrouter.simulator.personality.personality import Personality
from hfrouter.simulator.refusal import hexadecimal

Json = dict[str, Any]
_OWN_NAMES = {
    "Qwen/Qwen3-Coder-480B-A35B-Instruct": "qwen-3-coder-480b",
    "zai-org/GLM-4.6": "zai-glm-4.6",
    "zai-org/GLM-4.7": "zai-glm-4.7",
    "meta-llama/Llama-3.3-70B-Instruct": "llama-3.3-70b",
}


class Cerebras(Personality):
    """No `[DONE]`, no `finish_reason` key before the last chunk, no `content` beside tool calls, `time_info`."""

    stream_type = "text/event-stream; charset=utf-8"
    done = False
    reports_cache = True

    def __init__(self) -> None:
        super().__init__("cerebras")

    def model_name(self, model: str) -> str:
        """Return cerebras' own short name."""
        return _OWN_NAMES.get(model, model.split("/")[-1].lower())

    def call_id(self, generation: Generation, call: ToolCall, index: int, choice: int) -> str:
        """Return nine hexadecimal digits."""
        return hexadecimal(generation.random(f"call:{choice}:{index}"), 9)

    def headers(self, generation: Generation) -> dict[str, str]:
        """Return cerebras' headers; resets are floats in seconds."""
        rng = generation.random("headers")
        ray = hexadecimal(rng, 16)
        return {
            "cf-cache-status": "DYNAMIC",
            "cf-ray": f"{ray}-EWR",
            "server": "cloudflare",
            "strict-transport-security": "max-age=3600; includeSubDomains",
            "x-content-type-options": "nosniff",
            "x-ratelimit-limit-requests-day": "216000",
            "x-ratelimit-limit-tokens-minute": "160000",
            "x-ratelimit-remaining-requests-day": str(rng.randrange(200_000, 216_000)),
            "x-ratelimit-remaining-tokens-minute": str(max(0, 160_000 - generation.prompt_tokens)),
            "x-ratelimit-reset-requests-day": repr(rng.uniform(1000, 86400)),
            "x-ratelimit-reset-tokens-minute": repr(rng.uniform(1, 60)),
            "x-request-id": f"{ray}-SJC",
        }

    def usage(self, generation: Generation) -> Json:
        """Return usage; the details key is there for some models and not for GLM."""
        plain = counts(generation)
        if "GLM" in generation.model:
            return {key: plain[key] for key in ("total_tokens", "completion_tokens", "prompt_tokens")}
        return {**plain, "prompt_tokens_details": {"cached_tokens": generation.cached_tokens}}

    def body(self, generation: Generation) -> Json:
        """Return the unary body in cerebras' order of keys."""
        return {
            "id": self.completion_id(generation),
            "choices": [self.choice(generation, answer, index) for index, answer in enumerate(generation.answers)],
            "created": generation.created,
            "model": self.model_name(generation.model),
            "system_fingerprint": self._fingerprint(generation),
            "object": "chat.completion",
            "usage": self.usage(generation),
            "time_info": self._time_info(generation),
        }

    def choice(self, generation: Generation, answer: Answer, index: int) -> Json:
        """Return a choice; there is no `logprobs`."""
        return {"finish_reason": answer.finish, "index": index, "message": self.message(generation, answer, index)}

    def message(self, generation: Generation, answer: Answer, index: int) -> Json:
        """Return the message; keys without a value are left out, and GLM's content starts with a line end."""
        message: Json = {}
        if answer.text is not None:
            message["content"] = self._lead(generation) + answer.text
        if answer.reasoning:
            message["reasoning"] = answer.reasoning
        if answer.calls:
            message["tool_calls"] = self.calls(generation, answer, index)
        return {**message, "role": "assistant"}

    def chunks(self, generation: Generation) -> Iterator[Chunk]:
        """Yield the stream: bare deltas, all tool calls in one chunk, usage and timing in the last."""
        last = len(generation.answers) - 1
        for index, answer in enumerate(generation.answers):
            first = {"content": "", "role": "assistant"} if "GLM" in generation.model else {"role": "assistant"}
            yield self.chunk(generation, "role", index, first)
            for token in tokens.split(answer.reasoning):
                yield self.chunk(generation, "reasoning", index, {"reasoning": token}, count=1)
            lead = self._lead(generation)
            for token in tokens.split(answer.text or ""):
                yield self.chunk(generation, "content", index, {"content": lead + token}, count=1)
                lead = ""
            if answer.calls:
                made = [
                    self._streamed(call, number) for number, call in enumerate(self.calls(generation, answer, index))
                ]
                yield self.chunk(generation, "call", index, {"tool_calls": made}, count=answer.visible_tokens)
            else:
                yield self.chunk(generation, "idle", index, {})
            finish = self.chunk(generation, "finish", index, {}, finish=answer.finish)
            more = {"usage": self.usage(generation), "time_info": self._time_info(generation)} if index == last else {}
            yield Chunk({**finish.data, **more}, "finish")

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
        choice = {"delta": delta, **({"finish_reason": finish} if finish else {}), "index": index}
        data = {
            "id": self.completion_id(generation),
            "choices": [choice],
            "created": generation.created,
            "model": self.model_name(generation.model),
            "system_fingerprint": self._fingerprint(generation),
            "object": "chat.completion.chunk",
        }
        return Chunk(data, kind, count)

    def error(self, message: str, status: int) -> Json:
        """Return an error without the `error` key."""
        kind = "invalid_request_error" if status < 500 else "server_error"
        return {"message": message, "type": kind, "param": None, "code": None}

    def rate_limited(self) -> Json:
        """Return the 429 body quoted in huggingface_hub#4703 (2026-08-18)."""
        return {"message": "Too many tokens, please wait before trying again."}

    def too_long(self, limit: int, asked: int) -> Json:
        """Return a 400 in cerebras' family."""
        message = (
            f"Please reduce the length of the messages or completion. Current length is {asked} while limit is {limit}"
        )
        return {
            "message": message,
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        }

    def _lead(self, generation: Generation) -> str:
        return "\n" if "GLM" in generation.model else ""

    def _streamed(self, call: Json, number: int) -> Json:
        return {"function": call["function"], "type": "function", "id": call["id"], "index": number}

    def _fingerprint(self, generation: Generation) -> str:
        return f"fp_{hexadecimal(generation.random('fingerprint'), 20)}"

    def _time_info(self, generation: Generation) -> Json:
        rng = generation.random("time")
        prompt, completion = generation.prompt_tokens * 0.00002, generation.completion_tokens * 0.0008
        return {
            "queue_time": round(rng.random() / 1000, 9),
            "prompt_time": round(prompt, 9),
            "completion_time": round(completion, 9),
            "total_time": prompt + completion + rng.random() / 500,
            "created": generation.created + round(rng.random(), 7),
        }

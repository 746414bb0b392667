"""together, recorded 2025-02 and 2026-01 to 2026-03 (DeepSeek-R1, Llama-4-Scout, with some headers)."""

import zlib
from collections.abc import Iterator
from typing import Any, Literal

from hfrouter.simulator import tokens
from hfrouter.simulator.answer import Answer
from hfrouter.simulator.personality.generation import Chunk, Generation, counts
from hfrouter.simulator.personality.personality import Personality
from hfrouter.simulator.refusal import Refusal, error_object, hexadecimal

Json = dict[str, Any]
_OWN_NAMES = {
    "meta-llama/Llama-3.3-70B-Instruct": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    "Qwen/Qwen3-Coder-480B-A35B-Instruct": "Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8",
}
_RETRY_AFTER = ("2", "9", "13", "15", "30")  # on 200 answers, as recorded


class Together(Personality):
    """`<think>` inline, `retry-after` on 200, flat `cached_tokens`, argument fragments, usage on the last chunk."""

    stream_type = "text/event-stream;charset=utf-8"
    unary_type = "application/json; charset=utf-8"
    reports_cache = True
    lacks_arguments = Refusal(
        500,
        {
            "error": {"code": None, "message": "Internal server error", "param": None, "type": "server_error"},
            "id": "oS9XtEv-3pDw3Z-9b97ab906d73553b",
        },
        {"retry-after": "1"},
        router=False,
    )

    def __init__(self) -> None:
        super().__init__("together")

    def model_name(self, model: str) -> str:
        """Return together's own id, often with the name of a variant."""
        return _OWN_NAMES.get(model, model)

    def completion_id(self, generation: Generation) -> str:
        """Return an id such as `oV1mrRW-28Eivz-9c4b16f37c27e605`."""
        rng = generation.random("id")
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        return f"oV{''.join(rng.choices(letters, k=5))}-28Eivz-{hexadecimal(rng, 16)}"

    def headers(self, generation: Generation) -> dict[str, str]:
        """Return together's headers; `retry-after` on a 200 means nothing."""
        return {
            "retry-after": generation.random("headers").choice(_RETRY_AFTER),
            "strict-transport-security": "max-age=15552000; includeSubDomains",
            "vary": "Accept-Encoding",
        }

    def inline_reasoning(self, model: str) -> bool:
        """DeepSeek-R1 thinks inside the content; gpt-oss does not."""
        return "DeepSeek-R1" in model

    def usage(self, generation: Generation) -> Json:
        """Return usage with a flat `cached_tokens`."""
        return {**counts(generation), "cached_tokens": generation.cached_tokens}

    def body(self, generation: Generation) -> Json:
        """Return the unary body."""
        return {
            "id": self.completion_id(generation),
            "object": "chat.completion",
            "created": generation.created,
            "model": self.model_name(generation.model),
            "prompt": [],
            "choices": [self.choice(generation, answer, index) for index, answer in enumerate(generation.answers)],
            "usage": self.usage(generation),
            "metadata": {"weight_version": "default"},
        }

    def choice(self, generation: Generation, answer: Answer, index: int) -> Json:
        """Return a choice with together's huge `seed`."""
        return {
            "finish_reason": answer.finish,
            "seed": self._seed(generation),
            "logprobs": None,
            "index": index,
            "message": self.message(generation, answer, index),
        }

    def message(self, generation: Generation, answer: Answer, index: int) -> Json:
        """Return the message; `tool_calls` is always a list, and `content` is empty beside calls."""
        inline = self.inline_reasoning(generation.model)
        message: Json = {"role": "assistant", "content": self._content(generation, answer)}
        calls = [{**call, "index": number} for number, call in enumerate(self.calls(generation, answer, index))]
        message["tool_calls"] = calls
        if not inline:
            message["reasoning"] = answer.reasoning or None
        return message

    def chunks(self, generation: Generation) -> Iterator[Chunk]:
        """Yield the stream: no role chunk of its own, `text` beside `delta`, usage on the last chunk only."""
        last = len(generation.answers) - 1
        for index, answer in enumerate(generation.answers):
            if answer.calls:
                yield self.chunk(generation, "role", index, {"role": "assistant", "content": ""})
            if self.inline_reasoning(generation.model) and answer.reasoning:
                for piece in ("<think>", "\n", *tokens.split(answer.reasoning), "\n", "</think>", "\n"):
                    counted = int(piece not in ("<think>", "\n", "</think>"))
                    yield self.chunk(generation, "reasoning", index, self._delta(piece), count=counted)
            else:
                for token in tokens.split(answer.reasoning):
                    delta = {"role": "assistant", "content": "", "reasoning": token}
                    yield self.chunk(generation, "reasoning", index, delta, count=1)
            for token in tokens.split(answer.text or ""):
                yield self.chunk(generation, "content", index, self._delta(token), count=1)
            yield from self.call_chunks(generation, answer, index)
            usage = self.usage(generation) if index == last else None
            finish = self.chunk(generation, "finish", index, self._delta(""), finish=answer.finish)
            finish.data["choices"][0]["seed"] = self._seed(generation)
            yield Chunk({**finish.data, "usage": usage}, "finish")

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
        """Return one event with together's extra keys."""
        text = delta.get("content") or ""
        choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish, "seed": None, "delta": delta}
        data = {
            "id": self.completion_id(generation),
            "object": "chat.completion.chunk",
            "created": generation.created,
            "choices": [choice],
            "model": self.model_name(generation.model),
            "usage": None,
        }
        return Chunk(data, kind, count)

    def rate_limited(self) -> Json:
        """Return together's 429."""
        return error_object("You have reached the rate limit of this model. Please try again later.", "rate_limit")

    def _content(self, generation: Generation, answer: Answer) -> str:
        text = answer.text or ""
        if self.inline_reasoning(generation.model) and answer.reasoning:
            return f"<think>\n{answer.reasoning}\n</think>\n{text}"
        return text

    def _delta(self, piece: str) -> Json:
        return {"token_id": zlib.crc32(piece.encode()) % 128_000, "role": "assistant", "content": piece}

    def _seed(self, generation: Generation) -> int:
        return generation.random("seed").getrandbits(63) if generation.seed is None else generation.seed

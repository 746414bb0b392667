"""What a provider has made, before it is written down in its own way."""

import random
from dataclasses import dataclass, replace
from typing import Any, Literal

from hfrouter.simulator.answer import Answer
from hfrouter.simulator.refusal import hexadecimal

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Generation:
    """One finished generation, before a personality writes it down.

    Attributes:
        model: The Hub id.
        answers: One for each choice.
        prompt_tokens: Tokens of the prompt.
        cached_tokens: Those of them that were in the prompt cache.
        include_usage: The request asked for usage in the stream.
        created: Unix time.
        seed: The request's seed.
        salt: Makes ids and timings; the same salt makes the same ones.
        max_tokens: The limit the answer was held to, if any.
        streamed: It goes out as a stream.
    """

    model: str
    answers: tuple[Answer, ...]
    prompt_tokens: int
    cached_tokens: int
    include_usage: bool
    created: int
    seed: int | None
    salt: str
    max_tokens: int | None = None
    streamed: bool = False

    @property
    def completion_tokens(self) -> int:
        """Tokens produced over all choices."""
        return sum(answer.completion_tokens for answer in self.answers)

    @property
    def reasoning_tokens(self) -> int:
        """Tokens of reasoning over all choices."""
        return sum(answer.reasoning_tokens for answer in self.answers)

    def random(self, purpose: str) -> random.Random:
        """Return a generator of chance for one purpose, so that the order of use does not matter."""
        return random.Random(f"{self.salt}:{purpose}")

    def produced(self, completion_tokens: int, reasoning_tokens: int) -> "Generation":
        """Return this generation as it stood after so many tokens, for usage that runs along."""
        thinking, text = (" x" * number for number in (reasoning_tokens, completion_tokens - reasoning_tokens))
        return replace(self, answers=(Answer(thinking, text, (), "stop"),))


@dataclass(frozen=True, slots=True)
class Chunk:
    """One event of a stream.

    Attributes:
        data: Its JSON.
        kind: What it carries.
        tokens: How many completion tokens it stands for.
    """

    data: Json
    kind: Literal["role", "reasoning", "content", "call", "idle", "finish", "usage"]
    tokens: int = 0

    @property
    def visible(self) -> bool:
        """Whether it carries a part of the answer itself."""
        return self.kind in ("content", "call")


def counts(generation: Generation) -> Json:
    """Return the three plain token counts."""
    completion = generation.completion_tokens
    return {
        "prompt_tokens": generation.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": generation.prompt_tokens + completion,
    }


def uuid(rng: random.Random) -> str:
    """Return a random UUID of version 4."""
    digits = hexadecimal(rng, 32)
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"

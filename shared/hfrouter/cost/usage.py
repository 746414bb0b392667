"""Tokens, read from whatever a provider calls usage."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# No model has a context of a billion tokens: a larger count is a broken report, not a bill.
_ABSURD = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one attempt, as reported.

    Attributes:
        input_tokens: Prompt tokens, cached ones included.
        output_tokens: Completion tokens, reasoning included.
        cached_tokens: The part of `input_tokens` served from a cache; None when the provider does not say.
        reasoning_tokens: The part of `output_tokens` spent on reasoning; None when the provider does not say.
        unexplained: By how much the reported total exceeds input and output together; negative where it falls short.
            Such a report is priced in bounds.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    unexplained: int = field(default=0, compare=False, repr=False)

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    @classmethod
    def read(cls, report: object) -> Usage | None:
        """Read any of the shapes providers send; None when there is no usable report.

        Cached tokens may be flat (`cached_tokens`, `prompt_cache_hit_tokens`) or nested and null
        (`prompt_tokens_details`), and are a subset of the prompt. Counts that are negative, not numbers or
        beyond belief make the report unusable, cached ones too: a wrong count must never become an exact cost.
        Reasoning tokens are inside the output and cost nothing of their own, unless the total says that they stand
        beside it; a wrong count of them is left out. A total of 0 is one that was not filled in.

        >>> Usage.read({"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": None})
        Usage(input_tokens=10, output_tokens=2, cached_tokens=None, reasoning_tokens=None)
        """
        if not isinstance(report, Mapping):
            return None
        prompt = _count(_first(report, "prompt_tokens", "input_tokens"))
        completion = _count(_first(report, "completion_tokens", "output_tokens"))
        if prompt is None or completion is None:
            return None
        told = _first(
            _details(report, "prompt_tokens_details", "input_tokens_details"),
            "cached_tokens",
            otherwise=_first(report, "cached_tokens", "prompt_cache_hit_tokens"),
        )
        cached = _count(told)
        if told is not None and cached is None:
            return None
        reasoning = _count(
            _first(
                _details(report, "completion_tokens_details", "output_tokens_details"),
                "reasoning_tokens",
                otherwise=report.get("reasoning_tokens"),
            )
        )
        unexplained = (_count(report.get("total_tokens")) or prompt + completion) - prompt - completion
        if reasoning and unexplained == reasoning:  # as xAI's models count: prompt, answer and reasoning apart
            completion, unexplained = completion + reasoning, 0
        return cls(
            prompt,
            completion,
            None if cached is None else min(cached, prompt),
            None if reasoning is None else min(reasoning, completion),
            unexplained,
        )


def _first(report: Mapping[str, Any], *names: str, otherwise: Any = None) -> Any:
    return next((report[name] for name in names if report.get(name) is not None), otherwise)


def _details(report: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    found = _first(report, *names)
    return found if isinstance(found, Mapping) else {}


def _count(value: Any) -> int | None:
    """A whole, believable number of tokens, or None. Digits in a string and 5.0 count; True, 5.5 and -5 do not."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 12:
        value = int(value)
    if isinstance(value, bool) or value is None:
        return None
    try:
        whole = int(value)
        believable = math.isfinite(value) and whole == value and 0 <= whole < _ABSURD
    except (TypeError, ValueError, OverflowError):
        return None
    return whole if believable else None

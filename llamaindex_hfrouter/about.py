"""What is known about a call, as plain JSON: tokens, attempts, money. Pure."""

from __future__ import annotations

from typing import Any

from hfrouter import Completion, Usage
from hfrouter.adapting import answer_facts, cost_facts


def completion(answer: Completion) -> dict[str, Any]:
    """Tokens, who answered, how it came to that and what it cost, as plain JSON.

    `cost` is a float for dashboards and there only when it is known; `cost_details` is exact to the last digit.
    """
    return {
        **usage(answer.usage),
        "finish_reason": answer.finish_reason,
        **answer_facts(answer),
        **cost_facts(answer),
    }


def usage(tokens: Usage | None) -> dict[str, int]:
    """Tokens under the names that LlamaIndex's counters read; empty when none were reported."""
    if tokens is None:
        return {}
    found = {
        "prompt_tokens": tokens.input_tokens,
        "completion_tokens": tokens.output_tokens,
        "total_tokens": tokens.total_tokens,
        "cached_tokens": tokens.cached_tokens,
        "reasoning_tokens": tokens.reasoning_tokens,
    }
    return {name: count for name, count in found.items() if count is not None}

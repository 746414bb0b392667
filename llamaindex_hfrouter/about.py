"""What is known about a call, as plain JSON: tokens, attempts, money. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hfrouter import Attempt, Completion, Cost, Total, Usage

_NANO = Decimal(10) ** 9


def completion(answer: Completion) -> dict[str, Any]:
    """Tokens, who answered, how it came to that and what it cost, as plain JSON.

    `cost` is a float for dashboards and there only when it is known; `cost_details` is exact to the last digit.
    """
    cost, total = answer.cost, answer.total
    details = bounds(cost) | {f"total_{name}": value for name, value in bounds(total).items()}
    return {
        **usage(answer.usage),
        "finish_reason": answer.finish_reason,
        "model_name": answer.model,
        "provider": answer.provider,
        "call_id": answer.id,
        "attempts": [attempt(each) for each in answer.attempts],
        **({} if cost.usd is None else {"cost": float(cost.usd)}),
        "cost_details": details | {"reason": cost.reason},
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


def attempt(each: Attempt) -> dict[str, Any]:
    """An attempt as plain JSON."""
    return {
        "number": each.number,
        "model": each.model,
        "provider": each.provider,
        "outcome": each.outcome,
        "status": each.status,
        "seconds": round(each.seconds, 3),
        "cost_usd": _exact(each.cost),
        "request_id": each.request_id,
    }


def bounds(money: Cost | Total) -> dict[str, str | None]:
    """An amount in USD as text: exact or None, and its bounds."""
    upper = None if money.upper is None else _usd(money.upper)
    return {"usd": _exact(money), "lower_usd": _usd(money.lower), "upper_usd": upper}


def _exact(money: Cost | Total) -> str | None:
    return None if money.usd is None else f"{money.usd:f}"


def _usd(nano: int) -> str:
    return f"{Decimal(nano) / _NANO:f}"

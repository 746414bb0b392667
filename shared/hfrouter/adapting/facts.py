"""What is known about an answer, as plain JSON: who gave it, in how many attempts, for how much money. Pure."""

from __future__ import annotations

from typing import Any

from hfrouter.cost.price import Cost, Total, usd
from hfrouter.result import Attempt, Completion


def answer_facts(completion: Completion) -> dict[str, Any]:
    """Who answered, and how it came to that."""
    return {
        "model_name": completion.model,
        "provider": completion.provider,
        "call_id": completion.id,
        "attempts": [attempt_facts(attempt) for attempt in completion.attempts],
    }


def attempt_facts(attempt: Attempt) -> dict[str, Any]:
    """An attempt, with its cost in USD as text, or None when that is not known exactly.

    >>> failed = Attempt(1, "a/b", "groq", "rate_limited", 429, 0.12345, None, None, Cost.refused(429))
    >>> [attempt_facts(failed)[name] for name in ("provider", "outcome", "seconds", "cost_usd")]
    ['groq', 'rate_limited', 0.123, '0']
    """
    return {
        "number": attempt.number,
        "model": attempt.model,
        "provider": attempt.provider,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "seconds": round(attempt.seconds, 3),
        "cost_usd": _exact(attempt.cost),
        "request_id": attempt.request_id,
    }


def cost_facts(completion: Completion) -> dict[str, Any]:
    """What it cost: `cost`, a float for dashboards, only when it is known; and `cost_details`, to the last digit."""
    cost = completion.cost
    details = bounds(cost) | {f"total_{name}": value for name, value in bounds(completion.total).items()}
    known = {} if cost.usd is None else {"cost": float(cost.usd)}
    return known | {"cost_details": details | {"reason": cost.reason}}


def bounds(money: Cost | Total) -> dict[str, str | None]:
    """An amount in USD as text: exact or None, and its bounds.

    >>> bounds(Cost(0, 169200, "no usage reported"))
    {'usd': None, 'lower_usd': '0', 'upper_usd': '0.0001692'}
    """
    upper = None if money.upper is None else _usd(money.upper)
    return {"usd": _exact(money), "lower_usd": _usd(money.lower), "upper_usd": upper}


def _exact(money: Cost | Total) -> str | None:
    return None if money.usd is None else f"{money.usd:f}"


def _usd(nano: int) -> str:
    return f"{usd(nano):f}"

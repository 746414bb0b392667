"""How eligible targets are ordered."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from hfrouter.routing.eligible import Needs, doubtful
from hfrouter.routing.policy import Policy, StrategyName
from hfrouter.routing.target import ModelId, Target

# A target without probe values is assumed to be slow rather than broken: the router's own probes fail it at 5 s.
_UNKNOWN_LATENCY = 5.0
_UNKNOWN_THROUGHPUT = 20.0


def ordered(targets: Sequence[Target], wanted: Sequence[ModelId], policy: Policy, needs: Needs) -> list[Target]:
    """Order targets: by the user's list of models, then doubts, then the user's order of providers, then the strategy.

    The sort is stable, so `in_order` keeps the catalogue's order.
    """
    preferred = {provider: i for i, provider in reversed(list(enumerate(policy.order)))}

    def key(target: Target) -> tuple[float, ...]:
        place, name = _wish(target, wanted)
        score = _SCORES[name or policy.strategy]
        return (
            place,
            doubtful(target, needs),
            preferred.get(target.provider, len(policy.order)),
            score(target, needs),
        )

    return sorted(targets, key=key)


def _wish(target: Target, wanted: Sequence[ModelId]) -> tuple[int, StrategyName | None]:
    """The place of the first wish that a target fulfils, and the strategy it names."""
    for place, model in enumerate(wanted):
        if model.model == target.model and model.provider in (None, target.provider):
            return place, model.suffix if model.suffix in ("cheapest", "fastest") else None
    return len(wanted), None


def expected_price(target: Target, needs: Needs) -> float:
    """USD this request is likely to cost at the listed price; infinite when the price is not known."""
    if target.is_free:
        return 0.0
    if target.input_price is None or target.output_price is None:
        return math.inf
    return float(target.input_price * needs.input_tokens + target.output_price * needs.output_tokens) / 1e6


def expected_seconds(target: Target, needs: Needs) -> float:
    """Seconds this request is likely to take by the catalogue's probes."""
    latency = _UNKNOWN_LATENCY if target.first_token_latency is None else target.first_token_latency
    return latency + needs.output_tokens / (target.throughput or _UNKNOWN_THROUGHPUT)


_SCORES: dict[StrategyName, Callable[[Target, Needs], float]] = {
    "in_order": lambda _target, _needs: 0.0,
    "cheapest": expected_price,
    "fastest": expected_seconds,
}

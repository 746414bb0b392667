"""Which targets may serve a request at all, and the reason for each that may not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hfrouter.routing.policy import MaxPrice, Policy
from hfrouter.routing.target import ModelId, Target

# Bytes of JSON per token: fewer than 2 % of texts have under 3.5, none of the recorded ones over 8.
_BYTES_PER_TOKEN_LIKELY = 3.5
_BYTES_PER_TOKEN_MOST = 8


@dataclass(frozen=True, slots=True)
class Needs:
    """What a request asks of a target.

    Attributes:
        tools: It offers tools.
        structured: It wants an answer that fits a JSON schema.
        images: It shows images.
        input_bytes: Size of messages, tools and schema as JSON.
        max_tokens: Output tokens asked for, or None.
    """

    tools: bool = False
    structured: bool = False
    images: bool = False
    input_bytes: int = 0
    max_tokens: int | None = None

    @property
    def input_tokens(self) -> int:
        """The likely number of input tokens."""
        return int(self.input_bytes / _BYTES_PER_TOKEN_LIKELY) + 1

    @property
    def output_tokens(self) -> int:
        """The likely number of output tokens: what was asked for, at most 1,000; 500 when nothing was."""
        return min(self.max_tokens or 500, 1000)


def eligible(
    rows: Iterable[Target], wanted: Iterable[ModelId], policy: Policy, needs: Needs
) -> tuple[list[Target], dict[str, str]]:
    """Split the rows of the wanted models into those that may be tried and those that may not.

    Args:
        rows: The catalogue.
        wanted: The call's model, then the fallback models, in order; a pin forbids other providers of that model.
        policy: Allowed, denied and capped.
        needs: What the request asks for.

    Returns:
        Eligible targets, in the order of `wanted` and of the catalogue; and the reason for the others by id.
    """
    by_model: dict[str, list[Target]] = {}
    for row in rows:
        by_model.setdefault(row.model, []).append(row)
    allowed: list[Target] = []
    rejected: dict[str, str] = {}
    for model in wanted:
        for target in by_model.get(model.model, ()):
            reason = _objection(target, model, policy, needs)
            if reason:
                rejected[target.id] = reason
            elif target not in allowed:
                allowed.append(target)
    for target in allowed:  # named twice, once pinned to another provider
        rejected.pop(target.id, None)
    return allowed, rejected


def doubtful(target: Target, needs: Needs) -> bool:
    """Whether an ability the request needs is not known, or its size is tight: such a target comes later, not never."""
    return (
        (needs.tools and target.supports_tools is None)
        or (needs.structured and target.supports_structured_output is None)
        or (needs.images and not target.input_modalities)
        or (target.context_length is not None and needs.input_tokens + (needs.max_tokens or 0) > target.context_length)
    )


def _objection(target: Target, model: ModelId, policy: Policy, needs: Needs) -> str | None:
    """The first reason why `target` may not serve, or None."""
    checks = (
        (not target.live, "the catalogue lists it as not live"),
        (model.provider not in (None, target.provider), f"the call is pinned to {model.provider}"),
        (bool(policy.only) and target.provider not in policy.only, "not among the providers allowed"),
        (target.provider in policy.ignore, "its provider is ignored"),
        (needs.tools and target.supports_tools is False, "it does not support tools"),
        (
            needs.structured and target.supports_structured_output is False,
            "it does not support structured output",
        ),
        (
            needs.images and bool(target.input_modalities) and "image" not in target.input_modalities,
            "it does not take images",
        ),
        (
            target.context_length is not None and needs.input_bytes / _BYTES_PER_TOKEN_MOST > target.context_length,
            f"the request is too long for its context of {target.context_length} tokens",
        ),
    )
    return next((reason for failed, reason in checks if failed), None) or _too_dear(target, policy.max_price)


def _too_dear(target: Target, cap: MaxPrice | None) -> str | None:
    if cap is None or target.is_free:
        return None
    for name, limit, price in (
        ("input", cap.input, target.input_price),
        ("output", cap.output, target.output_price),
    ):
        if limit is None:
            continue
        if price is None:
            return f"its {name} price is not known, so it does not pass the cap"
        if price > limit:
            return f"its {name} price of ${price:f} per million tokens is over the cap of ${limit:f}"
    return None

"""Which targets may serve a request at all, and the reason for each that may not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hfrouter.routing.policy import MaxPrice, Policy
from hfrouter.routing.target import ModelId, Target

# Bytes of JSON per token: fewer than 2 % of texts have under 3.5, none of the recorded ones over 8.
_BYTES_PER_TOKEN_LIKELY = 3.5
_BYTES_PER_TOKEN_MOST = 8
# Hugging Face's own service is for small models on CPUs since 2025-07, and bills seconds of hardware instead of tokens,
# so that nobody knows the price before the answer: where others serve a model, it chats for those who name it.
_HF_INFERENCE = "hf-inference"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a request asks of a target.

    Attributes:
        tools: It offers tools.
        structured: It wants an answer that fits a JSON schema.
        images: It shows images.
        input_bytes: Size of messages, tools and schema as JSON.
        image_bytes: How many of them are pictures in data URLs, whose tokens depend on pixels and not on bytes.
        max_tokens: Output tokens asked for, or None.
        parameters: Names of the request's parameters.
    """

    tools: bool = False
    structured: bool = False
    images: bool = False
    input_bytes: int = 0
    max_tokens: int | None = None
    parameters: frozenset[str] = frozenset()
    image_bytes: int = 0

    @property
    def input_tokens(self) -> int:
        """The likely number of input tokens, those of pictures left out."""
        return int(self.text_bytes / _BYTES_PER_TOKEN_LIKELY) + 1

    @property
    def text_bytes(self) -> int:
        """Size without pictures."""
        return self.input_bytes - self.image_bytes

    @property
    def size(self) -> tuple[int, int, int]:
        """What a context must hold: bytes of text, bytes of pictures, output tokens asked for."""
        return self.text_bytes, self.image_bytes, self.max_tokens or 0

    @property
    def output_tokens(self) -> int:
        """The likely number of output tokens: what was asked for, at most 1,000; 500 when nothing was."""
        return min(self.max_tokens or 500, 1000)


def eligible(
    rows: Iterable[Target], wanted: Iterable[ModelId], policy: Policy, needs: Needs
) -> tuple[list[Target], dict[str, str]]:
    """Split the rows of the wanted models into those that may be tried and those that may not.

    Args:
        rows: The catalogue, and the user's own endpoints; one that answers under a name nobody asked for may serve all.
        wanted: The call's model, then the fallback models, in order; a pin forbids other providers of that model.
        policy: Allowed, denied and capped.
        needs: What the request asks for.

    Returns:
        Eligible targets, in the order of `wanted` and of the catalogue; and the reason for the others by id.
    """
    wanted = tuple(wanted)
    asked = {model.model for model in wanted}
    by_model: dict[str, list[Target]] = {}
    anywhere: list[Target] = []
    for row in rows:
        (anywhere if row.url and row.model not in asked else by_model.setdefault(row.model, [])).append(row)
    allowed: dict[str, Target] = {}
    rejected: dict[str, str] = {}
    for model in wanted:
        rivals = by_model.get(model.model, [])
        shunned = any(row.live and not row.url and row.provider != _HF_INFERENCE for row in rivals)
        for target in (*rivals, *anywhere):
            reason = _objection(target, model, policy, needs) or (_slow(target, model, policy) if shunned else None)
            if reason:
                rejected[target.id] = reason
            else:
                allowed.setdefault(target.id, target)
    for name in rejected.keys() & allowed.keys():  # named twice, once pinned to another provider
        del rejected[name]
    return list(allowed.values()), rejected


def doubtful(target: Target, needs: Needs) -> bool:
    """Whether an ability the request needs is not known, or its size is tight: such a target comes later, not never."""
    return (
        (needs.tools and target.supports_tools is None)
        or (needs.structured and target.supports_structured_output is None)
        or (needs.images and not target.input_modalities)
        or (target.context_length is not None and needs.input_tokens + (needs.max_tokens or 0) > target.context_length)
    )


def _objection(target: Target, model: ModelId, policy: Policy, needs: Needs) -> str | None:
    """The first reason why `target` may not serve, or None. It is asked of each row of a model at each call."""
    if not target.live:
        return "the catalogue lists it as not live"
    if model.provider is not None and model.provider != target.provider:
        return f"the call is pinned to {model.provider}"
    if policy.only and target.provider not in policy.only:
        return "not among the providers allowed"
    if target.provider in policy.ignore:
        return "its provider is ignored"
    return _inability(target, needs) or _too_dear(target, policy.max_price)


def _inability(target: Target, needs: Needs) -> str | None:
    """What the request needs and the target is known not to have."""
    if needs.tools and target.supports_tools is False:
        return "it does not support tools"
    if needs.structured and target.supports_structured_output is False:
        return "it does not support structured output"
    if needs.images and target.input_modalities and "image" not in target.input_modalities:
        return "it does not take images"
    if target.context_length is not None and needs.text_bytes > target.context_length * _BYTES_PER_TOKEN_MOST:
        return f"the request is too long for its context of {target.context_length} tokens"
    return None


def _slow(target: Target, model: ModelId, policy: Policy) -> str | None:
    if target.provider != _HF_INFERENCE or target.url or _HF_INFERENCE in (model.provider, *policy.order, *policy.only):
        return None
    return "hf-inference is for small models on CPUs and lists no price; name it in order or only, or pin it"


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

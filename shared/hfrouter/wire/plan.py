"""The plan of a chat call: which targets may serve it at all."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hfrouter.cost.overrides import Overrides
from hfrouter.errors import ConfigurationError, NoTargetAvailable
from hfrouter.routing.choice import Wish, wishes
from hfrouter.routing.eligible import Needs, eligible
from hfrouter.routing.policy import Policy
from hfrouter.routing.target import ModelId, Target
from hfrouter.wire.call import Call
from hfrouter.wire.catalogue import Listing
from hfrouter.wire.endpoint import Endpoints

# Kinds of calls whose plans are kept.
_MOST = 256


@dataclass(frozen=True, slots=True)
class _Kept:
    """A plan, and for which calls it holds."""

    listing: Listing
    wishes: tuple[Wish, ...]
    rejected: Mapping[str, str]
    smallest: float  # context of the rows of these models, in tokens

    def holds(self, listing: Listing | None, needs: Needs) -> bool:
        """Whether it is the plan of such a call: no context is near its end, by which needs differ."""
        tokens = needs.input_tokens + (needs.max_tokens or 0)
        return self.listing is listing and max(tokens, needs.text_bytes) <= self.smallest


class Plans:
    """The plans of a router's calls. Most calls of a program differ in their words only, so the latest plans are kept.

    Args:
        own: The user's own endpoints.
        overrides: The user's prices.
    """

    def __init__(self, own: Endpoints, overrides: Overrides) -> None:
        self._own, self._overrides = own, overrides
        self._listing: Listing | None = None
        self._kept: OrderedDict[tuple[object, ...], _Kept] = OrderedDict()

    def wishes(self, call: Call, needs: Needs, wanted: Sequence[ModelId], listing: Listing | None) -> tuple[Wish, ...]:
        """The eligible targets of a call with their places; the journal says why the others are not.

        Raises:
            ConfigurationError: for a model nobody serves.
            NoTargetAvailable: nobody is eligible.
        """
        key = (tuple(wanted), call.policy, needs.tools, needs.structured, needs.images)
        kept = self._kept.get(key)
        if kept is not None and kept.holds(listing, needs):
            call.journal.plan([wish.target for wish in kept.wishes], kept.rejected)
            return kept.wishes
        targets, rejected = choose(call, needs, wanted, listing, self._own)
        found = wishes(self._overrides.applied(targets), wanted, call.policy, needs)
        if listing is not None and all(model.suffix != "preferred" for model in wanted):
            contexts = [row.context_length for model in wanted for row in listing.of(model.model)]
            contexts += [wish.target.context_length for wish in found]
            smallest = min((context for context in contexts if context is not None), default=math.inf)
            if listing is not self._listing:  # plans of an older catalogue would keep it whole in memory
                self._listing, self._kept = listing, OrderedDict()
            plans = self._kept
            plans[key] = _Kept(listing, found, rejected, smallest)
            if len(plans) > _MOST:
                plans.popitem(last=False)
        return found

    def __reduce__(self) -> tuple[type[Plans], tuple[Endpoints, Overrides]]:
        return Plans, (self._own, self._overrides)


def choose(
    call: Call, needs: Needs, wanted: Sequence[ModelId], listing: Listing | None, own: Endpoints
) -> tuple[tuple[Target, ...], dict[str, str]]:
    """The targets of a call, which `Choice` ranks, and the reasons of those that may not serve it.

    Without a catalogue each model is sent as the user wrote it, and who serves it is known afterwards. So is a model
    with `:preferred`, which names an order only Hugging Face knows, unless the policy restricts providers or prices:
    nobody could say whether that choice would respect it.
    """
    mine = own.rows(wanted)
    if listing is None:
        allowed, rejected = own.sorted_out(*eligible(mine, wanted, call.policy, needs))
        targets = (*(t for model in wanted for t in _unlisted(model, call.policy, own.names)), *allowed)
        call.journal.plan(targets, rejected)
        if not targets and own.alone(wanted, call.policy):
            raise NoTargetAvailable(
                "none of your own endpoints may serve this call; loosen the policy.", rejected, call.journal
            )
        if not targets:
            raise NoTargetAvailable(
                "without the catalogue nobody can keep to the policy's providers or prices; try again when the router "
                "answers, or name providers with Policy(only=[...]).",
                journal=call.journal,
            )
        return targets, rejected
    for model in wanted:
        if not own.alone([model], call.policy):
            check_known(listing, model, own)
    rows = [row for name in dict.fromkeys(m.model for m in wanted) for row in listing.of(name)]
    own.check_names(rows)
    allowed, rejected = own.sorted_out(*eligible([*rows, *mine], wanted, call.policy, needs))
    targets = (*_blind(call, wanted), *allowed)
    call.journal.plan(targets, rejected)
    if not targets:
        raise NoTargetAvailable(
            f"no provider of {', '.join(str(m) for m in wanted)} may serve this call; loosen the policy or name another"
            " model.",
            rejected,
            call.journal,
        )
    return targets, rejected


def _unlisted(model: ModelId, policy: Policy, own: frozenset[str]) -> tuple[Target, ...]:
    """Targets of a model while there is no catalogue: those the policy names, else whoever the router chooses.

    A choice left to the router respects neither `ignore` nor a price cap, so such a policy leaves nobody. Names of the
    user's `own` endpoints mean nothing to it.
    """
    if policy.max_price is not None or model.provider in own:
        return ()
    allowed = [provider for provider in policy.only if provider not in {*policy.ignore, *own}]
    if model.provider is not None:
        banned = model.provider in policy.ignore or (policy.only and model.provider not in allowed)
        return () if banned else (Target(model.model, model.provider),)
    if policy.only:
        return tuple(Target(model.model, provider) for provider in allowed)
    return () if set(policy.ignore) - own else (Target(model.model, model.suffix or ""),)


def _blind(call: Call, wanted: Sequence[ModelId]) -> tuple[Target, ...]:
    """Targets whose provider Hugging Face chooses."""
    models = [m.model for m in wanted if m.suffix == "preferred"]
    if models and (call.policy.only or call.policy.ignore or call.policy.max_price):
        call.note("note", ":preferred is not left to Hugging Face, since the policy restricts providers or prices")
        return ()
    return tuple(Target(model, "preferred") for model in models)


def check_known(listing: Listing, model: ModelId, own: Endpoints | None = None) -> None:
    """Refuse a model that the catalogue does not list, or a pin to a provider that does not serve it.

    Raises:
        ConfigurationError: with the nearest ids and who serves them.
    """
    rows = listing.of(model.model)
    if not rows:
        near = [
            f"{name} ({', '.join(row.provider for row in listing.of(name))})" for name in listing.nearest(model.model)
        ]
        hint = f"did you mean {' or '.join(near)}?" if near else "see Router.targets() for those that are."
        if own:
            hint += f" To ask it of your endpoint, pin it: '{model.model}:{min(own.names)}'."
        raise ConfigurationError(f"the model {model.model!r} is not in the catalogue; {hint}")
    if model.provider and all(row.provider != model.provider for row in rows):
        raise ConfigurationError(
            f"{model.provider!r} does not serve {model.model}; use one of "
            f"{', '.join(sorted(row.provider for row in rows))}."
        )

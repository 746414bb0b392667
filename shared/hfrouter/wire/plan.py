"""The plan of a chat call: which targets may serve it, best first."""

from __future__ import annotations

from collections.abc import Sequence

from hfrouter.errors import ConfigurationError, NoTargetAvailable
from hfrouter.routing.eligible import Needs, eligible
from hfrouter.routing.policy import Policy
from hfrouter.routing.strategy import ordered
from hfrouter.routing.target import ModelId, Target
from hfrouter.wire.call import Call
from hfrouter.wire.catalogue import Listing


def choose(call: Call, needs: Needs, wanted: Sequence[ModelId], listing: Listing | None) -> tuple[Target, ...]:
    """The targets of a call, best first.

    Without a catalogue each model is sent as the user wrote it, and who serves it is known afterwards. So is a model
    with `:preferred`, which names an order only Hugging Face knows, unless the policy restricts providers or prices:
    nobody could say whether that choice would respect it.
    """
    if listing is None:
        targets = tuple(target for model in wanted for target in _unlisted(model, call.policy))
        call.journal.plan(targets, {})
        if not targets:
            raise NoTargetAvailable(
                "without the catalogue nobody can keep to the policy's providers or prices; try again when the router "
                "answers, or name providers with Policy(only=[...]).",
                journal=call.journal,
            )
        return targets
    for model in wanted:
        check_known(listing, model)
    rows = [row for name in dict.fromkeys(m.model for m in wanted) for row in listing.of(name)]
    allowed, rejected = eligible(rows, wanted, call.policy, needs)
    best = ordered(allowed, wanted, call.policy, needs)
    blind = _blind(call, wanted)
    targets = tuple(
        target
        for model in dict.fromkeys(m.model for m in wanted)
        for target in (*blind.get(model, ()), *(t for t in best if t.model == model))
    )
    call.journal.plan(targets, rejected)
    if not targets:
        raise NoTargetAvailable(
            f"no provider of {', '.join(str(m) for m in wanted)} may serve this call; loosen the policy or name another"
            " model.",
            rejected,
            call.journal,
        )
    return targets


def _unlisted(model: ModelId, policy: Policy) -> tuple[Target, ...]:
    """Targets of a model while there is no catalogue: those the policy names, else whoever the router chooses.

    A choice left to the router respects neither `ignore` nor a price cap, so such a policy leaves nobody.
    """
    if policy.max_price is not None:
        return ()
    allowed = [provider for provider in policy.only if provider not in policy.ignore]
    if model.provider is not None:
        banned = model.provider in policy.ignore or (policy.only and model.provider not in allowed)
        return () if banned else (Target(model.model, model.provider),)
    if policy.only:
        return tuple(Target(model.model, provider) for provider in allowed)
    return () if policy.ignore else (Target(model.model, model.suffix or ""),)


def _blind(call: Call, wanted: Sequence[ModelId]) -> dict[str, tuple[Target]]:
    """Targets whose provider Hugging Face chooses, by model."""
    models = [m.model for m in wanted if m.suffix == "preferred"]
    if models and (call.policy.only or call.policy.ignore or call.policy.max_price):
        call.note("note", ":preferred is not left to Hugging Face, since the policy restricts providers or prices")
        return {}
    return {model: (Target(model, "preferred"),) for model in models}


def check_known(listing: Listing, model: ModelId) -> None:
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
        raise ConfigurationError(f"the model {model.model!r} is not in the catalogue; {hint}")
    if model.provider and all(row.provider != model.provider for row in rows):
        raise ConfigurationError(
            f"{model.provider!r} does not serve {model.model}; use one of "
            f"{', '.join(sorted(row.provider for row in rows))}."
        )

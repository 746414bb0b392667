"""What calls would cost at each provider that may serve them. Nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hfrouter.cost.estimate import Estimate, Estimates
from hfrouter.cost.overrides import Overrides
from hfrouter.cost.projection import Projections, Workload
from hfrouter.errors import NoTargetAvailable
from hfrouter.routing.eligible import Needs, eligible
from hfrouter.routing.policy import Policy
from hfrouter.routing.target import ModelId, Target
from hfrouter.wire.catalogue import Listing
from hfrouter.wire.endpoint import Endpoints
from hfrouter.wire.plan import check_known
from hfrouter.wire.request import Request

Bound = Callable[[Target], tuple[int, int] | None]


def estimates(
    listing: Listing | None, own: Endpoints, model: ModelId, request: Request, policy: Policy, bound: Bound
) -> Estimates:
    """What a request may cost at each eligible provider of a model, and at endpoints of the user's own.

    Args:
        listing: The catalogue; None for a request that goes to own endpoints only.
        own: The endpoints.
        model: Of the request.
        request: Checked.
        policy: Whom it allows.
        bound: (input, output) tokens the request cannot exceed at a target; None when there is no bound.

    Raises:
        ConfigurationError: the catalogue does not know the model.
        NoTargetAvailable: no provider may serve it.
    """
    needs = request.needs
    if listing is not None:
        check_known(listing, model, own)
    tokens = None if needs.images else (needs.input_tokens, needs.output_tokens * request.choices)
    rows = listing.of(model.model) if listing else ()
    return Estimates.of(Estimate.of(row, tokens, bound(row)) for row in _eligible(rows, own, model, policy, needs))


def projections(
    listing: Listing | None, own: Endpoints, model: ModelId, workload: Workload, policy: Policy, overrides: Overrides
) -> Projections:
    """What a workload costs at each eligible provider of a model; arguments and errors as in `estimates`.

    Models that only the user's prices name, such as those for embeddings, have a row for each of these prices.
    """
    rows = (listing.of(model.model) if listing else ()) or overrides.targets(model.model)
    if listing is not None and not rows:
        check_known(listing, model, own)
    return Projections.of(_eligible(rows, own, model, policy, Needs()), workload)


def _eligible(
    rows: tuple[Target, ...], own: Endpoints, model: ModelId, policy: Policy, needs: Needs
) -> Sequence[Target]:
    allowed, rejected = own.sorted_out(*eligible([*rows, *own.rows([model])], [model], policy, needs))
    if not allowed:
        raise NoTargetAvailable(
            f"no provider of {model} may serve this; loosen the policy or name another model.", rejected
        )
    return allowed

"""The planner: turns what a user asks into a call that is ready to go, or says what is wrong before that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hfrouter.cost.estimate import Estimates
from hfrouter.cost.overrides import Overrides
from hfrouter.cost.projection import Projections, Workload
from hfrouter.errors import ConfigurationError
from hfrouter.routing.choice import Choice
from hfrouter.routing.policy import Policy
from hfrouter.routing.target import ModelId, Target
from hfrouter.wire.attempt import Chat
from hfrouter.wire.call import Call
from hfrouter.wire.catalogue import Catalogue, Listing
from hfrouter.wire.clock import Clock
from hfrouter.wire.endpoint import Endpoints
from hfrouter.wire.heading import Heading, header_value
from hfrouter.wire.http import running_loop
from hfrouter.wire.plan import Plans, check_known
from hfrouter.wire.prospect import estimates, projections
from hfrouter.wire.request import Request
from hfrouter.wire.shared_health import SharedHealth
from hfrouter.wire.watch import Watch
from hfrouter.wire.writer import Writer


class Planner:
    """Plans the chat calls of one router.

    Args:
        base_url: The router's.
        heading: Makes headers.
        session: The session id of calls that have none, or None.
        catalogue: Who serves what.
        endpoints: The user's own.
        overrides: The user's prices.
        shared: The health of all targets.
        writer: The ledger.
        clock: Both clocks.
    """

    def __init__(
        self,
        base_url: str,
        heading: Heading,
        session: str | None,
        catalogue: Catalogue,
        endpoints: Endpoints,
        overrides: Overrides,
        shared: SharedHealth,
        writer: Writer,
        clock: Clock,
    ) -> None:
        self._base_url, self._heading, self._session = base_url, heading, session
        self._catalogue, self._endpoints, self._overrides = catalogue, endpoints, overrides
        self._shared, self._writer, self._clock = shared, writer, clock
        self._plans = Plans(endpoints, overrides)

    async def plan(
        self,
        watch: Watch,
        model: str,
        messages: str | Sequence[Mapping[str, Any]],
        policy: Policy,
        session: str | None,
        parameters: Mapping[str, Any],
    ) -> tuple[Call, Chat]:
        """Check everything that can be checked before anything is sent, and choose the targets.

        Raises:
            ConfigurationError: wrong input, or no token.
            NoTargetAvailable: nobody may serve it.
        """
        running_loop()
        wanted = [ModelId.parse(name) for name in (model, *policy.models)]
        watch.asked(str(wanted[0]))
        request = Request.make(messages, parameters)
        session = header_value("session", session) or self._session
        url = f"{self._base_url}/chat/completions"
        began = self._clock.monotonic()
        if self._endpoints.alone(wanted, policy):
            listing, reason = None, "the call goes to your own endpoints only"
        else:
            self._heading.credential.header(url)
            listing, reason = await self._catalogue.listing(policy.deadline)
        call = Call(
            request=request,
            policy=policy,
            shared=self._shared,
            headers=lambda url: self._heading.of(url, session),
            find=listing.find if listing else lambda model, provider: self._overrides.apply(Target(model, provider)),
            priced_at=int(listing.at) if listing else 0,
            catalogue=listing.digest if listing else None,
            writer=self._writer,
            clock=self._clock,
            session=session,
            tags=watch.tags,
            billed=watch.billed,
            watch=watch,
            began=began,
        )
        watch.planned(call)
        if reason:
            call.note("note", reason)
        wishes = self._plans.wishes(call, request.needs, wanted, listing)
        with self._shared.lock:
            call.choice = Choice(wishes, request.needs, self._shared.health, session)
        return call, Chat(request, url)

    async def targets(self, model: str | None) -> tuple[Target, ...]:
        """Who serves a model now, or every target.

        Raises:
            ConfigurationError: for a model the catalogue does not know, or when it is not to be had.
        """
        pin = ModelId.parse(model) if model is not None else None
        if pin is not None and pin.provider in self._endpoints.names:
            return tuple(row for row in self._endpoints.rows([pin]) if row.provider == pin.provider)
        listing = await self._listing()
        if pin is None:
            return listing.rows
        check_known(listing, pin)
        return tuple(row for row in listing.of(pin.model) if pin.provider in (None, row.provider))

    async def estimates(
        self,
        model: str,
        messages: str | Sequence[Mapping[str, Any]],
        policy: Policy,
        parameters: Mapping[str, Any],
    ) -> Estimates:
        """What a chat call may cost at each provider; see `Router.estimate`."""
        wanted, request = ModelId.parse(model), Request.make(messages, parameters)
        listing = await self._listing_for(wanted, policy)
        bounds = self._writer.bounds

        def bound(target: Target) -> tuple[int, int] | None:
            return bounds.of(target.model, request.bound_for(target, bounds.image_tokens))

        return estimates(listing, self._endpoints, wanted, request, policy, bound)

    async def projections(self, model: str, workload: Workload, policy: Policy) -> Projections:
        """What a workload costs at each provider; see `Router.project`."""
        wanted = ModelId.parse(model)
        listing = await self._listing_for(wanted, policy)
        return projections(listing, self._endpoints, wanted, workload, policy, self._overrides)

    async def _listing_for(self, wanted: ModelId, policy: Policy) -> Listing | None:
        """The catalogue, or None where only endpoints of the user's own may serve; errors as in `_listing`."""
        return None if self._endpoints.alone([wanted], policy) else await self._listing()

    async def _listing(self) -> Listing:
        """The catalogue.

        Raises:
            ConfigurationError: it is not to be had.
        """
        running_loop()
        listing, reason = await self._catalogue.listing()
        if listing is None:
            raise ConfigurationError(f"{reason}; check the connection to {self._base_url} and ask again.")
        return listing

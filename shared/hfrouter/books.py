"""The books of a router: what was spent and why, what will be, what the bill says, and who is told."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from hfrouter.cost.account import explained
from hfrouter.cost.budget import BudgetState
from hfrouter.cost.credits import Credits
from hfrouter.cost.estimate import Estimates
from hfrouter.cost.ledger import Entry
from hfrouter.cost.price import Total
from hfrouter.cost.projection import Projections, Workload
from hfrouter.cost.reconciliation import Reconciliation
from hfrouter.cost.spending import spending
from hfrouter.cost.spent import Spent
from hfrouter.cost.tags import Scope, checked, frozen
from hfrouter.errors import ConfigurationError, HFRouterError
from hfrouter.routing.policy import Policy
from hfrouter.wire import bridge
from hfrouter.wire.billing import Billing
from hfrouter.wire.clock import Clock
from hfrouter.wire.endpoint import Endpoints
from hfrouter.wire.http import running_loop
from hfrouter.wire.planner import Planner
from hfrouter.wire.watch import Hook, Outbox
from hfrouter.wire.writer import Writer


class Books:
    """What a `Router` can be asked about money, beside its calls."""

    policy: Policy
    _writer: Writer
    _outbox: Outbox
    _endpoints: Endpoints
    _planner: Planner
    _billing: Billing
    _clock: Clock

    # -- what was spent, and why ---------------------------------------------------------------------------------------

    def entries(self, call: str | None = None) -> list[Entry]:
        """Rows of the ledger, one per attempt, of one call or all, in order of time.

        Raises:
            HFRouterError: the ledger cannot be read.
        """
        try:
            return self._writer.entries(call)
        except UnicodeEncodeError:  # half a surrogate pair: no row's id has one
            return []
        except (OSError, sqlite3.Error) as error:
            raise HFRouterError(f"the ledger cannot be read ({error}); move it away, or set HFROUTER_LEDGER.") from None

    async def aentries(self, call: str | None = None) -> list[Entry]:
        """The asynchronous twin of `entries`."""
        return await asyncio.to_thread(self.entries, call)

    def explain(self, call: str) -> str:
        """Why a call went where it went, from the ledger: also after a crash, and in another process.

        Args:
            call: Its id, as in `Completion.id`, `Stream.id` and the ledger's column `call`.

        Returns:
            For each attempt what was known and decided before it, and what came of it; empty for a call without rows.
        """
        return explained(self.entries(call))

    async def aexplain(self, call: str) -> str:
        """The asynchronous twin of `explain`."""
        return explained(await self.aentries(call))

    def spending(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        tags: Mapping[str, str] | None = None,
        by: str = "provider",
    ) -> dict[str, Total]:
        """What was spent, from the ledger's rows: also by other processes, and before a crash.

        Args:
            since: Only attempts that started then or later; without a time zone it is local time.
            until: Only attempts that started before.
            tags: Only attempts with all of these.
            by: What to group by: `provider`, `model`, `session`, `call`, `outcome`, `billed`, `day` (of UTC), or the
                name of a tag. Attempts without it are under an empty name; those on the way count with their bounds.

        Raises:
            ConfigurationError: a malformed tag, or a moment that is no `datetime`.
            HFRouterError: the ledger cannot be read.

        Example:
            >>> Router(ledger="memory").spending(by="user")
            {}
        """
        return spending(self.entries(), since, until, checked(tags), by)

    async def aspending(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        tags: Mapping[str, str] | None = None,
        by: str = "provider",
    ) -> dict[str, Total]:
        """The asynchronous twin of `spending`."""
        return await asyncio.to_thread(self.spending, since, until, tags, by)

    def budgets(self, tags: Mapping[str, str] | None = None) -> tuple[BudgetState, ...]:
        """How the budgets stand now that a call with these tags would fall under.

        Args:
            tags: Of the call, over those of `hfrouter.tags` around this.

        Raises:
            ConfigurationError: for a malformed tag.
            HFRouterError: the ledger that keeps them cannot be read.

        Example:
            >>> from hfrouter import Budget, Router
            >>> print(*Router(ledger="memory", budgets=Budget("5.00")).budgets())
            $5.00 for this run: $5.00 left, $0 spent, $0 held, $0 unsettled
        """
        try:
            return self._writer.keeper.states(frozen(tags), int(self._clock.wall() * 1000))
        except (OSError, sqlite3.Error) as error:
            raise HFRouterError(f"the ledger cannot be read ({error}); move it away, or set HFROUTER_LEDGER.") from None

    async def abudgets(self, tags: Mapping[str, str] | None = None) -> tuple[BudgetState, ...]:
        """The asynchronous twin of `budgets`."""
        return await asyncio.to_thread(self.budgets, tags)

    # -- attribution and events ----------------------------------------------------------------------------------------

    def track(self, given: Mapping[str, str] | None = None, /, **tags: str) -> AbstractContextManager[Spent]:
        """Live totals of this router's calls made inside, in tasks and threads that inherit the context too.

        Args:
            given: Tags whose names are no Python names.
            **tags: Tags of the calls made inside, as with `hfrouter.tags`; there may be none.

        Raises:
            ConfigurationError: for a malformed tag.

        Example:
            >>> with Router(ledger="memory").track(user="ann") as spent:
            ...     print(spent)
            0 calls, 0 attempts, $0.00
        """
        return Scope(Spent(), checked(given, tags), owner=self._outbox)

    def listen(self, hook: Hook) -> Callable[[], None]:
        """Have a function called with each event: `AttemptEvent`, `CallEvent`, and warnings of budgets and credits.

        It runs on the thread that called, within the context of the call's beginning, when the call returns or its
        stream has ended. What a dropped stream still has to tell comes with the next call, or with `close`. If it
        raises, that is logged once for each kind of error, and the call goes on. Calls that a hook itself makes are
        told to nobody. A pickled router forgets its hooks.

        Args:
            hook: A plain function of one argument. It should be quick: the caller waits for it.

        Returns:
            A function that ends it.

        Raises:
            ConfigurationError: it cannot be called, or is asynchronous.
        """
        if not callable(hook) or any(map(inspect.iscoroutinefunction, (hook, type(hook).__call__))):
            raise ConfigurationError("on_event must be a plain function of one argument: the event.")
        self._outbox.hooks = (*self._outbox.hooks, hook)
        self._writer.on_warning = self._outbox.warn

        def stop() -> None:
            self._outbox.hooks = tuple(each for each in self._outbox.hooks if each is not hook)

        return stop

    # -- what will be, and what the bill says --------------------------------------------------------------------------

    def estimate(
        self,
        *,
        model: str,
        messages: str | Sequence[Mapping[str, Any]],
        policy: Policy | None = None,
        provider: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> Estimates:
        """What a chat call may cost at each provider that may serve it, the likely cheapest first. Nothing is sent.

        Arguments are those of `chat`; fallback models are not looked at.

        Returns:
            A tuple of `Estimate`: the likely cost, and the bound that a budget holds back. Printed, it is a table.

        Raises:
            ConfigurationError: wrong input, a model the catalogue does not know, or no catalogue.
            NoTargetAvailable: no provider may serve it.
        """
        return bridge.run(
            lambda: self.aestimate(model=model, messages=messages, policy=policy, provider=provider, **parameters)
        )

    async def aestimate(
        self,
        *,
        model: str,
        messages: str | Sequence[Mapping[str, Any]],
        policy: Policy | None = None,
        provider: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> Estimates:
        """The asynchronous twin of `estimate`."""
        limits = self._policy_for(policy, None, provider, None)
        return await self._planner.estimates(model, messages, limits, parameters)

    def project(
        self,
        *,
        model: str,
        input_tokens: int,
        output_tokens: int = 0,
        requests: int = 1,
        per: str = "day",
        days: int = 30,
    ) -> Projections:
        """What a workload costs at each provider of a model, at the prices of today; the cheapest first.

        Args:
            model: `org/name`, or with `:provider`.
            input_tokens: Of one request; or of all in the period, with one request.
            output_tokens: Likewise.
            requests: In each period.
            per: The period: `minute`, `hour`, `day` or `week`.
            days: How long.

        Returns:
            A tuple of `Projection`, exact to a billionth of a dollar; where the price is not known, `usd` is None.
            Printed, it is a table.

        Raises:
            ConfigurationError: wrong input, a model the catalogue does not know, or no catalogue.
            NoTargetAvailable: no provider may serve it.
        """
        workload = Workload(input_tokens, output_tokens, requests, per, days)
        return bridge.run(lambda: self._planner.projections(model, workload, self.policy))

    async def aproject(
        self,
        *,
        model: str,
        input_tokens: int,
        output_tokens: int = 0,
        requests: int = 1,
        per: str = "day",
        days: int = 30,
    ) -> Projections:
        """The asynchronous twin of `project`."""
        workload = Workload(input_tokens, output_tokens, requests, per, days)
        return await self._planner.projections(model, workload, self.policy)

    def credits(self) -> Credits:
        """What the Hugging Face account has spent and has left, as the Hub tells.

        The endpoint is in no documentation: where it tells nothing, or nothing that is understood, the fields are None
        and `reason` says why. Less than a tenth left is a `warning`.

        Raises:
            ConfigurationError: no token was found.
        """
        found = bridge.run(self._billing.credits)
        if found.warning:
            self._outbox.warn(found.warning)
            self._outbox.flush()
        return found

    async def acredits(self) -> Credits:
        """The asynchronous twin of `credits`."""
        running_loop()
        found = await self._billing.credits()
        if found.warning:
            self._outbox.warn(found.warning)
            self._outbox.flush()
        return found

    def reconcile(self, since: datetime | int | None = None) -> Reconciliation:
        """Hold the ledger against Hugging Face's own bill, in all and by session id. Printed, it is a table.

        Args:
            since: A moment with its time zone, or seconds since 1970; None for the first of this month, in UTC.

        Raises:
            BillUnavailable: nothing of the bill can be read.
            ConfigurationError: no token was found, or `since` is no moment of the past.
            HFRouterError: the ledger cannot be read.
        """
        rows = self._billable()
        return bridge.run(lambda: self._billing.reconcile(rows, since))

    async def areconcile(self, since: datetime | int | None = None) -> Reconciliation:
        """The asynchronous twin of `reconcile`."""
        running_loop()
        return await self._billing.reconcile(await asyncio.to_thread(self._billable), since)

    def _billable(self) -> list[Entry]:
        """The ledger without attempts at your own endpoints, which are on no bill of Hugging Face's."""
        return [row for row in self.entries() if row.provider not in self._endpoints.names]

    def _policy_for(
        self,
        policy: Policy | None,
        models: Sequence[str] | None,
        provider: Mapping[str, Any] | None,
        timeout: float | None,
    ) -> Policy:
        return (checked_policy(policy) or self.policy).for_request(models=models, provider=provider, timeout=timeout)


def checked_policy(policy: Policy | None) -> Policy | None:
    """A policy, or None.

    Raises:
        ConfigurationError: for anything else.
    """
    if policy is not None and not isinstance(policy, Policy):
        raise ConfigurationError(f"policy is a {type(policy).__name__}; give a hfrouter.Policy(...).")
    return policy

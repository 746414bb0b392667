"""`Router`: the object users hold. It joins policy, catalogue, wire and ledger."""

from __future__ import annotations

import asyncio
import inspect
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hfrouter.cost.account import explained
from hfrouter.cost.budget import Budget, checked_budgets
from hfrouter.cost.credits import Credits
from hfrouter.cost.estimate import Estimates
from hfrouter.cost.ledger import Entry, Ledger, MemoryLedger, NoLedger, default_path, fingerprint
from hfrouter.cost.overrides import Given, Overrides
from hfrouter.cost.price import Total
from hfrouter.cost.projection import Projections, Workload
from hfrouter.cost.reconciliation import Reconciliation
from hfrouter.cost.spending import spending
from hfrouter.cost.spent import Spent
from hfrouter.cost.tags import Scope, checked
from hfrouter.errors import ConfigurationError, HFRouterError
from hfrouter.result import Completion, Embeddings
from hfrouter.routing.choice import Choice
from hfrouter.routing.policy import Policy
from hfrouter.routing.target import ModelId, Target
from hfrouter.stream import AsyncStream, Stream, completed
from hfrouter.version import __version__
from hfrouter.wire import bridge
from hfrouter.wire.attempt import Chat, Opened
from hfrouter.wire.billing import Billing, CreditsWatch
from hfrouter.wire.call import Call
from hfrouter.wire.catalogue import Catalogue, Listing
from hfrouter.wire.clock import Clock, SystemClock
from hfrouter.wire.driver import drive
from hfrouter.wire.embedder import Embedder
from hfrouter.wire.endpoint import Endpoint, Endpoints
from hfrouter.wire.feature_extraction import MOST_BATCHES, MOST_DIMENSIONS, Batch, checked_texts
from hfrouter.wire.http import running_loop
from hfrouter.wire.plan import Plans, check_known
from hfrouter.wire.prospect import Bound, estimates, projections
from hfrouter.wire.request import Request, whole
from hfrouter.wire.shared_health import SharedHealth
from hfrouter.wire.token import HF_ROUTER, Credential, checked_base_url, hub_of
from hfrouter.wire.watch import Hook, Outbox, Watch
from hfrouter.wire.writer import Writer

Messages = str | Sequence[Mapping[str, Any]]
_SESSION_MOST = 256


class Router:
    """Chooses a provider for each call, survives the failures of providers, and accounts for every attempt.

    One object serves synchronous, asynchronous and streaming callers, from any thread and any event loop. Making one
    opens nothing; it can be pickled (the token stays out) and used after a fork.

    Args:
        token: Hugging Face token; None to look it up at the first call: `HF_TOKEN`, then the file of `hf auth login`.
        policy: Limits and preferences of all calls.
        base_url: Another OpenAI-compatible router, such as a proxy or the simulator; it needs its own `token`.
        bill_to: Organisation to bill (`X-HF-Bill-To`).
        session: Session id of all calls, at most 256 characters (`X-HF-Session-id`); groups them on the bill.
        endpoints: Servers of your own, asked when nobody else answers; see `Endpoint`. Chat only.
        ledger: A path, `"memory"`, `"off"` or a `Ledger`; None for `HFROUTER_LEDGER`, else a SQLite file in the user's
            state directory.
        budgets: Limits of money that refuse a call before it is sent; see `Budget`. In a SQLite ledger they hold for
            all processes that share the file, else for this Router.
        on_event: Called with an event for each attempt and each call that has ended; see `listen`.
        prices: The user's own prices, which take the place of the catalogue's: `org/name` or `org/name:provider` to
            `(input, output)` or a mapping of `input`, `output` and perhaps `cached`, in USD per million tokens.
        watch_credits: Look at the account's credits when calls are made, off their way and at most every 10 minutes,
            and warn when less than a tenth is left; see `credits`.
        seed: Of the jitter in pauses; for tests.
        clock: Where pauses, breakers and rows read the time; for tests. Sockets wait in real time all the same.

    Raises:
        ConfigurationError: for a malformed token, URL, header value, price or budget.

    Example:
        >>> router = Router(ledger="memory")
        >>> router
        Router('https://router.huggingface.co/v1')
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        policy: Policy | None = None,
        base_url: str | None = None,
        bill_to: str | None = None,
        session: str | None = None,
        endpoints: Sequence[Endpoint] = (),
        ledger: str | os.PathLike[str] | Ledger | None = None,
        budgets: Budget | Sequence[Budget] = (),
        on_event: Hook | None = None,
        prices: Mapping[str, Given] | None = None,
        watch_credits: bool = False,
        seed: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.base_url = checked_base_url(HF_ROUTER if base_url is None else base_url)
        self.policy = _checked_policy(policy) or Policy()
        self._credential = Credential(token, self.base_url)
        self._bill_to = _header_value("bill_to", bill_to)
        self._session = _header_value("session", session)
        self._billed = fingerprint(self._bill_to) if self._bill_to else None
        self._outbox = Outbox()
        self._endpoints = Endpoints(endpoints, self.base_url)
        self._clock = clock or SystemClock()
        self._shared = SharedHealth(seed)
        self._writer = Writer(_ledger(ledger), checked_budgets(budgets))
        if on_event is not None:
            self.listen(on_event)
        self._overrides = Overrides(prices)
        self._plans = Plans(self._endpoints, self._overrides)
        self._catalogue = Catalogue(self.base_url, self._clock, self._common_headers, self._overrides)
        root = self.base_url.removesuffix("/v1")
        hub_url = hub_of(self.base_url)
        self._embedder = Embedder(
            root, hub_url, self._headers, self._writer, self._clock, self._shared, self._overrides
        )
        self._billing = Billing(hub_url, self._hub_headers, self._clock, self._bill_to)
        self._credits_watch = CreditsWatch(self._billing, self._clock, self._outbox.warn) if watch_credits else None

    def __repr__(self) -> str:
        return f"Router({self.base_url!r})"

    # -- calls ---------------------------------------------------------------------------------------------------------

    def chat(
        self,
        *,
        model: str,
        messages: Messages,
        policy: Policy | None = None,
        models: Sequence[str] | None = None,
        provider: Mapping[str, Any] | None = None,
        session: str | None = None,
        tags: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **parameters: Any,
    ) -> Completion:
        """Ask for a whole answer.

        Args:
            model: `org/name`, or with `:provider`, `:fastest`, `:cheapest` or `:preferred`.
            messages: OpenAI chat messages; a text is one message of the user.
            policy: Replaces the router's for this call.
            models: Fallback models for this call.
            provider: `order`, `only`, `ignore`, `sort` and `max_price` for this call, as in OpenRouter's requests.
            session: Replaces the router's session id.
            tags: Of this call, over those of `hfrouter.tags` around it.
            timeout: Seconds; replaces the policy's deadline.
            **parameters: The rest of an OpenAI chat request: `temperature`, `tools`, `response_format`, ...

        Returns:
            The answer with its attempts, usage and cost.

        Raises:
            ConfigurationError: wrong input; nothing was sent.
            RequestRejected: the request or the token was refused.
            OutOfCredits: the account cannot pay.
            RouteExhausted: every allowed attempt failed; `DeadlineExceeded` when time ran out.
        """
        with self._watch("chat", tags) as watch:
            limits = self._policy_for(policy, models, provider, timeout)
            return bridge.run(lambda: self._chat(watch, model, messages, limits, session, parameters))

    async def achat(
        self,
        *,
        model: str,
        messages: Messages,
        policy: Policy | None = None,
        models: Sequence[str] | None = None,
        provider: Mapping[str, Any] | None = None,
        session: str | None = None,
        tags: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **parameters: Any,
    ) -> Completion:
        """The asynchronous twin of `chat`."""
        with self._watch("chat", tags) as watch:
            limits = self._policy_for(policy, models, provider, timeout)
            return await self._chat(watch, model, messages, limits, session, parameters)

    def stream(
        self,
        *,
        model: str,
        messages: Messages,
        policy: Policy | None = None,
        models: Sequence[str] | None = None,
        provider: Mapping[str, Any] | None = None,
        session: str | None = None,
        tags: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **parameters: Any,
    ) -> Stream:
        """Ask for an answer piece by piece; returns when its first content is here.

        Arguments and errors are those of `chat`; while iterating, `StreamInterrupted` when it breaks.
        """
        with self._watch("chat", tags, streamed=True) as watch:
            limits = self._policy_for(policy, models, provider, timeout)
            return Stream.open(lambda: self._open(watch, model, messages, limits, session, parameters))

    async def astream(
        self,
        *,
        model: str,
        messages: Messages,
        policy: Policy | None = None,
        models: Sequence[str] | None = None,
        provider: Mapping[str, Any] | None = None,
        session: str | None = None,
        tags: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **parameters: Any,
    ) -> AsyncStream:
        """The asynchronous twin of `stream`: `async with await router.astream(...) as stream`."""
        with self._watch("chat", tags, streamed=True) as watch:
            limits = self._policy_for(policy, models, provider, timeout)
            return AsyncStream(*await self._open(watch, model, messages, limits, session, parameters))

    # -- embeddings ----------------------------------------------------------------------------------------------------

    def embed(
        self,
        texts: Sequence[str],
        *,
        model: str,
        normalize: bool | None = None,
        truncate: bool | None = None,
        prompt_name: str | None = None,
        dimensions: int | None = None,
        policy: Policy | None = None,
        provider: Mapping[str, Any] | None = None,
        session: str | None = None,
        tags: Mapping[str, str] | None = None,
        timeout: float | None = None,
        concurrency: int = 4,
    ) -> Embeddings:
        """Embed texts, in batches of 32.

        The model never changes, and the provider stays while it lives: another one of the same model is used only when
        its vectors have the same length, and the journal says so. A model that is still loading is waited for.

        Args:
            texts: In any number; the vectors come in the same order.
            model: `org/name` of an embedding model, or with `:provider`.
            normalize: Scale vectors to length 1; None leaves it to the model.
            truncate: Cut texts that are too long for the model; None leaves it to the back-end (hf-inference only).
            prompt_name: One of the model's own prompts, such as `query` (hf-inference only).
            dimensions: Length of the vectors, for models that can be cut.
            policy: Replaces the router's.
            provider: `order`, `only` and `ignore` for this call.
            session: Replaces the router's session id.
            tags: Of this call, over those of `hfrouter.tags` around it.
            timeout: Seconds for each batch; replaces the policy's deadline.
            concurrency: Batches on the way at once, after the first.

        Raises:
            ConfigurationError: wrong input, or no embedding model; nothing was spent.
            RequestRejected: a text or the token was refused.
            RouteExhausted: every allowed attempt failed.
        """
        with self._watch("embeddings", tags) as watch:
            batch = Batch(checked_texts(texts), normalize, truncate, prompt_name, dimensions)
            limits = self._policy_for(policy, None, provider, timeout)
            return bridge.run(lambda: self._embed(watch, batch, model, limits, session, concurrency))

    async def aembed(
        self,
        texts: Sequence[str],
        *,
        model: str,
        normalize: bool | None = None,
        truncate: bool | None = None,
        prompt_name: str | None = None,
        dimensions: int | None = None,
        policy: Policy | None = None,
        provider: Mapping[str, Any] | None = None,
        session: str | None = None,
        tags: Mapping[str, str] | None = None,
        timeout: float | None = None,
        concurrency: int = 4,
    ) -> Embeddings:
        """The asynchronous twin of `embed`."""
        with self._watch("embeddings", tags) as watch:
            batch = Batch(checked_texts(texts), normalize, truncate, prompt_name, dimensions)
            limits = self._policy_for(policy, None, provider, timeout)
            return await self._embed(watch, batch, model, limits, session, concurrency)

    # -- the catalogue and the ledger ----------------------------------------------------------------------------------

    def targets(self, model: str | None = None) -> tuple[Target, ...]:
        """Who serves a model now, or every target, as the catalogue lists them; your own endpoint when it is pinned.

        Raises:
            ConfigurationError: for a model the catalogue does not know, or when it is not to be had.
        """
        return bridge.run(lambda: self.atargets(model))

    async def atargets(self, model: str | None = None) -> tuple[Target, ...]:
        """The asynchronous twin of `targets`."""
        pin = ModelId.parse(model) if model is not None else None
        if pin is not None and pin.provider in self._endpoints.names:
            return tuple(row for row in self._endpoints.rows([pin]) if row.provider == pin.provider)
        listing = await self._listing()
        if model is None:
            return listing.rows
        wanted = ModelId.parse(model)
        check_known(listing, wanted)
        return tuple(row for row in listing.of(wanted.model) if wanted.provider in (None, row.provider))

    def entries(self, call: str | None = None) -> list[Entry]:
        """Rows of the ledger, one per attempt, of one call or all, in order of time.

        Raises:
            HFRouterError: the ledger cannot be read.
        """
        try:
            return self._writer.entries(call)
        except (OSError, sqlite3.Error) as error:
            raise HFRouterError(f"the ledger cannot be read ({error}); move it away, or set HFROUTER_LEDGER.") from None

    def explain(self, call: str) -> str:
        """Why a call went where it went, from the ledger: also after a crash, and in another process.

        Args:
            call: Its id, as in `Completion.id`, `Stream.id` and the ledger's column `call`.

        Returns:
            For each attempt what was known and decided before it, and what came of it; empty for a call without rows.
        """
        return explained(self.entries(call))

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
        if not callable(hook) or inspect.iscoroutinefunction(hook):
            raise ConfigurationError("on_event must be a plain function of one argument: the event.")
        self._outbox.hooks = (*self._outbox.hooks, hook)
        self._writer.on_warning = self._outbox.warn

        def stop() -> None:
            self._outbox.hooks = tuple(each for each in self._outbox.hooks if each is not hook)

        return stop

    # -- money ---------------------------------------------------------------------------------------------------------

    def estimate(
        self,
        *,
        model: str,
        messages: Messages,
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
        messages: Messages,
        policy: Policy | None = None,
        provider: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> Estimates:
        """The asynchronous twin of `estimate`."""
        limits = self._policy_for(policy, None, provider, None)
        wanted, request = ModelId.parse(model), Request.make(messages, parameters)
        listing = await self._listing_for(wanted, limits)
        return estimates(listing, self._endpoints, wanted, request, limits, self._bound(request))

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
        return bridge.run(lambda: self._project(model, workload))

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
        return await self._project(model, Workload(input_tokens, output_tokens, requests, per, days))

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

    # -- ending --------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Write what the ledger still holds and release its file. The router may be used again."""
        self._outbox.flush()
        self._writer.close()

    async def aclose(self) -> None:
        """The asynchronous twin of `close`."""
        self._outbox.flush()
        await asyncio.to_thread(self._writer.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # -- planning ------------------------------------------------------------------------------------------------------

    def _policy_for(
        self,
        policy: Policy | None,
        models: Sequence[str] | None,
        provider: Mapping[str, Any] | None,
        timeout: float | None,
    ) -> Policy:
        return (_checked_policy(policy) or self.policy).for_request(models=models, provider=provider, timeout=timeout)

    def _watch(self, operation: str, tags: Mapping[str, str] | None, *, streamed: bool = False) -> Watch:
        """What is told about a call that begins now, on its caller's thread."""
        return Watch(
            *(self._outbox, self._clock, self.base_url),
            operation=operation,
            tags=tags,
            billed=self._billed,
            streamed=streamed,
        )

    async def _chat(
        self,
        watch: Watch,
        model: str,
        messages: Messages,
        policy: Policy,
        session: str | None,
        parameters: Mapping[str, Any],
    ) -> Completion:
        call, chat = await self._plan(watch, model, messages, policy, session, parameters)
        opened = await drive(call, chat.whole, Opened, streamed=chat.request.upstream_stream(policy))
        call.note("end", "answered")
        return completed(call, opened)

    async def _open(
        self,
        watch: Watch,
        model: str,
        messages: Messages,
        policy: Policy,
        session: str | None,
        parameters: Mapping[str, Any],
    ) -> tuple[Call, Opened]:
        call, chat = await self._plan(watch, model, messages, policy, session, parameters)
        return call, await drive(call, chat.until_commit, Opened)

    async def _embed(
        self, watch: Watch, batch: Batch, model: str, policy: Policy, session: str | None, concurrency: int
    ) -> Embeddings:
        running_loop()
        whole("concurrency", concurrency, MOST_BATCHES)
        if batch.dimensions is not None:
            whole("dimensions", batch.dimensions, MOST_DIMENSIONS)
        session = _header_value("session", session) or self._session
        wanted = ModelId.parse(model)
        watch.asked(str(wanted))
        if not batch.texts:
            return Embeddings([], wanted.model, "", (), Total.of(()), Total.of(()), (), ())
        return await self._embedder.embed(batch, model, policy, session, concurrency, watch)

    async def _plan(
        self,
        watch: Watch,
        model: str,
        messages: Messages,
        policy: Policy,
        session: str | None,
        parameters: Mapping[str, Any],
    ) -> tuple[Call, Chat]:
        """Check everything that can be checked before anything is sent, and choose the targets."""
        running_loop()
        wanted = [ModelId.parse(name) for name in (model, *policy.models)]
        watch.asked(str(wanted[0]))
        request = Request.make(messages, parameters)
        session = _header_value("session", session) or self._session
        url = f"{self.base_url}/chat/completions"
        began = self._clock.monotonic()
        if self._endpoints.alone(wanted, policy):
            listing, reason = None, "the call goes to your own endpoints only"
        else:
            self._credential.header(url)
            listing, reason = await self._catalogue.listing(policy.deadline)
        call = Call(
            request=request,
            policy=policy,
            shared=self._shared,
            headers=lambda url: self._headers(url, session),
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
        if self._credits_watch:
            self._credits_watch.wake()
        call.choice = Choice(wishes, request.needs, self._shared.health, session)
        return call, Chat(request, url)

    async def _project(self, model: str, workload: Workload) -> Projections:
        wanted = ModelId.parse(model)
        listing = await self._listing_for(wanted, self.policy)
        return projections(listing, self._endpoints, wanted, workload, self.policy, self._overrides)

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
            raise ConfigurationError(f"{reason}; check the connection to {self.base_url} and ask again.")
        return listing

    def _bound(self, request: Request) -> Bound:
        """Tokens a request cannot exceed, as a budget counts them."""
        bounds = self._writer.bounds
        return lambda target: bounds.of(target.model, request.bound_for(target, bounds.image_tokens))

    def _hub_headers(self, url: str) -> dict[str, str]:
        """For the Hub's own endpoints; who is billed is none of their business."""
        return self._common_headers() | {"accept": "application/json", "authorization": self._credential.header(url)}

    def _common_headers(self) -> dict[str, str]:
        return {
            "accept": "text/event-stream, application/json",
            "accept-encoding": "identity",
            "user-agent": f"hfrouter/{__version__}",
        }

    def _headers(self, url: str, session: str | None) -> dict[str, str]:
        headers = self._common_headers() | {"content-type": "application/json"}
        if (own := self._endpoints.authorization(url)) is not None:  # nothing of the account's goes to another server
            return headers | own
        headers["authorization"] = self._credential.header(url)
        if self._bill_to:
            headers["x-hf-bill-to"] = self._bill_to
        if session:
            headers["x-hf-session-id"] = session
        return headers


def _checked_policy(policy: Policy | None) -> Policy | None:
    if policy is not None and not isinstance(policy, Policy):
        raise ConfigurationError(f"policy is a {type(policy).__name__}; give a hfrouter.Policy(...).")
    return policy


def _header_value(name: str, value: str | None) -> str | None:
    if value is None:
        return None
    if (
        not isinstance(value, str)
        or not value
        or len(value) > _SESSION_MOST
        or not (value.isascii() and value.isprintable())
    ):
        raise ConfigurationError(f"{name} must be 1 to {_SESSION_MOST} printable ASCII characters.")
    return value


def _ledger(choice: str | os.PathLike[str] | Ledger | None) -> Ledger:
    if choice is None:
        choice = os.environ.get("HFROUTER_LEDGER") or default_path()
    if choice == "memory":
        return MemoryLedger()
    if choice == "off":
        return NoLedger()
    if choice == "":
        raise ConfigurationError("ledger is empty; give a path, 'memory', 'off' or a Ledger.")
    if isinstance(choice, (str, os.PathLike)):
        from hfrouter.cost.sqlite import SQLiteLedger

        return SQLiteLedger(Path(choice))
    if not isinstance(choice, Ledger):
        raise ConfigurationError(f"ledger is a {type(choice).__name__}; give a path, 'memory', 'off' or a Ledger.")
    return choice

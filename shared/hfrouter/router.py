"""`Router`: the object users hold. It joins policy, catalogue, wire and ledger."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hfrouter.books import Books, checked_policy
from hfrouter.cost.budget import Budget, checked_budgets
from hfrouter.cost.ledger import Ledger, MemoryLedger, NoLedger, default_path, fingerprint
from hfrouter.cost.overrides import Given, Overrides
from hfrouter.cost.price import Total
from hfrouter.errors import ConfigurationError
from hfrouter.result import Completion, Embeddings
from hfrouter.routing.policy import Policy
from hfrouter.routing.target import ModelId, Target
from hfrouter.stream import AsyncStream, Stream, completed
from hfrouter.wire import bridge
from hfrouter.wire.attempt import Chat, Opened
from hfrouter.wire.billing import Billing, CreditsWatch
from hfrouter.wire.call import Call
from hfrouter.wire.catalogue import Catalogue
from hfrouter.wire.clock import Clock, SystemClock
from hfrouter.wire.driver import drive
from hfrouter.wire.embedder import Embedder
from hfrouter.wire.endpoint import Endpoint, Endpoints
from hfrouter.wire.feature_extraction import MOST_BATCHES, MOST_DIMENSIONS, Batch, checked_texts
from hfrouter.wire.heading import Heading, header_value
from hfrouter.wire.http import running_loop
from hfrouter.wire.planner import Planner
from hfrouter.wire.request import whole
from hfrouter.wire.shared_health import SharedHealth
from hfrouter.wire.token import HF_ROUTER, Credential, checked_base_url, hub_of
from hfrouter.wire.watch import Hook, Outbox, Watch
from hfrouter.wire.writer import Writer

Messages = str | Sequence[Mapping[str, Any]]


class Router(Books):
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
        self.policy = checked_policy(policy) or Policy()
        bill_to = header_value("bill_to", bill_to)
        self._session = header_value("session", session)
        self._billed = fingerprint(bill_to) if bill_to else None
        self._outbox = Outbox()
        self._endpoints = Endpoints(endpoints, self.base_url)
        self._clock = clock or SystemClock()
        self._shared = SharedHealth(seed)
        self._writer = Writer(_ledger(ledger), checked_budgets(budgets))
        if on_event is not None:
            self.listen(on_event)
        overrides = Overrides(prices)
        heading = Heading(Credential(token, self.base_url), bill_to, self._endpoints)
        self._catalogue = Catalogue(self.base_url, self._clock, heading.common, overrides)
        self._planner = Planner(
            self.base_url,
            heading,
            self._session,
            self._catalogue,
            self._endpoints,
            overrides,
            self._shared,
            self._writer,
            self._clock,
        )
        root, hub_url = self.base_url.removesuffix("/v1"), hub_of(self.base_url)
        self._embedder = Embedder(root, hub_url, heading.of, self._writer, self._clock, self._shared, overrides)
        self._billing = Billing(hub_url, heading.hub, self._clock, bill_to)
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

    # -- the catalogue ----------------------------------------------------------------------------------

    def targets(self, model: str | None = None) -> tuple[Target, ...]:
        """Who serves a model now, or every target, as the catalogue lists them; your own endpoint when it is pinned.

        Raises:
            ConfigurationError: for a model the catalogue does not know, or when it is not to be had.
        """
        return bridge.run(lambda: self.atargets(model))

    async def atargets(self, model: str | None = None) -> tuple[Target, ...]:
        """The asynchronous twin of `targets`."""
        return await self._planner.targets(model)

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
        session = header_value("session", session) or self._session
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
        planned = await self._planner.plan(watch, model, messages, policy, session, parameters)
        if self._credits_watch:
            self._credits_watch.wake()
        return planned


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

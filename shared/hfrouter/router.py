"""`Router`: the object users hold. It joins policy, catalogue, wire and ledger."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hfrouter.cost.ledger import Entry, Ledger, MemoryLedger, NoLedger, default_path
from hfrouter.cost.price import Total
from hfrouter.errors import ConfigurationError, HFRouterError
from hfrouter.result import Completion, Embeddings
from hfrouter.routing.policy import Policy
from hfrouter.routing.target import ModelId, Target
from hfrouter.stream import AsyncStream, Stream, completed
from hfrouter.version import __version__
from hfrouter.wire import bridge
from hfrouter.wire.attempt import Chat, Opened
from hfrouter.wire.call import Call
from hfrouter.wire.catalogue import Catalogue
from hfrouter.wire.clock import SystemClock
from hfrouter.wire.driver import drive
from hfrouter.wire.embedder import Embedder
from hfrouter.wire.feature_extraction import MOST_BATCHES, MOST_DIMENSIONS, Batch, checked_texts
from hfrouter.wire.http import running_loop
from hfrouter.wire.plan import check_known, choose
from hfrouter.wire.request import Request, whole
from hfrouter.wire.token import HF_ROUTER, Credential, checked_base_url, hub_of
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
        ledger: A path, `"memory"`, `"off"` or a `Ledger`; None for `HFROUTER_LEDGER`, else a SQLite file in the user's
            state directory.
        seed: Of the jitter in pauses; for tests.

    Raises:
        ConfigurationError: for a malformed token, URL or header value.

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
        ledger: str | os.PathLike[str] | Ledger | None = None,
        seed: int | None = None,
    ) -> None:
        self.base_url = checked_base_url(HF_ROUTER if base_url is None else base_url)
        self.policy = _checked_policy(policy) or Policy()
        self._credential = Credential(token, self.base_url)
        self._bill_to = _header_value("bill_to", bill_to)
        self._session = _header_value("session", session)
        self._clock = SystemClock()
        self._rng = random.Random(seed)
        self._writer = Writer(_ledger(ledger))
        self._catalogue = Catalogue(self.base_url, self._clock, self._common_headers)
        root = self.base_url.removesuffix("/v1")
        hub_url = hub_of(self.base_url)
        self._embedder = Embedder(root, hub_url, self._headers, self._writer, self._clock, self._rng)

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
        return bridge.run(
            lambda: self.achat(
                model=model,
                messages=messages,
                policy=policy,
                models=models,
                provider=provider,
                session=session,
                timeout=timeout,
                **parameters,
            )
        )

    async def achat(
        self,
        *,
        model: str,
        messages: Messages,
        policy: Policy | None = None,
        models: Sequence[str] | None = None,
        provider: Mapping[str, Any] | None = None,
        session: str | None = None,
        timeout: float | None = None,
        **parameters: Any,
    ) -> Completion:
        """The asynchronous twin of `chat`."""
        limits = self._policy_for(policy, models, provider, timeout)
        call, chat = await self._plan(model, messages, limits, session, parameters)
        opened = await drive(call, chat.whole, Opened, self._rng)
        call.note("end", "answered")
        return completed(call, opened)

    def stream(
        self,
        *,
        model: str,
        messages: Messages,
        policy: Policy | None = None,
        models: Sequence[str] | None = None,
        provider: Mapping[str, Any] | None = None,
        session: str | None = None,
        timeout: float | None = None,
        **parameters: Any,
    ) -> Stream:
        """Ask for an answer piece by piece; returns when its first content is here.

        Arguments and errors are those of `chat`; while iterating, `StreamInterrupted` when it breaks.
        """
        limits = self._policy_for(policy, models, provider, timeout)
        return Stream.open(lambda: self._open(model, messages, limits, session, parameters))

    async def astream(
        self,
        *,
        model: str,
        messages: Messages,
        policy: Policy | None = None,
        models: Sequence[str] | None = None,
        provider: Mapping[str, Any] | None = None,
        session: str | None = None,
        timeout: float | None = None,
        **parameters: Any,
    ) -> AsyncStream:
        """The asynchronous twin of `stream`: `async with await router.astream(...) as stream`."""
        limits = self._policy_for(policy, models, provider, timeout)
        return AsyncStream(*await self._open(model, messages, limits, session, parameters))

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
            timeout: Seconds for each batch; replaces the policy's deadline.
            concurrency: Batches on the way at once, after the first.

        Raises:
            ConfigurationError: wrong input, or no embedding model; nothing was spent.
            RequestRejected: a text or the token was refused.
            RouteExhausted: every allowed attempt failed.
        """
        return bridge.run(
            lambda: self.aembed(
                texts,
                model=model,
                normalize=normalize,
                truncate=truncate,
                prompt_name=prompt_name,
                dimensions=dimensions,
                policy=policy,
                provider=provider,
                session=session,
                timeout=timeout,
                concurrency=concurrency,
            )
        )

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
        timeout: float | None = None,
        concurrency: int = 4,
    ) -> Embeddings:
        """The asynchronous twin of `embed`."""
        running_loop()
        limits = self._policy_for(policy, None, provider, timeout)
        whole("concurrency", concurrency, MOST_BATCHES)
        if dimensions is not None:
            whole("dimensions", dimensions, MOST_DIMENSIONS)
        batch = Batch(checked_texts(texts), normalize, truncate, prompt_name, dimensions)
        session = _header_value("session", session) or self._session
        if not batch.texts:
            return Embeddings([], ModelId.parse(model).model, "", (), Total.of(()), Total.of(()), (), ())
        return await self._embedder.embed(batch, model, limits, session, concurrency)

    # -- the catalogue and the ledger ----------------------------------------------------------------------------------

    def targets(self, model: str | None = None) -> tuple[Target, ...]:
        """Who serves a model now, or every target, as the catalogue lists them.

        Raises:
            ConfigurationError: for a model the catalogue does not know, or when it is not to be had.
        """
        return bridge.run(lambda: self.atargets(model))

    async def atargets(self, model: str | None = None) -> tuple[Target, ...]:
        """The asynchronous twin of `targets`."""
        listing, reason = await self._catalogue.listing()
        if listing is None:
            raise ConfigurationError(f"{reason}; check the connection to {self.base_url} and ask again.")
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

    def close(self) -> None:
        """Write what the ledger still holds and release its file. The router may be used again."""
        self._writer.close()

    async def aclose(self) -> None:
        """The asynchronous twin of `close`."""
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

    async def _open(
        self, model: str, messages: Messages, policy: Policy, session: str | None, parameters: Mapping[str, Any]
    ) -> tuple[Call, Opened]:
        call, chat = await self._plan(model, messages, policy, session, parameters)
        return call, await drive(call, chat.until_commit, Opened, self._rng)

    async def _plan(
        self, model: str, messages: Messages, policy: Policy, session: str | None, parameters: Mapping[str, Any]
    ) -> tuple[Call, Chat]:
        """Check everything that can be checked before anything is sent, and choose the targets."""
        running_loop()
        wanted = [ModelId.parse(name) for name in (model, *policy.models)]
        request = Request.make(messages, parameters)
        session = _header_value("session", session) or self._session
        url = f"{self.base_url}/chat/completions"
        self._credential.header(url)
        began = self._clock.monotonic()
        listing, reason = await self._catalogue.listing(policy.deadline)
        call = Call(
            request=request,
            policy=policy,
            targets=(),
            headers=lambda url: self._headers(url, session),
            find=listing.find if listing else lambda _model, _provider: None,
            priced_at=int(listing.at) if listing else 0,
            writer=self._writer,
            clock=self._clock,
            session=session,
            began=began,
        )
        if reason:
            call.note("note", reason)
        call.targets = choose(call, request.needs, wanted, listing)
        return call, Chat(request, url)

    def _common_headers(self) -> dict[str, str]:
        return {
            "accept": "text/event-stream, application/json",
            "accept-encoding": "identity",
            "user-agent": f"hfrouter/{__version__}",
        }

    def _headers(self, url: str, session: str | None) -> dict[str, str]:
        headers = self._common_headers() | {
            "authorization": self._credential.header(url),
            "content-type": "application/json",
        }
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

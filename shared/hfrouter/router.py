"""`Router`: the object users hold. It joins policy, catalogue, wire and ledger."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hfrouter.cost.ledger import Entry, Ledger, MemoryLedger, NoLedger, default_path
from hfrouter.errors import ConfigurationError, NoTargetAvailable
from hfrouter.result import Completion
from hfrouter.routing.eligible import eligible
from hfrouter.routing.policy import Policy
from hfrouter.routing.strategy import ordered
from hfrouter.routing.target import ModelId, Target
from hfrouter.stream import AsyncStream, Stream, completed
from hfrouter.version import __version__
from hfrouter.wire import bridge
from hfrouter.wire.attempt import Opened, until_commit, whole
from hfrouter.wire.call import Call
from hfrouter.wire.catalogue import Catalogue, Listing
from hfrouter.wire.clock import SystemClock
from hfrouter.wire.driver import drive
from hfrouter.wire.request import Request
from hfrouter.wire.token import HF_ROUTER, Credential, checked_base_url
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
        call = await self._plan(model, messages, limits, session, parameters)
        opened = await drive(call, whole, self._rng)
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
        _check_known(listing, wanted)
        return tuple(row for row in listing.of(wanted.model) if wanted.provider in (None, row.provider))

    def entries(self, call: str | None = None) -> list[Entry]:
        """Rows of the ledger, one per attempt, of one call or all, in order of time."""
        return self._writer.entries(call)

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
        call = await self._plan(model, messages, policy, session, parameters)
        return call, await drive(call, until_commit, self._rng)

    async def _plan(
        self, model: str, messages: Messages, policy: Policy, session: str | None, parameters: Mapping[str, Any]
    ) -> Call:
        """Check everything that can be checked before anything is sent, and choose the targets."""
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
            url=url,
            headers=lambda: self._headers(url, session),
            find=listing.find if listing else lambda _model, _provider: None,
            priced_at=int(listing.at) if listing else 0,
            writer=self._writer,
            clock=self._clock,
            session=session,
            began=began,
        )
        if reason:
            call.note("note", reason)
        call.targets = _choose(call, wanted, listing)
        return call

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


def _choose(call: Call, wanted: list[ModelId], listing: Listing | None) -> tuple[Target, ...]:
    """The targets of a call, best first.

    Without a catalogue each model is sent as the user wrote it, and who serves it is known afterwards; so is a model
    with `:preferred`, which names an order only Hugging Face knows.
    """
    if listing is None:
        targets = tuple(Target(m.model, str(m).partition(":")[2]) for m in wanted)
        call.journal.plan(targets, {})
        return targets
    for model in wanted:
        _check_known(listing, model)
    rows = [row for name in dict.fromkeys(m.model for m in wanted) for row in listing.of(name)]
    allowed, rejected = eligible(rows, wanted, call.policy, call.request.needs)
    preferred = tuple(Target(m.model, "preferred") for m in wanted if m.suffix == "preferred")
    targets = preferred + tuple(ordered(allowed, wanted, call.policy, call.request.needs))
    call.journal.plan(targets, rejected)
    if not targets:
        raise NoTargetAvailable(
            f"no provider of {', '.join(str(m) for m in wanted)} may serve this call; loosen the policy or name another"
            " model.",
            rejected,
            call.journal,
        )
    return targets


def _check_known(listing: Listing, model: ModelId) -> None:
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
    if isinstance(choice, (str, os.PathLike)):
        from hfrouter.cost.sqlite import SQLiteLedger

        return SQLiteLedger(Path(choice))
    if not isinstance(choice, Ledger):
        raise ConfigurationError(f"ledger is a {type(choice).__name__}; give a path, 'memory', 'off' or a Ledger.")
    return choice

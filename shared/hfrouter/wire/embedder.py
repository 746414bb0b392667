"""Embeds many texts: finds who may, splits into batches, keeps to one provider and one dimension."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from hfrouter.cost.overrides import Overrides
from hfrouter.cost.price import Total
from hfrouter.errors import ConfigurationError, HFRouterError, NoTargetAvailable
from hfrouter.result import Embeddings
from hfrouter.routing.choice import Choice
from hfrouter.routing.policy import MaxPrice, Policy
from hfrouter.routing.target import ModelId, Target
from hfrouter.wire.call import Call
from hfrouter.wire.clock import Clock
from hfrouter.wire.driver import drive
from hfrouter.wire.feature_extraction import HF_INFERENCE, PROVIDERS, TOO_MUCH, Batch, Embedded, Extraction, Home
from hfrouter.wire.http import WireFailure
from hfrouter.wire.mapping import TASKS, Mappings, Served
from hfrouter.wire.shared_health import SharedHealth
from hfrouter.wire.watch import Watch
from hfrouter.wire.writer import Writer

T = TypeVar("T")
_Done = tuple[Call, Embedded | None]
# The default limit of Text Embeddings Inference; larger batches are refused by it and halved by us.
BATCH = 32


class Embedder:
    """The embedding half of a router.

    Args:
        root: The router without `/v1`.
        hub_url: Where the Hub answers.
        headers: Makes the headers of a request to a URL, with a session id or None.
        writer: The ledger.
        clock: Both clocks.
        shared: The health of all targets.
        overrides: The user's prices; the Hub lists none for embeddings.
    """

    def __init__(
        self,
        root: str,
        hub_url: str,
        headers: Callable[[str, str | None], Mapping[str, str]],
        writer: Writer,
        clock: Clock,
        shared: SharedHealth,
        overrides: Overrides,
    ) -> None:
        self._root, self._hub_url = root, hub_url
        self._headers, self._writer, self._clock, self._shared = headers, writer, clock, shared
        self._overrides = overrides
        self._mappings = Mappings(hub_url, clock)
        self._homes: dict[tuple[str, int | None], Home] = {}

    async def embed(
        self, batch: Batch, model: str, policy: Policy, session: str | None, concurrency: int, watch: Watch
    ) -> Embeddings:
        """Embed all texts, in order.

        The first batch goes alone and settles provider and dimension; the others follow, so many at a time.
        """
        wanted = ModelId.parse(model)
        served, note = await self._served(wanted, session)
        home = self._homes.setdefault((wanted.model, batch.dimensions), Home())
        targets, rejected = _targets(wanted, served, policy, self._overrides)
        if not targets:
            raise NoTargetAvailable(
                f"no provider may embed {wanted} for this call; loosen the policy, or name another model.", rejected
            )
        work = _Work(served, home, targets, policy, session, note, watch)
        most = min(home.most.get(home.provider or "", BATCH), BATCH)
        first, *others = [batch.part(batch.texts[i : i + most]) for i in range(0, len(batch.texts), most)]
        slots = asyncio.Semaphore(concurrency)

        async def follow(part: Batch) -> list[_Done]:
            async with slots:
                return await self._embed(work, part)

        results = [await self._embed(work, first)]
        results += await _all(follow(part) for part in others)
        return _joined([done for result in results for done in result])

    async def _embed(self, work: _Work, part: Batch) -> list[_Done]:
        """Embed one batch; in halves, when a provider finds it too large, beside the call that found out."""
        call = self._call(work, part)
        extraction = Extraction(part, self._root, work.served, work.home)
        try:
            return [(call, await drive(call, extraction.attempt, Embedded, streamed=False, patient=True))]
        except HFRouterError as error:
            if not error.attempts or error.attempts[-1].outcome != TOO_MUCH:
                raise
            half = (len(part.texts) + 1) // 2
            work.home.most[error.attempts[-1].provider] = half
            return [
                (call, None),
                *await self._embed(work, part.part(part.texts[:half])),
                *await self._embed(work, part.part(part.texts[half:])),
            ]

    def _call(self, work: _Work, part: Batch) -> Call:
        """The state of one batch's call: the provider that embedded so far comes first."""
        targets = sorted(work.targets, key=lambda target: target.provider != work.home.provider)
        call = Call(
            request=part,
            policy=work.policy,
            shared=self._shared,
            headers=lambda url: self._headers(url, work.session),
            find=lambda model, provider: self._overrides.apply(Target(model, provider)),
            priced_at=0,
            writer=self._writer,
            clock=self._clock,
            began=self._clock.monotonic(),
            session=work.session,
            tags=work.watch.tags,
            billed=work.watch.billed,
            watch=work.watch,
        )
        work.watch.planned(call)
        with self._shared.lock:
            call.choice = Choice.listed(targets, self._shared.health)
        call.journal.plan(tuple(targets), {})
        if work.note:
            call.note("note", work.note)
        return call

    async def _served(self, wanted: ModelId, session: str | None) -> tuple[dict[str, Served], str]:
        """Providers that embed a model, by slug; and a note when the Hub could not be asked."""
        self._headers(f"{self._root}/", session)  # a missing token is said before the Hub is asked
        try:
            found = await self._mappings.of(wanted.model, self._headers(self._hub_url, session))
        except WireFailure as failure:
            assumed = Served(wanted.provider or HF_INFERENCE, wanted.model, "feature-extraction", live=True)
            note = f"the Hub's provider mapping is not to be had ({failure.kind}); {assumed.provider} is assumed"
            return {assumed.provider: assumed}, note
        embedding = {served.provider: served for served in found if served.task in TASKS}
        if not embedding:
            others = sorted({served.task for served in found})
            reason = f"providers serve it for {', '.join(others)}" if others else "no provider serves it"
            raise ConfigurationError(f"{wanted.model} is no embedding model: {reason}; name one that is.")
        if wanted.provider and wanted.provider not in embedding:
            near = get_close_matches(wanted.provider, embedding, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(sorted(embedding))}."
            raise ConfigurationError(f"{wanted.provider!r} does not embed {wanted.model}; {hint}")
        return embedding, ""


@dataclass(frozen=True, slots=True)
class _Work:
    """What the batches of one call to `embed` share."""

    served: dict[str, Served]
    home: Home
    targets: list[Target]
    policy: Policy
    session: str | None
    note: str
    watch: Watch


async def _all(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order; at the first failure the others are cancelled, and it is raised as it is."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _targets(
    wanted: ModelId, served: Mapping[str, Served], policy: Policy, overrides: Overrides
) -> tuple[list[Target], dict[str, str]]:
    """Targets that may embed, those of `Policy.order` first, and why the others may not."""
    targets, rejected = [], {}
    for row in served.values():
        target = overrides.apply(Target(wanted.model, row.provider, live=row.live))
        checks = (
            (not row.live, "the Hub lists it as not live"),
            (wanted.provider not in (None, row.provider), f"the call is pinned to {wanted.provider}"),
            (row.provider not in PROVIDERS, "how it embeds is not known"),
            (bool(policy.only) and row.provider not in policy.only, "not among the providers allowed"),
            (row.provider in policy.ignore, "its provider is ignored"),
            (policy.max_price and target.input_price is None, "it has no listed price, so it does not pass the cap"),
            (_too_dear(target, policy.max_price), "its price is over the cap"),
        )
        reason = next((reason for failed, reason in checks if failed), None)
        if reason:
            rejected[target.id] = reason
        else:
            targets.append(target)
    order = {provider: place for place, provider in enumerate(policy.order)}
    return sorted(targets, key=lambda target: order.get(target.provider, len(order))), rejected


def _too_dear(target: Target, cap: MaxPrice | None) -> bool:
    """Whether a price of the user's is over the cap; embeddings have no output to pay for."""
    return bool(cap and cap.input is not None and target.input_price is not None and target.input_price > cap.input)


def _joined(done: list[_Done]) -> Embeddings:
    answers = [embedded for _, embedded in done if embedded is not None]
    accounts = [embedded.account for embedded in answers]
    attempts = tuple(attempt for call, _ in done for attempt in call.attempts)
    return Embeddings(
        vectors=[vector for embedded in answers for vector in embedded.vectors],
        model=accounts[0].target.model,
        provider=accounts[-1].target.provider,
        attempts=attempts,
        cost=Total.of(account.attempt.cost for account in accounts if account.attempt),
        total=Total.of(attempt.cost for attempt in attempts),
        calls=tuple(call.id for call, _ in done),
        journals=tuple(call.journal for call, _ in done),
    )

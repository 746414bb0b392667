"""One call's working state, and the account of each of its attempts."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as changed
from typing import Protocol

from hfrouter.cost.budget import Refused
from hfrouter.cost.ledger import Entry, new_id
from hfrouter.cost.price import UNSENT, Cost, Price
from hfrouter.cost.usage import Usage
from hfrouter.result import Attempt
from hfrouter.routing.choice import Choice
from hfrouter.routing.commands import Done, Launch
from hfrouter.routing.journal import Journal
from hfrouter.routing.policy import Policy
from hfrouter.routing.target import Target
from hfrouter.routing.verdict import ANSWERED, FAILURES, Judgement, Verdict
from hfrouter.wire.assemble import Assembly
from hfrouter.wire.clock import Clock
from hfrouter.wire.shared_health import SharedHealth
from hfrouter.wire.watch import Watch
from hfrouter.wire.writer import Writer

logger = logging.getLogger("hfrouter")

# Characters of the journal that a row keeps.
_DECISION_MOST = 4000
_NOTHING_SENT = frozenset({"connect_failed", "connect_timeout", "certificate_refused"})


class Bounded(Protocol):
    """A request whose tokens have a bound."""

    def bound_for(self, target: Target, /, image_tokens: int | None = None) -> tuple[int, int] | None:
        """(input, output) tokens an attempt at the target cannot exceed; None when an image has no ceiling.

        Args:
            target: Where to.
            image_tokens: Tokens of an image at most, or None.
        """


@dataclass(slots=True)
class Call:
    """What the attempts of one call share.

    Attributes:
        request: Checked.
        policy: Its limits.
        shared: The health of all targets.
        headers: Makes the headers of a request to a URL; raises `ConfigurationError` before anything is sent.
        find: A catalogue row by model and provider, or None.
        priced_at: When the catalogue was read, whole seconds since 1970.
        writer: The ledger.
        clock: Both clocks.
        began: Monotonic seconds when the caller called: the deadline counts from here.
        session: The session id, or None.
        tags: Whom the call is for, as (name, value), sorted by name.
        billed: Fingerprint of the organisation that is billed, or None.
        catalogue: Hash of the catalogue's document, or None.
        choice: Of eligible targets; set when they are known.
        refused: What a budget said when it refused an attempt, the latest, or None.
        begun: Told of each attempt that shows its first content, while a hedge may be out.
        watch: Who is told of what happens in it, or None.
    """

    request: Bounded
    policy: Policy
    shared: SharedHealth
    headers: Callable[[str], Mapping[str, str]]
    find: Callable[[str, str], Target | None]
    priced_at: int
    writer: Writer
    clock: Clock
    began: float
    session: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    billed: str | None = None
    catalogue: str | None = None
    watch: Watch | None = None
    journal: Journal = field(default_factory=Journal)
    id: str = field(default_factory=new_id)
    accounts: list[Account] = field(default_factory=list)
    choice: Choice = field(init=False)
    refused: Refused | None = None
    begun: Callable[[int], None] | None = None

    def note(self, kind: str, text: str, attempt: int = 0) -> None:
        """Write an event into the journal, now."""
        self.journal.add(self.clock.monotonic() - self.began, kind, text, attempt)

    def bound_for(self, target: Target) -> tuple[int, int] | None:
        """(input, output) tokens an attempt at the target cannot exceed; None when images have no bound."""
        bounds = self.writer.bounds
        return bounds.of(target.model, self.request.bound_for(target, bounds.image_tokens))

    def leave(self, number: int, judgement: Judgement) -> None:
        """Say why an attempt is about to be stopped."""
        for account in self.accounts:
            if account.launch.number == number:
                account.leaving = judgement

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts that were sent and have ended, in order."""
        return tuple(account.attempt for account in self.accounts if account.attempt is not None)


class Account:
    """The account of one attempt: opened before it is sent, settled exactly once however it ends."""

    def __init__(self, call: Call, launch: Launch, *, streamed: bool) -> None:
        self.call, self.launch = call, launch
        self.target = launch.target
        self.attempt: Attempt | None = None
        self.judgement: Judgement | None = None
        self.first_content: float | None = None
        self.sent = False
        self.flowing = False  # the engine knows of a committed stream, so that its end is reported to the health
        self.leaving = FAILURES["abandoned"]
        self.status: int | None = None
        self.request_id: str | None = None
        self._usage: Usage | None = None
        self._assembly: Assembly | None = None
        self.compute: Cost | None = None  # of an answer that is billed by compute time
        self._began, self._pid = call.clock.monotonic(), os.getpid()
        self.entry = Entry(
            id=new_id(),
            call=call.id,
            number=launch.number,
            started_ms=int(call.clock.wall() * 1000),
            model=launch.target.model,
            provider=launch.target.provider,
            streamed=streamed,
            session=call.session,
            price=self._price,
            cost=Cost.broken(self._price, call.bound_for(launch.target), "pending"),
            tags=call.tags,
            billed=None if launch.target.url else call.billed,  # an endpoint is on nobody's account there
            decision=call.journal.news()[:_DECISION_MOST] if call.writer.keeps else "",
            hedge=launch.hedge,
        )
        call.accounts.append(self)

    @property
    def seconds(self) -> float:
        """Since the launch."""
        return self.call.clock.monotonic() - self._began

    def answered_by(self, status: int, headers: Mapping[str, str]) -> None:
        """Take down who answers: the router names the provider in a header."""
        self.status = status
        request_id = headers.get("x-request-id")
        self.request_id = request_id[:200] if request_id and request_id.isprintable() else None
        served = headers.get("x-inference-provider", "")
        if self.target.url:  # only the router knows who serves
            return
        if served and served != self.target.provider and len(served) < 100 and served.isprintable():
            row = self.call.find(self.target.model, served)
            self.target = row or Target(self.target.model, served)
            self.call.note("note", f"served by {served}", self.launch.number)

    def reads(self, assembly: Assembly) -> None:
        """Take usage from this answer, as far as it will have come when the attempt ends."""
        self._assembly = assembly

    @property
    def usage(self) -> Usage | None:
        """Tokens the provider has reported, or None."""
        return self._usage if self._assembly is None else self._assembly.usage

    @usage.setter
    def usage(self, usage: Usage | None) -> None:
        self._usage = usage

    def content(self) -> None:
        """Take down the time of the first content."""
        if self.first_content is None:
            self.first_content = self.seconds
            if self.entry.streamed:
                with self.call.shared.lock:
                    self.call.shared.health.began(self.launch.target)
            if self.call.begun is not None:
                self.call.begun(self.launch.number)

    def done(self, judgement: Judgement, value: object = None) -> Done:
        """The outcome for the engine, as of the end of the attempt: writing it down is not on the provider's time."""
        usage, cost = self.usage, self.attempt.cost if self.attempt else None
        return Done(
            number=self.launch.number,
            judgement=judgement,
            seconds=self.attempt.seconds if self.attempt else self.seconds,
            value=value,
            first_content=self.first_content if self.entry.streamed else None,
            output_tokens=usage.output_tokens if usage else None,
            usd=(cost.upper or 0) / 1e9 if cost else 0.0,
            flowing=judgement is ANSWERED and self.attempt is None,
        )

    async def settle(self, judgement: Judgement) -> None:
        """Settle and wait until it is written; later calls change nothing."""
        if (entry := self._close(judgement)) is not None:
            await self.call.writer.settle(entry)

    def settle_later(self, judgement: Judgement) -> None:
        """Settle without waiting, for endings in which nobody may wait."""
        if (entry := self._close(judgement)) is not None:
            self.call.writer.settle_later(entry)

    def _close(self, judgement: Judgement) -> Entry | None:
        if self.attempt is not None or self._pid != os.getpid():  # after a fork it is the parent's to settle
            return None
        cost, seconds = self._cost(judgement), self.seconds
        self.judgement = judgement
        self.attempt = Attempt(
            number=self.launch.number,
            model=self.target.model,
            provider=self.target.provider,
            outcome=judgement.kind,
            status=judgement.status if self.status is None or judgement.status is not None else self.status,
            seconds=seconds,
            first_content=self.first_content,
            usage=self.usage,
            cost=cost,
            request_id=self.request_id,
            streamed=self.entry.streamed,
        )
        self._learn()
        if self.flowing:
            self._flowed(judgement, cost)
        self.call.note("done", f"{self.attempt.outcome} from {self.target.id}, cost {cost}", self.launch.number)
        logger.debug("call %s %s cost %s", self.call.id, self.attempt, cost)
        if self.call.watch is not None:
            self.call.watch.attempted(self.call, self)
        return changed(
            self.entry,
            provider=self.target.provider,
            outcome=self.attempt.outcome,
            status=self.attempt.status,
            duration_ms=int(seconds * 1000),
            first_content_ms=None if self.first_content is None else int(self.first_content * 1000),
            usage=self.usage,
            price=self._price,
            cost=cost,
            request_id=self.request_id,
        )

    def _flowed(self, judgement: Judgement, cost: Cost) -> None:
        """Report the end of a committed stream to the health of its target."""
        shared, target, usage = self.call.shared, self.launch.target, self.usage
        with shared.lock:
            if judgement.kind == "abandoned":
                shared.health.released(target, 0.0, probe=False)
            else:
                shared.health.ended(
                    target,
                    self.call.clock.monotonic(),
                    seconds=self.seconds - (self.first_content or 0.0),
                    output_tokens=usage.output_tokens if usage else None,
                    broken=judgement is not ANSWERED,
                    how=None if judgement is ANSWERED else (judgement, self.call.choice.needs),
                )
                shared.health.hedges.spent((cost.upper or 0) / 1e9)

    def _learn(self) -> None:
        """Raise the bound of a model that exceeds it, for the calls to come."""
        bound = self.call.bound_for(self.target)
        if self.usage is not None and bound is not None:
            spent = self.usage.input_tokens, self.usage.output_tokens
            if self.call.writer.bounds.exceeded(self.target.model, bound, spent):
                self.call.note("note", f"{spent} tokens exceed the bound of {bound}: raised", self.launch.number)

    @property
    def _price(self) -> Price | None:
        return Price.of(self.target, self.call.priced_at, self.call.catalogue)

    def _cost(self, judgement: Judgement) -> Cost:
        bound = self.call.bound_for(self.target)
        if not self.sent or judgement.kind in _NOTHING_SENT:
            return UNSENT
        if judgement.verdict is not Verdict.OK and self.status is not None and self.status >= 400:
            return Cost.refused(self.status)
        if judgement is ANSWERED and self.compute is not None and self._price is None:
            return self.compute
        # Nobody answers to no input: such a report was not filled in.
        usage = self.usage if self.usage is not None and self.usage.input_tokens else None
        whole = judgement is ANSWERED or (self._assembly is not None and self._assembly.finished)
        behind = self._assembly is not None and self._assembly.behind
        if whole and not (usage and behind):
            return Cost.of(usage, self._price, bound)
        # A report that ran along with an answer is a lower bound: what came after it is billed, and not known.
        broken = Cost.broken(self._price, bound, "the usage reported is not of the end" if whole else judgement.kind)
        if usage is None or self._price is None or broken.upper is None:
            return broken
        least = min(Cost.of(usage, self._price).lower, broken.upper)
        return Cost(least, broken.upper, broken.reason if least < broken.upper else "")

"""The event that every call through hfrouter ends with."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.span import active_span_id
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import active_instrument_tags
from pydantic import Field

from hfrouter import AsyncStream, Attempt, Completion, Cost, Stream, Total, Usage
from hfrouter.adapting import attempt_facts, bounds
from llamaindex_hfrouter import about

dispatcher = get_dispatcher(__name__)


class HFRouterCallEvent(BaseEvent):
    """What a call did and what it cost, however it ended. Holds no prompt and no answer.

    It is dispatched once for each call, within the call's span and with its `instrument_tags`, so that sums by tenant
    need a handler of a few lines.

    Attributes:
        model: Hub repo id that answered; the one asked for when none did.
        provider: Who served, or None.
        call_id: The call's id in the ledger, or None.
        outcome: `ok`, `abandoned` (a stream left before its end), or the name of the error's class.
        streamed: Whether it was one of the streaming endpoints.
        attempts: Each attempt as a mapping, as in `ChatResponse.additional_kwargs["attempts"]`.
        usage: Tokens of the answer, or None when none were reported.
        cost: USD of all attempts together to the last digit, or None when it is not known exactly.
        cost_lower: USD they cost at least.
        cost_upper: USD they cost at most; None when there is no bound.
        seconds: From the call to its end.
    """

    model: str
    provider: str | None = None
    call_id: str | None = None
    outcome: str
    streamed: bool
    attempts: list[dict[str, Any]] = Field(default_factory=list)
    usage: dict[str, int] | None = None
    cost: str | None = None
    cost_lower: str = "0"
    cost_upper: str | None = None
    seconds: float

    @classmethod
    def class_name(cls) -> str:
        """The event's name in serialised form."""
        return "HFRouterCallEvent"


class Report:
    """Tells the dispatcher once how a call ended.

    Span and tags are those of the moment of the call: a stream may be read in another thread or context.
    """

    def __init__(self, model: str, *, streamed: bool) -> None:
        self._model, self._streamed = model, streamed
        self._span, self._tags = active_span_id.get(), dict(active_instrument_tags.get())
        self._began = time.monotonic()
        self._telling = threading.Lock()

    @property
    def told(self) -> bool:
        """Whether the event is out."""
        return self._telling.locked()

    def answered(self, completion: Completion) -> None:
        """The call has its whole answer."""
        self._tell("ok", completion.attempts, completion.usage, completion.model, completion.provider, completion.id)

    def failed(self, error: BaseException, stream: Stream | AsyncStream | None = None) -> None:
        """The call ended with an error: the provider's, the caller's, or a cancellation.

        Args:
            error: What ended it.
            stream: The stream that was being read, when there was one.
        """
        if stream is not None:
            self._about(type(error).__name__, stream)
            return
        # A cancellation carries no attempts, though there may have been some; any other error has them all.
        known = isinstance(error, Exception)
        self._tell(type(error).__name__, getattr(error, "attempts", ()), None, settled=known)

    def abandoned(self, stream: Stream | AsyncStream) -> None:
        """The stream was left before its end, or never read."""
        self._about("abandoned", stream)

    def _about(self, outcome: str, stream: Stream | AsyncStream) -> None:
        settled = stream.cost is not None
        who = stream.model, stream.provider, stream.id
        self._tell(outcome, stream.attempts, stream.usage, *who, settled=settled)

    def _tell(
        self,
        outcome: str,
        attempts: Sequence[Attempt],
        usage: Usage | None,
        model: str | None = None,
        provider: str | None = None,
        call_id: str | None = None,
        *,
        settled: bool = True,
    ) -> None:
        if not self._telling.acquire(blocking=False):
            return
        costs = [attempt.cost for attempt in attempts]
        if not settled:
            costs.append(Cost(0, None, "not settled"))
        money = bounds(Total.of(costs))
        event = HFRouterCallEvent(
            model=model or (attempts[-1].model if attempts else self._model),
            provider=provider or (attempts[-1].provider if attempts else None),
            call_id=call_id,
            outcome=outcome,
            streamed=self._streamed,
            attempts=[attempt_facts(each) for each in attempts],
            usage=about.usage(usage) or None,
            cost=money["usd"],
            cost_lower=money["lower_usd"] or "0",
            cost_upper=money["upper_usd"],
            seconds=round(time.monotonic() - self._began, 6),
            span_id=self._span,
            tags=self._tags,
        )
        dispatcher.event(event)

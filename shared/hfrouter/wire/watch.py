"""What is told about calls: to the running totals around them, and to the hooks of their router.

Figures are put down where an attempt ends, on whatever thread that is. Hooks run on the caller's, in the context of the
call's beginning: there the caller's own context variables are, such as the span a call belongs to.
"""

from __future__ import annotations

import contextvars
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from hfrouter.cost.price import Total
from hfrouter.cost.tags import frozen, totals
from hfrouter.cost.usage import Usage
from hfrouter.events import AttemptEvent, CallEvent
from hfrouter.wire.clock import Clock

if TYPE_CHECKING:
    from hfrouter.wire.call import Account, Call

logger = logging.getLogger("hfrouter")

Hook = Callable[[Any], object]
_Queue = deque[tuple[contextvars.Context, object]]


class Outbox:
    """The hooks of a router, and the events that nobody has fetched: of streams that were dropped.

    A pickle or a copy of a router has no hooks: they belong to this process.
    """

    def __init__(self) -> None:
        self.hooks: tuple[Hook, ...] = ()
        self._left: _Queue = deque()
        self._failed: set[type[Exception]] = set()
        self._pid = os.getpid()

    def __reduce__(self) -> tuple[type[Outbox], tuple[()]]:
        return Outbox, ()

    def put(self, event: object) -> None:
        """Have an event that belongs to no call told at the next one. Callable from any thread."""
        if self.hooks:
            self._left.append((contextvars.copy_context(), event))

    def warn(self, warning: object) -> None:
        """Log a warning, and have it told. Callable from any thread."""
        logger.warning("%s", warning)
        self.put(warning)

    def leave(self, queue: _Queue) -> None:
        """Take over what a call still has to tell."""
        while (found := _first(queue)) is not None:
            if self.hooks:
                self._left.append(found)

    def deliver(self, queue: _Queue) -> None:
        """Tell the hooks, on this thread, what is in a queue, and what was left."""
        if self._pid != os.getpid():  # what was left before a fork is the parent's to tell
            self._left.clear()
            self._pid = os.getpid()
        for each in (self._left, queue):
            while (found := _first(each)) is not None:
                self._tell(*found)

    def flush(self) -> None:
        """Tell the hooks what was left."""
        self.deliver(deque())

    def _tell(self, context: contextvars.Context, event: object) -> None:
        for hook in self.hooks:
            try:
                context.copy().run(_called, hook, event)
            except Exception as error:  # noqa: BLE001 (a hook's failure is never the call's)
                self._complain(error)

    def _complain(self, error: Exception) -> None:
        """Say once for each kind of error where a hook failed, not what it said: that may quote anything."""
        kind = type(error)
        if kind in self._failed:
            return
        self._failed.add(kind)
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "an unknown place"
        logger.warning(
            "an on_event hook raised %s at %s; the call goes on, and this is said once", kind.__name__, where
        )


class Watch:
    """One call of a user, as it is told: made on the caller's thread when the call begins, and left when it returns.

    Args:
        outbox: The router's.
        clock: Both clocks.
        base_url: Whose host is asked.
        operation: `chat` or `embeddings`.
        tags: Of this call; those of the context are added.
        billed: Fingerprint of the organisation that is billed, or None.
        streamed: Whether the call returns a stream, which ends it later.

    Raises:
        ConfigurationError: for a malformed tag.
    """

    def __init__(
        self,
        outbox: Outbox,
        clock: Clock,
        base_url: str,
        *,
        operation: str,
        tags: Mapping[str, str] | None,
        billed: str | None,
        streamed: bool = False,
    ) -> None:
        self.tags = frozen(tags)
        self.billed = billed
        self._outbox, self._clock, self._base_url = outbox, clock, base_url
        self._operation, self._streamed = operation, streamed
        self._requested = ""
        self._totals = totals(outbox)
        self._context = contextvars.copy_context() if outbox.hooks and not _telling.get() else None
        self._began, self._start_ns = clock.monotonic(), _ns(clock.wall())
        self._calls: list[str] = []
        self._session: str | None = None
        self._events: list[AttemptEvent] = []
        self._queue: _Queue = deque()
        self._ending = threading.Lock()
        self._gone = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._streamed:  # told when its reader has the end, however far it is read ahead
            self._outbox.flush()
            return
        self.ended(_outcome(kind), kind)
        self._gone = True
        self.flush()

    def asked(self, model: str) -> None:
        """The model that was asked for, once it is known to be the name of one."""
        self._requested = model

    def planned(self, call: Call) -> None:
        """A call of the ledger belongs to it; several, for the batches of embeddings."""
        self._calls.append(call.id)
        self._session = call.session

    def attempted(self, call: Call, account: Account) -> None:
        """An attempt has ended. Callable from any thread."""
        attempt = account.attempt
        assert attempt is not None  # noqa: S101 (settled)
        for spent in self._totals:
            spent.attempted(attempt.provider, attempt.cost, attempt.usage, ok=attempt.ok)
        if self._context is not None:
            end_ns = self._now_ns()
            event = AttemptEvent(
                call=call.id,
                attempt=attempt,
                tags=self.tags,
                session=call.session,
                billed=account.entry.billed,
                server=_host(account.target.url or self._base_url),
                start_ns=end_ns - _ns(attempt.seconds),
                end_ns=end_ns,
            )
            self._events.append(event)
            self.put(event)

    def ended(self, outcome: str, error: type[BaseException] | None = None) -> None:
        """The call has ended; what comes after the first time changes nothing. Callable from any thread.

        Args:
            outcome: See `CallEvent`.
            error: The class of what ended it.
        """
        if not self._ending.acquire(blocking=False):
            return
        for spent in self._totals:
            spent.called()
        if self._context is not None:
            self.put(self._call_event(outcome, error))

    def put(self, event: object) -> None:
        """Have an event told when the call returns, or, when it has, at the router's next one."""
        if self._context is None:
            return
        self._queue.append((self._context, event))
        if self._gone:
            self._outbox.leave(self._queue)

    def flush(self) -> None:
        """Tell the hooks what there is, on the caller's thread."""
        if self._outbox.hooks:
            self._outbox.deliver(self._queue)

    def leave(self) -> None:
        """Nobody will fetch what is still to be told: the router's next call tells it."""
        self._gone = True
        self._outbox.leave(self._queue)

    def _now_ns(self) -> int:
        """Now by the wall clock of the call's beginning: an attempt lies within its call, however that clock jumps."""
        return self._start_ns + _ns(self._clock.monotonic() - self._began)

    def _call_event(self, outcome: str, error: type[BaseException] | None) -> CallEvent:
        end_ns = self._now_ns()
        order = {call: place for place, call in enumerate(self._calls)}
        events = tuple(sorted(self._events, key=lambda event: (order.get(event.call, 0), event.attempt.number)))
        attempts = [event.attempt for event in events]
        answers = [attempt for attempt in attempts if attempt.ok]
        last = next(iter(reversed(answers or attempts)), None)
        return CallEvent(
            call=self._calls[0] if self._calls else "",
            operation=self._operation,
            streamed=self._streamed,
            requested=self._requested,
            model=last.model if last else self._requested,
            provider=last.provider if last else "",
            outcome=outcome,
            error=error.__name__ if error is not None else None,
            events=events,
            usage=_sum([attempt.usage for attempt in answers]),
            cost=Total.of(attempt.cost for attempt in answers),
            total=Total.of(attempt.cost for attempt in attempts),
            seconds=(end_ns - self._start_ns) / 1e9,
            tags=self.tags,
            session=self._session,
            billed=self.billed,
            server=_host(self._base_url),
            start_ns=self._start_ns,
            end_ns=end_ns,
        )


# A hook that calls the router would be told of that call, and call again.
_telling: contextvars.ContextVar[bool] = contextvars.ContextVar("hfrouter_telling", default=False)


def _called(hook: Hook, event: object) -> None:
    _telling.set(True)
    hook(event)


def _first(queue: _Queue) -> tuple[contextvars.Context, object] | None:
    """Take the first: two threads may empty a queue at once, and each event is told once."""
    try:
        return queue.popleft()
    except IndexError:
        return None


def _outcome(error: type[BaseException] | None) -> str:
    if error is None:
        return "ok"
    return "failed" if issubclass(error, Exception) else "cancelled"


def _sum(usages: list[Usage | None]) -> Usage | None:
    """Tokens of an answer; of several batches, added up."""
    told = [usage for usage in usages if usage is not None]
    if len(told) <= 1:
        return told[0] if told else None
    return Usage(sum(usage.input_tokens for usage in told), sum(usage.output_tokens for usage in told))


@lru_cache(maxsize=32)
def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)

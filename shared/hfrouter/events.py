"""Events: what a router tells its hooks, frozen. None holds a prompt, an answer, a key or an organisation's name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hfrouter.cost.price import Total
    from hfrouter.cost.usage import Usage
    from hfrouter.result import Attempt


@dataclass(frozen=True, slots=True)
class AttemptEvent:
    """An attempt has ended, well or not.

    Attributes:
        call: The id of its call in the ledger.
        attempt: What came of it: the object that results and errors have too.
        tags: Names and values of the call's tags; `dict(event.tags)` for one of them.
        session: The session id of the call, or None.
        billed: Tells billed organisations apart without naming them; None for the user's own account.
        server: The host that was asked.
        start_ns: Nanoseconds since 1970 when it was launched.
        end_ns: When it had ended.
    """

    call: str
    attempt: Attempt
    tags: tuple[tuple[str, str], ...] = ()
    session: str | None = None
    billed: str | None = None
    server: str = ""
    start_ns: int = 0
    end_ns: int = 0


@dataclass(frozen=True, slots=True)
class CallEvent:
    """A call has ended, well or not; its attempts have been told before.

    Attributes:
        call: Its id in the ledger, of the first batch for embeddings; empty when it was refused before it had one.
        operation: `chat` or `embeddings`.
        streamed: Whether the caller asked for a stream.
        requested: The model that was asked for.
        model: The model that answered; of the last attempt when none did, and as asked when there was none.
        provider: Who served the answer, or the last attempt; empty when there was none.
        outcome: `ok`; `failed`; `interrupted`, a stream that broke after content; `abandoned`, a stream that was left
            before its end; `cancelled`.
        error: The class name of the error it ended with, or None.
        events: The attempts that had ended by then, with their times, in the order of launch.
        usage: Tokens of the answer, or None when none were reported.
        cost: What the answer cost; of nothing when there was none.
        total: What all attempts cost.
        seconds: From the call to its end.
        tags: Names and values of its tags.
        session: Its session id, or None.
        billed: Tells billed organisations apart without naming them; None for the user's own account.
        server: The host that was asked.
        start_ns: Nanoseconds since 1970 when it was made.
        end_ns: When it had ended.
    """

    call: str
    operation: str
    streamed: bool
    requested: str
    model: str
    provider: str
    outcome: str
    error: str | None
    events: tuple[AttemptEvent, ...] = field(repr=False)
    usage: Usage | None
    cost: Total
    total: Total
    seconds: float
    tags: tuple[tuple[str, str], ...] = ()
    session: str | None = None
    billed: str | None = None
    server: str = ""
    start_ns: int = 0
    end_ns: int = 0

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The attempts, in the order of launch: the objects that results and errors have too."""
        return tuple(event.attempt for event in self.events)

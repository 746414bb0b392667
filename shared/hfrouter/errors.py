"""The error tree: everything hfrouter raises on purpose.

```text
HFRouterError
 ├─ ConfigurationError(ValueError)     wrong model id, policy, token: before anything is sent
 ├─ RequestRejected                    no target can serve it: your side (400, 401, 403, 413, 422)
 ├─ OutOfCredits                       402 or the spending limit: never retried, shared by all providers
 ├─ BudgetExceeded                     a budget of yours refused before sending
 ├─ RouteExhausted                     every allowed attempt failed: their side
 │    ├─ DeadlineExceeded(TimeoutError)
 │    └─ NoTargetAvailable             nothing eligible, with the reason for each candidate
 ├─ StreamInterrupted                  the stream broke after content was delivered
 └─ BillUnavailable                    Hugging Face's own bill cannot be read
```

Every error says one sentence, one cause and one next step, survives pickling, and carries no request, header, key or
prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from hfrouter.cost.price import Cost
    from hfrouter.cost.usage import Usage
    from hfrouter.result import Attempt
    from hfrouter.routing.journal import Journal

_NOTHING = Decimal(0)


def _rebuild(cls: type[HFRouterError], args: tuple[Any, ...], state: dict[str, Any]) -> HFRouterError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class HFRouterError(Exception):
    """The root: `except HFRouterError` catches everything this library raises on purpose.

    Attributes:
        attempts: The attempts that were sent, in order; empty when nothing was.
        status_code: HTTP status of the last attempt that got one, or None.
        journal: What the call decided and why, or None when it never started; see `explain()`.
    """

    attempts: tuple[Attempt, ...] = ()
    status_code: int | None = None
    journal: Journal | None = None

    def __init__(self, message: str, attempts: Sequence[Attempt] = (), journal: Journal | None = None) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)
        self.journal = journal
        self.status_code = next((a.status for a in reversed(self.attempts) if a.status is not None), None)

    def __str__(self) -> str:
        """The sentence, then a line for each attempt."""
        return "\n  ".join([str(self.args[0]) if self.args else "", *map(str, self.attempts)])

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles by state: subclasses may take other arguments than `args` holds."""
        return _rebuild, (type(self), self.args, self.__dict__.copy())

    def explain(self) -> str:
        """The decisions of the call as text, or an empty string when it never started."""
        return self.journal.explain() if self.journal else ""


class ConfigurationError(HFRouterError, ValueError):
    """Wrong input, found before anything was sent: nothing was spent."""


class RequestRejected(HFRouterError):
    """No target can serve this request as it stands: change the request, the token or its rights."""


class ContextOverflow(RequestRejected):
    """The request is longer than the context of every model that was allowed."""


class OutOfCredits(HFRouterError):
    """The account has no credits left, or met its spending limit; every provider shares it, so none was tried after."""


class BudgetExceeded(HFRouterError):
    """A budget refused the call before it was sent: it has too little left, or it cannot be kept. Amounts are USD.

    Attributes:
        budget: Which one, for readers: `$5.00 a day for user=ann`.
        limit: What it allows.
        spent: What is known to be spent.
        held: What calls that are under way have reserved.
        unsettled: What may have been spent on top by calls whose cost is not exact.
        needed: What this call might have cost at most; None when that is not known.
        resets_at: When its next day or month begins (UTC), or None.
    """

    budget: str
    limit: Decimal
    spent: Decimal
    held: Decimal
    unsettled: Decimal
    needed: Decimal | None
    resets_at: datetime | None

    def __init__(
        self,
        message: str,
        attempts: Sequence[Attempt] = (),
        journal: Journal | None = None,
        *,
        budget: str = "",
        limit: Decimal = _NOTHING,
        spent: Decimal = _NOTHING,
        held: Decimal = _NOTHING,
        unsettled: Decimal = _NOTHING,
        needed: Decimal | None = None,
        resets_at: datetime | None = None,
    ) -> None:
        super().__init__(message, attempts, journal)
        self.budget, self.limit, self.needed, self.resets_at = budget, limit, needed, resets_at
        self.spent, self.held, self.unsettled = spent, held, unsettled


class RouteExhausted(HFRouterError):
    """Every attempt the policy allowed has failed on the providers' side; `attempts` has them in order."""


class DeadlineExceeded(RouteExhausted, TimeoutError):
    """The deadline of the whole call passed before an answer could be committed."""


class NoTargetAvailable(RouteExhausted):
    """Nothing was eligible; `reasons` says why for each candidate.

    Attributes:
        reasons: `model:provider` to the reason it was left out.
    """

    reasons: dict[str, str]

    def __init__(self, message: str, reasons: dict[str, str] | None = None, journal: Journal | None = None) -> None:
        super().__init__(message, (), journal)
        self.reasons = dict(reasons or {})

    def __str__(self) -> str:
        """The sentence, then a line for each candidate."""
        return "\n  ".join([str(self.args[0]), *(f"{target}: {reason}" for target, reason in self.reasons.items())])


class AttemptFailed(HFRouterError):
    """How one attempt ended; the `__cause__` of the error that ended the call.

    Attributes:
        kind: What went wrong in one word, such as `rate_limited`.
    """

    kind: str

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class StreamInterrupted(HFRouterError):
    """The stream broke after content was delivered, too late to let another target answer.

    Attributes:
        partial: The text delivered so far. Kept out of `str()` and `repr()`, and out of pickles.
        usage: Tokens reported so far, or None.
        cost: What the interrupted attempt cost, as bounds.
    """

    partial: str = ""
    usage: Usage | None = None
    cost: Cost | None = None

    def __init__(
        self,
        message: str,
        attempts: Sequence[Attempt] = (),
        journal: Journal | None = None,
        *,
        partial: str = "",
        usage: Usage | None = None,
        cost: Cost | None = None,
    ) -> None:
        super().__init__(message, attempts, journal)
        self.partial, self.usage, self.cost = partial, usage, cost

    def __reduce__(self) -> tuple[Any, ...]:
        """As the base, without the answer's text."""
        rebuild, (cls, args, state) = super().__reduce__()
        return rebuild, (cls, args, {k: v for k, v in state.items() if k != "partial"})


class BillUnavailable(HFRouterError):
    """Hugging Face's own bill cannot be read, or has a shape that is not known; no call depends on it."""

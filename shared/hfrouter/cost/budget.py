"""Budgets: limits of money that refuse a call before it is sent."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from numbers import Real
from typing import Literal, SupportsFloat, TypeAlias, get_args

from hfrouter.cost.ledger import Entry
from hfrouter.cost.price import dollars, nano_of, usd
from hfrouter.cost.tags import Tags, checked
from hfrouter.errors import BudgetExceeded, ConfigurationError

Window: TypeAlias = Literal["run", "day", "month"]
Amount: TypeAlias = "str | SupportsFloat"
# A billion dollars: sums of amounts below it stay far from the integers that SQLite cannot hold.
_MOST = 10**9
_SPANS = {"run": "for this run", "day": "a day", "month": "a month"}
_DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_TAGS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, init=False)
class Budget:
    """A limit of money: each attempt reserves what it may cost at most, or is refused before it is sent.

    Args:
        limit: USD; a number such as 0.1 is taken as it is written.
        window: What it is for: `run` (the life of the Router it is given to), `day` or `month` (of UTC).
        tags: Calls it counts: those with all of these tags. Without any, all calls.
        each: A tag: every value of it has a limit of its own, and so have the calls without it together.
        warn: Shares of the limit whose crossing is told.
        image_tokens: Tokens of an image at most. Without it calls with images are refused: nothing bounds their cost.
        name: Budgets of other names count apart in a file that programs share.

    Raises:
        ConfigurationError: for anything else.

    >>> Budget("5.00", window="day", each="user")
    Budget('5.00', window='day', each='user')
    """

    limit: Decimal
    window: Window
    tags: Tags
    each: str | None
    warn: tuple[Decimal, ...]
    image_tokens: int | None
    name: str

    def __init__(
        self,
        limit: Amount,
        window: Window = "run",
        *,
        tags: Mapping[str, str] = _NO_TAGS,
        each: str | None = None,
        warn: Iterable[Amount] = ("0.8",),
        image_tokens: int | None = None,
        name: str = "",
    ) -> None:
        if window not in get_args(Window):
            raise ConfigurationError(f"Budget.window is not known; use {', '.join(map(repr, get_args(Window)))}.")
        if each is not None:
            checked({each: "any"})
        if isinstance(warn, (str, Mapping)) or not isinstance(warn, Iterable):
            raise ConfigurationError("Budget.warn must be shares of the limit, such as ('0.5', '0.8').")
        if image_tokens is not None and (type(image_tokens) is not int or not 0 <= image_tokens <= _MOST):
            raise ConfigurationError(f"Budget.image_tokens must be a whole number from 0 to {_MOST}.")
        if not isinstance(name, str) or len(name) > 64 or not name.isprintable():
            raise ConfigurationError("Budget.name must be a text of at most 64 printable characters.")
        values = (
            _number("limit", limit, _MOST, "USD"),
            window,
            tuple(sorted(checked(tags).items())),
            each,
            tuple(sorted(_number("warn", share, 1, "of the limit") for share in warn)),
            image_tokens,
            name,
        )
        for field, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, field, value)

    def __repr__(self) -> str:
        said = {"window": self.window, "tags": dict(self.tags), "each": self.each, "name": self.name}
        defaults: dict[str, object] = {"window": "run", "tags": {}, "each": None, "name": ""}
        parts = [f"{key}={value!r}" for key, value in said.items() if value != defaults[key]]
        return f"Budget({', '.join([repr(str(self.limit)), *parts])})"

    @property
    def nano(self) -> int:
        """The limit in nano-USD."""
        return nano_of(self.limit)

    def limit_for(self, entry: Entry, run: str) -> Limit | None:
        """The limit an attempt falls under, or None.

        Args:
            entry: With its tags and the moment of its start.
            run: Id of the Router.
        """
        if self.tags and not set(self.tags) <= set(entry.tags):
            return None
        value = dict(entry.tags).get(self.each) if self.each is not None else None
        period, resets_at = _period(self.window, entry.started_ms // _DAY_MS)
        return Limit(self, self._key(value), period or f"run {run}", value, self.nano, resets_at)

    def _key(self, value: str | None) -> str:
        """What it counts under. Texts are quoted, so that no two budgets read alike whatever their tags hold."""
        parts = [_quoted(self.name)] if self.name else []
        parts += [f"{name}={_quoted(text)}" for name, text in self.tags]
        if self.each is not None:
            parts.append(f"each {self.each}" if value is None else f"each {self.each}={_quoted(value)}")
        return " ".join(parts) or "all calls"


@dataclass(frozen=True, slots=True)
class Limit:
    """A budget as one attempt meets it.

    Attributes:
        budget: Where it comes from.
        key: Which calls count together.
        period: Of which run, day or month.
        value: Of the tag every value of which has a limit of its own, or None.
        nano: Nano-USD.
        resets_at: Unix seconds at which the next period begins, or None.
    """

    budget: Budget
    key: str
    period: str
    value: str | None
    nano: int
    resets_at: int | None

    @property
    def label(self) -> str:
        """For readers: `$5.00 a day for user=ann`."""
        each, tags = self.budget.each, [f"{name}={value}" for name, value in self.budget.tags]
        if each is not None:
            tags.append(f"calls without {each}" if self.value is None else f"{each}={self.value}")
        amount = f"{dollars(self.nano)} {_SPANS[self.budget.window]}"
        return f"{amount} for {', '.join(tags)}" if tags else amount


@dataclass(frozen=True, slots=True)
class Standing:
    """How a limit stands, in nano-USD.

    Attributes:
        spent: Known to be spent.
        held: Reserved by attempts that are under way.
        unsettled: May have been spent on top by attempts whose cost is not exact, or whose process died.
    """

    spent: int = 0
    held: int = 0
    unsettled: int = 0

    @property
    def used(self) -> int:
        """All of it: what a limit is compared with."""
        return self.spent + self.held + self.unsettled

    @property
    def gone(self) -> int:
        """What will not come back as attempts end."""
        return self.spent + self.unsettled

    def moved(self, *, spent: int = 0, held: int = 0, unsettled: int = 0) -> Standing:
        """How it stands when these are added."""
        return Standing(self.spent + spent, self.held + held, self.unsettled + unsettled)


@dataclass(frozen=True, slots=True)
class BudgetState:
    """How a budget stands now.

    Attributes:
        budget: Which one.
        limit: USD.
        spent: USD known to be spent in this window.
        held: USD reserved by attempts that are under way.
        unsettled: USD that may have been spent on top, by attempts whose cost is not exact or whose process died.
        resets_at: When the next window begins, in UTC; None for a run.
        label: For readers: `$5.00 a day for user=ann`.
    """

    budget: Budget
    limit: Decimal
    spent: Decimal
    held: Decimal
    unsettled: Decimal
    resets_at: datetime | None
    label: str

    @classmethod
    def of(cls, limit: Limit, standing: Standing) -> BudgetState:
        """How a limit stands."""
        return cls(
            limit.budget,
            usd(limit.nano),
            usd(standing.spent),
            usd(standing.held),
            usd(standing.unsettled),
            None if limit.resets_at is None else datetime.fromtimestamp(limit.resets_at, UTC),
            limit.label,
        )

    @property
    def left(self) -> Decimal:
        """USD that may still be reserved; never negative."""
        return max(Decimal(0), self.limit - self.spent - self.held - self.unsettled)

    def __str__(self) -> str:
        return f"{self.label}: ${self.left} left, ${self.spent} spent, ${self.held} held, ${self.unsettled} unsettled"


@dataclass(frozen=True, slots=True)
class BudgetWarning:
    """A budget has crossed one of its shares, or an attempt has cost more than its bound.

    Attributes:
        budget: For readers: `$5.00 a day for user=ann`.
        share: The share that was crossed; where a bound was exceeded, the share that is used up now.
        limit: USD.
        spent: USD known to be spent.
        held: USD reserved by attempts that are under way.
        unsettled: USD that may have been spent on top.
        kind: `threshold`, or `over_bound`.
        model: The model of the attempt.
    """

    budget: str
    share: Decimal
    limit: Decimal
    spent: Decimal
    held: Decimal
    unsettled: Decimal
    kind: str
    model: str

    @classmethod
    def of(cls, limit: Limit, standing: Standing, share: Decimal, kind: str, model: str) -> BudgetWarning:
        """Tell of a limit as it stands."""
        spent, held, unsettled = usd(standing.spent), usd(standing.held), usd(standing.unsettled)
        return cls(limit.label, share, usd(limit.nano), spent, held, unsettled, kind, model)

    def __str__(self) -> str:
        if self.kind == "over_bound":
            return f"an attempt at {self.model} cost more than its bound under the budget of {self.budget}"
        return f"{self.share:%} of the budget of {self.budget} is used up"


class Refused(Exception):
    """A budget refuses an attempt; nothing was sent and nothing written.

    Attributes:
        limit: Which one.
        standing: How it stands.
        needed: Nano-USD the attempt may cost at most; None when it has no bound.
        why: Empty when there is too little left; else what keeps the budget from being kept, and what to do.
    """

    def __init__(self, limit: Limit, standing: Standing, needed: int | None, why: str = "") -> None:
        super().__init__(limit, standing, needed, why)
        self.limit, self.standing, self.needed, self.why = limit, standing, needed, why

    def __str__(self) -> str:
        name = f"the budget of {self.limit.label}"
        if self.why:
            return f"{name} {self.why}."
        left = dollars(max(0, self.limit.nano - self.standing.used))
        stands = ", ".join(f"{dollars(getattr(self.standing, kind))} {kind}" for kind in Standing.__slots__)
        later = "" if self.limit.resets_at is None else f", or wait until {_moment(self.limit.resets_at)} UTC"
        return (
            f"{name} has {left} left ({stands}) and this call may cost {dollars(self.needed or 0)}; "
            f"lower max_tokens, allow a cheaper model, raise the budget{later}."
        )

    def error(self) -> BudgetExceeded:
        """What the user is told."""
        resets_at = None if self.limit.resets_at is None else datetime.fromtimestamp(self.limit.resets_at, UTC)
        return BudgetExceeded(
            str(self),
            budget=self.limit.label,
            limit=usd(self.limit.nano),
            spent=usd(self.standing.spent),
            held=usd(self.standing.held),
            unsettled=usd(self.standing.unsettled),
            needed=None if self.needed is None else usd(self.needed),
            resets_at=resets_at,
        )


def limits_for(budgets: Iterable[Budget], entry: Entry, run: str) -> tuple[Limit, ...]:
    """Every limit an attempt falls under."""
    return tuple(limit for budget in budgets if (limit := budget.limit_for(entry, run)) is not None)


def checked_budgets(given: Budget | Iterable[Budget]) -> tuple[Budget, ...]:
    """The budgets of a Router.

    Raises:
        ConfigurationError: for anything else, or two for the same calls and window.
    """
    if isinstance(given, Budget):
        given = (given,)
    if isinstance(given, (str, Mapping)) or not isinstance(given, Iterable):
        raise ConfigurationError(f"budgets is a {type(given).__name__}; give a list such as [hfrouter.Budget('5.00')].")
    budgets = tuple(given)
    for budget in budgets:
        if not isinstance(budget, Budget):
            raise ConfigurationError(
                f"budgets holds a {type(budget).__name__}; give hfrouter.Budget('5.00') or the like."
            )
    if len({(budget.name, budget.window, budget.tags, budget.each) for budget in budgets}) < len(budgets):
        raise ConfigurationError("two budgets count the same calls in the same window; keep the smaller one.")
    return budgets


@functools.lru_cache(maxsize=64)
def _period(window: Window, days: int) -> tuple[str, int | None]:
    """The name of a day or month so many days after 1970, and when the next one begins in Unix seconds."""
    if window == "run":
        return "", None
    day = _EPOCH + timedelta(days=days)
    if window == "day":
        return f"day {day:%Y-%m-%d}", int((day + timedelta(days=1)).timestamp())
    month = day.replace(day=1)
    return f"month {month:%Y-%m}", int((month + timedelta(days=32)).replace(day=1).timestamp())


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def _number(field: str, value: object, most: int, unit: str) -> Decimal:
    known = isinstance(value, (str, Decimal, Real)) and not isinstance(value, bool)
    try:
        number = Decimal(str(value).strip()) if known else Decimal("NaN")
    except (InvalidOperation, ValueError):  # no number, or more digits than Python converts
        number = Decimal("NaN")
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or number.is_signed() or number > most or exponent < -9:
        shown = repr(value[:20]) if isinstance(value, str) else f"a {type(value).__name__} that is none"
        raise ConfigurationError(
            f"Budget.{field} must be a number from 0 to {most} {unit} with at most 9 decimals, not {shown}."
        )
    return number

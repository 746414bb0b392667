"""The user's limits and preferences for a call, frozen and checked when made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hfrouter.errors import ConfigurationError

Usd = int | float | str | Decimal
StrategyName = Literal["balanced", "cheapest", "fastest", "in_order"]


def _names(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("should be a number, not a bool")  # noqa: TRY004 (the type pydantic turns into a reason)
    return value


Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_names)]
Seconds = Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]
UsdPerMillion = Annotated[Decimal, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise _configuration_error(type(self), error) from None


class MaxPrice(_Frozen):
    """Caps in USD per million tokens; a target whose price is not known does not pass a cap."""

    input: UsdPerMillion | None = None
    output: UsdPerMillion | None = None

    if TYPE_CHECKING:  # what may be given is wider than what is kept

        def __init__(self, *, input: Usd | None = None, output: Usd | None = None) -> None: ...  # noqa: A002 (the field)

    @classmethod
    def read(cls, value: Any) -> MaxPrice | None:
        """One number caps both; OpenRouter's `prompt` and `completion` are accepted for `input` and `output`."""
        if value is None or isinstance(value, cls):
            return value
        names = {"prompt": "input", "completion": "output"}
        caps: dict[str, Any] = {"input": value, "output": value}
        if isinstance(value, Mapping):
            caps = {names.get(key, str(key)): price for key, price in value.items()}
        elif isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
            raise ValueError("should be a number or a mapping such as {'input': 1, 'output': 2}")  # noqa: TRY004
        return cls(**caps)


class Policy(_Frozen):
    """The limits and preferences of a call. Durations are seconds, prices USD per million tokens.

    Attributes:
        models: Models to fall back to, in order, after the one the call names.
        strategy: How eligible targets of a model are ordered: `balanced` (price, speed and reliability in one score),
            `cheapest`, `fastest` or `in_order` (as listed).
        order: Providers to try first, in this order.
        only: Providers allowed; empty means all.
        ignore: Providers never used.
        max_price: Price caps. One number caps input and output alike.
        attempts: Attempts a call may make, at most 4.
        deadline: From the call to the commit of its answer.
        first_content: From the launch of an attempt to its first content, while another target is left.
        idle: Between two content events; None means 20, or 60 when the request has tools or a schema
            (a provider may send a whole tool call as one event).
        connect: To open a connection.
        hedge: Whether a streamed attempt that stays silent for longer than usual gets a rival at another provider. It
            may add 10 % of the calls and 3 % of the money.
        commit_on: `any` content commits a stream, or only the `answer`, so that reasoning can still be taken back.
        upstream: `auto` asks for a stream and assembles it, except for short or special requests; or always
            `stream`, or always `unary`.

    Raises:
        ConfigurationError: for an unknown field or a value out of range.

    >>> Policy(only="groq", max_price=0.5).max_price
    MaxPrice(input=Decimal('0.5'), output=Decimal('0.5'))
    """

    models: Names = ()
    strategy: StrategyName = "balanced"
    order: Names = ()
    only: Names = ()
    ignore: Names = ()
    max_price: Annotated[MaxPrice | None, BeforeValidator(MaxPrice.read)] = None
    attempts: Annotated[int, BeforeValidator(_number), Field(ge=1, le=4)] = 4
    deadline: Seconds = 120.0
    first_content: Seconds = 12.0
    idle: Seconds | None = None
    connect: Seconds = 5.0
    hedge: bool = False
    commit_on: Literal["any", "answer"] = "any"
    upstream: Literal["auto", "stream", "unary"] = "auto"

    if TYPE_CHECKING:  # what may be given is wider than what is kept

        def __init__(
            self,
            *,
            models: str | Sequence[str] = (),
            strategy: StrategyName = "balanced",
            order: str | Sequence[str] = (),
            only: str | Sequence[str] = (),
            ignore: str | Sequence[str] = (),
            max_price: MaxPrice | Usd | Mapping[str, Usd] | None = None,
            attempts: int = 4,
            deadline: float = 120.0,
            first_content: float = 12.0,
            idle: float | None = None,
            connect: float = 5.0,
            hedge: bool = False,
            commit_on: Literal["any", "answer"] = "any",
            upstream: Literal["auto", "stream", "unary"] = "auto",
        ) -> None: ...

    def with_(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked like a new one; None leaves a field as it is."""
        fields = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self)(**fields | {name: value for name, value in changes.items() if value is not None})

    def for_request(
        self, *, models: Any = None, provider: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> Self:
        """This policy with a call's own overrides, named as in OpenRouter's requests.

        Args:
            models: Replaces `models`.
            provider: `order`, `only`, `ignore`, `sort` (`price`, `throughput`, `latency`) and `max_price`.
            timeout: Replaces `deadline`.
        """
        if provider is not None and not isinstance(provider, Mapping):
            raise ConfigurationError(
                f"provider is a {type(provider).__name__}; give a mapping such as {{'only': ['groq']}}."
            )
        wishes = dict(provider or {})
        sort = wishes.pop("sort", None)
        if sort is not None and (not isinstance(sort, str) or sort not in _SORTS):
            raise ConfigurationError(
                f"provider.sort {_shown(sort)} is not known; use one of {', '.join(map(repr, _SORTS))}."
            )
        if unknown := set(wishes) - {"order", "only", "ignore", "max_price"}:
            raise ConfigurationError(
                f"provider.{min(map(str, unknown))} is not known; use order, only, ignore, sort or max_price."
            )
        strategy = _SORTS[sort] if sort else None
        if models is None and strategy is None and timeout is None and not wishes:
            return self
        return self.with_(models=models, strategy=strategy, deadline=timeout, **wishes)


_SORTS: dict[str, StrategyName] = {"price": "cheapest", "throughput": "fastest", "latency": "fastest"}


def _configuration_error(cls: type[BaseModel], error: ValidationError) -> ConfigurationError:
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigurationError):
        return cause  # a part of the policy has already said what is wrong
    name = ".".join(str(part) for part in first["loc"]) or cls.__name__
    if first["type"] == "extra_forbidden":
        near = get_close_matches(name, cls.model_fields, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the fields are {', '.join(sorted(cls.model_fields))}."
        return ConfigurationError(f"{cls.__name__} has no field {_shown(name)}; {hint}")
    reason = re.sub("^(Input|String|Value error,) ", "", first["msg"]).replace("tuple", "list of names")
    given = "" if isinstance(first["input"], Mapping) else f" {_shown(first['input'])}"
    return ConfigurationError(f"{cls.__name__}.{name}{given} is not usable: it {reason[0].lower()}{reason[1:]}.")


def _shown(value: object) -> str:
    """A value as a reader wrote it, or at least its kind; never a page of it."""
    if value is None or isinstance(value, (str, float, Decimal)) or (isinstance(value, int) and abs(value) < 10**40):
        return repr(str(value)[:40])
    return f"(a {type(value).__name__})"

"""Prices the user knows better than the catalogue: a contract, an endpoint of one's own, an embedding model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from numbers import Real
from typing import Any, TypeAlias

from hfrouter.cost.price import Price
from hfrouter.errors import ConfigurationError
from hfrouter.routing.target import ModelId, Target

# As in the catalogue: no model costs a dollar a token, and no price needs more than a billionth of a nano-dollar.
_MOST, _FINEST = 1_000_000, -12
_NAN = Decimal("NaN")
_KINDS = ("input", "output", "cached")

Amount: TypeAlias = "int | str | Decimal"  # a number such as 0.1 is taken as it is written, too
Given: TypeAlias = "Mapping[str, Any] | Sequence[Any] | Price"


class Overrides:
    """The user's prices by model, or by model and provider; the more exact key wins.

    Args:
        prices: `org/name` or `org/name:provider` to `(input, output)`, to a mapping of `input`, `output` and perhaps
            `cached`, or to a `Price`; in USD per million tokens.

    Raises:
        ConfigurationError: for a key that names no model, or a price that is none.

    >>> rows = Overrides({"openai/gpt-oss-20b": ("0.1", "0.5")}).applied([Target("openai/gpt-oss-20b", "together")])
    >>> rows[0].input_price, rows[0].price_source
    (Decimal('0.1'), 'user')
    """

    def __init__(self, prices: Mapping[str, Given] | None = None) -> None:
        if prices is not None and not isinstance(prices, Mapping):
            raise ConfigurationError(
                f"prices is a {type(prices).__name__}; give a mapping such as {{'org/name:provider': ('0.1', '0.5')}}."
            )
        self._prices: dict[str, Price] = {}
        for key, given in (prices or {}).items():
            model = ModelId.parse(key)
            if model.suffix:
                raise ConfigurationError(f"prices[{key!r}] names no provider; use 'org/name' or 'org/name:provider'.")
            self._prices[str(model)] = _price(f"prices[{key!r}]", given)

    def __bool__(self) -> bool:
        return bool(self._prices)

    def apply(self, target: Target) -> Target:
        """A target with the user's prices, or as it is. The user's own endpoints keep theirs unless they are named."""
        price = self._prices.get(target.id) or (None if target.url else self._prices.get(target.model))
        if price is None:
            return target
        return replace(
            target,
            input_price=price.input,
            output_price=price.output,
            cached_price=price.cached,
            is_free=price.input == price.output == 0,
            price_source="user",
        )

    def targets(self, model: str) -> tuple[Target, ...]:
        """A target for each of the user's prices of a model."""
        ids = [ModelId.parse(key) for key in self._prices]
        return tuple(self.apply(Target(model, of.provider or "")) for of in ids if of.model == model)

    def applied(self, targets: Iterable[Target]) -> tuple[Target, ...]:
        """Targets with the user's prices, in the same order."""
        return tuple(map(self.apply, targets)) if self._prices else tuple(targets)


def _price(name: str, given: object) -> Price:
    if isinstance(given, Price):
        given = {"input": given.input, "output": given.output, "cached": given.cached}
    if isinstance(given, Sequence) and not isinstance(given, (str, bytes)) and len(given) == 2:
        given = dict(zip(_KINDS, given, strict=False))
    if not isinstance(given, Mapping) or not {"input", "output"} <= set(given) <= set(_KINDS):
        raise ConfigurationError(
            f"{name} is not usable; give (input, output) in USD per million tokens, or a mapping with "
            "'input', 'output' and perhaps 'cached'."
        )
    amounts = {kind: _amount(f"{name}.{kind}", value) for kind, value in given.items() if value is not None}
    if "input" not in amounts or "output" not in amounts:
        raise ConfigurationError(f"{name} has no number for input or output; leave out a price that is not known.")
    if amounts.get("cached", amounts["input"]) > amounts["input"]:
        raise ConfigurationError(f"{name}.cached is over the price of other input; a cached token costs no more.")
    return Price(amounts["input"], amounts["output"], "user", cached=amounts.get("cached"))


def _amount(name: str, value: object) -> Decimal:
    """USD per million tokens, as it was written: 0.1 is a tenth, whatever its binary digits."""
    try:
        known = isinstance(value, (str, Decimal, Real)) and not isinstance(value, bool)
        amount = Decimal(str(value).strip()) if known else _NAN
    except (InvalidOperation, ValueError):  # no number, or more digits than Python converts
        amount = _NAN
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or amount.is_signed() or amount > _MOST or exponent < _FINEST:
        shown = repr(value[:20]) if isinstance(value, str) else f"a {type(value).__name__} that is none"
        raise ConfigurationError(
            f"{name} must be a number of USD per million tokens from 0 to {_MOST}, with at most {-_FINEST} decimals, "
            f"not {shown}."
        )
    return Decimal(f"{amount:f}")

"""Money: prices, costs and totals. Integer nano-USD inside, `Decimal` outside, no float anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal, localcontext

from hfrouter.cost.usage import Usage
from hfrouter.routing.target import Target

NANO = Decimal(10) ** 9
# A price in USD per million tokens times tokens gives micro-USD: a thousand nano-USD each.
_NANO_PER_MICRO = 1000
# Ours, since the caller's decimal context may round to any precision: wide enough for any price times any count.
_EXACT = Context(prec=100)


@dataclass(frozen=True, slots=True)
class Price:
    """Money per token of one target at one moment.

    Attributes:
        input: USD per million input tokens.
        output: USD per million output tokens.
        source: Where it was read: `catalogue`, or `user`.
        at: Wall-clock seconds since 1970, whole, when the source was read; 0 when not known.

    Raises:
        ValueError: for a price that is negative, not finite or no `Decimal`.
    """

    input: Decimal
    output: Decimal
    source: str = "catalogue"
    at: int = 0

    def __post_init__(self) -> None:
        for price in (self.input, self.output):
            if not isinstance(price, Decimal) or not price.is_finite() or price < 0:
                raise ValueError(f"a price is a Decimal of USD per million tokens, 0 or more, not {price!r}")

    @classmethod
    def of(cls, target: Target, at: int = 0) -> Price | None:
        """The price of a catalogue row, or None when it lists none.

        A missing price is not a free one, and neither is 0/0 in a row that does not say that it is free: catalogues
        write 0 where nothing was filled in (see `routing/rows.py`).

        >>> Price.of(Target("openai/gpt-oss-20b", "groq")) is None
        True
        """
        if target.is_free:
            return cls(Decimal(0), Decimal(0), at=at)
        if target.input_price is None or target.output_price is None or target.input_price == target.output_price == 0:
            return None
        return cls(target.input_price, target.output_price, at=at)

    def nano_usd(self, input_tokens: int, output_tokens: int, *, up: bool = False) -> int:
        """Nano-USD for so many tokens, rounded once: half-even, or up for a bound.

        >>> Price(Decimal("0.1"), Decimal("0.5")).nano_usd(1522, 34)
        169200
        """
        with localcontext(_EXACT):
            exact = (self.input * input_tokens + self.output * output_tokens) * _NANO_PER_MICRO
            return int(exact.to_integral_value(ROUND_CEILING if up else ROUND_HALF_EVEN))


@dataclass(frozen=True, slots=True)
class Cost:
    """What an attempt cost: a known amount, or bounds and the reason why it is not exact. Never a silent zero.

    Attributes:
        lower: Nano-USD it cost at least.
        upper: Nano-USD it cost at most; None when there is no bound.
        reason: Empty when exact by price and usage; else why it is zero, or why it is not exact.
    """

    lower: int
    upper: int | None
    reason: str = ""

    @property
    def exact(self) -> bool:
        """Whether the amount is known."""
        return self.lower == self.upper

    @property
    def usd(self) -> Decimal | None:
        """The known amount in USD, or None.

        >>> Cost(169200, 169200).usd
        Decimal('0.0001692')
        """
        return usd(self.lower) if self.exact else None

    def __str__(self) -> str:
        """`$0.0001692`, `$0.0001 to $0.0002`, or `n/a`."""
        if self.exact:
            return dollars(self.lower)
        return "n/a" if self.upper is None else f"{dollars(self.lower)} to {dollars(self.upper)}"

    @classmethod
    def of(cls, usage: Usage | None, price: Price | None, bound: tuple[int, int] | None = None) -> Cost:
        """The cost of an answered attempt.

        Args:
            usage: Tokens reported, or None.
            price: The price of the provider that served, or None.
            bound: (input, output) tokens it cannot have exceeded, used when no usage was reported.
        """
        if price is None:
            return cls(0, None, "no price in the catalogue")
        if price.input == 0 and price.output == 0:
            return cls(0, 0, "free")
        if usage is None:
            upper = price.nano_usd(*bound, up=True) if bound else None
            return cls(0, upper, "no usage reported")
        full = price.nano_usd(usage.input_tokens, usage.output_tokens)
        least = price.nano_usd(usage.input_tokens - (usage.cached_tokens or 0), usage.output_tokens)
        return cls(least, full, "cached tokens without a cache price" if least < full else "")

    @classmethod
    def refused(cls, status: int) -> Cost:
        """An error status costs nothing: only 2xx and 3xx are billed (Hugging Face, register-as-a-provider)."""
        return cls(0, 0, f"status {status} is not billed")

    @classmethod
    def broken(cls, price: Price | None, bound: tuple[int, int], reason: str) -> Cost:
        """An attempt that was sent and never ended well: anything between nothing and the bound."""
        if price is None:
            return cls(0, None, f"{reason}; no price in the catalogue")
        upper = price.nano_usd(*bound, up=True)
        return cls(0, upper, reason if upper else "free")


UNSENT = Cost(0, 0, "nothing was sent")


@dataclass(frozen=True, slots=True)
class Total:
    """A sum that does not hide what it does not know.

    Attributes:
        known: Nano-USD of the exact costs.
        unknown: How many costs are not exact.
        lower: Nano-USD of everything at least.
        upper: Nano-USD of everything at most; None when one of them has no bound.
    """

    known: int
    unknown: int
    lower: int
    upper: int | None

    @classmethod
    def of(cls, costs: Iterable[Cost]) -> Total:
        """Add up costs.

        >>> str(Total.of([Cost(1000, 1000), Cost(0, None, "no price in the catalogue")]))
        '$0.000001 + 1 unknown'
        """
        known = unknown = lower = 0
        upper: int | None = 0
        for cost in costs:
            lower += cost.lower
            upper = None if upper is None or cost.upper is None else upper + cost.upper
            if cost.exact:
                known += cost.lower
            else:
                unknown += 1
        return cls(known, unknown, lower, upper)

    @property
    def usd(self) -> Decimal | None:
        """The sum in USD when every part is known, else None."""
        return usd(self.known) if not self.unknown else None

    def __str__(self) -> str:
        if not self.unknown:
            return dollars(self.known)
        if self.upper is not None:
            return f"{dollars(self.lower)} to {dollars(self.upper)} ({self.unknown} not exact)"
        return f"{dollars(self.lower)} + {self.unknown} unknown" if self.lower else f"n/a ({self.unknown} unknown)"


def usd(nano: int) -> Decimal:
    """Nano-USD as USD, to the last digit whatever the caller's decimal context."""
    with localcontext(_EXACT):
        return nano / NANO


def dollars(nano: int) -> str:
    """Nano-USD, 0 or more, as dollars without exponent or trailing zeros beyond cents.

    >>> dollars(169200), dollars(0), dollars(1_500_000_000)
    ('$0.0001692', '$0.00', '$1.50')
    """
    whole, fraction = divmod(nano, 10**9)
    digits = f"{fraction:09d}".rstrip("0")
    return f"${whole}.{digits:0<2}"

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
        catalogue: The first 16 hex digits of the SHA-256 of the catalogue document it was read from, or None.
        cached: USD per million input tokens served from a cache; None when not known, as in every catalogue.

    Raises:
        ValueError: for a price that is negative, not finite or no `Decimal`, or a cached one above the input's.
    """

    input: Decimal
    output: Decimal
    source: str = "catalogue"
    at: int = 0
    catalogue: str | None = None
    cached: Decimal | None = None

    def __post_init__(self) -> None:
        for price in (self.input, self.output) if self.cached is None else (self.input, self.output, self.cached):
            if not isinstance(price, Decimal) or not price.is_finite() or price < 0:
                raise ValueError(f"a price is a Decimal of USD per million tokens, 0 or more, not {price!r}")
        if self.cached is not None and self.cached > self.input:  # every bound counts on it
            raise ValueError(f"a cached token costs no more than another, and {self.cached} is over {self.input}")

    @classmethod
    def of(cls, target: Target, at: int = 0, catalogue: str | None = None) -> Price | None:
        """The price of a catalogue row, or None when it lists none.

        A missing price is not a free one, and neither is 0/0 in a row that does not say that it is free: catalogues
        write 0 where nothing was filled in (see `routing/rows.py`).

        Args:
            target: The row, perhaps with the prices of the user.
            at: When the catalogue was read.
            catalogue: The hash of its document.

        >>> Price.of(Target("openai/gpt-oss-20b", "groq")) is None
        True
        """
        if target.price_source != "catalogue":
            at, catalogue = 0, None
        if target.is_free:
            return cls(Decimal(0), Decimal(0), target.price_source, at, catalogue)
        if target.input_price is None or target.output_price is None or target.input_price == target.output_price == 0:
            return None
        return cls(
            target.input_price, target.output_price, target.price_source, at, catalogue, cached=target.cached_price
        )

    def nano_usd(self, input_tokens: int, output_tokens: int, *, cached_tokens: int = 0, up: bool = False) -> int:
        """Nano-USD for so many tokens, rounded once: half-even, or up for a bound.

        Args:
            input_tokens: Cached ones included.
            output_tokens: Reasoning included.
            cached_tokens: The part of the input at the cached price; where that is not known, they cost nothing here.
            up: Round up.

        >>> Price(Decimal("0.1"), Decimal("0.5")).nano_usd(1522, 34)
        169200
        """
        with localcontext(_EXACT):
            exact = self.input * (input_tokens - cached_tokens) + self.output * output_tokens
            exact = (exact + (self.cached or 0) * cached_tokens) * _NANO_PER_MICRO
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
        least = price.nano_usd(usage.input_tokens, usage.output_tokens, cached_tokens=usage.cached_tokens or 0)
        full = least if price.cached is not None else price.nano_usd(usage.input_tokens, usage.output_tokens)
        reason = "cached tokens without a cache price" if least < full else ""
        if not usage.unexplained:
            return cls(least, full, reason)
        # Of which kind the tokens are that the total has too many or too few, nobody says: each may cost the most.
        dearest = max(price.input, price.output)
        doubt = Price(dearest, dearest).nano_usd(abs(usage.unexplained), 0, up=True)
        if usage.unexplained < 0:
            least, doubt = max(0, least - doubt), 0
        return cls(least, full + doubt, "the tokens reported do not add up to their total")

    @classmethod
    def refused(cls, status: int) -> Cost:
        """An error status costs nothing: only 2xx and 3xx are billed (Hugging Face, register-as-a-provider)."""
        return cls(0, 0, f"status {status} is not billed")

    @classmethod
    def broken(cls, price: Price | None, bound: tuple[int, int] | None, reason: str) -> Cost:
        """An attempt that was sent and never ended well: anything between nothing and the bound, if there is one."""
        if price is None:
            return cls(0, None, f"{reason}; no price in the catalogue")
        if price.input == 0 and price.output == 0:
            return cls(0, 0, "free")
        upper = price.nano_usd(*bound, up=True) if bound else None
        return cls(0, upper, "free" if upper == 0 else reason)


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


def nano_of(amount: Decimal, each: int = 10**9) -> int:
    """USD, or units of so many nano-USD each, as nano-USD; half-even.

    >>> nano_of(Decimal("0.0001692")), nano_of(Decimal("0.7"), 10_000_000)
    (169200, 7000000)
    """
    with localcontext(_EXACT):
        return int((amount * each).to_integral_value(ROUND_HALF_EVEN))


def dollars(nano: int) -> str:
    """Nano-USD, 0 or more, as dollars without exponent or trailing zeros beyond cents.

    >>> dollars(169200), dollars(0), dollars(1_500_000_000)
    ('$0.0001692', '$0.00', '$1.50')
    """
    whole, fraction = divmod(nano, 10**9)
    digits = f"{fraction:09d}".rstrip("0")
    return f"${whole}.{digits:0<2}"

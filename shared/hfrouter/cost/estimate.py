"""What a request may cost, before it is sent: likely, and at most."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from hfrouter.cost.price import Price, dollars, nano_of, usd
from hfrouter.cost.table import table
from hfrouter.routing.target import Target

# The chat template adds what the JSON does not show. Recorded: prompt tokens exceeded the bytes of messages, tools and
# schema in 20 of 82 exchanges, by at most 365 tokens, always with tools.
TEMPLATE_TOKENS = 1024
_NO_PRICE = "no price in the catalogue"
_IMAGES = "how many tokens an image has differs by model"


def input_bound(json_bytes: int) -> int:
    """Input tokens a request of so many bytes of JSON cannot exceed: no tokenizer makes more than a token of a byte.

    >>> input_bound(2_000)
    3024
    """
    return json_bytes + TEMPLATE_TOKENS


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a request may cost at one provider.

    Attributes:
        target: The catalogue row.
        input_tokens: Likely, from the bytes of the request; None with images.
        output_tokens: Likely: what is asked for, at most 1,000 for each choice; 500 when nothing is. None with images.
        likely: USD for these tokens; None when they or the price are not known.
        upper: USD it cannot exceed, which is what a budget holds back; None when there is no bound.
        reason: Empty, or why something is not known.
    """

    target: Target
    input_tokens: int | None
    output_tokens: int | None
    likely: Decimal | None
    upper: Decimal | None
    reason: str = ""

    @classmethod
    def of(cls, target: Target, tokens: tuple[int, int] | None, bound: tuple[int, int] | None) -> Self:
        """Estimate a request at a target.

        Args:
            target: The row, perhaps with the prices of the user.
            tokens: (input, output) that are likely; None when nobody can say.
            bound: (input, output) that it cannot exceed; None when there is no bound.
        """
        price, (given, made) = Price.of(target), tokens or (None, None)
        if price is None:
            return cls(target, given, made, None, None, _NO_PRICE)
        upper = usd(price.nano_usd(*bound, up=True)) if bound else None
        if tokens is None:
            return cls(target, given, made, None, upper, _IMAGES)
        return cls(target, given, made, usd(price.nano_usd(*tokens)), upper)

    def __str__(self) -> str:
        upper = "" if self.upper is None else f", at most {shown(self.upper)}"
        why = f" ({self.reason})" if self.reason else ""
        return f"{self.target} likely {shown(self.likely)}{upper}{why}"


class Estimates(tuple[Estimate, ...]):
    """Estimates in order of the likely cost, unknown ones last; printed as a table."""

    __slots__ = ()

    @classmethod
    def of(cls, estimates: Iterable[Estimate]) -> Self:
        """Estimates, put in order."""
        return cls(sorted(estimates, key=lambda estimate: (estimate.likely is None, estimate.likely or 0)))

    def __str__(self) -> str:
        return table(
            ("target", "input", "output", "likely", "at most", ""),
            [
                (e.target.id, _many(e.input_tokens), _many(e.output_tokens), shown(e.likely), shown(e.upper), e.reason)
                for e in self
            ],
        )


def _many(tokens: int | None) -> str:
    return "n/a" if tokens is None else f"{tokens:,}"


def shown(amount: Decimal | None) -> str:
    """An amount of USD as dollars, or `n/a`.

    >>> shown(Decimal("0.0001692")), shown(None)
    ('$0.0001692', 'n/a')
    """
    return "n/a" if amount is None else dollars(nano_of(amount))

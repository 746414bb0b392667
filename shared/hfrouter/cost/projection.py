"""What a workload costs over days, at the prices of today."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Self

from hfrouter.cost.estimate import shown
from hfrouter.cost.price import Price, usd
from hfrouter.cost.table import table
from hfrouter.errors import ConfigurationError
from hfrouter.routing.target import Target

_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_MOST = 10**15
_MOST_DAYS = 36_525


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests that come again and again.

    Attributes:
        input_tokens: Of one request.
        output_tokens: Of one request.
        requests: In each period.
        per: The period: `minute`, `hour`, `day` or `week`.
        days: How long it goes on.

    Raises:
        ConfigurationError: for anything else.
    """

    input_tokens: int
    output_tokens: int = 0
    requests: int = 1
    per: str = "day"
    days: int = 30

    def __post_init__(self) -> None:
        for name, least, most in (
            ("input_tokens", 0, _MOST),
            ("output_tokens", 0, _MOST),
            ("requests", 1, _MOST),
            ("days", 1, _MOST_DAYS),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ConfigurationError(f"{name} must be a whole number from {least} to {most}.")
        if self.per not in _SECONDS:
            raise ConfigurationError(f"per must be one of {', '.join(map(repr, _SECONDS))}.")

    @property
    def periods(self) -> Fraction:
        """How many periods there are in its days."""
        return Fraction(self.days * _SECONDS["day"], _SECONDS[self.per])


@dataclass(frozen=True, slots=True)
class Projection:
    """What a workload costs at one provider.

    Attributes:
        target: The catalogue row.
        workload: What was asked.
        usd: USD for all its days, exact to a billionth; None when the price is not known.
        reason: Empty, or why it is not known.
    """

    target: Target
    workload: Workload
    usd: Decimal | None
    reason: str = ""

    @classmethod
    def of(cls, target: Target, workload: Workload) -> Self:
        """Project a workload.

        >>> row = Target("a/b", "p", input_price=Decimal("0.90"), output_price=Decimal("0.90"))
        >>> print(Projection.of(row, Workload(input_tokens=1_000_000)))
        a/b:p $27.00 in 30 days
        """
        price = Price.of(target)
        if price is None:
            return cls(target, workload, None, "no price in the catalogue")
        # USD per million tokens are micro-USD per token: a thousand nano-USD.
        request = Fraction(price.input) * workload.input_tokens + Fraction(price.output) * workload.output_tokens
        return cls(target, workload, usd(round(request * 1000 * workload.requests * workload.periods)))

    def __str__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        return f"{self.target} {shown(self.usd)} in {self.workload.days} days{why}"


class Projections(tuple[Projection, ...]):
    """Projections, the cheapest first and unknown ones last; printed as a table."""

    __slots__ = ()

    @classmethod
    def of(cls, targets: Iterable[Target], workload: Workload) -> Self:
        """Project a workload at each target."""
        rows = [Projection.of(target, workload) for target in targets]
        return cls(sorted(rows, key=lambda row: (row.usd is None, row.usd or 0)))

    def __str__(self) -> str:
        days = f"{self[0].workload.days} days" if self else ""
        return table(("target", days, ""), [(row.target.id, shown(row.usd), row.reason) for row in self])

"""What the Hugging Face account has spent and has left, as an undocumented endpoint tells: read with care."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from typing import Self

from hfrouter.cost.estimate import shown
from hfrouter.cost.price import usd

# Below a tenth a warning is due. Nobody's bill has a billion dollars: a larger figure is a broken report.
_WARN_BELOW = Decimal("0.1")
_ABSURD = 10**18
_SHARE = Context(prec=4)
_OTHER_SHAPE = "the billing endpoint of Hugging Face has another shape than expected"


@dataclass(frozen=True, slots=True)
class CreditsWarning:
    """Little is left, and calls will be refused (402 or 403) when nothing is.

    Attributes:
        left: USD that may still be spent.
        used: USD spent in this period.
        limit: USD that may be spent in this period.
        share: `left` as a part of `limit`, from 0 to 0.1.
    """

    left: Decimal
    used: Decimal
    limit: Decimal
    share: Decimal

    def __str__(self) -> str:
        return f"{shown(self.left)} of {shown(self.limit)} left at Hugging Face ({self.share:.0%})"


@dataclass(frozen=True, slots=True)
class Credits:
    """The account's credits in this period. What Hugging Face does not tell is None; credits bought ahead it does not.

    Attributes:
        used: USD spent on Inference Providers.
        included: USD that the plan includes.
        limit: USD that may be spent, included ones among them; None when there is no limit, or none is told.
        left: USD up to the limit, or of the included ones where there is no limit; never below 0.
        requests: How many requests that were.
        period_start: When the period began.
        period_end: When it ends, and the credits are new.
        reason: Empty, or why something is not known.
    """

    used: Decimal | None = None
    included: Decimal | None = None
    limit: Decimal | None = None
    left: Decimal | None = None
    requests: int | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    reason: str = ""

    @classmethod
    def read(cls, answer: object) -> Self:
        """Read the answer of `usage-v2`, whatever is left of the shape that is known.

        >>> told = {"usedNanoUsd": 1_950_000_000, "includedNanoUsd": 2_000_000_000, "limitNanoUsd": None}
        >>> credits = Credits.read({"usage": {"inferenceProviders": told}})
        >>> print(credits.left, credits.warning)
        0.05 $0.05 of $2.00 left at Hugging Face (2%)
        """
        usage = answer.get("usage") if isinstance(answer, Mapping) else None
        told = usage.get("inferenceProviders") if isinstance(usage, Mapping) else None
        if not isinstance(told, Mapping):
            return cls(reason=_OTHER_SHAPE)
        used, included, limit = (_amount(told.get(f"{name}NanoUsd")) for name in ("used", "included", "limit"))
        limit = limit or None  # 0 is told where none is set, beside more that is used (seen 2025-09)
        most = included if limit is None else limit
        reason = _OTHER_SHAPE if used is None else "" if most is not None else "neither credits nor a limit are listed"
        return cls(
            used=used,
            included=included,
            limit=limit,
            left=None if used is None or most is None else max(most - used, Decimal(0)),
            requests=_count(told.get("numRequests")),
            period_start=_moment(told.get("periodStart")),
            period_end=_moment(told.get("periodEnd")),
            reason=reason,
        )

    @property
    def warning(self) -> CreditsWarning | None:
        """A warning when less than a tenth is left, else None."""
        most = self.included if self.limit is None else self.limit
        if self.left is None or self.used is None or most is None or not self.left < most * _WARN_BELOW:
            return None
        return CreditsWarning(self.left, self.used, most, _SHARE.divide(self.left, most))

    def __str__(self) -> str:
        if self.used is None:
            return f"credits are not known: {self.reason}"
        end = f", until {self.period_end:%Y-%m-%d}" if self.period_end else ""
        why = f" ({self.reason})" if self.reason else ""
        return f"{shown(self.used)} used, {shown(self.left)} left{end}{why}"


def _amount(value: object) -> Decimal | None:
    """Nano-USD of the answer as USD, or None."""
    whole = _count(value)
    return None if whole is None else usd(whole)


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    if isinstance(value, Decimal) and (not value.is_finite() or value.adjusted() > 18):
        return None
    whole = int(value)
    return whole if whole == value and 0 <= whole < _ABSURD else None


def _moment(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None

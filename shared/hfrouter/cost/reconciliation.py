"""The ledger beside Hugging Face's own bill: what agrees, what differs, and what only one of the two knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Self

from hfrouter.cost.credits import Credits
from hfrouter.cost.estimate import shown
from hfrouter.cost.ledger import Entry
from hfrouter.cost.price import Total, nano_of, usd
from hfrouter.cost.table import table

# A bill is complete after half an hour: the router asks providers every minute, and what they do not tell by then is
# free (Hugging Face, register-as-a-provider).
SETTLED_AFTER = 30 * 60
_NANO_PER_CENT = 10**7
_MOST_CENTS = 10**11


@dataclass(frozen=True, slots=True)
class Billed:
    """What the bill says of a session.

    Attributes:
        nano_usd: As told, in nano-USD.
        rounding: Nano-USD by which it may have been rounded: half of the last digit told.
        requests: How many requests.
    """

    nano_usd: int = 0
    rounding: int = 0
    requests: int = 0


class OtherShape(ValueError):
    """The answer is not of the shape that is known."""


def read_sessions(answer: object) -> dict[str, Billed]:
    """The answer of `usage-by-inference-session`, by session, added up over its periods.

    Raises:
        OtherShape: it has another shape, or is not in USD.

    >>> session = {"id": "s1", "requestCount": 2, "costCents": Decimal("123.4")}
    >>> read_sessions({"currency": "USD", "periods": [{"sessions": [session]}]})
    {'s1': Billed(nano_usd=1234000000, rounding=500000, requests=2)}
    """
    if not isinstance(answer, Mapping) or answer.get("currency", "USD") != "USD":
        raise OtherShape
    found: dict[str, Billed] = {}
    for period in _mappings(answer.get("periods")):
        for session in _mappings(period.get("sessions")):
            name, billed = session.get("id"), _billed(session)
            if not isinstance(name, str):
                raise OtherShape
            known = found.get(name, Billed())
            found[name] = Billed(
                known.nano_usd + billed.nano_usd, known.rounding + billed.rounding, known.requests + billed.requests
            )
    return found


def _mappings(value: object) -> Iterator[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise OtherShape
    yield from value


def _billed(session: Mapping[str, Any]) -> Billed:
    cents, requests = session.get("costCents"), session.get("requestCount", 0)
    if isinstance(cents, bool) or not isinstance(cents, (int, Decimal)):
        raise OtherShape
    cents = Decimal(cents)
    if not cents.is_finite() or not 0 <= cents < _MOST_CENTS:
        raise OtherShape
    if isinstance(requests, bool) or not isinstance(requests, int) or requests < 0:
        raise OtherShape
    digits = -int(cents.as_tuple().exponent)
    half = _NANO_PER_CENT * 5 // 10 ** (min(max(digits, 0), 30) + 1)
    return Billed(nano_of(cents, _NANO_PER_CENT), max(half, 1), requests)


@dataclass(frozen=True, slots=True)
class Difference:
    """One session, or everything, in the ledger and on the bill.

    Attributes:
        session: The session id; None for everything.
        billed: USD on the bill; None when it is not on the bill, or not known.
        ledger: The attempts of the ledger; None when it has none of this session.
        difference: USD that the bill has more (or less, below 0) than the ledger's bounds and the bill's rounding
            explain; None when there is nothing to compare.
        requests: Requests on the bill.
        attempts: Attempts in the ledger that were answered, which are those that are billed.
    """

    session: str | None
    billed: Decimal | None
    ledger: Total | None
    difference: Decimal | None
    requests: int
    attempts: int

    @classmethod
    def of(cls, session: str | None, billed: Billed | None, rows: list[Entry]) -> Self:
        """Compare."""
        total = Total.of(row.cost for row in rows) if rows else None
        answered = sum(row.status is not None and row.status < 400 for row in rows)
        amount, requests = (None, 0) if billed is None else (usd(billed.nano_usd), billed.requests)
        if billed is None or total is None:
            return cls(session, amount, total, None, requests, answered)
        # Our rows are rounded once each, to a nano-dollar.
        over = _beyond(billed.nano_usd, total, billed.rounding + len(rows))
        return cls(session, amount, total, usd(over), requests, answered)

    @property
    def remark(self) -> str:
        """What there is to say, in a word or two."""
        if self.ledger is None:
            return "only on the bill"
        if self.billed is None:
            return "not on the bill"
        return "agrees" if not self.difference else "the bill has more" if self.difference > 0 else "the bill has less"


def _beyond(billed: int, total: Total, rounding: int) -> int:
    """Nano-USD by which the bill is outside the bounds; 0 within."""
    if total.upper is not None and billed > total.upper + rounding:
        return billed - total.upper
    return min(0, billed - total.lower) if billed < total.lower - rounding else 0


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The ledger beside the bill, for a span of time. Printed as a table.

    Attributes:
        since: When it begins.
        until: When it was asked.
        total: Everything of the account, calls of other programs and machines included.
        sessions: One for each session that has an id, those that differ first.
        exact: Attempts of the ledger whose cost is known.
        unknown: Attempts of the ledger that have bounds, or none.
        recent: Attempts so young that they may not be on the bill yet.
        reason: Empty, or what could not be read.
    """

    since: datetime
    until: datetime
    total: Difference
    sessions: tuple[Difference, ...]
    exact: int
    unknown: int
    recent: int
    reason: str

    @classmethod
    def of(
        cls,
        rows: Iterable[Entry],
        sessions: Mapping[str, Billed] | None,
        spent: Credits,
        *,
        since: int,
        until: int,
        reasons: Iterable[str] = (),
    ) -> Self:
        """Compare.

        Args:
            rows: Of the ledger.
            sessions: Of the bill; None when they could not be read.
            spent: What the account spent in this span; `used` None when that could not be read.
            since: Seconds since 1970: earlier rows are left out.
            until: Likewise, when the bill was asked.
            reasons: What could not be read.
        """
        mine = [row for row in rows if row.started_ms >= since * 1000]
        used = None if spent.used is None else Billed(nano_of(spent.used), 1, spent.requests or 0)
        return cls(
            since=datetime.fromtimestamp(since, UTC),
            until=datetime.fromtimestamp(until, UTC),
            total=Difference.of(None, used, mine),
            sessions=() if sessions is None else tuple(_sessions(mine, sessions)),
            exact=sum(row.cost.exact for row in mine),
            unknown=sum(not row.cost.exact for row in mine),
            recent=sum(row.started_ms >= (until - SETTLED_AFTER) * 1000 for row in mine),
            reason="; ".join(dict.fromkeys(filter(None, (*reasons, "" if spent.used is not None else spent.reason)))),
        )

    @property
    def agrees(self) -> bool:
        """Whether every session that is in both agrees, and none is on one side only."""
        return all(session.remark == "agrees" for session in self.sessions)

    def __str__(self) -> str:
        rows = [_cells(session.session or "", session) for session in self.sessions]
        lines = [
            f"since {self.since:%Y-%m-%d %H:%M} UTC: {self.exact + self.unknown} attempts in the ledger, "
            f"{self.exact} of known cost",
            table(("session", "bill", "ledger", "difference", ""), [*rows, _cells("everything", self.total)]),
        ]
        if self.recent:
            lines.append(f"{self.recent} attempts are younger than half an hour and may not be on the bill yet")
        return "\n".join([*lines, *([self.reason] if self.reason else [])])


def _sessions(rows: list[Entry], billed: Mapping[str, Billed]) -> list[Difference]:
    named: dict[str, list[Entry]] = {}
    for row in rows:
        if row.session is not None:
            named.setdefault(row.session, []).append(row)
    names = dict.fromkeys((*named, *billed))
    found = [Difference.of(name, billed.get(name), named.get(name, [])) for name in names]
    return sorted(found, key=lambda session: session.remark == "agrees")


def _cells(name: str, of: Difference) -> tuple[str, str, str, str, str]:
    ledger = "none" if of.ledger is None else str(of.ledger)
    sign = "-" if of.difference and of.difference < 0 else ""
    difference = "" if of.difference is None else sign + shown(abs(of.difference))
    billed = "n/a" if of.billed is None else shown(of.billed)
    return name[:40], billed, ledger, difference, of.remark

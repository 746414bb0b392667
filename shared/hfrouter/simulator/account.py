"""Whose money it is: charges by account, the credits that run out, and the limit that must not be passed."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from hfrouter.simulator import refusal
from hfrouter.simulator.log import Exchange
from hfrouter.simulator.refusal import Refusal

Money = Decimal | int | float | str
INCLUDED = Decimal("0.10")
"""USD a free account has each month, by the documentation of 2026; told by the billing endpoint when nothing is set."""
PLACEHOLDER = Decimal("0.01")
"""USD booked for a request whose cost is not settled yet, as observed in 2026-09."""


def money(value: Money | None) -> Decimal | None:
    """Return an amount of USD exactly as it is written.

    Raises:
        ValueError: It is negative, or no number.
    """
    if value is None:
        return None
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        raise ValueError(f"{value!r} is no amount of money.") from None
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"An amount of money is a number of at least 0, not {value!r}.")
    return amount


@dataclass(frozen=True, slots=True)
class Charge:
    """One billed request.

    Attributes:
        at: Unix time of the request.
        organization: Who pays when it is not the user.
        session: The `X-HF-Session-id` of the request.
        cost: USD; None when unknown.
        settled: Whether its cost is known to the billing endpoints by now.
    """

    at: float
    organization: str | None
    session: str | None
    cost: Decimal | None
    settled: bool


@dataclass(frozen=True, slots=True)
class Account:
    """The rules about money.

    Attributes:
        credits: What the user may spend before 402; None for no end.
        spending_limit: What the user, and each organisation, may spend before 403; None for no limit.
        settlement: Seconds until a cost shows at the billing endpoints.
        topped_up: Credits bought since.
    """

    credits: Decimal | None = None
    spending_limit: Decimal | None = None
    settlement: float = 0.0
    topped_up: Decimal = Decimal(0)

    @property
    def bounded(self) -> bool:
        """Whether money can run out at all."""
        return self.credits is not None or self.spending_limit is not None

    def charges(self, exchanges: Sequence[Exchange]) -> Iterator[Charge]:
        """Yield what was billed, in order."""
        now = time.monotonic()
        for exchange in exchanges:
            if exchange.billed:
                settled = now - exchange.received >= self.settlement
                headers = exchange.headers
                organization, session = headers.get("x-hf-bill-to"), headers.get("x-hf-session-id")
                yield Charge(exchange.at, organization or None, session or None, exchange.cost, settled)

    def refuse(self, exchanges: Sequence[Exchange], organization: str | None) -> Refusal | None:
        """Return the refusal of a request of the user or of an organisation, when the money is spent."""
        charges = [charge for charge in self.charges(exchanges) if charge.organization == (organization or None)]
        spent = sum((charge.cost for charge in charges if charge.cost is not None), Decimal(0))
        if not organization and self.credits is not None and spent >= self.credits + self.topped_up:
            return refusal.payment_required()
        if self.spending_limit is not None and spent >= self.spending_limit:
            return refusal.spending_limit()
        return None

    def topped(self, amount: Money) -> "Account":
        """Return the account with more credits.

        Raises:
            ValueError: It is no amount of money.
        """
        return replace(self, topped_up=self.topped_up + (money(amount) or Decimal(0)))

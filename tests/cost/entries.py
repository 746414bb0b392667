"""Entries to write into ledgers."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hfrouter.cost.ledger import Entry, new_id
from hfrouter.cost.price import Cost, Price
from hfrouter.cost.usage import Usage


def pending(**facts: Any) -> Entry:
    """An attempt about to be sent."""
    entry = Entry(
        id=new_id(),
        call="call-1",
        number=1,
        started_ms=1_790_000_000_000,
        model="openai/gpt-oss-20b",
        provider="groq",
        streamed=True,
        session="chat 7",
        price=Price(Decimal("0.1"), Decimal("0.5"), at=1_790_000_000),
        cost=Cost(0, 250_000, "pending"),
    )
    return replace(entry, **facts)


def settled(entry: Entry, **facts: Any) -> Entry:
    """The same attempt, answered; every field is set, and served by another provider than was asked."""
    ending = {
        "provider": "novita",
        "outcome": "ok",
        "status": 200,
        "duration_ms": 900,
        "first_content_ms": 300,
        "usage": Usage(1522, 34, 40, 11),
        "price": Price(Decimal("10"), Decimal("0.000001"), "user", 7),
        "cost": Cost(169_200, 2**60, "cached tokens without a cache price"),
        "request_id": "req-1; DROP TABLE attempts",
    }
    return replace(entry, **ending | facts)

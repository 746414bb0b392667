"""The catalogue's rows, read tolerantly: all but the model's `id` and the `provider` may be missing or wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from hfrouter.routing.target import Target

# Prices arrive with float noise (0.030000000000000002, recorded 2026-10-04); a millionth of a dollar per million
# tokens is far below any listed price.
_GRAIN = Decimal("0.000001")


def read_rows(listing: object) -> tuple[Target, ...]:
    """Targets of a `GET /v1/models` body, or of a single model's (`{"data": {...}}` or the entry itself).

    Entries that name no model or no provider are skipped; nothing raises.
    """
    return tuple(target for entry in _entries(listing) for target in _targets(entry))


def _entries(listing: object) -> Iterator[Mapping[str, Any]]:
    data = listing.get("data", listing) if isinstance(listing, Mapping) else listing
    for entry in data if isinstance(data, list) else [data]:
        if isinstance(entry, Mapping) and isinstance(entry.get("id"), str):
            yield entry


def _targets(entry: Mapping[str, Any]) -> Iterator[Target]:
    architecture = entry.get("architecture")
    modalities = architecture.get("input_modalities") if isinstance(architecture, Mapping) else None
    rows = entry.get("providers")
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, Mapping) or not isinstance(row.get("provider"), str) or not row["provider"]:
            continue
        pricing = row.get("pricing")
        prices = pricing if isinstance(pricing, Mapping) else {}
        latency = _number(row.get("first_token_latency_ms"))
        yield Target(
            model=entry["id"],
            provider=row["provider"],
            live=row.get("status", "live") == "live",
            context_length=_whole(row.get("context_length")),
            input_price=_price(prices.get("input")),
            output_price=_price(prices.get("output")),
            is_free=row.get("is_free") is True,
            supports_tools=_flag(row.get("supports_tools")),
            supports_structured_output=_flag(row.get("supports_structured_output")),
            first_token_latency=None if latency is None else latency / 1000,
            throughput=_number(row.get("throughput")),
            input_modalities=tuple(m for m in modalities if isinstance(m, str)) if isinstance(modalities, list) else (),
        )


def _price(value: object) -> Decimal | None:
    """A price, or None. 0 is kept: whether it is a free row is for `is_free` to say, see `Price.of`."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    try:
        price = Decimal(str(value))
        usable = price.is_finite() and 0 <= price < 1_000_000
    except InvalidOperation:
        return None
    return price.quantize(_GRAIN).normalize() + 0 if usable else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    number = float(value)
    return number if math.isfinite(number) and number > 0 else None


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None

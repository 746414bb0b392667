"""The catalogue's rows, read tolerantly: all but the model's `id` and the `provider` may be missing or wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Context, Decimal, DecimalException
from typing import Any

from hfrouter.routing.target import Target, is_plain

# Prices arrive with float noise (0.030000000000000002, recorded 2026-10-04); a millionth of a dollar per million
# tokens is far below any listed price.
_GRAIN = Decimal("0.000001")
# Ours, since the caller's decimal context may round to any precision.
_CONTEXT = Context(prec=28)


def read_rows(listing: object) -> tuple[Target, ...]:
    """Targets of a `GET /v1/models` body, or of a single model's (`{"data": {...}}` or the entry itself).

    Entries that name no model or no provider are skipped, and of rows that name the same two the first is taken;
    nothing raises.

    >>> read_rows({"id": "openai/gpt-oss-20b", "providers": [{"provider": "groq"}]})[0].id
    'openai/gpt-oss-20b:groq'
    """
    rows: dict[str, Target] = {}
    for entry in _entries(listing):
        for target in _targets(entry):
            rows.setdefault(target.id, target)
    return tuple(rows.values())


def _entries(listing: object) -> Iterator[Mapping[str, Any]]:
    data = listing.get("data", listing) if isinstance(listing, Mapping) else listing
    for entry in data if isinstance(data, list) else [data]:
        if isinstance(entry, Mapping) and _is_name(entry.get("id")):
            yield entry


def _targets(entry: Mapping[str, Any]) -> Iterator[Target]:
    architecture = entry.get("architecture")
    modalities = architecture.get("input_modalities") if isinstance(architecture, Mapping) else None
    rows = entry.get("providers")
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, Mapping) or not _is_name(row.get("provider")):
            continue
        is_free = row.get("is_free") is True
        input_price, output_price = _prices(row.get("pricing"), is_free)
        latency = _number(row.get("first_token_latency_ms"))
        yield Target(
            model=entry["id"],
            provider=row["provider"],
            live=row.get("status") in (None, "live"),
            context_length=_whole(row.get("context_length")),
            input_price=input_price,
            output_price=output_price,
            is_free=is_free,
            supports_tools=_flag(row.get("supports_tools")),
            supports_structured_output=_flag(row.get("supports_structured_output")),
            first_token_latency=None if latency is None else latency / 1000,
            throughput=_number(row.get("throughput")),
            input_modalities=tuple(m for m in modalities if isinstance(m, str)) if isinstance(modalities, list) else (),
        )


def _is_name(value: object) -> bool:
    """Whether a model or provider can be named in a request and in a log: the listing is not ours."""
    return isinstance(value, str) and is_plain(value) and ":" not in value


def _prices(pricing: object, is_free: bool) -> tuple[Decimal | None, Decimal | None]:
    """Input and output price. 0 for both is a price that was not filled in, unless the row says that it is free.

    In a year of daily lists 1,284 of 2,734 rows had no price or 0/0, and prices came later (Kimi-K2.5 at fireworks-ai:
    0.6/3): a 0/0 that is believed is a bill of $0.00 that is false, and the first choice of `cheapest`.
    """
    prices = pricing if isinstance(pricing, Mapping) else {}
    both = _price(prices.get("input")), _price(prices.get("output"))
    return both if any(both) or is_free else (None, None)


def _price(value: object) -> Decimal | None:
    """USD per million tokens without noise, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    try:
        price = Decimal(str(value))
        if not 0 <= price < 1_000_000:
            return None
        # As plain digits: 10, not 1E+1, since prices are shown and stored.
        return Decimal(f"{price.copy_abs().quantize(_GRAIN, context=_CONTEXT).normalize(_CONTEXT):f}")
    except (DecimalException, ValueError):  # no number, a signalling NaN, or more digits than Python converts
        return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _whole(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number >= 1 else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None

"""Every recorded `/v1/models` entry, through `Router.targets()`."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest

from hfrouter import Price, Router, Target
from tests.recordings.cassettes import ABSENT, Exchange, recorded
from tests.recordings.test_chat import each
from tests.wire.replay import Answer, Server


def _targets(exchange: Exchange, server: Server) -> dict[str, Target]:
    place = server.place(Answer())
    place.listing = json.loads(exchange.body)
    with Router(base_url=place.base_url, token="hf_test", ledger="memory") as router:
        return {target.id: target for target in router.targets()}


def _rows(exchange: Exchange) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    data = exchange.json.get("data", exchange.json)
    return [(entry, row) for entry in (data if isinstance(data, list) else [data]) for row in entry["providers"]]


@each("catalogue")
def test_every_row_is_read_and_none_is_invented(exchange: Exchange, server: Server) -> None:
    expected = {f"{entry['id']}:{row['provider']}" for entry, row in _rows(exchange)}
    assert set(_targets(exchange, server)) == expected


@each("catalogue")
def test_what_a_row_says_is_read_and_what_it_leaves_out_is_unknown(exchange: Exchange, server: Server) -> None:
    targets = _targets(exchange, server)
    for entry, row in _rows(exchange):
        target = targets[f"{entry['id']}:{row['provider']}"]
        latency = row.get("first_token_latency_ms")
        assert target.live is (row["status"] == "live")
        assert target.context_length == row.get("context_length")
        assert target.is_free is row.get("is_free", False)
        assert target.supports_tools is row.get("supports_tools")
        assert target.supports_structured_output is row.get("supports_structured_output")
        assert target.first_token_latency == (None if latency is None else pytest.approx(latency / 1000))
        assert target.throughput == row.get("throughput")
        assert target.input_modalities == tuple(entry["architecture"]["input_modalities"])


@each("catalogue")
def test_prices_are_decimals_without_float_noise_and_a_missing_one_is_not_free(
    exchange: Exchange, server: Server
) -> None:
    targets = _targets(exchange, server)
    for entry, row in _rows(exchange):
        target, pricing = targets[f"{entry['id']}:{row['provider']}"], row.get("pricing")
        price = Price.of(target)
        if pricing is None:
            assert (target.input_price, target.output_price) == (None, None)
            assert price is None or target.is_free
            continue
        for read, said in ((target.input_price, pricing["input"]), (target.output_price, pricing["output"])):
            assert isinstance(read, Decimal)
            assert abs(read - Decimal(said)) < Decimal("1e-9")
            assert re.fullmatch(r"\d+(\.\d{1,6})?", format(read, "f"))
        assert price is not None
        assert target.is_free or (price.input, price.output) == (target.input_price, target.output_price)


@pytest.mark.skipif(not recorded("catalogue"), reason=ABSENT)
def test_the_recorded_catalogues_hold_rows_with_and_without_a_price() -> None:
    priced = [bool(row.get("pricing")) for exchange in recorded("catalogue") for _, row in _rows(exchange)]
    assert {True, False} <= set(priced)

"""The catalogue's rows are read whatever they hold, and a price that is not there is never a price of zero."""

from __future__ import annotations

import decimal
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfrouter.routing.rows import read_rows
from hfrouter.routing.target import Target

# Recorded 2026-10-04 from GET /v1/models.
RECORDED = """
{"object":"list","data":[
 {"id":"openai/gpt-oss-20b","object":"model","created":1754346809,"owned_by":"openai",
  "architecture":{"input_modalities":["text"],"output_modalities":["text"]},
  "providers":[
   {"provider":"groq","status":"live","context_length":131072,"pricing":{"input":0.1,"output":0.5},"is_free":false,
    "supports_tools":true,"supports_structured_output":true,"first_token_latency_ms":316.4,
    "throughput":711.1005022902897,"is_model_author":false},
   {"provider":"featherless-ai","status":"live","is_free":false,"is_model_author":false},
   {"provider":"deepinfra","status":"live","context_length":131072,
    "pricing":{"input":0.030000000000000002,"output":0.14},"is_free":false,"supports_tools":true,
    "supports_structured_output":true,"first_token_latency_ms":275.6,"throughput":97.85048051824599}]}]}
"""


def read_one(**row: Any) -> Target:
    (target,) = read_rows({"data": [{"id": "a/b", "providers": [{"provider": "p", **row}]}]})
    return target


@pytest.mark.parametrize("parse_float", [float, Decimal])
def test_recorded_rows_are_read_in_order_and_without_noise(parse_float: Any) -> None:
    groq, bare, deepinfra = read_rows(json.loads(RECORDED, parse_float=parse_float))
    assert groq == Target(
        model="openai/gpt-oss-20b",
        provider="groq",
        context_length=131072,
        input_price=Decimal("0.1"),
        output_price=Decimal("0.5"),
        supports_tools=True,
        supports_structured_output=True,
        first_token_latency=316.4 / 1000,
        throughput=711.1005022902897,
        input_modalities=("text",),
    )
    assert bare == Target("openai/gpt-oss-20b", "featherless-ai", input_modalities=("text",))
    assert str(deepinfra.input_price) == "0.03"


@pytest.mark.parametrize("wrapped", [lambda e: e, lambda e: {"data": e}, lambda e: {"data": [e]}, lambda e: [e]])
def test_a_single_model_is_read_in_every_wrapping(wrapped: Any) -> None:
    entry = {"id": "a/b", "providers": [{"provider": "p"}]}
    assert read_rows(wrapped(entry)) == (Target("a/b", "p"),)


PRICES: dict[str, tuple[Any, str | None]] = {
    "a float": (0.1, "0.1"),
    "noise below": (0.29999999999999998, "0.3"),
    "noise above": (0.30000000000000004, "0.3"),
    "whole": (10, "10"),
    "whole, as a float": (600.0, "600"),
    "text": ("0.25", "0.25"),
    "exact": (Decimal("0.000001"), "0.000001"),
    "negative": (-1, None),
    "a truth": (True, None),
    "not a number": (float("nan"), None),
    "a signalling one": (Decimal("sNaN"), None),
    "endless": (float("inf"), None),
    "absurd": (1e6, None),
    "words": ("free", None),
    "beyond all digits": (10**5000, None),
    "a list": ([1], None),
}


@pytest.mark.parametrize("name", PRICES)
def test_a_price_is_exact_plain_digits_or_unknown(name: str) -> None:
    value, expected = PRICES[name]
    target = read_one(pricing={"input": value, "output": 1})
    assert (None if target.input_price is None else str(target.input_price)) == expected
    assert str(target.output_price) == "1"


def test_the_callers_decimal_context_changes_no_price() -> None:
    with decimal.localcontext(decimal.Context(prec=2, traps=[decimal.Inexact, decimal.Rounded])):
        assert read_one(pricing={"input": 0.123456, "output": 12.345}).input_price == Decimal("0.123456")


@pytest.mark.parametrize(
    "pricing", [{"input": 0, "output": 0}, {"input": 0.0, "output": -0.0}, {"input": 0}, {}, None, 5]
)
def test_zero_for_both_is_no_price_unless_the_row_is_free(pricing: Any) -> None:
    target = read_one(pricing=pricing)
    assert (target.input_price, target.output_price) == (None, None)
    assert not target.is_free


def test_a_free_row_is_free_only_when_it_says_so_itself() -> None:
    assert read_one(is_free=True, pricing={"input": 0, "output": 0}).input_price == 0
    assert read_one(is_free=True).is_free
    assert not read_one(is_free="true").is_free
    assert not read_one(is_free=1).is_free


def test_a_price_of_zero_for_one_of_the_two_is_kept() -> None:
    target = read_one(pricing={"input": 0, "output": 1})
    assert (target.input_price, target.output_price) == (0, 1)


@pytest.mark.parametrize(
    ("status", "live"), [("live", True), (None, True), ("error", False), ("staging", False), (5, False)]
)
def test_a_row_is_live_unless_it_says_otherwise(status: Any, live: bool) -> None:
    assert read_one(status=status).live is live
    assert read_one().live


@pytest.mark.parametrize(
    "value", [None, 0, -1, 0.5, "8192", True, float("inf"), float("nan"), 10**400, Decimal("sNaN"), []]
)
def test_a_context_that_is_no_number_of_tokens_is_unknown(value: Any) -> None:
    assert read_one(context_length=value).context_length is None


def test_numbers_of_any_kind_are_read() -> None:
    assert read_one(context_length=8192.0).context_length == 8192
    assert read_one(throughput=Decimal("97.5")).throughput == 97.5
    assert read_one(throughput=10**400).throughput is None
    assert read_one(first_token_latency_ms=0).first_token_latency is None


@pytest.mark.parametrize("value", [None, 0, 1, "true", "false", []])
def test_a_flag_that_is_neither_true_nor_false_is_unknown(value: Any) -> None:
    target = read_one(supports_tools=value, supports_structured_output=value)
    assert (target.supports_tools, target.supports_structured_output) == (None, None)


def test_modalities_are_text_or_left_out() -> None:
    entry = {"id": "a/b", "architecture": {"input_modalities": ["text", 5, None]}, "providers": [{"provider": "p"}]}
    assert read_rows(entry)[0].input_modalities == ("text",)
    assert read_rows(entry | {"architecture": []})[0].input_modalities == ()


@pytest.mark.parametrize("name", ["", "p q", "p\n", "p:q", "pé", "p\x1b[31m", "p" * 201, None, 5, ["p"]])
def test_a_row_whose_names_cannot_be_sent_or_logged_is_skipped(name: Any) -> None:
    good = {"provider": "p"}
    assert read_rows([{"id": "a/b", "providers": [{"provider": name}, good, 5]}]) == (Target("a/b", "p"),)
    assert read_rows([{"id": name, "providers": [good]}, {"id": "a/b", "providers": [good]}]) == (Target("a/b", "p"),)


def test_of_two_rows_of_one_provider_the_first_is_taken() -> None:
    rows = [{"provider": "p", "context_length": 8}, {"provider": "p", "context_length": 9}]
    assert [target.context_length for target in read_rows({"id": "a/b", "providers": rows})] == [8]


KEYS = ["data", "id", "providers", "provider", "pricing", "input", "output", "architecture", "input_modalities"]
KEYS += ["context_length", "throughput", "first_token_latency_ms", "status", "is_free", "supports_tools"]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.decimals(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)
likely = st.fixed_dictionaries(
    {"id": st.just("a/b") | anything},
    optional={
        "architecture": anything,
        "providers": st.lists(
            st.fixed_dictionaries({"provider": st.sampled_from("pq")}, optional=dict.fromkeys(KEYS[4:], anything))
            | anything,
            max_size=4,
        ),
    },
)


@given(anything | likely | st.lists(likely, max_size=3))
def test_nothing_raises_and_every_row_is_sound(listing: Any) -> None:
    rows = read_rows(listing)
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        assert row.model
        assert row.provider
        assert row.context_length is None or row.context_length > 0
        assert row.throughput is None or row.throughput > 0
        for price in (row.input_price, row.output_price):
            assert price is None or (price >= 0 and "E" not in str(price))
        assert row.is_free or row.input_price or row.output_price or row.input_price is row.output_price is None

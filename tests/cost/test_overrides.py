"""The user's own prices: read strictly, and used wherever a price counts."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from hfrouter import ConfigurationError, NoTargetAvailable, Policy, Price, Router, Target
from hfrouter.cost.overrides import Overrides
from hfrouter.simulator import Fault, Simulator

M20B, EMBED = "openai/gpt-oss-20b", "BAAI/bge-small-en-v1.5"
E5 = "intfloat/multilingual-e5-large"
GIVEN: dict[str, tuple[Any, tuple[str, str, str | None]]] = {
    "a pair of texts": (("0.1", "0.5"), ("0.1", "0.5", None)),
    "a list": (["0.1", 1], ("0.1", "1", None)),
    "a number as it is written": ((0.1, 0.30000000000000004), ("0.1", "0.30000000000000004", None)),
    "whole numbers": ((1, 2), ("1", "2", None)),
    "a mapping": ({"input": "0.1", "output": Decimal("0.5")}, ("0.1", "0.5", None)),
    "a mapping with a cached price": ({"input": 1, "output": 2, "cached": "0.1"}, ("1", "2", "0.1")),
    "cached tokens that are not known": ({"input": 1, "output": 2, "cached": None}, ("1", "2", None)),
    "a price": (Price(Decimal("0.1"), Decimal("0.5"), cached=Decimal("0.05")), ("0.1", "0.5", "0.05")),
    "an exponent": (("1E+1", "1e-9"), ("10", "0.000000001", None)),
    "for free": ((0, 0), ("0", "0", None)),
}


@pytest.mark.parametrize("name", [name for name in GIVEN if name != "a number as it is written"])
def test_a_price_is_read(name: str) -> None:
    given, (input_price, output_price, cached) = GIVEN[name]
    row = Overrides({"a/b": given}).apply(Target("a/b", "p", input_price=Decimal(9), is_free=True))
    assert [f"{price:f}" for price in (row.input_price, row.output_price) if price is not None] == [
        input_price,
        output_price,
    ]
    assert row.cached_price == (None if cached is None else Decimal(cached))
    assert (row.price_source, row.is_free) == ("user", name == "for free")
    price = Price.of(row, at=7, catalogue="c0ffee")
    assert price is not None
    assert (price.source, price.at, price.catalogue) == ("user", 0, None)


def test_a_number_counts_as_it_is_written_and_not_as_its_binary_digits() -> None:
    row = Overrides({"a/b": (0.1, 0.7)}).apply(Target("a/b", "p"))
    assert (row.input_price, row.output_price) == (Decimal("0.1"), Decimal("0.7"))


BAD: dict[str, Any] = {
    "no pair": ("0.1",),
    "three": ("0.1", "0.2", "0.3"),
    "a text": "0.1",
    "a number": 1,
    "nothing": None,
    "output missing": {"input": 1},
    "output not known": {"input": 1, "output": None},
    "another word": {"input": 1, "output": 1, "per_request": 1},
    "negative": (-1, 1),
    "minus nothing": ("-0", 1),
    "no number": ("cheap", 1),
    "empty": ("", 1),
    "true": (True, 1),
    "not a number": (float("nan"), 1),
    "infinite": (float("inf"), 1),
    "signalling": (Decimal("sNaN"), 1),
    "a fraction": (Fraction(1, 3), 1),
    "bytes": (b"1", 1),
    "complex": (1j, 1),
    "dearer than a dollar a token": (1_000_001, 1),
    "too fine": ("0.0000000000001", 1),
    "too many digits": ("9" * 5000, 1),
    "too long a number": (10**5000, 1),
    "a huge exponent": ("1E-400000", 1),
    "cached dearer than other input": {"input": 1, "output": 1, "cached": 2},
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_price_is_refused_with_its_place(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"prices\['a/b:p'\]") as caught:
        Router(token="hf_x", ledger="memory", prices={"a/b:p": BAD[name]})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("key", ["", "gpt", "a/b:cheapest", "a/b:p:q", "a b/c", "a/b\r\nx"])
def test_a_key_that_names_no_model_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError):
        Overrides({key: (1, 1)})


def test_prices_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="prices is a list"):
        Router(token="hf_x", ledger="memory", prices=[("a/b", 1)])  # type: ignore[arg-type]


def test_the_more_exact_key_wins_and_own_endpoints_keep_their_price() -> None:
    overrides = Overrides({"a/b": (1, 1), "a/b:p": (2, 2)})
    p, q, own = overrides.applied([Target("a/b", "p"), Target("a/b", "q"), Target("a/b", "mine", url="http://x/v1")])
    assert (p.input_price, q.input_price, own.input_price) == (2, 1, None)
    assert overrides.apply(Target("a/other", "p")) == Target("a/other", "p")
    assert [target.id for target in overrides.targets("a/b")] == ["a/b", "a/b:p"]
    assert not Overrides()
    assert overrides


@pytest.fixture
def priced(sim: Simulator) -> Iterator[Router]:
    """groq dear, together (which lists no price) cheap, and an embedding model with a price."""
    prices: Any = {
        f"{M20B}:groq": {"input": 10, "output": 20, "cached": 1},
        f"{M20B}:together": ("0.01", "0.02"),
        E5: ("0.02", 0),
    }
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory", seed=0, prices=prices) as router:
        yield router


def test_an_own_price_is_the_cost_and_the_row_says_whose_it_is(priced: Router) -> None:
    answer = priced.chat(model=f"{M20B}:together", messages="What is 2 + 3?")
    (row,) = priced.entries(answer.id)
    assert row.usage is not None
    assert row.price is not None
    # $0.01 and $0.02 per million tokens are 10 and 20 nano-USD per token.
    assert row.cost.lower == row.cost.upper == row.usage.input_tokens * 10 + row.usage.output_tokens * 20
    assert (row.price.source, row.price.at, row.price.catalogue) == ("user", 0, None)


def test_an_own_price_decides_who_is_cheapest_and_who_is_over_the_cap(priced: Router) -> None:
    assert priced.chat(model=f"{M20B}:cheapest", messages="Hi").provider == "together"
    capped = Policy(max_price=1)
    assert priced.chat(model=M20B, messages="Hi", policy=capped).provider in {"novita", "together"}
    with pytest.raises(NoTargetAvailable, match="over the cap"):
        priced.chat(model=f"{M20B}:groq", messages="Hi", policy=capped)


def test_an_own_price_counts_without_a_catalogue(sim: Simulator, priced: Router) -> None:
    sim.fail(Simulator.CATALOGUE, Fault.status(503), times=None)
    answer = priced.chat(model=M20B, messages="Hi")  # whoever the router chooses: groq, the fastest
    (row,) = priced.entries(answer.id)
    assert answer.provider == "groq"
    assert row.usage is not None
    assert row.cost.lower == row.cost.upper == row.usage.input_tokens * 10_000 + row.usage.output_tokens * 20_000
    assert row.price is not None
    assert row.price.source == "user"


def test_an_embedding_model_has_the_price_the_user_gives(priced: Router) -> None:
    found = priced.embed(["one", "two"], model=f"{E5}:together", policy=Policy(max_price="0.02"))
    (row,) = priced.entries(found.calls[0])
    assert row.usage is not None
    assert row.cost.lower == row.cost.upper == row.usage.input_tokens * 20  # $0.02 per million tokens
    with pytest.raises(NoTargetAvailable, match="over the cap"):
        priced.embed(["one"], model=E5, policy=Policy(max_price="0.01"))
    with pytest.raises(NoTargetAvailable, match="no listed price"):
        priced.embed(["one"], model=EMBED, policy=Policy(max_price="0.01"))


def test_own_prices_survive_a_pickle(priced: Router) -> None:
    import pickle

    row = next(row for row in pickle.loads(pickle.dumps(priced))._planner._overrides.targets(E5))
    assert row.input_price == Decimal("0.02")

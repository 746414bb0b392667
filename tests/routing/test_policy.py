"""The policy refuses what it cannot mean, in one sentence that names the field and what it should be."""

from __future__ import annotations

import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfrouter.errors import ConfigurationError
from hfrouter.routing.policy import MaxPrice, Policy

NAN, INF = float("nan"), float("inf")
BAD_FIELDS: dict[str, list[Any]] = {
    "models": [5, [5], [None], b"a/b", {"a/b": 1}, "", [""], object()],
    "order": [5, [5], "", ["groq", ""]],
    "only": [5, [None], ""],
    "ignore": [object(), 5.0],
    "strategy": ["best", None, 5, "CHEAPEST", "x" * 10_000],
    "max_price": [-1, "x", NAN, INF, True, [1], {"input": -1}, {"prompt": "x"}, {"request": 1}, {1: 2}, object()],
    "attempts": [0, 5, -1, 1.5, "x", None, True, NAN, 10**5000],
    "deadline": [0, -1, NAN, INF, "x", None, True, [], 10**400, 10**5000],
    "first_content": [0, -0.1, NAN, "soon"],
    "idle": [0, -1, INF, "x", False],
    "connect": [0, -1, NAN, None],
    "commit_on": ["first byte", None, 5],
    "upstream": ["sse", None],
}


@pytest.mark.parametrize(
    ("field", "value"), [(f, v) for f, values in BAD_FIELDS.items() for v in values], ids=lambda x: repr(type(x))[:20]
)
def test_a_bad_value_is_refused_by_the_name_of_its_field(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Policy(**{field: value})
    told = str(caught.value)
    check_sentence(told)
    assert field in told or (field == "max_price" and "MaxPrice" in told)
    assert "object at 0x" not in told


WRONG_NAMES = {
    "dedline": "did you mean 'deadline'?",
    "max_prise": "did you mean 'max_price'?",
    "zzz": "the fields are attempts, commit_on, connect,",
}


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_an_unknown_field_is_answered_with_the_nearest_or_all(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Policy(**{name: 1})
    check_sentence(str(caught.value))
    assert WRONG_NAMES[name] in str(caught.value)


BAD_REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "provider is no mapping": ({"provider": "groq"}, "provider is a str"),
    "an unknown wish": ({"provider": {"allow_fallbacks": False}}, "provider.allow_fallbacks"),
    "a wish without a name": ({"provider": {1: 2}}, "provider.1"),
    "an unknown order": ({"provider": {"sort": "quality"}}, "provider.sort 'quality'"),
    "no order at all": ({"provider": {"sort": ""}}, "provider.sort ''"),
    "an order of another kind": ({"provider": {"sort": ["price"]}}, "provider.sort (a list)"),
    "a cap that is no price": ({"provider": {"max_price": "x"}}, "MaxPrice.input 'x'"),
    "no time": ({"timeout": 0}, "Policy.deadline '0'"),
    "models of another kind": ({"models": 5}, "Policy.models '5'"),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_wish_of_a_call_is_refused(name: str) -> None:
    wishes, words = BAD_REQUESTS[name]
    with pytest.raises(ConfigurationError) as caught:
        Policy().for_request(**wishes)
    check_sentence(str(caught.value))
    assert words in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*Policy.model_fields, "x"]), json_values, max_size=4))
def test_any_fields_make_a_policy_or_one_sentence(fields: dict[str, Any]) -> None:
    try:
        Policy(**fields)
    except ConfigurationError as error:
        check_sentence(str(error))


def test_one_name_may_stand_for_a_list_of_one() -> None:
    assert Policy(models="a/b", only="groq", order=["x", "y"]).models == ("a/b",)
    assert Policy(only="groq").only == ("groq",)


@pytest.mark.parametrize(
    "given_cap", [0.1, "0.1", Decimal("0.1"), {"input": 0.1, "output": "0.1"}, {"prompt": 0.1, "completion": 0.1}]
)
def test_a_cap_is_exact_however_it_is_given(given_cap: Any) -> None:
    assert Policy(max_price=given_cap).max_price == MaxPrice(input=Decimal("0.1"), output=Decimal("0.1"))


def test_a_cap_may_be_for_one_of_the_two() -> None:
    assert Policy(max_price={"completion": 2}).max_price == MaxPrice(output=Decimal(2))
    assert Policy(max_price=MaxPrice(input=1)).max_price == MaxPrice(input=1)
    assert Policy(max_price=None).max_price is None


def test_a_policy_is_frozen_equal_by_value_hashable_and_pickles() -> None:
    policy = Policy(only="groq", max_price=1)
    with pytest.raises(ValueError, match="frozen"):
        policy.attempts = 2  # type: ignore[misc]  # what users try
    assert {policy: 1}[Policy(only=["groq"], max_price=1)] == 1
    assert pickle.loads(pickle.dumps(policy)) == policy


def test_with_keeps_what_was_set_and_checks_what_is_new() -> None:
    policy = Policy(only="groq", attempts=2)
    changed = policy.with_(attempts=3, deadline=None, strategy="cheapest")
    assert changed == Policy(only="groq", attempts=3, strategy="cheapest")
    assert changed.model_fields_set == {"only", "attempts", "strategy"}
    with pytest.raises(ConfigurationError, match=r"Policy\.attempts"):
        policy.with_(attempts=9)


def test_a_call_may_override_the_policy() -> None:
    policy = Policy(models="a/b", only="groq", strategy="in_order", max_price=5, attempts=2)
    wishes = {"only": ["x"], "ignore": "y", "order": ["z"], "sort": "price", "max_price": {"prompt": 1}}
    assert policy.for_request(models=["c/d"], provider=wishes, timeout=3) == Policy(
        models="c/d",
        only="x",
        ignore="y",
        order="z",
        strategy="cheapest",
        max_price={"input": 1},
        attempts=2,
        deadline=3,
    )


@pytest.mark.parametrize(
    ("sort", "strategy"), [("price", "cheapest"), ("throughput", "fastest"), ("latency", "fastest")]
)
def test_a_call_names_its_order_as_others_do(sort: str, strategy: str) -> None:
    assert Policy(strategy="in_order").for_request(provider={"sort": sort}).strategy == strategy


def test_a_call_without_wishes_has_the_policy_itself() -> None:
    policy = Policy(only="groq")
    assert policy.for_request() is policy
    assert policy.for_request(provider={}) is policy
    assert policy.for_request(provider={"only": None, "sort": None}) == policy
    assert policy.for_request(models=[]).models == ()


def check_sentence(told: str) -> None:
    assert "\n" not in told
    assert len(told) < 300
    assert told.endswith((".", "?"))
    assert told.count(". ") == 0


def test_what_a_policy_is_when_nothing_is_said() -> None:
    assert Policy().model_dump() == {
        "models": (),
        "strategy": "balanced",
        "order": (),
        "only": (),
        "ignore": (),
        "max_price": None,
        "attempts": 4,
        "deadline": 120.0,
        "first_content": 12.0,
        "idle": None,
        "connect": 5.0,
        "hedge": False,
        "commit_on": "any",
        "upstream": "auto",
    }


@pytest.mark.parametrize("price", [0, 1_000_000])
def test_any_price_up_to_a_dollar_a_token_may_be_a_cap(price: int) -> None:
    assert Policy(max_price=price).max_price == MaxPrice(input=price, output=price)
    with pytest.raises(ConfigurationError):
        Policy(max_price=1_000_001)
    for nonsense in ("inf", "nan"):
        with pytest.raises(ConfigurationError):
            Policy(max_price=nonsense)

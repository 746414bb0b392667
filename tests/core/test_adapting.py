"""What the adapters share: who shares a router, the plain forms of settings, the facts about an answer."""

from __future__ import annotations

import copy
import doctest
import importlib
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from hfrouter import ConfigurationError, Cost, Policy, Router, Total
from hfrouter.adapting import (
    Account,
    Names,
    Own,
    PlainProvider,
    answer_facts,
    attempt_facts,
    bounds,
    cost_facts,
    merged_call,
    plain_policy,
    policy_of,
    routed_call,
    router_of,
    routers,
    sharing,
)
from hfrouter.simulator import Fault, Simulator

ADAPTED = {
    "ChatHFRouter": ("langchain_hfrouter", {"model": "a/b"}),
    "HFRouterEmbeddings": ("langchain_hfrouter", {"model": "a/b"}),
    "HFRouter": ("llamaindex_hfrouter", {"model": "a/b"}),
    "HFRouterEmbedding": ("llamaindex_hfrouter", {"model_name": "a/b"}),
}


@pytest.mark.parametrize("module", ["settings", "routers", "facts"])
def test_the_examples_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f"hfrouter.adapting.{module}"))
    assert result.attempted > 0
    assert result.failed == 0


# -- routers -----------------------------------------------------------------------------------------------------------


class Owner:
    def __init__(self, router: Router | None = None) -> None:
        self.router = router
        self._own: Own = None


def account(**settings: Any) -> Account:
    return Account(**{"token": SecretStr("hf_x"), "ledger": "off", **settings})


def test_equal_accounts_share_a_router() -> None:
    assert router_of(Owner(), account()) is router_of(Owner(), account())
    others = [
        account(token=SecretStr("hf_y")),
        account(base_url="http://localhost:1/v1"),
        account(bill_to="acme"),
        account(ledger="memory"),
    ]
    found = {id(router): router for router in (router_of(Owner(), each) for each in (account(), *others))}
    assert len(found) == 5


def test_a_ledger_in_memory_is_nobody_elses_and_stays() -> None:
    one, other = Owner(), Owner()
    assert router_of(one, account(ledger="memory")) is not router_of(other, account(ledger="memory"))
    assert router_of(one, account(ledger="memory")) is router_of(one, account(ledger="memory"))


def test_a_given_router_is_the_one_whatever_the_account() -> None:
    given = Router(ledger="memory")
    owner = Owner(given)
    assert router_of(owner, account(bill_to="acme")) is given
    assert owner._own is None


def test_a_copy_goes_through_the_same_router_until_its_account_changes() -> None:
    owner = Owner()
    first = router_of(owner, account(ledger="memory"))
    twin = copy.copy(owner)
    assert router_of(twin, account(ledger="memory")) is first
    assert router_of(twin, account(ledger="memory", bill_to="acme")) is not first
    assert router_of(owner, account(ledger="memory")) is first


def test_a_malformed_account_is_said_each_time_and_holds_nothing_up() -> None:
    owner = Owner()
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="hf_"):
            router_of(owner, account(token=SecretStr("sk-x")))
    assert router_of(owner, account())


def test_live_objects_are_not_copied_and_the_callers_memo_is_kept() -> None:
    live, memo = threading.Lock(), {}
    assert sharing(memo, live, None) is memo
    twin = copy.deepcopy({"live": live, "nothing": None, "list": (value := [1])}, memo)
    assert twin["live"] is live
    assert twin["nothing"] is None
    assert twin["list"] is not value


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Router]:
    """Every router that is made; making one takes long enough for other threads to come in between."""
    found: list[Router] = []

    class Slow(Router):
        def __init__(self, **settings: Any) -> None:
            time.sleep(0.02)
            super().__init__(**settings)
            found.append(self)

    monkeypatch.setattr(routers, "Router", Slow)
    return found


@pytest.mark.parametrize("ledger", ["memory", "off"])
def test_the_first_calls_of_many_threads_make_one_router(ledger: str, made: list[Router]) -> None:
    # One object, or, where a router may be shared, many equal ones.
    one, start = Owner(), threading.Barrier(8)

    def first_call(_number: int) -> Router:
        start.wait()
        return router_of(one if ledger == "memory" else Owner(), account(bill_to="threads", ledger=ledger))

    with ThreadPoolExecutor(8) as pool:
        assert {id(router) for router in pool.map(first_call, range(8))} == {id(router) for router in made}
    assert len(made) == 1


@pytest.mark.parametrize("name", ADAPTED)
def test_each_object_makes_its_router_once_and_anew_for_another_account(name: str, made: list[Router]) -> None:
    package, settings = ADAPTED[name]
    adapted = getattr(pytest.importorskip(package), name)(**settings, api_key="hf_x", ledger="memory")
    start = threading.Barrier(8)

    def first_call(_number: int) -> int:
        start.wait()
        return id(adapted.active_router)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(first_call, range(8))) == {id(made[0])}
    assert copy.deepcopy(adapted).active_router is adapted.active_router is made[0]
    changed = adapted.model_copy(update={"bill_to": "acme"})
    assert changed.active_router is made[1]
    assert adapted.active_router is made[0]
    adapted.bill_to = "other"
    assert adapted.active_router is made[2]
    assert len(made) == 3


FORK = """
import os, signal, threading
from hfrouter import Router
from hfrouter.adapting import Account, router_of, routers

class Owner:
    router = _own = None

parent, making, may_end = os.getpid(), threading.Event(), threading.Event()

class Stuck(Router):
    def __init__(self, **settings):
        super().__init__(**settings)
        making.set()
        assert os.getpid() != parent or may_end.wait(30)

routers.Router = Stuck
busy = threading.Thread(target=router_of, args=(Owner(), Account(ledger="memory")))
busy.start()
making.wait()
child = os.fork()
if child == 0:
    signal.alarm(10)
    router_of(Owner(), Account(ledger="memory"))
    router_of(Owner(), Account(ledger="off"))
    os._exit(0)
status = os.waitpid(child, 0)[1]
may_end.set()
busy.join()
assert status == 0, status
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_fork_while_a_thread_makes_a_router_leaves_the_child_free() -> None:
    # A fork of a process with threads is what this test is about; newer Pythons warn of it.
    strict = ["-X", "dev", "-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    done = subprocess.run(
        [sys.executable, *strict, "-c", FORK], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


# -- settings ----------------------------------------------------------------------------------------------------------


class Fields(BaseModel):
    provider: PlainProvider = None
    names: Names = None


def test_fields_are_kept_as_plain_json() -> None:
    fields = Fields(provider=("groq", "novita"), names="a/b")
    assert fields.model_dump() == {"provider": {"only": ["groq", "novita"]}, "names": ["a/b"]}
    assert Fields(provider="auto").model_dump() == {"provider": None, "names": None}
    assert Fields(**json.loads(fields.model_dump_json())) == fields
    with pytest.raises(ValidationError):
        Fields(provider=5)


def test_a_policy_and_its_plain_form_are_the_same() -> None:
    policy = Policy(max_price=0.5, only="groq", attempts=2)
    plain = plain_policy(policy)
    assert json.loads(json.dumps(plain)) == plain == plain_policy(plain)
    assert policy_of(plain) == policy
    assert policy_of(policy) is policy
    assert plain_policy(None) is None
    for read in (plain_policy, policy_of):
        with pytest.raises(ConfigurationError, match="max_price"):
            read({"max_prize": 1})


def test_a_call_overrides_settings_under_either_name_and_leaves_them_as_they_are() -> None:
    settings = {"model": "a/b", "timeout": 30, "seed": 1}
    overrides = {"fallback_models": ["c/d"], "request_timeout": 5, "halt": "x", "more": {"seed": 2, "foreign": 1}}
    call = merged_call(settings, overrides, synonyms={"halt": "stop"}, nested=["more"], foreign=["foreign"])
    assert call == {"model": "a/b", "timeout": 5, "seed": 2, "models": ["c/d"], "stop": "x"}
    assert settings == {"model": "a/b", "timeout": 30, "seed": 1}
    assert overrides["more"] == {"seed": 2, "foreign": 1}


def test_none_takes_a_setting_back_but_never_the_model() -> None:
    assert merged_call({"model": "a/b", "seed": 1}, {"model": None, "seed": None}) == {"model": "a/b", "seed": None}
    assert merged_call({"model": "a/b"}, {"extra_body": None}) == {"model": "a/b"}


@pytest.mark.parametrize(
    ("call", "attempts"),
    [
        ({}, None),
        ({"max_retries": 0}, 1),
        ({"max_retries": 9}, 4),
        ({"policy": {"attempts": 2}}, 2),
        ({"policy": Policy(attempts=2), "max_retries": 2}, 3),
    ],
)
def test_retries_are_attempts_of_the_calls_policy_or_the_default(call: dict[str, Any], attempts: int | None) -> None:
    routed = routed_call({"model": "a/b", **call}, Policy(only="groq", attempts=2))
    assert "max_retries" not in routed
    if attempts is None:
        assert routed["policy"] is None
    else:
        assert routed["policy"].attempts == attempts
        assert routed["policy"].only == (() if "policy" in call else ("groq",))


def test_the_routing_of_a_call_is_as_the_router_takes_it() -> None:
    routed = routed_call({"model": "a/b", "provider": "groq", "models": "c/d", "stop": "x", "seed": 1}, Policy())
    assert routed == {
        "model": "a/b",
        "provider": {"only": ["groq"]},
        "models": ["c/d"],
        "stop": ["x"],
        "seed": 1,
        "policy": None,
    }
    assert routed_call({"model": "a/b", "stop": []}, Policy())["stop"] is None
    with pytest.raises(ConfigurationError):
        routed_call({"model": "a/b", "max_retries": -1}, Policy())


# -- facts -------------------------------------------------------------------------------------------------------------


def test_facts_about_an_answer_are_plain_json_and_agree_with_it(sim: Simulator, router: Router) -> None:
    sim.fail("groq", Fault.rate_limited())
    completion = router.chat(model="openai/gpt-oss-120b", messages="Hello")
    facts = answer_facts(completion) | cost_facts(completion)
    assert json.loads(json.dumps(facts)) == facts
    assert list(facts) == ["model_name", "provider", "call_id", "attempts", "cost", "cost_details"]
    assert (facts["provider"], facts["call_id"]) == (completion.provider, completion.id)
    assert [(a["number"], a["outcome"], a["status"]) for a in facts["attempts"]] == [
        (1, "rate_limited", 429),
        (2, "ok", 200),
    ]
    assert facts["attempts"] == [attempt_facts(attempt) for attempt in completion.attempts]
    assert Decimal(facts["cost_details"]["usd"]) == completion.cost.usd
    assert facts["cost"] == float(facts["cost_details"]["usd"]) > 0
    assert facts["cost_details"]["total_usd"] == facts["cost_details"]["usd"]
    assert list(facts["cost_details"]) == [
        *("usd", "lower_usd", "upper_usd", "total_usd", "total_lower_usd", "total_upper_usd"),
        "reason",
    ]


def test_money_that_is_not_known_is_bounds_and_no_number(sim: Simulator, router: Router) -> None:
    sim.fail("groq", Fault.no_usage())
    facts = cost_facts(router.chat(model="openai/gpt-oss-120b", messages="Hello"))
    assert "cost" not in facts
    assert facts["cost_details"]["usd"] is None
    assert Decimal(facts["cost_details"]["upper_usd"]) > 0
    assert facts["cost_details"]["reason"]


@pytest.mark.parametrize(
    ("money", "said"),
    [
        (Cost(1, 1), ("0.000000001", "0.000000001", "0.000000001")),
        (Cost(0, None, "no price in the catalogue"), (None, "0", None)),
        (Cost(1_500_000_000, 3_000_000_000), (None, "1.5", "3")),
        (Total.of([Cost(1000, 1000), Cost(0, 500, "cut")]), (None, "0.000001", "0.0000015")),
    ],
)
def test_amounts_are_text_without_an_exponent(money: Cost | Total, said: tuple[str | None, ...]) -> None:
    assert tuple(bounds(money).values()) == said

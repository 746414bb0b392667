"""Errors are hfrouter's and LangChain's at once, and only those that time may heal are retried."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from langchain_core import exceptions as langchain

import hfrouter
import langchain_hfrouter
from hfrouter.simulator import Fault, Simulator
from langchain_hfrouter import ChatHFRouter
from langchain_hfrouter.errors import as_model_error

ALL = 12  # more faults than any call makes attempts

CASES: dict[str, tuple[Fault, type[Exception], type[Exception], bool, int | None]] = {
    "bad_request": (Fault.status(400), hfrouter.RequestRejected, langchain.ModelInvalidRequestError, False, 400),
    "unauthorized": (Fault.status(401), hfrouter.RequestRejected, langchain.ModelAuthenticationError, False, 401),
    "forbidden": (Fault.forbidden(), hfrouter.RequestRejected, langchain.ModelPermissionDeniedError, False, 403),
    "credits": (Fault.payment_required(), hfrouter.OutOfCredits, langchain.ModelPermissionDeniedError, False, 402),
    "limit": (Fault.spending_limit(), hfrouter.OutOfCredits, langchain.ModelPermissionDeniedError, False, 403),
    "context": (Fault.context_length(), hfrouter.ContextOverflow, langchain.ContextOverflowError, False, 400),
    "rate": (Fault.rate_limited(), hfrouter.RouteExhausted, langchain.ModelRateLimitError, True, 429),
    "server": (Fault.status(500), hfrouter.RouteExhausted, langchain.ModelAPIError, True, 500),
    "cut": (Fault.cut_before_content(), hfrouter.RouteExhausted, langchain.ModelAPIError, True, 200),
    "reset": (Fault.reset(), hfrouter.RouteExhausted, langchain.ModelConnectionError, True, None),
}


async def asked(model: ChatHFRouter, way: str) -> Any:
    if way == "astream":
        return [chunk async for chunk in model.astream("x")]
    if way == "ainvoke":
        return await model.ainvoke("x")
    return list(getattr(model, way)("x"))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
async def test_a_failure_belongs_to_both_trees(case: str, way: str, chat: Any, sim: Simulator) -> None:
    fault, ours, theirs, retryable, status = CASES[case]
    sim.fail(Simulator.ANY, fault, times=ALL)
    model = chat(max_retries=0 if case == "rate" else 1, provider="groq")
    with pytest.raises(langchain.ModelError) as caught:
        await asked(model, way)
    error = caught.value
    assert isinstance(error, ours)
    assert isinstance(error, theirs)
    assert error.is_retryable is retryable
    assert error.status_code == status
    assert len(error.attempts) >= 1
    assert "launch 1" in error.explain()
    assert isinstance(error.__cause__, hfrouter.AttemptFailed)
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert (str(back), back.attempts, back.status_code) == (str(error), error.attempts, error.status_code)


def test_money_that_is_gone_is_asked_for_once(chat: Any, sim: Simulator, chats: Any) -> None:
    sim.fail(Simulator.ANY, Fault.payment_required(), times=ALL)
    with pytest.raises(langchain_hfrouter.HFRouterOutOfCreditsError, match="settings/billing"):
        chat().invoke("x")
    assert len(chats()) == 1


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke"])
async def test_no_token_is_said_at_the_first_call(way: str) -> None:
    model = ChatHFRouter(model="openai/gpt-oss-120b", ledger="off", policy={"attempts": 1})
    assert model.hf_token is None
    with pytest.raises(langchain_hfrouter.HFRouterConfigurationError, match="HF_TOKEN") as caught:
        await asked(model, way)
    assert isinstance(caught.value, (ValueError, langchain.ModelInvalidRequestError))
    assert caught.value.is_retryable is False


def test_the_token_of_the_environment_is_not_sent_to_a_strange_host(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_the_users_own")
    model = ChatHFRouter(model="openai/gpt-oss-120b", base_url=sim.base_url, ledger="off")
    assert model.hf_token is None
    with pytest.raises(langchain_hfrouter.HFRouterConfigurationError, match="not sent"):
        model.invoke("x")
    assert [exchange for exchange in sim.exchanges if "authorization" in exchange.headers] == []


def test_an_unknown_model_is_named_with_its_likes(chat: Any) -> None:
    with pytest.raises(langchain_hfrouter.HFRouterConfigurationError, match="openai/gpt-oss-120b"):
        chat(model="openai/gpt-oss-120").invoke("x")


def test_nothing_eligible_says_why_and_is_not_retried(chat: Any, chats: Any) -> None:
    with pytest.raises(langchain_hfrouter.HFRouterNoTargetError) as caught:
        chat(provider={"max_price": 0.0001}).invoke("x")
    assert isinstance(caught.value, hfrouter.NoTargetAvailable)
    assert "openai/gpt-oss-120b:groq" in caught.value.reasons
    assert caught.value.is_retryable is False
    assert chats() == []


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream"])
async def test_the_deadline_is_a_timeout_of_both_trees(way: str, chat: Any, sim: Simulator) -> None:
    sim.fail(Simulator.ANY, Fault.hang(30), times=ALL)
    with pytest.raises(langchain_hfrouter.HFRouterTimeoutError) as caught:
        await asked(chat(timeout=0.2), way)
    assert isinstance(caught.value, (TimeoutError, langchain.ModelTimeoutError, hfrouter.DeadlineExceeded))
    assert caught.value.is_retryable is True


def test_a_refused_budget_is_not_retried() -> None:
    error = as_model_error(hfrouter.BudgetExceeded("the budget of today is spent"))
    assert isinstance(error, langchain.ModelError)
    assert isinstance(error, hfrouter.BudgetExceeded)
    assert error.is_retryable is False


def test_an_error_of_both_trees_is_left_as_it_is() -> None:
    error = as_model_error(hfrouter.OutOfCredits("no credits"))
    assert as_model_error(error) is error


def test_misuse_of_the_library_is_not_the_models_error() -> None:
    error = hfrouter.HFRouterError("this stream belongs to the process that opened it")
    assert as_model_error(error) is error


def test_with_retry_asks_again_only_when_told_which(chat: Any, sim: Simulator, chats: Any) -> None:
    sim.fail("groq", Fault.rate_limited(), times=2)
    patient = chat(max_retries=0, provider="groq").with_retry(
        retry_if_exception_type=(langchain.ModelRateLimitError,), stop_after_attempt=3, wait_exponential_jitter=False
    )
    assert patient.invoke("Repeat: at last").text == "at last"
    assert len(chats()) == 3

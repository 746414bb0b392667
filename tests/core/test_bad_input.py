"""Bad input: one clear sentence with a cause and a next step, before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hfrouter import ConfigurationError, Policy, Router
from hfrouter.simulator import Simulator

MODEL = "openai/gpt-oss-120b"

_DEEP: list[Any] = []
for _ in range(100_000):
    _DEEP = [_DEEP]

# What a user may get wrong in a call, and what the error must name.
CALLS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown model": ({"model": "openai/gpt-oss-12b"}, ["openai/gpt-oss-12b", "did you mean", "groq"]),
    "unknown model, nothing near": ({"model": "zz/qqqqqq"}, ["zz/qqqqqq", "Router.targets()"]),
    "no organisation": ({"model": "gpt-oss-120b"}, ["'gpt-oss-120b'", "openai/gpt-oss-120b"]),
    "no text": ({"model": None}, ["a NoneType", "model id"]),
    "line break in a model": ({"model": "openai/x\r\nX-Evil: 1"}, ["model id"]),
    "unknown provider pin": ({"model": f"{MODEL}:qroq"}, ["'qroq'", "cerebras, groq, novita, together"]),
    "unknown fallback model": ({"models": ["openai/none"]}, ["'openai/none'"]),
    "empty messages": ({"messages": []}, ["messages is empty", "role"]),
    "messages as a mapping": ({"messages": {"role": "user"}}, ["messages is a dict"]),
    "a message without a role": ({"messages": [{"content": "hi"}]}, ["messages[0]", "role"]),
    "a value JSON cannot carry": ({"tools": [{1, 2}]}, ["JSON", "set"]),
    "nested too deeply": ({"metadata": _DEEP}, ["nested too deeply"]),
    "not a number": ({"temperature": float("nan")}, ["JSON", "not finite"]),
    "max_tokens of nothing": ({"max_tokens": 0}, ["max_tokens", "from 1 to", "not 0"]),
    "unknown provider wish": ({"provider": {"onyl": ["groq"]}}, ["provider.onyl", "only"]),
    "unknown sort": ({"provider": {"sort": "quality"}}, ["'quality'", "price"]),
    "negative cap in a call": ({"provider": {"max_price": -1}}, ["MaxPrice.input", "-1", "greater than or equal to 0"]),
    "negative timeout": ({"timeout": -1}, ["deadline", "greater than 0"]),
    "session of two lines": ({"session": "a\r\nb"}, ["session", "printable"]),
    "policy of another kind": ({"policy": {"attempts": 2}}, ["policy is a dict", "hfrouter.Policy"]),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_with_bad_input_sends_nothing(name: str, sim: Simulator, router: Router) -> None:
    arguments, words = CALLS[name]
    with pytest.raises(ConfigurationError) as caught:
        router.chat(**{"model": MODEL, "messages": "hi"} | arguments)
    check_sentence(str(caught.value), words)
    assert not [x for x in sim.exchanges if x.method == "POST"]
    assert router.entries() == []


POLICIES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown field": ({"max_prise": 1}, ["'max_prise'", "max_price"]),
    "unknown field, nothing near": ({"zzz": 1}, ["'zzz'", "attempts"]),
    "negative price cap": ({"max_price": -0.5}, ["-0.5", "greater than or equal to 0"]),
    "negative price cap of one kind": ({"max_price": {"output": -2}}, ["output", "-2"]),
    "too many attempts": ({"attempts": 9}, ["attempts", "less than or equal to 4"]),
    "no attempts": ({"attempts": 0}, ["attempts", "greater than or equal to 1"]),
    "endless deadline": ({"deadline": float("inf")}, ["deadline"]),
    "unknown strategy": ({"strategy": "best"}, ["strategy", "'cheapest'"]),
}


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_with_bad_input_is_refused_when_made(name: str) -> None:
    fields, words = POLICIES[name]
    with pytest.raises(ConfigurationError) as caught:
        Policy(**fields)
    check_sentence(str(caught.value), words)


ROUTERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "empty token": ({"token": "  "}, ["token", "settings/tokens"]),
    "token with a line break": ({"token": "hf_SECRET\nX"}, ["token", "copy it again"]),
    "token beyond ASCII": ({"token": "hf_SECRETé"}, ["token", "copy it again"]),
    "token of another service": ({"token": "sk-SECRET"}, ["hf_", "settings/tokens"]),
    "base_url without a scheme": ({"base_url": "localhost:8000"}, ["base_url", "http"]),
    "base_url with a user": ({"base_url": "http://SECRET:x@host/v1"}, ["base_url", "user name"]),
    "bill_to with a line break": ({"bill_to": "acme\r\n"}, ["bill_to", "printable"]),
    "session too long": ({"session": "s" * 257}, ["session", "256"]),
    "ledger of another kind": ({"ledger": 3}, ["ledger is a int", "'memory'"]),
}


@pytest.mark.parametrize("name", ROUTERS)
def test_a_router_with_bad_input_is_refused_when_made(name: str) -> None:
    arguments, words = ROUTERS[name]
    with pytest.raises(ConfigurationError) as caught:
        Router(**arguments)
    check_sentence(str(caught.value), words)
    assert "SECRET" not in str(caught.value)


def test_no_token_anywhere_is_said_at_the_first_call() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Router(ledger="memory").chat(model=MODEL, messages="hi")
    check_sentence(str(caught.value), ["HF_TOKEN", "settings/tokens"])


def test_a_malformed_token_in_the_environment_is_named_but_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_SEC RET")
    with pytest.raises(ConfigurationError) as caught:
        Router(ledger="memory").chat(model=MODEL, messages="hi")
    check_sentence(str(caught.value), ["HF_TOKEN"])
    assert "SEC" not in str(caught.value)


def test_the_users_token_is_not_sent_to_another_origin(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_user")
    with pytest.raises(ConfigurationError, match="pass token="):
        Router(base_url=sim.base_url, ledger="memory").chat(model=MODEL, messages="hi")
    assert not sim.exchanges


def test_the_token_is_found_in_the_file_of_the_hub_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hfrouter.wire.token import find_token

    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("hf_from_file\n")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    assert find_token() == "hf_from_file"
    monkeypatch.setenv("HF_TOKEN", " hf_from_environment ")
    assert find_token() == "hf_from_environment"


def check_sentence(text: str, words: list[str]) -> None:
    """One sentence that names the cause and the next step."""
    assert "\n" not in text, text
    assert len(text) < 300, text
    assert text.endswith((".", "?")), text
    assert [word for word in words if word not in text] == [], text

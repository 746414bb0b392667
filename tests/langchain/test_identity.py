"""A model as a value: dumps, pickles, copies, traces and cache keys; none of them holds a secret."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelError
from langchain_core.load import dumpd, dumps
from langchain_core.messages import HumanMessage

from hfrouter import Policy, Router
from hfrouter.simulator import Fault, Simulator
from langchain_hfrouter import ChatHFRouter

TOKEN = "hf_a_secret_of_mine"


def test_importing_loads_no_openai_and_starts_nothing() -> None:
    code = (
        "import sys, threading; import langchain_hfrouter as l; l.ChatHFRouter(model='a/b', api_key='hf_x');"
        "print([m for m in ('openai', 'transformers', 'tiktoken') if m in sys.modules],"
        "threading.active_count())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[] 1\n"


def test_every_public_name_is_there_and_sorted() -> None:
    import langchain_hfrouter

    names = langchain_hfrouter.__all__
    assert names == sorted(names)
    assert all(getattr(langchain_hfrouter, name) for name in names)


@pytest.mark.parametrize("way", [repr, str, dumps, pickle.dumps, lambda m: m.model_dump_json(), lambda m: m.asdict()])
def test_the_token_shows_itself_nowhere(way: Any) -> None:
    model = ChatHFRouter(model="a/b", api_key=TOKEN, bill_to="acme")
    assert TOKEN not in str(way(model))


@pytest.mark.parametrize("streamed", [False, True])
def test_messages_and_errors_hold_no_token(streamed: bool, sim: Simulator) -> None:
    model = ChatHFRouter(model="openai/gpt-oss-120b", api_key=TOKEN, base_url=sim.base_url, ledger="memory")
    message = list(model.stream("Hello"))[-1] if streamed else model.invoke("Hello")
    assert TOKEN not in dumps(message)
    assert TOKEN not in repr(model.active_router.entries())


class _Trace(BaseCallbackHandler):
    """Everything LangChain tells a tracer."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_chat_model_start(self, *told: Any, **named: Any) -> None:
        self.told.append((told, named))

    def on_llm_error(self, error: BaseException, **named: Any) -> None:
        self.told.append((error, named))


def test_tracers_are_told_the_routing_and_no_token(sim: Simulator) -> None:
    trace = _Trace()
    model = ChatHFRouter(
        model="openai/gpt-oss-120b", api_key=TOKEN, base_url=sim.base_url, ledger="memory", callbacks=[trace]
    )
    sim.fail("groq", Fault.status(400))
    with pytest.raises(ModelError):
        model.invoke("Hello", provider="groq")
    start, end = trace.told
    assert TOKEN not in repr(trace.told)
    assert start[1]["invocation_params"]["provider"] == "groq"
    assert TOKEN not in repr(vars(end[0]))


def test_a_pickle_made_before_or_after_the_first_call_works(chat: Any, sim: Simulator) -> None:
    model = chat(temperature=0, policy=Policy(strategy="cheapest"))
    for _round in range(2):
        back = pickle.loads(pickle.dumps(model))
        assert back.hf_token is None
        assert (back.model, back.temperature, back.policy) == (model.model, 0, {"strategy": "cheapest"})
        back.hf_token = model.hf_token
        assert back.invoke("Hello").text == model.invoke("Hello").text


def test_a_pickle_does_not_take_a_shared_router_along(router: Router) -> None:
    model = ChatHFRouter(model="openai/gpt-oss-120b", router=router)
    back = pickle.loads(pickle.dumps(model))
    assert back.router is None
    assert (back.hf_base_url, back.policy) == (router.base_url, model.policy)


def test_a_deep_copy_goes_through_the_same_router(chat: Any, router: Router) -> None:
    model = chat()
    model.invoke("Hello")
    for original in (model, ChatHFRouter(model="openai/gpt-oss-120b", router=router)):
        twin = copy.deepcopy(original)
        twin.invoke("Hello")
        assert twin == original
        assert twin.active_router is original.active_router
        assert twin.provider is None or twin.provider is not original.provider


def test_the_policy_is_kept_as_plain_json() -> None:
    model = ChatHFRouter(model="a/b", api_key="hf_x", policy=Policy(max_price=0.5, models=["c/d"]))
    assert json.loads(json.dumps(model.policy)) == model.policy
    assert dumpd(model)["kwargs"]["policy"] == {"models": ["c/d"], "max_price": {"input": "0.5", "output": "0.5"}}
    assert ChatHFRouter(model="a/b", api_key="hf_x", policy=model.policy) == model


def _key(**settings: Any) -> str:
    return ChatHFRouter(**{"model": "a/b", "api_key": "hf_x", **settings})._get_llm_string()


def test_whatever_changes_the_answer_changes_the_cache_key(router: Router, sim: Simulator) -> None:
    different: list[dict[str, Any]] = [
        {},
        {"model": "a/c"},
        {"temperature": 0},
        {"fallback_models": ["c/d"]},
        {"provider": "groq"},
        {"policy": {"only": ["groq"]}},
        {"policy": Policy(only="novita")},
        {"session": "a"},
        {"extra_body": {"top_k": 1}},
        {"api_key": None, "router": router},
        {"api_key": None, "router": Router(base_url=sim.base_url, token=sim.token, policy=Policy(only="groq"))},
    ]
    keys = [_key(**settings) for settings in different]
    assert len(set(keys)) == len(keys)
    assert _key() == _key(api_key="hf_another")


def test_a_cached_answer_is_not_asked_for_again(chat: Any, chats: Any) -> None:
    model = chat(cache=InMemoryCache())
    first, second = model.invoke("Hello"), model.invoke("Hello")
    assert first.text == second.text
    assert len(chats()) == 1


def test_traces_name_the_model_of_the_call() -> None:
    model = ChatHFRouter(model="a/b", api_key="hf_x", temperature=0, max_tokens=5, stop=["a"])
    assert model._get_ls_params() == {
        "ls_provider": "huggingface",
        "ls_model_type": "chat",
        "ls_model_name": "a/b",
        "ls_temperature": 0,
        "ls_max_tokens": 5,
        "ls_stop": ["a"],
    }
    assert model._get_ls_params(stop=["b"], model="c/d")["ls_model_name"] == "c/d"
    assert model._get_ls_params(stop=["b"])["ls_stop"] == ["b"]
    assert model.metadata["lc_versions"]["hfrouter"]
    params = ChatHFRouter(model="a/b", api_key="hf_x", provider="groq", bill_to="acme")._identifying_params
    assert params == {"model_name": "a/b", "model": "a/b", "provider": {"only": ["groq"]}, "bill_to": "acme"}


def _add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_tokens_are_counted_without_a_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("transformers", "tiktoken"):
        monkeypatch.setitem(sys.modules, package, None)
    model = ChatHFRouter(model="a/b", api_key="hf_x")
    assert model.get_num_tokens("twelve chars") == 3
    messages = [HumanMessage("twelve chars")]
    alone = model.get_num_tokens_from_messages(messages)
    assert 3 <= alone < model.get_num_tokens_from_messages(messages, tools=[_add])
    with pytest.raises(NotImplementedError, match="custom_get_token_ids"):
        model.get_token_ids("x")
    exact = ChatHFRouter(model="a/b", api_key="hf_x", custom_get_token_ids=lambda text: [1] * len(text))
    assert (exact.get_num_tokens("abc"), exact.get_token_ids("ab")) == (3, [1, 1])


def test_the_profile_is_the_users(chat: Any) -> None:
    assert chat().profile is None
    assert chat(profile={"structured_output": True}).profile == {"structured_output": True}


async def test_a_closed_model_can_be_used_again(chat: Any) -> None:
    model = chat()
    model.close()
    model.invoke("Hello")
    model.close()
    await model.aclose()
    assert model.invoke("Hello").text
    assert len(model.active_router.entries()) >= 1

"""Settings: a misspelled one is an error, a dump finds its way back, and no token is in anything that leaves."""

from __future__ import annotations

import ast
import copy
import inspect
import logging
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, LlamaDebugHandler
from llama_index.core.llms.loading import load_llm

import hfrouter
from hfrouter import ConfigurationError, Policy, Router
from hfrouter.simulator import Simulator
from llamaindex_hfrouter import HFRouter
from llamaindex_hfrouter import llm as llm_module

ASKED = [ChatMessage("What is 2 + 2?")]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"temprature": 0.9}, "'temperature'"),
        ({"fallback_model": "a/b"}, "'fallback_models'"),
        ({"whatever": 1}, "additional_kwargs"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"provider": {"onyl": ["groq"]}}, "onyl"),
        ({"policy": {"max_prize": 1}}, "'max_price'"),
        ({"timeout": -1}, "deadline"),
        ({"additional_kwargs": {"api_key": "hf_secret"}}, "api_key"),
        ({"router": "http://127.0.0.1"}, "router"),
    ],
)
def test_a_wrong_setting_is_an_error_that_helps(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        HFRouter("openai/gpt-oss-120b", **given)
    assert isinstance(caught.value, ValueError)


def test_type_checkers_see_every_argument() -> None:
    tree = ast.parse(inspect.getsource(llm_module))
    shown = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    names = {argument.arg for argument in (*shown.args.args, *shown.args.kwonlyargs)}
    assert names == {"self", "api_key", "api_base", *HFRouter.model_fields}
    assert shown.args.kwarg is None


def test_no_error_shows_a_token() -> None:
    for name in ("token", "api_key"):
        with pytest.raises(ConfigurationError) as caught:
            HFRouter("a/b", **{name: ["hf_very_secret"]})
        assert "hf_very_secret" not in f"{caught.value}{caught.value!r}{caught.value.__cause__}"


def test_a_credential_is_no_parameter_of_a_call(llm: Any, chats: Any) -> None:
    for name in ("token", "api_key", "base_url"):
        with pytest.raises(ConfigurationError, match=name):
            llm.chat(ASKED, **{name: "hf_secret"})
    assert not chats()


def test_no_secret_is_in_anything_that_leaves(make: Any, events: Any, caplog: Any) -> None:
    secret = "hf_very_secret_indeed"
    caplog.set_level(logging.DEBUG)
    handler = LlamaDebugHandler(print_trace_on_end=False)
    llm = make(token=secret, callback_manager=CallbackManager([handler]))
    responses = [llm.chat(ASKED), *llm.stream_chat(ASKED), llm.complete("Hello")]
    with pytest.raises(hfrouter.HFRouterError) as caught:
        llm.chat(ASKED, model="openai/gpt-oss-120")
    shown = [
        *(repr(llm), str(llm), repr(llm.to_dict()), llm.to_json(), repr(llm.model_dump()), llm.model_dump_json()),
        *(repr(llm.to_payload()), repr(llm.metadata), repr(llm.__dict__["token"]), repr(llm.active_router)),
        *(repr(pickle.dumps(llm)), repr(caught.value), caught.value.explain(), caplog.text),
        *(response.model_dump_json() for response in responses),
        *(repr(event) for event in events),
        *(repr(event.payload) for event in handler.get_events()),
        *(repr(entry) for entry in llm.active_router.entries()),
    ]
    for text in shown:
        assert secret not in text


def test_a_dump_finds_its_way_back(make: Any, sim: Simulator) -> None:
    llm = make(
        temperature=0.5,
        stop="x",
        fallback_models="a/b",
        policy=Policy(max_price=1, attempts=2),
        system_prompt="Be brief.",
        ledger=Path("ledger.db"),
    )
    stored = llm.to_dict()
    assert stored["policy"] == {"max_price": {"input": "1", "output": "1"}, "attempts": 2}
    for back in (HFRouter.from_dict(stored), HFRouter.from_json(llm.to_json()), load_llm(stored)):
        assert isinstance(back, HFRouter)
        assert back.to_dict() == stored
        assert back.token is None


def test_a_pickle_is_the_same_without_the_token(make: Any) -> None:
    llm = make(temperature=0.5, callback_manager=CallbackManager([LlamaDebugHandler(print_trace_on_end=False)]))
    llm.chat(ASKED)
    back = pickle.loads(pickle.dumps(llm))
    assert back.to_dict() == llm.to_dict()
    assert back.token is None
    # LlamaIndex's own pickling takes what cannot be pickled from the living object.
    assert llm.token is not None
    assert llm.rate_limiter is None
    llm.chat(ASKED)
    with pytest.raises(ConfigurationError, match="token"):
        back.chat(ASKED)
    back.token = llm.token
    assert back.chat(ASKED).message.content


def test_a_copy_goes_through_the_same_router(make: Any) -> None:
    llm = make(callback_manager=CallbackManager([LlamaDebugHandler(print_trace_on_end=False)]))
    llm.chat(ASKED)
    for other in (copy.copy(llm), copy.deepcopy(llm), llm.model_copy(deep=True)):
        other.temperature = 0.5
        assert other.active_router is llm.active_router
        other.chat(ASKED)
    assert llm.temperature is None
    assert len(llm.active_router.entries()) == 4


def test_a_router_may_be_shared(sim: Simulator) -> None:
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory", policy=Policy(only="cerebras")) as router:
        llms = [HFRouter("openai/gpt-oss-120b", router=router) for _ in range(2)]
        for llm in llms:
            assert llm.complete("Hello").additional_kwargs["provider"] == "cerebras"
            assert llm.base_url == sim.base_url
            llm.close()
        assert len(router.entries()) == 2
        stored = llms[0].to_dict()
        assert "router" not in stored
        back = HFRouter.from_dict(stored, token=sim.token, ledger="memory")
        assert back.complete("Hello").additional_kwargs["provider"] == "cerebras"
        for name in ("token", "bill_to", "ledger", "base_url"):
            with pytest.raises(ConfigurationError, match="leave them out"):
                HFRouter("openai/gpt-oss-120b", router=router, **{name: "other"})


def test_equal_settings_share_a_router_and_a_ledger_in_memory_is_nobody_elses(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    assert make(ledger=path).active_router is make(ledger=str(path), temperature=0.5).active_router
    assert make(ledger=path).active_router is not make(ledger=path, bill_to="org").active_router
    assert make().active_router is not make().active_router
    make(ledger=path).close()


def test_the_account_reaches_the_wire(make: Any, chats: Any) -> None:
    make(bill_to="org", session="tuesday").chat(ASKED)
    headers = chats()[-1].headers
    assert headers["x-hf-bill-to"] == "org"
    assert headers["x-hf-session-id"] == "tuesday"


def test_the_environment_of_other_libraries_has_no_say(
    make: Any, sim: Simulator, monkeypatch: pytest.MonkeyPatch, chats: Any
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "sk-other")
    make().chat(ASKED)
    assert not any("sk-other" in value for value in chats()[-1].headers.values())
    with pytest.raises(ConfigurationError, match="token"):
        make(token=None).chat(ASKED)


def test_one_object_for_many_threads(llm: Any, sim: Simulator) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: llm.chat(ASKED).message.content, range(16)))
    assert len(set(answers)) == 1
    assert len(llm.active_router.entries()) == len(sim.bill()) == 16


def test_an_import_and_an_object_load_no_sdk_and_start_nothing() -> None:
    script = (
        "import sys, threading\nfrom llamaindex_hfrouter import HFRouter\nHFRouter('a/b', token='hf_x')\n"
        "from llama_index.core.llms.loading import RECOGNIZED_LLMS\n"
        "print([n for n in ('openai', 'tiktoken', 'nltk.tokenize', 'httpx2', 'langchain_core') if n in sys.modules],"
        "threading.active_count(), 'HFRouter' in RECOGNIZED_LLMS)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["[]", "1", "True"]
    assert not done.stderr


def test_a_repr_says_what_was_said() -> None:
    assert repr(HFRouter("a/b", token="hf_x", temperature=0)) == "HFRouter(model='a/b', temperature=0.0)"


def test_an_llm_can_be_used_after_it_was_closed(llm: Any) -> None:
    llm.chat(ASKED)
    llm.close()
    assert llm.chat(ASKED).message.content

"""Metadata: from the user, else the catalogue, else assumed; cheap, bounded, and the same before and after."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.base.llms.types import ChatMessage

from hfrouter import Target
from hfrouter.simulator import Fault, Simulator
from llamaindex_hfrouter import facts
from llamaindex_hfrouter.facts import Facts

ASSUMED = {"context_window": "assumed", "num_output": "assumed", "is_function_calling_model": "assumed"}


def catalogues(sim: Simulator) -> int:
    return sum(exchange.path.endswith("/models") for exchange in sim.exchanges)


def test_from_the_catalogue(llm: Any) -> None:
    metadata = llm.metadata
    assert (metadata.context_window, metadata.num_output) == (131_072, 4096)
    assert metadata.is_chat_model
    assert metadata.is_function_calling_model
    assert metadata.model_name == "openai/gpt-oss-120b"
    assert metadata.sources == ASSUMED | {"context_window": "catalogue", "is_function_calling_model": "catalogue"}


def test_the_user_knows_better_and_then_nothing_is_asked(make: Any, sim: Simulator) -> None:
    llm = make(context_window=8192, is_function_calling_model=False, max_tokens=100)
    metadata = llm.metadata
    assert (metadata.context_window, metadata.num_output) == (8192, 100)
    assert not metadata.is_function_calling_model
    assert set(metadata.sources.values()) == {"user"}
    assert make(context_window=8192, num_output=7, is_function_calling_model=True).metadata.num_output == 7
    assert catalogues(sim) == 0


def test_one_value_of_the_user_leaves_the_others_to_the_catalogue(make: Any) -> None:
    metadata = make(context_window=8192).metadata
    assert metadata.sources == {
        "context_window": "user",
        "num_output": "assumed",
        "is_function_calling_model": "catalogue",
    }
    assert metadata.num_output == 2048


def test_it_is_asked_for_once_and_read_for_nothing(llm: Any, sim: Simulator) -> None:
    before = llm.metadata
    llm.chat([ChatMessage("Hello")])
    assert llm.metadata == before
    assert catalogues(sim) == 1
    began = time.perf_counter()
    for _ in range(100):
        assert llm.metadata == before
    assert (time.perf_counter() - began) / 100 < 0.001


def test_it_is_read_from_disk_when_the_router_is_away(make: Any, sim: Simulator) -> None:
    before = make().metadata
    sim.fail(Simulator.CATALOGUE, Fault.status(500), times=None)
    assert make().metadata == before


def test_it_is_assumed_when_the_catalogue_is_not_to_be_had(make: Any, sim: Simulator) -> None:
    sim.fail(Simulator.CATALOGUE, Fault.status(500), times=None)
    llm = make()
    metadata = llm.metadata
    assert (metadata.context_window, metadata.num_output) == (32_768, 4096)
    assert metadata.is_function_calling_model
    assert metadata.sources == ASSUMED
    assert llm.metadata == metadata
    assert catalogues(sim) == 1


def test_a_model_nobody_knows_has_assumptions_too(make: Any) -> None:
    assert make(model="nobody/knows-this").metadata.sources == ASSUMED


def test_waiting_is_bounded_and_done_once(make: Any, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    assert facts.PATIENCE == 2
    monkeypatch.setattr(facts, "PATIENCE", 0.3)
    sim.fail(Simulator.CATALOGUE, Fault.hang(5), times=None)
    llm = make()
    began = time.monotonic()
    assert llm.metadata.sources == ASSUMED
    assert 0.25 < time.monotonic() - began < 1
    began = time.monotonic()
    assert llm.metadata.sources == ASSUMED
    assert time.monotonic() - began < 0.1


def test_events_do_not_wait_for_it(make: Any, sim: Simulator) -> None:
    sim.fail(Simulator.CATALOGUE, Fault.hang(5), times=None)
    began = time.monotonic()
    payload = make().to_payload()
    assert time.monotonic() - began < 0.5
    assert payload["sources"] == ASSUMED


def test_what_was_assumed_is_looked_up_again_behind_the_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "_AGAIN", 0.0)
    knowledge, found, looked = facts.Knowledge(), Facts(context=1), threading.Event()
    assert knowledge.get("key", lambda: (_ for _ in ()).throw(facts.HFRouterError("away")), 0.5) is None
    time.sleep(0.6)  # the patience with the first look-up is over

    def look_up() -> Facts:
        looked.set()
        return found

    assert knowledge.get("key", look_up, 0.5) is None or looked.is_set()
    assert looked.wait(1)
    for _ in range(100):
        if knowledge.get("key", look_up, 0.5) is found:
            break
        time.sleep(0.01)
    assert knowledge.get("key", look_up, 0.5) is found


def test_fallback_models_count_too(make: Any) -> None:
    llm = make(
        model="Qwen/Qwen3-Coder-480B-A35B-Instruct", fallback_models=["deepseek-ai/DeepSeek-R1"], provider="together"
    )
    assert llm.metadata.context_window == 163_840
    alone = make(model="Qwen/Qwen3-Coder-480B-A35B-Instruct", provider="together")
    assert alone.metadata.context_window == 262_144
    by_policy = make(policy={"models": ["deepseek-ai/DeepSeek-R1"]}, provider=None)
    assert by_policy.metadata.context_window == 64_000


def test_the_providers_that_may_serve_decide(make: Any) -> None:
    assert make(model="openai/gpt-oss-20b").metadata.is_function_calling_model
    assert not make(model="openai/gpt-oss-20b", provider="novita").metadata.is_function_calling_model
    assert not make(model="openai/gpt-oss-20b:novita").metadata.is_function_calling_model
    ignoring = make(model="openai/gpt-oss-20b", provider={"ignore": ["groq", "together"]})
    assert not ignoring.metadata.is_function_calling_model


def test_an_absent_flag_is_no_refusal() -> None:
    silent, refusing = Target("a/b", "x"), Target("a/b", "y", supports_tools=False)
    assert Facts.of([[silent, refusing]]).tools
    assert not Facts.of([[refusing]]).tools
    assert not Facts.of([[silent]]).structured
    assert Facts.of([[silent]]).context is None


def test_rows_that_are_not_live_do_not_count(make: Any) -> None:
    llm = make(model="meta-llama/Llama-3.3-70B-Instruct", provider=None)
    assert llm.metadata.context_window == 131_072  # cerebras has 65,536 and is down


async def test_it_can_be_read_in_a_running_loop_and_by_many_at_once(llm: Any, sim: Simulator) -> None:
    found = await asyncio.gather(*(asyncio.to_thread(lambda: llm.metadata) for _ in range(8)))
    assert all(each == llm.metadata for each in found)
    assert llm.metadata.sources["context_window"] == "catalogue"
    assert catalogues(sim) == 1

"""What all tests share: homes of their own, no token of the machine's, a simulator on a real socket."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from hfrouter import Policy, Router
from hfrouter.simulator import Simulator

# The same examples on every machine, and no verdict on how fast a busy one is.
settings.register_profile("repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def own_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's files, and none sees the user's token or proxy."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "HF_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
    for variable in ("HF_TOKEN", "HUGGINGFACEHUB_API_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HFROUTER_LEDGER"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)


@pytest.fixture(autouse=True)
def no_loop_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close the loop that LlamaIndex's bridge leaves open in a thread without one; pytest keeps its own."""
    yield
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        policy = asyncio.get_event_loop_policy()
    loop = getattr(getattr(policy, "_local", None), "_loop", None)
    if loop is not None and not loop.is_running() and not loop.is_closed():
        loop.close()
        policy.set_event_loop(None)


@pytest.fixture(scope="session")
def shared_simulator() -> Iterator[Simulator]:
    with Simulator(seed=0) as simulator:
        yield simulator


@pytest.fixture
def sim(shared_simulator: Simulator) -> Iterator[Simulator]:
    """The simulator, healthy and with an empty log."""
    shared_simulator.reset()
    yield shared_simulator
    shared_simulator.reset()


@pytest.fixture
def router(sim: Simulator) -> Iterator[Router]:
    """A router in front of the simulator that tries groq, novita, together, cerebras in this order."""
    policy = Policy(order=["groq", "novita", "together", "cerebras"])
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory", seed=0, policy=policy) as made:
        yield made

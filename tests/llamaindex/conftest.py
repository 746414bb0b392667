"""LLMs in front of the simulator, and no way to anywhere else."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from hfrouter.simulator import Exchange, Simulator

if TYPE_CHECKING:
    from llamaindex_hfrouter import HFRouter

MODEL = "openai/gpt-oss-120b"
ORDER = ["groq", "novita", "together", "cerebras"]


@pytest.fixture(autouse=True)
def no_outside_connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only this machine can be reached; a try to leave it fails the test."""
    tried: list[Any] = []
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> Any:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
            tried.append(address)
            raise ConnectionRefusedError(f"no way to {address}")
        return connect(self, address)

    def guarded_resolve(host: Any, *rest: Any, **more: Any) -> Any:
        if host not in ("127.0.0.1", "::1", "localhost", None):
            tried.append(host)
            raise socket.gaierror(-3, f"no way to {host}")
        return resolve(host, *rest, **more)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_resolve)
    yield
    assert not tried


@pytest.fixture
def make(sim: Simulator) -> Callable[..., HFRouter]:
    """Makes LLMs that try groq, novita, together and cerebras in this order."""
    from llamaindex_hfrouter import HFRouter

    def build(**settings: Any) -> HFRouter:
        defaults = {"model": MODEL, "token": sim.token, "base_url": sim.base_url, "ledger": "memory"}
        return HFRouter(**{**defaults, "provider": {"order": ORDER}, **settings})

    return build


@pytest.fixture
def llm(make: Callable[..., HFRouter]) -> HFRouter:
    return make()


@pytest.fixture
def chats(sim: Simulator) -> Callable[[], list[Exchange]]:
    """The chat requests the simulator has had, without those for the catalogue."""
    return lambda: [exchange for exchange in sim.exchanges if exchange.path.endswith("/chat/completions")]


@pytest.fixture
def sent(chats: Callable[[], list[Exchange]]) -> Callable[[], dict[str, Any]]:
    """The body of the last chat request."""
    return lambda: chats()[-1].body


@pytest.fixture
def left(chats: Callable[[], list[Exchange]]) -> Callable[[], bool]:
    """Whether the last request is closed by the client, soon."""

    def look() -> bool:
        end = time.monotonic() + 3
        while not (chats() and chats()[-1].closed_by_client) and time.monotonic() < end:
            time.sleep(0.005)
        return bool(chats()) and chats()[-1].closed_by_client

    return look


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """Every instrumentation event while the test runs."""
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.event_handlers import BaseEventHandler

    seen: list[Any] = []

    class Recorder(BaseEventHandler):
        @classmethod
        def class_name(cls) -> str:
            return "Recorder"

        def handle(self, event: Any, **kwargs: Any) -> None:
            seen.append(event)

    root, recorder = get_dispatcher(), Recorder()
    root.add_event_handler(recorder)
    yield seen
    root.event_handlers.remove(recorder)


@pytest.fixture
def calls(events: list[Any]) -> Callable[[], list[Any]]:
    """The events of hfrouter among them."""
    return lambda: [event for event in events if type(event).__name__ == "HFRouterCallEvent"]

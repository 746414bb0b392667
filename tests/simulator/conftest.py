"""A simulator for each test, and a client so plain that it can hide nothing."""

import contextlib
import http.client
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from hfrouter.simulator import Simulator


@dataclass
class Received:
    """What came over the wire."""

    status: int
    headers: dict[str, str]
    raw: bytes
    whole: bool
    """Whether the body ended the way HTTP says."""
    lines: list[bytes] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def events(self) -> list[Any]:
        """The parsed `data:` events of a stream, without `[DONE]`."""
        data = [part[6:] for part in self.raw.decode().split("\n\n") if part.startswith("data: ")]
        return [json.loads(part) for part in data if part != "[DONE]"]

    @property
    def done(self) -> bool:
        return self.raw.endswith(b"data: [DONE]\n\n")

    @property
    def text(self) -> str:
        """The content that a stream added up to."""
        choices = [choice for event in self.events for choice in event.get("choices", ())]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


Send = Callable[..., Received]


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(seed=7) as simulator:
        yield simulator


@pytest.fixture
def send(sim: Simulator) -> Send:
    """Send one request with `http.client`: method, path, JSON body."""
    return sender(sim)


@pytest.fixture
def made() -> Iterator[Callable[..., tuple[Simulator, Send]]]:
    """Start a simulator with options, and return it with its `send`."""
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> tuple[Simulator, Send]:
            simulator = stack.enter_context(Simulator(seed=7, **options))
            return simulator, sender(simulator)

        yield start


def sender(sim: Simulator) -> Send:
    """Return a function that sends one request with `http.client`: method, path, JSON body."""

    def request(method: str, path: str, body: Any = None, *, token: str | None = sim.token, **headers: str) -> Received:
        parts = urlsplit(sim.url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            if token is not None:
                sent["authorization"] = f"Bearer {token}"
            payload = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, payload, sent)
            answer = connection.getresponse()
            try:
                raw, whole = answer.read(), True
            except http.client.IncompleteRead as error:
                raw, whole = error.partial, False
            return Received(answer.status, {k.lower(): v for k, v in answer.getheaders()}, raw, whole)
        finally:
            connection.close()

    return request


@pytest.fixture
def chat(send: Send) -> Send:
    """Ask for a chat completion: model, prompt (or messages), further fields."""

    def ask(model: str, prompt: str | list[dict[str, Any]] = "What is 2 + 3?", **more: Any) -> Received:
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        return send("POST", "/v1/chat/completions", {"model": model, "messages": messages, **more})

    return ask

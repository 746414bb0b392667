"""What goes over the wire: the model first, our headers alone, and the right kind of upstream."""

from __future__ import annotations

import socketserver
import threading
from typing import Any

import pytest

from hfrouter import Policy, Router
from hfrouter.simulator import Simulator

MODEL = "openai/gpt-oss-120b"


def test_the_model_is_the_first_key_and_names_its_provider(sim: Simulator, router: Router) -> None:
    router.chat(model=MODEL, messages="What is 2 + 2?", temperature=0)
    sent = sim.exchanges[-1]
    assert sent.raw.startswith(b'{"model":"openai/gpt-oss-120b:groq",')
    assert sent.body["temperature"] == 0


def test_only_headers_we_wrote_are_sent(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "OPENAI_API_KEY": "sk-leak",
        "OPENAI_ORG_ID": "org-leak",
        "OPENAI_PROJECT_ID": "proj-leak",
        "OPENAI_CUSTOM_HEADERS": "X-Leak: yes",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/leak",
    }.items():
        monkeypatch.setenv(name, value)
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory", bill_to="acme", session="s-1") as router:
        router.chat(model=MODEL, messages="hi", session="s-2")
    sent = sim.exchanges[-1]
    assert set(sent.headers) == {
        *("host", "connection", "content-length", "content-type", "accept", "accept-encoding"),
        *("user-agent", "authorization", "x-hf-bill-to", "x-hf-session-id"),
    }
    assert sent.headers["accept-encoding"] == "identity"
    assert sent.headers["x-hf-bill-to"] == "acme"
    assert sent.headers["x-hf-session-id"] == "s-2"
    assert sent.headers["user-agent"].startswith("hfrouter/")


@pytest.mark.parametrize(
    ("parameters", "policy", "streamed"),
    [
        ({}, Policy(), True),
        ({"max_tokens": 257}, Policy(), True),
        ({"max_tokens": 256}, Policy(), False),
        ({"n": 2}, Policy(), False),
        ({"logprobs": True}, Policy(), False),
        ({}, Policy(upstream="unary"), False),
        ({"max_tokens": 5}, Policy(upstream="stream"), True),
    ],
)
def test_a_whole_answer_is_asked_for_as_a_stream_unless_short_or_special(
    parameters: dict[str, Any], policy: Policy, streamed: bool, sim: Simulator, router: Router
) -> None:
    answer = router.chat(model=f"{MODEL}:groq", messages="What is 17 * 23?", policy=policy, **parameters)
    assert sim.exchanges[-1].streamed is streamed
    assert answer.attempts[-1].streamed is streamed
    assert router.entries()[-1].streamed is streamed


def test_output_tokens_are_always_limited_and_the_default_is_told(sim: Simulator, router: Router) -> None:
    answer = router.chat(model=MODEL, messages="hi")
    assert sim.exchanges[-1].body["max_tokens"] == 4096
    assert "max_tokens 4096 by default" in answer.explain()
    router.chat(model=MODEL, messages="hi", max_completion_tokens=300)
    assert "max_tokens" not in sim.exchanges[-1].body


def test_an_empty_list_of_tools_is_left_out(sim: Simulator, router: Router) -> None:
    router.chat(model=MODEL, messages="hi", tools=[])
    assert "tools" not in sim.exchanges[-1].body


def test_tools_go_only_to_providers_that_may_support_them(sim: Simulator, router: Router) -> None:
    tool = {"type": "function", "function": {"name": "add", "description": "Add.", "parameters": {"type": "object"}}}
    answer = router.chat(model="openai/gpt-oss-20b", messages="hi", tools=[tool], provider={"order": ["novita"]})
    assert answer.provider != "novita"
    assert "openai/gpt-oss-20b:novita: it does not support tools" in answer.explain()


@pytest.mark.parametrize("how", ["chat", "stream"])
def test_several_choices_are_all_given_back(how: str, router: Router) -> None:
    if how == "chat":
        body = router.chat(model=f"{MODEL}:groq", messages="What is 17 * 23?", n=2).body
    else:
        with router.stream(model=f"{MODEL}:groq", messages="What is 17 * 23?", n=2) as stream:
            assert {delta.index for delta in stream} == {0, 1}
        body = stream.completion().body
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert all("391" in choice["message"]["content"] for choice in body["choices"])


def test_tool_calls_come_whole_from_every_provider(router: Router) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {
        "type": "function",
        "function": {"name": "get_weather", "description": "Weather in a city.", "parameters": parameters},
    }
    for provider in ("groq", "cerebras", "novita", "together"):
        answer = router.chat(model=f"{MODEL}:{provider}", messages="What is the weather in Paris?", tools=[tool])
        (call,) = answer.tool_calls
        assert call["function"]["name"] == "get_weather"
        assert "Paris" in call["function"]["arguments"]
        assert call["id"]
        assert answer.finish_reason == "tool_calls"


@pytest.mark.parametrize("how", ["chat", "stream", "unary"])
def test_a_connection_is_used_again_after_a_whole_answer(how: str, router: Router) -> None:
    """A stub that counts connections: the simulator's log does not tell them apart."""
    connections: list[object] = []
    events = b"".join(
        b"data: %s\n\n" % data
        for data in (
            b'{"choices":[{"index":0,"delta":{"content":"hi"}}]}',
            b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
            b"[DONE]",
        )
    )
    whole = b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}'
    body, kind = (whole, b"application/json") if how == "unary" else (events, b"text/event-stream")

    class Counting(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            connections.append(self.client_address)
            while head := self.rfile.readline():
                length = 0
                while (line := self.rfile.readline()).strip():
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                self.rfile.read(length)
                answer = b'{"data":[{"id":"a/b","providers":[{"provider":"p"}]}]}' if head.startswith(b"GET") else body
                self.wfile.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
                    % (kind if answer is body else b"application/json", len(answer), answer)
                )

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Counting) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        policy = Policy(upstream="unary" if how == "unary" else "auto")
        with Router(base_url=base_url, token="hf_x", ledger="memory", policy=policy) as counted:
            for _ in range(5):
                if how == "stream":
                    assert "".join(d.text for d in counted.stream(model="a/b", messages="hi")) == "hi"
                else:
                    assert counted.chat(model="a/b", messages="hi").text == "hi"
        server.shutdown()
    assert len(connections) == 1

"""Never a broken answer as a success, never a false amount, never a secret in a message."""

from __future__ import annotations

import json
import pickle
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hfrouter import HFRouterError, RequestRejected, Router
from hfrouter.simulator import Fault, Simulator

MODEL = "openai/gpt-oss-120b"
LISTING = {
    "data": [
        {
            "id": "a/b",
            "providers": [{"provider": p, "pricing": {"input": 1, "output": 2}} for p in ("first", "second")],
        }
    ]
}


@contextmanager
def answering(*answers: tuple[int, str, bytes]) -> Iterator[Router]:
    """A router before a server that gives (status, content type, body) in turn, the last one for ever."""
    left = list(answers)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head, length = self.rfile.readline(), 0
            while (line := self.rfile.readline()).strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.rfile.read(length)
            status, kind, body = 200, "application/json", json.dumps(LISTING).encode()
            if head.startswith(b"POST"):
                status, kind, body = left.pop(0) if len(left) > 1 else left[0]
            self.wfile.write(
                f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
                "connection: close\r\n\r\n".encode()
                + body
            )

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Router(
            base_url=f"http://127.0.0.1:{server.server_address[1]}/v1", token="hf_SECRETTOKEN", ledger="memory", seed=0
        ) as router:
            yield router
        server.shutdown()


def stream_of(*events: dict[str, Any]) -> tuple[int, str, bytes]:
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    return 200, "text/event-stream", body.encode()


def said(text: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish, **more}]}


GOOD = stream_of(said("whole"), said("", "stop"))


@pytest.mark.parametrize(
    "end",
    [
        said("", "abort"),
        said("", "error"),
        said("", "insufficient_system_resource"),
        said("", "error", error={"message": "upstream failed", "code": 502}),
        said("", None, error={"message": "upstream failed"}),
    ],
)
def test_an_answer_the_provider_gave_up_is_no_success(end: dict[str, Any]) -> None:
    with answering(stream_of(said("half an ans"), end), GOOD) as router:
        answer = router.chat(model="a/b", messages="hi", policy=None)
        assert answer.text == "whole"
        assert len(answer.attempts) == 2
    with answering(stream_of(said("half an ans"), end)) as router, pytest.raises(HFRouterError):
        list(router.stream(model="a/b:first", messages="hi"))


@pytest.mark.parametrize(
    ("status", "words", "request_"),
    [
        (401, "Invalid token hf_SECRETTOKEN", {}),
        (400, "bad key hf_ANOTHERSECRET", {}),
        (400, "user alice@example.org is unknown", {"user": "alice@example.org"}),
        (400, "the text 'tell me all about zebras' is odd", {"messages": "tell me all about zebras, please, now"}),
        (
            400,
            "tool 'Looks into the ACME payroll.' is odd",
            {"tools": [{"description": "Looks into the ACME payroll."}]},
        ),
    ],
)
def test_no_error_repeats_a_secret_or_the_request(status: int, words: str, request_: dict[str, Any]) -> None:
    with answering((status, "application/json", json.dumps({"error": words}).encode())) as router:
        with pytest.raises(RequestRejected) as caught:
            router.chat(**{"model": "a/b:first", "messages": "hello there"} | request_)
        shown = f"{caught.value} {caught.value!r} {caught.value.explain()} {pickle.dumps(caught.value)!r}"
    for secret in ("SECRET", "alice", "zebras", "ACME"):
        assert secret not in shown


def test_an_error_still_names_the_parameter_it_is_about() -> None:
    body = json.dumps({"error": {"message": "tool_choice 'required' needs tools", "type": "invalid"}}).encode()
    with answering((400, "application/json", body)) as router, pytest.raises(RequestRejected, match="needs tools"):
        router.chat(model="a/b:first", messages="hello there", tool_choice="required")


def test_usage_that_runs_along_a_broken_stream_is_a_lower_bound(sim: Simulator, router: Router) -> None:
    sim.fail("novita", Fault.running_usage(), times=None)
    for _ in router.stream(model=f"{MODEL}:novita", messages="Count from 1 to 60"):
        break
    for _ in range(300):  # until the provider, too, knows that nobody listens
        if sim.exchanges[-1].finished or sim.exchanges[-1].closed_by_client:
            break
        time.sleep(0.01)
    row = router.entries()[-1]
    billed = sim.bill().lines[-1].cost
    assert not row.cost.exact
    assert billed is not None
    assert row.cost.upper is not None
    assert row.cost.lower <= billed * 10**9 <= row.cost.upper


def test_a_redirect_may_have_been_billed_and_is_no_exact_nothing() -> None:
    with answering((302, "text/plain", b"")) as router, pytest.raises(HFRouterError) as caught:
        router.chat(model="a/b:first", messages="hi")
    assert caught.value.attempts[0].cost.upper != 0


def test_one_absurd_number_does_not_turn_the_ledger_off(sim: Simulator, router: Router) -> None:
    for wrong in ({"max_tokens": 10**19}, {"n": 10**30}, {"n": "2"}, {"n": 0}, {"tools": 5}, {"response_format": 5}):
        with pytest.raises(HFRouterError) as caught:
            router.chat(model=MODEL, messages="hi", **wrong)
        assert len(str(caught.value)) < 200
    router.chat(model=MODEL, messages="hi")
    assert len(router.entries()) == 1


WRONG = (
    "http://[::1",
    "http://h\n/v1",
    "http://h:abc/v1",
    "http://ho st/v1",
    "http://h:99999/v1",
    "http://h\x00/v1",
    "",
)


@pytest.mark.parametrize("url", WRONG)
def test_an_address_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(HFRouterError, match="base_url"):
        Router(base_url=url, token="hf_x")


def test_a_user_without_a_home_can_call(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "HF_HOME"):
        monkeypatch.delenv(variable, raising=False)
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory") as router:
        assert "391" in router.chat(model=MODEL, messages="What is 17 * 23?").text

"""Every fault, as a plain socket sees it."""

import http.client
import socket
import time
import urllib.request
from pathlib import Path

import pytest

from hfrouter.simulator import Fault, Simulator
from hfrouter.simulator.fault import NAMES

MODEL = "openai/gpt-oss-20b:groq"
WORDS = "Count from 1 to 60"


@pytest.mark.parametrize(
    ("fault", "status", "needle", "router"),
    [
        (Fault.rate_limited(), 429, "Rate limit", False),
        (Fault.payment_required(), 402, "depleted your monthly included credits", True),
        (Fault.spending_limit(), 403, "monthly spending limit", True),
        (Fault.forbidden(), 403, "sufficient permissions", True),
        (Fault.gone(), 410, "no longer supported by provider groq", True),
        (Fault.model_not_supported(), 400, "model_not_supported", True),
        (Fault.context_length(), 400, "131072", False),
        (Fault.content_policy(), 400, "content_policy_violation", False),
        (Fault.loading(22.3), 503, '"estimated_time":22.3', False),
        (Fault.status(500), 500, "server_error", False),
        (Fault.status(502, html=True), 502, "<html>", False),
        (Fault.status(504, body=""), 504, "", False),
        (Fault.status(418, body={"detail": [1]}), 418, '{"detail":[1]}', False),
        (Fault.error_body_200("broken inside"), 200, "broken inside", False),
        (Fault.html_200(), 200, "<html>", False),
    ],
    ids=repr,
)
def test_refusals_have_their_status_body_and_origin(chat, sim, fault, status, needle, router):
    sim.fail("groq", fault)
    answer = chat(MODEL, stream=True)
    assert answer.status == status
    assert needle in answer.raw.decode()
    assert ("x-inference-provider" not in answer.headers) == router
    assert chat(MODEL).status == 200
    assert sim.exchanges[0].fault == fault.name
    assert len(sim.bill()) == 1


def test_retry_after_is_there_only_when_given(chat, sim):
    sim.fail("groq", Fault.rate_limited(), Fault.rate_limited(2), Fault.rate_limited("Wed, 21 Oct 2026 07:28:00 GMT"))
    assert [chat(MODEL).headers.get("retry-after") for _ in range(3)] == [None, "2", "Wed, 21 Oct 2026 07:28:00 GMT"]


def test_a_status_takes_headers(chat, sim):
    sim.fail("groq", Fault.status(503, headers={"retry-after": "0.5"}))
    assert chat(MODEL).headers["retry-after"] == "0.5"


def test_cerebras_refuses_without_an_error_key(chat, sim):
    sim.fail("cerebras", Fault.rate_limited())
    assert chat("zai-org/GLM-4.6").json == {"message": "Too many tokens, please wait before trying again."}


def test_no_prefill_refuses_only_assistant_prefill(chat, sim):
    sim.fail("groq", Fault.no_prefill(), times=None)
    assert chat(MODEL).status == 200
    prefill = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "I"}]
    assert chat(MODEL, prefill).status == 400


@pytest.mark.parametrize("stream", [True, False])
def test_reset_is_a_reset_before_any_byte(chat, sim, stream):
    sim.fail("groq", Fault.reset())
    with pytest.raises(ConnectionResetError):
        chat(MODEL, stream=stream)
    assert sim.exchanges[0].status is None
    assert not sim.exchanges[0].closed_by_client


def test_hang_sends_nothing_and_then_drops(chat, sim):
    sim.fail("groq", Fault.hang(0.3))
    started = time.monotonic()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        chat(MODEL)
    assert 0.25 < time.monotonic() - started < 3


@pytest.mark.parametrize(("tokens", "text"), [(0, ""), (1, "1"), (7, "1 2 3 4 5 6 7")])
def test_a_cut_stream_ends_at_its_token_without_a_terminator(chat, sim, tokens, text):
    sim.fail("groq", Fault.cut_after(tokens))
    answer = chat(MODEL, WORDS, stream=True)
    assert (answer.status, answer.whole, answer.text) == (200, False, text)
    assert not answer.done
    reasoned = sum("reasoning" in event["choices"][0]["delta"] for event in answer.events)
    assert sim.bill()[0].completion_tokens == reasoned + tokens


def test_a_cut_beyond_the_answer_still_loses_the_finish(chat, sim):
    sim.fail("groq", Fault.cut_after(10_000))
    answer = chat(MODEL, stream=True)
    assert answer.text == "2 + 3 = 5"
    assert not answer.whole
    assert all(event["choices"][0]["finish_reason"] is None for event in answer.events)


def test_cut_before_content_leaves_the_role(chat, sim):
    sim.fail("groq", Fault.cut_before_content())
    answer = chat(MODEL, stream=True)
    assert not answer.whole
    assert [event["choices"][0]["delta"] for event in answer.events] == [{"role": "assistant", "content": ""}]


@pytest.mark.parametrize("fault", [Fault.cut_before_content(), Fault.cut_after(1), Fault.stall_after(1, 0.1)])
def test_a_cut_unary_body_is_shorter_than_promised(chat, sim, fault):
    sim.fail("groq", fault)
    answer = chat(MODEL)
    assert not answer.whole
    assert len(answer.raw) < int(answer.headers["content-length"])


def test_stall_is_silence_and_then_a_drop(chat, sim):
    sim.fail("groq", Fault.stall_after(3, 0.3))
    started = time.monotonic()
    answer = chat(MODEL, WORDS, stream=True)
    assert time.monotonic() - started > 0.25
    assert (answer.text, answer.whole) == ("1 2 3", False)


@pytest.mark.parametrize("stream", [True, False])
def test_stall_can_resume(chat, sim, stream):
    sim.fail("groq", Fault.stall_after(3, 0.2, resume=True))
    started = time.monotonic()
    answer = chat(MODEL, WORDS, stream=stream)
    assert time.monotonic() - started > 0.15
    assert answer.whole
    assert (answer.text if stream else answer.json["choices"][0]["message"]["content"]).endswith("59 60")


@pytest.mark.parametrize("after", [0, 4])
def test_an_error_event_ends_a_stream_of_200(chat, sim, after):
    sim.fail("groq", Fault.error_event(after, "overloaded"), Fault.error_event(after, "overloaded", "string"))
    first, second = chat(MODEL, WORDS, stream=True), chat(MODEL, WORDS, stream=True)
    assert first.whole
    assert not first.done
    assert first.events[-1]["error"]["message"] == "overloaded"
    assert second.events[-1] == {"error": "overloaded", "error_type": "overloaded"}
    assert first.text == second.text == " ".join(str(number) for number in range(1, after + 1))


def test_an_error_event_is_the_body_of_a_unary_answer(chat, sim):
    sim.fail("groq", Fault.error_event())
    answer = chat(MODEL)
    assert (answer.status, list(answer.json)) == (200, ["error"])
    assert len(sim.bill()) == 0


def test_no_done_keeps_the_finish(chat, sim):
    sim.fail("groq", Fault.no_done())
    answer = chat(MODEL, stream=True)
    assert answer.whole
    assert not answer.done
    assert answer.events[-1]["choices"][0]["finish_reason"] == "stop"


def test_no_finish_is_a_clean_end_with_nothing(chat, sim):
    sim.fail("groq", Fault.no_finish())
    answer = chat(MODEL, stream=True, stream_options={"include_usage": True})
    assert answer.whole
    assert not answer.done
    assert answer.text == "2 + 3 = 5"
    assert all("usage" not in event for event in answer.events)
    assert {event["choices"][0]["finish_reason"] for event in answer.events} == {None}


def test_the_malformed_event_is_the_one_named_and_nothing_is_lost(chat, sim):
    sim.fail("groq", Fault.malformed_event(10))
    parts = chat(MODEL, WORDS, stream=True).raw.decode().split("\n\n")
    with pytest.raises(ValueError):
        __import__("json").loads(parts[9].removeprefix("data: "))
    healthy = [part for index, part in enumerate(parts) if index != 9]
    assert "".join(healthy).count("data: ") == len(healthy) - 1
    sim.fail("groq", Fault.malformed_event(1))
    with pytest.raises(ValueError):
        _ = chat(MODEL).json


@pytest.mark.parametrize("stream", [True, False])
def test_an_empty_answer_stops_with_nothing(chat, sim, stream):
    sim.fail("groq", Fault.empty_answer())
    answer = chat(MODEL, stream=stream)
    choice = answer.events[-1]["choices"][0] if stream else answer.json["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert (answer.text if stream else choice["message"]["content"]) == ""
    assert sim.bill()[0].completion_tokens == 0


def test_no_usage_is_billed_all_the_same(chat, sim):
    sim.fail("groq", Fault.no_usage(), times=2)
    assert "usage" not in chat(MODEL).json
    answer = chat(MODEL, stream=True, stream_options={"include_usage": True})
    assert b"usage" not in answer.raw
    assert answer.done
    assert sim.bill().total > 0


def test_running_usage_grows_in_every_chunk(chat, sim):
    sim.fail("novita", Fault.running_usage())
    events = chat("openai/gpt-oss-120b:novita", stream=True).events
    counts = [event["usage"]["completion_tokens"] for event in events]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == sim.bill()[0].completion_tokens


@pytest.mark.parametrize("stream", [True, False])
def test_comments_are_all_that_comes(chat, sim, stream):
    sim.fail("groq", Fault.keep_alive_comments(0.2, every=0.05))
    answer = chat(MODEL, stream=stream)
    assert not answer.whole
    assert answer.raw.replace(b": keep-alive\n\n" if stream else b" ", b"") == b""
    assert len(answer.raw) >= 3


def test_slow_headers_delay_the_status_and_slow_first_token_only_the_content(sim):
    def first_line_and_end() -> tuple[float, float]:
        body = b'{"model":"openai/gpt-oss-20b:groq","stream":true,"messages":[{"role":"user","content":"hi"}]}'
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {sim.token}\r\n"
        with socket.create_connection(("127.0.0.1", int(sim.url.rsplit(":", 1)[1])), timeout=5) as connection:
            started = time.monotonic()
            connection.sendall(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
            connection.recv(1)
            first = time.monotonic() - started
            while connection.recv(65536):
                pass
            return first, time.monotonic() - started

    sim.fail("groq", Fault.slow_headers(0.3), Fault.slow_first_token(0.3))
    first, end = first_line_and_end()
    assert first > 0.25
    first, end = first_line_and_end()
    assert first < 0.2
    assert end > 0.25


# --- the queue --------------------------------------------------------------------------------------------------------


def test_faults_come_in_order_one_each(chat, sim):
    sim.fail("groq", Fault.status(500), Fault.status(502), times=2)
    assert [chat(MODEL).status for _ in range(5)] == [500, 502, 500, 502, 200]


def test_a_fault_can_be_for_one_model_or_for_any_provider(chat, sim):
    sim.fail("groq", Fault.status(503), model="openai/gpt-oss-20b")
    assert chat("openai/gpt-oss-120b:groq").status == 200
    assert chat(MODEL).status == 503
    sim.fail(Simulator.ANY, Fault.payment_required(), times=None)
    assert [chat(MODEL).status, chat("zai-org/GLM-4.6").status] == [402, 402]
    sim.heal()
    assert chat(MODEL).status == 200


def test_healing_one_provider_leaves_the_others(chat, sim):
    sim.fail("groq", Fault.status(503), times=None)
    sim.fail("cerebras", Fault.status(503), times=None)
    sim.heal("groq")
    assert [chat(MODEL).status, chat("zai-org/GLM-4.6").status] == [200, 503]


def test_a_fault_can_end_by_itself(chat, sim):
    sim.fail("groq", Fault.status(503), times=None, seconds=0.2)
    assert chat(MODEL).status == 503
    time.sleep(0.25)
    assert chat(MODEL).status == 200


def test_chance_comes_from_the_seed(chat, sim):
    def draw(seed: int) -> list[str | None]:
        other = Simulator(seed)
        other.fail("groq", Fault.status(503), probability=0.3, times=None)
        faults = [other._state.scripts.next("groq", "m") for _ in range(200)]
        return [fault and fault.name for fault in faults]

    assert draw(1) == draw(1) != draw(2)
    assert 40 <= sum(name is not None for name in draw(1)) <= 80


@pytest.mark.parametrize(
    "wrong",
    [
        lambda sim: sim.fail("nobody", Fault.reset()),
        lambda sim: sim.fail("groq", Fault.reset(), model="no/model"),
        lambda sim: sim.fail("groq"),
        lambda sim: sim.fail("groq", Fault.reset(), times=0),
        lambda sim: sim.fail("groq", Fault.reset(), probability=0),
        lambda _: Fault.cut_after(-1),
        lambda _: Fault.malformed_event(0),
        lambda _: Fault.status(99),
        lambda _: Fault.wrong_dimension(0),
        lambda _: Fault.not_finite("inf"),
        lambda _: Fault.from_json({"name": "nothing"}),
        lambda _: Fault.from_json({"name": "hang", "minutes": 3}),
        lambda _: Fault.from_json({"name": "from_json"}),
    ],
)
def test_a_fault_that_cannot_be_is_refused(sim, wrong):
    with pytest.raises(ValueError):
        wrong(sim)


def test_every_fault_survives_json_and_is_tested():
    source = "".join(Path(__file__).with_name(name).read_text() for name in ("test_faults.py", "test_embeddings.py"))
    required = {"slow_headers": {"seconds": 1.0}, "slow_first_token": {"seconds": 1.0}, "cut_after": {"tokens": 1}}
    required |= {"keep_alive_comments": {"seconds": 1.0}, "stall_after": {"tokens": 1, "seconds": 1.0}}
    required |= {"status": {"code": 500}, "malformed_event": {"at": 1}}
    for name in NAMES:
        fault = Fault.from_json({"name": name, **required.get(name, {})})
        assert Fault.from_json(fault.to_json()) == fault
        assert hash(fault) == hash(Fault.from_json(fault.to_json()))
        assert f"Fault.{name}(" in source


def test_a_fault_for_any_provider_is_kept_for_providers(sim: Simulator) -> None:
    """Listing models or asking the Hub is asking no provider, and uses none of it up."""
    sim.fail(Simulator.ANY, Fault.rate_limited())
    for path in ("/v1/models", "/api/models/openai/gpt-oss-120b?expand=inferenceProviderMapping"):
        with urllib.request.urlopen(sim.url + path) as answer:
            assert answer.status == 200

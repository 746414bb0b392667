"""The log and the bill."""

import socket
import time
from collections.abc import Callable
from decimal import Decimal

import pytest

from hfrouter.simulator import Exchange, Fault


def eventually(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 3
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.01)


def open_stream(sim, prompt: str, *, stream: bool = True) -> socket.socket:
    """Send a chat request over a bare socket and leave the answer unread."""
    import json

    body = {"model": "openai/gpt-oss-20b:groq", "stream": stream, "messages": [{"role": "user", "content": prompt}]}
    raw = json.dumps(body).encode()
    connection = socket.create_connection(("127.0.0.1", int(sim.url.rsplit(":", 1)[1])), timeout=5)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {sim.token}\r\n"
    connection.sendall(f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw)
    return connection


def test_an_exchange_tells_the_whole_story_without_the_key(chat, sim):
    chat("openai/gpt-oss-20b:groq", "What is 2 + 3?", stream=True)
    (exchange,) = sim.exchanges
    assert isinstance(exchange, Exchange)
    assert (exchange.number, exchange.method, exchange.path) == (1, "POST", "/v1/chat/completions")
    assert (exchange.model, exchange.provider, exchange.status) == ("openai/gpt-oss-20b", "groq", 200)
    assert exchange.streamed
    assert exchange.finished
    assert not exchange.closed_by_client
    assert exchange.body["messages"][0]["content"] == "What is 2 + 3?"
    assert exchange.raw.startswith(b'{"model"')
    assert exchange.headers["authorization"] == "Bearer ***"
    assert sim.token not in repr(sim.exchanges)
    assert sim.token not in repr(sim.bill())


def test_everything_is_logged_in_order(send, chat, sim):
    send("GET", "/v1/models?x=1")
    chat("no/model")
    send("GET", "/nowhere")
    assert [(e.path, e.query, e.status) for e in sim.exchanges] == [
        ("/v1/models", "x=1", 200),
        ("/v1/chat/completions", "", 400),
        ("/nowhere", "", 404),
    ]


def test_the_bill_is_price_times_tokens_exactly(chat, sim):
    usage = chat("openai/gpt-oss-20b:groq", "What is 2 + 3?").json["usage"]
    # prompt: 4 for the template, "What" " is" " 2" " +" " 3" "?"; completion: "2" " +" " 3" " =" " 5" and the reasoning
    # "The" " user" " asks" " about" " 2" " 3" "."
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (4 + 6, 5 + 7)
    (line,) = sim.bill()
    assert (line.number, line.provider, line.model) == (1, "groq", "openai/gpt-oss-20b")
    assert (line.prompt_tokens, line.completion_tokens) == (10, 12)
    assert line.cost == (10 * Decimal("0.1") + 12 * Decimal("0.5")) / 1_000_000 == Decimal("0.000007")
    assert sim.bill().total == Decimal("0.000007")
    assert sim.exchanges[0].cost == line.cost


def test_float_noise_in_a_price_is_charged_as_it_is_spelled(chat, sim):
    chat("openai/gpt-oss-120b:together", "What is 2 + 3?")
    assert sim.bill().total == (10 * Decimal("0.15") + 12 * Decimal("0.6000000000000001")) / 1_000_000


def test_a_row_without_a_price_is_unknown_and_a_free_one_is_zero(chat, sim):
    chat("openai/gpt-oss-20b:together")
    chat("zai-org/GLM-4.6")
    chat("openai/gpt-oss-20b:groq")
    assert [line.cost for line in sim.bill()] == [None, Decimal(0), Decimal("0.000007")]
    assert (sim.bill().total, sim.bill().unknown) == (Decimal("0.000007"), 1)


def test_only_answers_are_billed(send, chat, sim):
    send("GET", "/v1/models")
    sim.fail("groq", Fault.status(500), Fault.rate_limited(), Fault.payment_required(), Fault.error_body_200())
    for _ in range(4):
        chat("openai/gpt-oss-20b:groq")
    chat("openai/gpt-oss-20b:groq", [])
    assert len(sim.bill()) == 0
    assert sim.bill().total == 0


def test_a_client_that_leaves_a_stream_is_noticed_and_billed_for_what_was_made(sim):
    sim.fail("groq", Fault.stall_after(5, 30))
    connection = open_stream(sim, "Count from 1 to 60")
    received = b""
    while b'"content":" 5"' not in received:
        received += connection.recv(65536)
    left = time.monotonic()
    connection.close()
    eventually(lambda: sim.exchanges[0].closed_by_client)
    (exchange,) = sim.exchanges
    assert not exchange.finished
    assert exchange.closed_at is not None
    assert 0 <= exchange.closed_at - left < 1
    reasoning = received.count(b'"reasoning":')
    assert sim.bill()[0].completion_tokens == reasoning + 5


@pytest.mark.parametrize("fault", [Fault.hang(30), Fault.slow_headers(30), Fault.keep_alive_comments(30)])
def test_a_client_that_leaves_silence_is_noticed(sim, fault):
    sim.fail("groq", fault)
    connection = open_stream(sim, "hi")
    eventually(lambda: len(sim.exchanges) == 1)
    assert not sim.exchanges[0].closed_by_client
    connection.close()
    eventually(lambda: sim.exchanges[0].closed_by_client)


def test_a_client_that_leaves_while_a_unary_answer_is_made_is_noticed_and_not_billed():
    from hfrouter.simulator import Simulator

    with Simulator(latency=30) as sim:
        connection = open_stream(sim, "hi", stream=False)
        eventually(lambda: len(sim.exchanges) == 1)
        connection.close()
        eventually(lambda: sim.exchanges[0].closed_by_client)
        assert len(sim.bill()) == 0


def test_reset_clears_everything(chat, sim):
    chat("openai/gpt-oss-20b:groq")
    sim.fail("groq", Fault.status(503), times=None)
    sim.reset()
    assert sim.exchanges == []
    assert len(sim.bill()) == 0
    assert chat("openai/gpt-oss-20b:groq").status == 200
    assert sim.exchanges[0].number == 1


def test_the_control_endpoint_does_the_same_for_other_processes(send, chat, sim):
    order = {"provider": "groq", "fault": {"name": "rate_limited", "retry_after": 3}, "times": 1}
    assert send("POST", "/__simulator__/fail", order).json == {"ok": True}
    assert chat("openai/gpt-oss-20b:groq").headers["retry-after"] == "3"
    assert chat("openai/gpt-oss-20b:groq").status == 200
    assert [e["fault"] for e in send("GET", "/__simulator__/exchanges").json] == ["rate_limited", None]
    bill = send("GET", "/__simulator__/bill").json
    assert (bill["total"], bill["unknown"], len(bill["lines"])) == ("0.000007", 0, 1)
    assert send("POST", "/__simulator__/fail", {"provider": "nobody", "fault": {"name": "reset"}}).status == 400
    assert send("POST", "/__simulator__/fail", {"fault": 3}).status == 400
    send("POST", "/__simulator__/fail", {**order, "times": None})
    assert send("POST", "/__simulator__/heal", {"provider": "groq"}).status == 200
    assert chat("openai/gpt-oss-20b:groq").status == 200
    send("POST", "/__simulator__/reset")
    assert sim.exchanges == []

"""Cold starts and limits: refused or made to wait, and fine again afterwards."""

import time

import pytest

from hfrouter.simulator import Fault, Simulator
from tests.simulator.conftest import Received

SMOL, QWEN3, MINI = "HuggingFaceTB/SmolLM3-3B", "Qwen/Qwen3-8B", "sentence-transformers/all-MiniLM-L6-v2"


def test_hf_inference_tells_the_time_that_is_left_and_then_serves(made):
    sim, send = made(cold={"hf-inference": 0.3})
    path = f"/hf-inference/models/{MINI}/pipeline/feature-extraction"
    first = send("POST", path, {"inputs": "a"})
    assert (first.status, first.json["error"]) == (503, f"Model {MINI} is currently loading")
    assert 0.2 < first.json["estimated_time"] <= 0.3
    time.sleep(0.1)
    assert send("POST", path, {"inputs": "a"}).json["estimated_time"] < first.json["estimated_time"]
    time.sleep(0.3)
    assert send("POST", path, {"inputs": "a"}).status == 200
    assert ask(send, SMOL).status == 503  # each model for itself
    assert len(sim.bill()) == 1
    sim.reset()
    assert send("POST", path, {"inputs": "a"}).status == 503


def test_featherless_says_cold_with_a_400_and_idleness_cools_down(made):
    _, send = made(cold={QWEN3: 0.1}, idle=0.2)
    answer = ask(send, f"{QWEN3}:featherless-ai")
    assert answer.status == 400
    assert "cold" in answer.json["error"]["message"]
    assert answer.headers["x-inference-provider"] == "featherless-ai"
    time.sleep(0.12)
    assert ask(send, f"{QWEN3}:featherless-ai").status == 200
    time.sleep(0.3)
    assert ask(send, f"{QWEN3}:featherless-ai").status == 400


def test_others_let_the_caller_wait(made):
    _, send = made(cold={"*": 0.2})
    times = []
    for _ in range(2):
        started = time.monotonic()
        assert ask(send, "openai/gpt-oss-20b:groq").status == 200
        times.append(time.monotonic() - started)
    assert times[0] > 0.2 > times[1]


def test_a_limit_is_reached_and_recovers(made):
    sim, send = made(limit={"groq": (2, 0.4)})
    assert [ask(send, "openai/gpt-oss-20b:groq").status for _ in range(4)] == [200, 200, 429, 429]
    assert ask(send, "openai/gpt-oss-20b:novita").status == 200
    refused = ask(send, "openai/gpt-oss-20b:groq")
    assert refused.headers["x-inference-provider"] == "groq"
    assert "retry-after" not in refused.headers
    time.sleep(0.45)
    assert ask(send, "openai/gpt-oss-20b:groq").status == 200
    assert len(sim.bill()) == 4
    sim.reset()
    assert [ask(send, "openai/gpt-oss-20b:groq").status for _ in range(3)] == [200, 200, 429]


def test_a_limit_for_each_counts_each_alone_and_only_what_was_not_refused(made):
    sim, send = made(limit={"*": (1, 60)})
    sim.fail("groq", Fault.status(500))
    assert [ask(send, f"openai/gpt-oss-20b:{p}").status for p in ("groq", "groq", "groq", "novita", "novita")] == [
        500, 200, 429, 200, 429,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {"limit": {"nobody": (1, 1)}},
        {"limit": {"groq": (0, 1)}},
        {"limit": {"groq": (1, 0)}},
        {"cold": {"nobody": 1}},
        {"cold": {"groq": -1}},
        {"idle": -1},
        {"credits": -1},
        {"credits": "much"},
        {"spending_limit": float("nan")},
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError):
        Simulator(**options)


def ask(send, model: str) -> Received:
    body = {"model": model, "messages": [{"role": "user", "content": "What is 2 + 3?"}]}
    answer: Received = send("POST", "/v1/chat/completions", body)
    return answer

"""Embeddings: shapes, limits, dialects and faults of each back-end."""

import base64
import json
import math
import struct
from decimal import Decimal
from typing import Any

import pytest

from hfrouter.simulator import EmbeddingModel, Fault, Simulator
from hfrouter.simulator.embedding.models import DEFAULT_MODELS
from hfrouter.simulator.embedding.vectors import cosine

MINI, BGE, BART = "sentence-transformers/all-MiniLM-L6-v2", "BAAI/bge-small-en-v1.5", "facebook/bart-base"
E5, QWEN = "intfloat/multilingual-e5-large", "Qwen/Qwen3-Embedding-8B"
OPENAI = {
    "together": "/together/v1/embeddings",
    "scaleway": "/scaleway/v1/embeddings",
    "deepinfra": "/deepinfra/v1/openai/embeddings",
}


@pytest.fixture
def extract(send):
    def ask(model: str, inputs: Any, task: str = "feature-extraction", **more: Any):
        return send("POST", f"/hf-inference/models/{model}/pipeline/{task}", {"inputs": inputs, **more})

    return ask


def depths(value: Any) -> list[int]:
    return [len(value), *depths(value[0])] if isinstance(value, list) and value else []


@pytest.mark.parametrize(
    ("model", "one", "two"),
    [(MINI, [384], [2, 384]), (BGE, [1, 384], [2, 384]), (E5, [1, 1024], [2, 1024])],
)
def test_sentence_models_nest_as_their_back_end_does(extract, model, one, two):
    assert depths(extract(model, "Hi, who are you?").json) == one
    assert depths(extract(model, ["Hi!", "Who are you?"]).json) == two
    assert depths(extract(model, ["Hi!"]).json) == [1, two[1]]


def test_a_plain_transformer_gives_vectors_of_tokens(extract):
    single = extract(BART, "Hi, who are you?").json
    assert depths(single) == [1, 8, 768]  # "Hi" "," " who" " are" " you" "?" and the two ends
    assert depths(extract(BART, ["Hi, who are you?", "Hello"]).json) == [2, 1, 8, 768]
    assert max(abs(number) for row in single[0] for number in row) > 1


def test_the_mean_of_token_vectors_is_about_the_text(extract):
    def pooled(text: str) -> list[float]:
        (rows,) = extract(BART, text).json
        return [sum(column) / len(rows) for column in zip(*rows, strict=True)]

    ferry, keeper, question = map(pooled, ("The ferry leaves at noon.", "The keeper climbs.", "When leaves the ferry?"))
    assert cosine(question, ferry) > cosine(question, keeper) + 0.2


def test_the_headers_tell_the_time_that_is_billed_and_a_repetition_comes_from_the_cache(extract, sim):
    first, second = extract(MINI, "hello"), extract(MINI, "hello")
    assert (first.headers["x-compute-type"], first.headers["x-compute-characters"]) == ("cpu", "5")
    assert second.headers["x-compute-type"] == "cache"
    assert "x-compute-characters" not in second.headers
    assert first.headers["x-inference-provider"] == "hf-inference"
    line = sim.bill()[0]
    assert (line.prompt_tokens, line.completion_tokens) == (3, 0)
    assert line.cost == Decimal(first.headers["x-compute-time"]) * Decimal("0.00012")


def test_normalize_decides_the_length_where_the_model_leaves_it_open(extract):
    def length(answer: Any) -> float:
        return math.sqrt(sum(x * x for x in (answer if isinstance(answer[0], float) else answer[0])))

    assert length(extract(BGE, "some words here").json) == pytest.approx(1, abs=1e-6)
    assert length(extract(BGE, "some words here", normalize=False).json) != pytest.approx(1, abs=0.01)
    assert length(extract(MINI, "some words here", normalize=False).json) == pytest.approx(1, abs=1e-6)


def test_a_prompt_is_put_before_the_text(extract, sim):
    plain, asked = extract(E5, "ferry").json[0], extract(E5, "ferry", prompt_name="query").json[0]
    assert 0.9 < cosine(plain, asked) < 0.9999
    assert sim.bill()[1].prompt_tokens == sim.bill()[0].prompt_tokens + 2  # "query" and ":"
    wrong = extract(E5, "ferry", prompt_name="poem")
    assert (wrong.status, wrong.json["error_type"]) == (422, "Validation")


@pytest.mark.parametrize("model", [MINI, BGE, BART])
def test_33_texts_are_too_many(extract, model):
    assert extract(model, ["a"] * 32).status == 200
    answer = extract(model, ["a"] * 33)
    expected = {"error": "batch size 33 > maximum allowed batch size 32", "error_type": "Validation"}
    assert (answer.status, answer.json) == (422, expected)
    assert answer.headers["x-inference-provider"] == "hf-inference"


def test_a_text_that_is_too_long_is_refused_or_cut(extract, sim):
    long = "word " * 600
    answer = extract(BGE, long)
    assert answer.status == 413
    assert "must have less than 512 tokens. Given: 60" in answer.json["error"]
    assert extract(MINI, long).status == 200  # cuts by itself, at 256
    assert extract(BART, "word " * 1100).json["error"] == "index out of range in self"
    for direction in ("right", "left"):
        assert extract(BGE, f"first {long} last", truncate=True, truncation_direction=direction).status == 200
    assert [line.prompt_tokens for line in sim.bill()] == [256, 512, 512]
    right, left = (extract(BGE, f"first {long} last", truncate=True, truncation_direction=d) for d in ("right", "left"))
    assert right.json != left.json


def test_what_is_no_text_is_422_in_plain_text(extract, send):
    for inputs in (3, [1], None, {"a": 1}):
        answer = extract(BGE, inputs)
        assert answer.status == 422
        assert answer.headers["content-type"].startswith("text/plain")
        assert "did not match any variant" in answer.raw.decode()
    path = f"/hf-inference/models/{BGE}/pipeline/feature-extraction"
    assert "missing field `inputs`" in send("POST", path, {"input": "a"}).raw.decode()
    assert send("POST", path, b"{").status == 400


def test_nothing_to_embed(extract):
    for inputs in ("", [], ["a", ""]):
        answer = extract(BGE, inputs)
        assert (answer.status, answer.json) == (400, {"error": "`inputs` cannot be empty", "error_type": "Empty"})
    assert extract(MINI, []).json == extract(BART, []).json == []
    assert any(extract(MINI, "").json)


def test_similarity_and_the_default_task(extract, send):
    inputs = {"source_sentence": "I am happy today", "sentences": ["Today I am very happy", "It rains in Oslo"]}
    near, far = extract(MINI, inputs, "sentence-similarity").json
    assert near > 0.7 > 0.3 > far
    assert send("POST", f"/hf-inference/models/{MINI}", {"inputs": inputs}).json == [near, far]
    assert send("POST", f"/hf-inference/models/{MINI}", {"inputs": "text"}).status == 400
    assert depths(send("POST", f"/hf-inference/models/{BGE}", {"inputs": "text"}).json) == [1, 384]
    assert extract(BART, inputs, "sentence-similarity").status == 404


def test_what_is_not_served(extract, send):
    assert extract("acme/nothing", "a").json == {"error": "Model acme/nothing does not exist"}
    assert extract("acme/nothing", "a").status == 404
    assert extract("openai/gpt-oss-20b", "a").json == {"error": "Model not supported by provider hf-inference"}
    assert extract(QWEN, "a").status == 400
    assert extract(MINI, "a", "rerank").status == 404
    assert send("POST", f"/hf-inference/pipeline/feature-extraction/{MINI}", {"inputs": "a"}).raw == b"Not Found"
    assert send("POST", f"/hf-inference/models/{MINI}/pipeline/feature-extraction", {}, token=None).status == 401


@pytest.mark.parametrize(("provider", "model"), [("together", E5), ("deepinfra", E5), ("deepinfra", QWEN)])
def test_the_openai_shape(send, sim, provider, model):
    own = next(each for each in DEFAULT_MODELS if each.id == model).providers[provider]
    answer = send("POST", OPENAI[provider], {"model": own, "input": ["one text", "another text"]})
    assert list(answer.json) == ["object", "data", "model", "usage"]
    assert answer.json["model"] == own
    assert answer.json["usage"] == {"prompt_tokens": 8, "total_tokens": 8}
    assert [item["index"] for item in answer.json["data"]] == ([1, 0] if provider == "deepinfra" else [0, 1])
    assert {item["object"] for item in answer.json["data"]} == {"embedding"}
    assert answer.headers["x-inference-provider"] == provider
    assert (sim.bill()[0].model, sim.bill()[0].cost) == (model, None)


def test_vectors_are_the_same_at_every_provider_and_differ_between_models(send, extract):
    here = extract(E5, "The ferry leaves.").json[0]
    for provider in ("together", "deepinfra"):
        there = send("POST", OPENAI[provider], {"model": E5, "input": "The ferry leaves."}).json["data"][0]["embedding"]
        assert there == pytest.approx(here, abs=1e-6)
    one, other = (extract(model, ["The ferry leaves."]).json[0] for model in (MINI, BGE))
    assert abs(cosine(one, other)) < 0.3
    with Simulator(seed=99) as second:
        assert [m.id for m in second.embedding_models] == [m.id for m in DEFAULT_MODELS]


def test_dimensions_and_encoding(send):
    def ask(model: str, **more: Any):
        return send("POST", OPENAI["deepinfra"], {"model": model, "input": "The ferry leaves.", **more})

    short = ask(QWEN, dimensions=256).json["data"][0]["embedding"]
    assert len(short) == 256
    assert sum(x * x for x in short) == pytest.approx(1, abs=1e-5)
    assert ask(E5, dimensions=256).status == 400
    assert ask(E5, dimensions=1024).status == 200
    for wrong in (0, 5000, "many", True):
        assert ask(QWEN, dimensions=wrong).status == 400
    packed = base64.b64decode(ask(E5, encoding_format="base64").json["data"][0]["embedding"])
    plain = ask(E5, encoding_format="float").json["data"][0]["embedding"]
    assert list(struct.unpack("<1024f", packed)) == plain
    assert ask(E5, encoding_format="hex").status == 400


def test_requests_that_an_openai_like_provider_refuses(send):
    path = OPENAI["together"]
    for given in (None, "", [], 3, [1, 2], ["a"] * 1025, "word " * 600):
        answer = send("POST", path, {"model": E5, "input": given})
        assert answer.status == (200 if given == "" else 400), given
    assert send("POST", path, {"model": "nobody", "input": "a"}).status == 400
    assert send("POST", path, b"[]").status == 400
    for wrong in ("/v1/embeddings", "/groq/v1/embeddings", "/deepinfra/v1/embeddings", "/hf-inference/v1/embeddings"):
        assert send("POST", wrong, {"model": E5, "input": "a"}).status == 404


@pytest.mark.parametrize(
    ("fault", "status", "needle"),
    [
        (Fault.rate_limited(), 429, "overloaded"),
        (Fault.loading(22.3), 503, '"estimated_time":22.3'),
        (Fault.status(500), 500, "error"),
        (Fault.status(502, html=True), 502, "<html>"),
        (Fault.payment_required(), 402, "depleted"),
        (Fault.context_length(), 400, "512"),
        (Fault.html_200(), 200, "<html>"),
        (Fault.error_event(message="broken"), 200, '{"error":"broken"}'),
    ],
    ids=repr,
)
def test_refusals(extract, sim, fault, status, needle):
    sim.fail("hf-inference", fault, model=BGE)
    assert extract(MINI, "a").status == 200
    answer = extract(BGE, "a")
    assert answer.status == status
    assert needle in answer.raw.decode()
    assert extract(BGE, "a").status == 200
    assert len(sim.bill()) == 2


def test_vectors_that_are_wrong(extract, send, sim):
    wrong = (Fault.wrong_dimension(), Fault.wrong_dimension(5), Fault.missing_vector(), Fault.empty_answer())
    sim.fail("hf-inference", *wrong)
    found = [depths(extract(BGE, ["a", "b"]).json) for _ in wrong]
    assert found == [[2, 192], [2, 5], [1, 384], []]
    sim.fail("hf-inference", Fault.not_finite(), Fault.not_finite("null"))
    assert math.isnan(extract(BGE, ["a", "b"]).json[0][0])
    assert extract(BGE, ["a", "b"]).json[0][0] is None
    sim.fail("together", Fault.wrong_dimension(7), Fault.missing_vector(), Fault.no_usage())
    data = [send("POST", OPENAI["together"], {"model": E5, "input": ["a", "b"]}).json for _ in range(3)]
    assert len(data[0]["data"][0]["embedding"]) == 7
    assert len(data[1]["data"]) == 1
    assert "usage" not in data[2]


@pytest.mark.parametrize("fault", [Fault.cut_after(1), Fault.cut_before_content(), Fault.stall_after(1, 0.05)])
def test_a_body_that_is_cut(extract, sim, fault):
    sim.fail("hf-inference", fault)
    answer = extract(BGE, "a")
    assert not answer.whole
    assert len(answer.raw) < int(answer.headers["content-length"])


def test_other_ways_to_fail_on_the_way(extract, sim):
    sim.fail(
        "hf-inference", Fault.malformed_event(1), Fault.stall_after(1, 0.05, resume=True), Fault.slow_headers(0.05)
    )
    with pytest.raises(ValueError):
        json.loads(extract(BGE, "a").raw)
    assert extract(BGE, "a").whole
    assert extract(BGE, "a").status == 200
    sim.fail("hf-inference", Fault.keep_alive_comments(0.1, every=0.05))
    assert extract(BGE, "a").raw.strip() == b""
    sim.fail("hf-inference", Fault.reset())
    with pytest.raises(ConnectionResetError):
        extract(BGE, "a")


def test_the_faults_of_embeddings_leave_a_chat_answer_healthy(chat, sim):
    sim.fail("together", Fault.wrong_dimension(), Fault.not_finite(), Fault.missing_vector())
    for _ in range(3):
        assert chat("openai/gpt-oss-120b:together").json["choices"][0]["message"]["content"] == "2 + 3 = 5"


def test_own_models(send):
    own = EmbeddingModel("acme/tiny", 16, {"hf-inference": "acme/tiny", "scaleway": "tiny"})
    with Simulator(embedding_models=[own]) as sim:
        assert sim.embedding_models == [own]
        with pytest.raises(ValueError):
            sim.fail("scaleway", Fault.reset(), model=MINI)
        sim.fail("scaleway", Fault.reset(), model="acme/tiny")
    for wrong in ({"id": ""}, {"providers": {}}, {"dimensions": 0}, {"max_tokens": 1}):
        with pytest.raises(ValueError):
            EmbeddingModel(**{"id": "acme/tiny", "dimensions": 16, "providers": {"scaleway": "tiny"}, **wrong})


def test_the_openai_client_reads_them(sim):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{sim.url}/scaleway/v1", api_key=sim.token, max_retries=0)
    answer = client.embeddings.create(model="qwen3-embedding-8b", input=["a text", "another"], dimensions=32)
    assert [len(item.embedding) for item in answer.data] == [32, 32]
    assert answer.usage.prompt_tokens == 7
    client.close()

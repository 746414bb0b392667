"""Embeddings: the right provider and path, one model and one dimension, batches, cold starts, bad input."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from hfrouter import ConfigurationError, NoTargetAvailable, Policy, RequestRejected, RouteExhausted, Router
from hfrouter.simulator import Fault, Simulator

MINI = "sentence-transformers/all-MiniLM-L6-v2"  # hf-inference alone
E5 = "intfloat/multilingual-e5-large"  # hf-inference, together, deepinfra
BGE = "BAAI/bge-small-en-v1.5"  # hf-inference by Text Embeddings Inference, which refuses what is too long
QWEN = "Qwen/Qwen3-Embedding-8B"  # scaleway, deepinfra
BART = "facebook/bart-base"  # a plain transformer: vectors of tokens
TEXTS = ["The lighthouse was lit in 1871.", "Dogs are welcome on the island.", "The ferry leaves at 18:40."]


@pytest.fixture
def router(sim: Simulator) -> Iterator[Router]:
    """A router without wishes: the Hub's order of providers counts."""
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory", seed=0) as made:
        yield made


def posts(sim: Simulator) -> list[Any]:
    return [exchange for exchange in sim.exchanges if exchange.method == "POST"]


@pytest.mark.parametrize("model", [MINI, E5, QWEN, BART, f"{E5}:together", f"{E5}:deepinfra"])
def test_every_provider_gives_one_vector_for_each_text_in_order(model: str, sim: Simulator, router: Router) -> None:
    many = router.embed(TEXTS, model=model)
    one_by_one = [router.embed([text], model=model).vectors[0] for text in TEXTS]
    assert len(many.vectors) == len(TEXTS)
    assert all(len(vector) == many.dimension for vector in many.vectors)
    for vector, single in zip(many.vectors, one_by_one, strict=True):
        assert vector == pytest.approx(single, abs=1e-4)


async def test_the_asynchronous_twin_gives_the_same(router: Router) -> None:
    assert (await router.aembed(TEXTS, model=MINI)).vectors == router.embed(TEXTS, model=MINI).vectors


def test_more_texts_than_a_batch_are_split_and_joined_in_order(sim: Simulator, router: Router) -> None:
    texts = [f"Sentence number {i} speaks of topic {i * 7}." for i in range(100)]
    done = router.embed(texts, model=MINI, concurrency=3)
    assert len(done.vectors) == 100
    assert [len(exchange.body["inputs"]) for exchange in posts(sim)].count(32) == 3
    assert done.vectors[77] == pytest.approx(router.embed([texts[77]], model=MINI).vectors[0], abs=1e-4)
    assert len(done.calls) == 4


@pytest.mark.parametrize("status", [413, 422])
def test_a_batch_that_is_too_large_is_halved_and_the_size_remembered(
    status: int, sim: Simulator, router: Router
) -> None:
    sim.fail("hf-inference", Fault.status(status, body={"error": "batch size 32 > maximum allowed batch size 16"}))
    done = router.embed([f"text {i}" for i in range(32)], model=MINI)
    assert len(done.vectors) == 32
    assert [len(exchange.body["inputs"]) for exchange in posts(sim)] == [32, 16, 16]
    router.embed([f"text {i}" for i in range(32)], model=MINI)
    assert [len(exchange.body["inputs"]) for exchange in posts(sim)[3:]] == [16, 16]


def test_a_single_text_that_is_too_long_is_refused_with_the_providers_reason(sim: Simulator, router: Router) -> None:
    with pytest.raises(RequestRejected) as caught:
        router.embed(["word " * 20_000], model=BGE)  # 100,000 characters
    assert caught.value.status_code in (413, 422)
    assert "word word" not in str(caught.value)
    assert len(router.embed(["word " * 20_000], model=BGE, truncate=True).vectors) == 1


def test_the_provider_stays_while_it_lives_and_is_left_when_it_fails(sim: Simulator, router: Router) -> None:
    assert router.embed(TEXTS, model=E5).provider == "hf-inference"
    sim.fail("hf-inference", Fault.gone(), times=None)
    moved = router.embed(TEXTS, model=E5)
    assert moved.provider == "together"
    assert "embedded by together instead of hf-inference, same dimension" in moved.explain()
    sim.heal()
    assert router.embed(TEXTS, model=E5).provider == "together"


def test_another_provider_of_another_dimension_is_refused(sim: Simulator, router: Router) -> None:
    router.embed(TEXTS, model=E5)
    sim.fail("hf-inference", Fault.gone(), times=None)
    sim.fail("together", Fault.wrong_dimension(), times=None)
    assert router.embed(TEXTS, model=E5).provider == "deepinfra"
    sim.fail("deepinfra", Fault.wrong_dimension(), times=None)
    with pytest.raises(RouteExhausted) as caught:
        router.embed(TEXTS, model=E5)
    assert {attempt.outcome for attempt in caught.value.attempts} == {"gone", "dimension_differs"}


def test_the_first_answer_is_checked_against_the_dimensions_asked_for(sim: Simulator, router: Router) -> None:
    assert router.embed(TEXTS, model=QWEN, dimensions=256).dimension == 256
    sim.fail("scaleway", Fault.wrong_dimension(), times=None)
    assert router.embed(TEXTS, model=QWEN, dimensions=256).provider == "deepinfra"


@pytest.mark.parametrize(
    "fault", [Fault.loading(0.3), Fault.slow_headers(0.5), Fault.rate_limited(), Fault.status(503)]
)
def test_a_cold_or_busy_lone_provider_is_waited_for(fault: Fault, sim: Simulator, router: Router) -> None:
    sim.fail("hf-inference", fault)
    done = router.embed(TEXTS, model=MINI, policy=Policy(first_content=0.1))
    assert len(done.vectors) == 3


def test_a_cold_provider_is_waited_for_even_when_there_is_another(sim: Simulator, router: Router) -> None:
    sim.fail("hf-inference", Fault.loading(0.3))
    assert router.embed(TEXTS, model=E5).provider == "hf-inference"


@pytest.mark.parametrize("fault", [Fault.not_finite(), Fault.html_200(), Fault.error_body_200(), Fault.reset()])
def test_a_broken_answer_is_never_a_vector(fault: Fault, sim: Simulator, router: Router) -> None:
    sim.fail("hf-inference", fault, times=None)
    done = router.embed(TEXTS, model=E5)
    assert done.provider == "together"
    assert all(math.isfinite(x) for vector in done.vectors for x in vector)


def test_vectors_are_scaled_to_length_one_on_demand_whoever_serves(router: Router) -> None:
    for model in (BART, f"{E5}:together"):
        for vector in router.embed(TEXTS, model=model, normalize=True).vectors:
            assert math.fsum(x * x for x in vector) == pytest.approx(1)


def test_each_attempt_has_a_row_and_an_honest_cost(sim: Simulator, router: Router) -> None:
    done = router.embed(TEXTS, model=MINI)
    (row,) = router.entries(done.calls[0])
    assert (row.provider, row.outcome, row.streamed) == ("hf-inference", "ok", False)
    assert row.cost.upper is not None
    assert row.cost.upper > 0
    assert "compute time" in row.cost.reason
    together = router.embed(TEXTS, model=f"{E5}:together")
    assert together.cost.unknown == 1
    (row,) = router.entries(together.calls[0])
    assert row.usage is not None
    assert row.usage.input_tokens > 0
    assert row.cost.reason == "no price in the catalogue"


def test_without_the_hub_hf_inference_is_assumed_and_it_says_so(sim: Simulator, router: Router) -> None:
    router._embedder._mappings._hub_url = "http://127.0.0.1:9"
    done = router.embed(TEXTS, model=MINI)
    assert done.provider == "hf-inference"
    assert "mapping is not to be had" in done.explain()


def test_no_texts_are_no_vectors_and_no_request(sim: Simulator, router: Router) -> None:
    done = router.embed([], model=MINI)
    assert (done.vectors, done.attempts, sim.exchanges) == ([], (), [])


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a text": ({"texts": "hello"}, "texts is a str"),
    "an empty text": ({"texts": ["a", ""]}, r"texts\[1\] is empty"),
    "blanks": ({"texts": [" \n"]}, r"texts\[0\] is empty"),
    "no text": ({"texts": ["a", None]}, r"texts\[1\] is a NoneType"),
    "a chat model": ({"model": "openai/gpt-oss-120b"}, "is no embedding model: providers serve it for conversational"),
    "an unknown model": ({"model": "no/such-model"}, "the Hub knows no model 'no/such-model'"),
    "no concurrency": ({"concurrency": 0}, "concurrency must be a whole number from 1 to 128, not 0"),
    "concurrency of another kind": ({"concurrency": None}, "concurrency must be .* not a NoneType"),
    "negative dimensions": ({"dimensions": -1}, "dimensions must be .* not -1"),
    "no model id": ({"model": "bge-small"}, "is not a model id"),
    "an unknown pin": ({"model": f"{E5}:togther"}, "'togther' does not embed .* did you mean 'together'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_has_one_clear_outcome_before_anything_is_sent(name: str, sim: Simulator, router: Router) -> None:
    arguments, words = BAD[name]
    with pytest.raises(ConfigurationError, match=words):
        router.embed(**{"texts": TEXTS, "model": MINI} | arguments)
    assert posts(sim) == []


def test_a_policy_that_leaves_nobody_says_why(router: Router) -> None:
    with pytest.raises(NoTargetAvailable) as caught:
        router.embed(TEXTS, model=E5, provider={"only": ["groq"]})
    assert set(caught.value.reasons.values()) == {"not among the providers allowed"}
    with pytest.raises(NoTargetAvailable, match="no listed price"):
        router.embed(TEXTS, model=E5, policy=Policy(max_price=1))


def test_each_length_asked_for_is_an_index_of_its_own(router: Router) -> None:
    lengths = [router.embed(TEXTS, model=QWEN, dimensions=wish).dimension for wish in (256, None, 512, 256)]
    assert lengths == [256, 4096, 512, 256]

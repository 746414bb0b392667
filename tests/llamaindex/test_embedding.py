"""`HFRouterEmbedding`: LlamaIndex's own machinery over it, prompts, fallback, and what must never leak."""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding

from hfrouter import ConfigurationError, Router
from hfrouter.simulator import Fault, Simulator
from llamaindex_hfrouter import HFRouter, HFRouterEmbedding

BGE = "BAAI/bge-small-en-v1.5"
E5 = "intfloat/multilingual-e5-large"
MODEL = "openai/gpt-oss-120b"
TEXTS = ["The lighthouse was lit in 1871.", "Dogs are welcome on the island.", "The ferry leaves at 18:40."]


@pytest.fixture
def embedding(router: Router) -> HFRouterEmbedding:
    return HFRouterEmbedding(model_name=E5, router=router)


def test_it_is_llamaindexs_and_embeds_in_every_way(embedding: HFRouterEmbedding) -> None:
    assert isinstance(embedding, BaseEmbedding)
    single = embedding.get_text_embedding(TEXTS[0])
    batch = embedding.get_text_embedding_batch(TEXTS)
    assert batch[0] == pytest.approx(single, abs=1e-4)
    assert len(embedding.get_query_embedding("When does the ferry leave?")) == len(single) == 1024


async def test_the_asynchronous_ways_give_the_same(embedding: HFRouterEmbedding) -> None:
    assert await embedding.aget_text_embedding(TEXTS[0]) == embedding.get_text_embedding(TEXTS[0])
    assert await embedding.aget_text_embedding_batch(TEXTS) == embedding.get_text_embedding_batch(TEXTS)
    assert await embedding.aget_query_embedding("ferry") == embedding.get_query_embedding("ferry")


def test_queries_and_texts_have_prompts_of_their_own(sim: Simulator, router: Router) -> None:
    made = HFRouterEmbedding(model=BGE, router=router, query_prompt_name="query")
    made.get_text_embedding("a lighthouse")
    assert "prompt_name" not in sim.exchanges[-1].body
    made.get_query_embedding("a lighthouse")
    assert sim.exchanges[-1].body["prompt_name"] == "query"


@pytest.mark.parametrize("use_async", [False, True])
def test_an_index_answers_from_its_documents_while_first_providers_fail(
    use_async: bool, sim: Simulator, router: Router, embedding: HFRouterEmbedding
) -> None:
    sim.fail("together", Fault.status(503), times=None)
    sim.fail("groq", Fault.rate_limited(), times=None)
    index = VectorStoreIndex.from_documents(
        [Document(text=text) for text in TEXTS], embed_model=embedding, use_async=use_async
    )
    engine = index.as_query_engine(llm=HFRouter(model=MODEL, router=router), similarity_top_k=1)
    assert "18:40" in str(engine.query("When does the ferry leave?"))
    outcomes = {(row.provider, row.outcome) for row in router.entries()}
    assert {("together", "server_error"), ("hf-inference", "ok"), ("groq", "rate_limited")} <= outcomes


def test_many_texts_go_in_batches_with_a_progress_bar(
    sim: Simulator, embedding: HFRouterEmbedding, capfd: pytest.CaptureFixture[str]
) -> None:
    texts = [f"Passage {i} about topic {i * 3}." for i in range(70)]
    assert len(embedding.get_text_embedding_batch(texts, show_progress=True)) == 70
    assert [len(x.body["input"]) for x in sim.exchanges if x.method == "POST"] == [32, 32, 6]
    assert "embeddings" in capfd.readouterr().err


def test_no_texts_are_no_vectors(sim: Simulator, embedding: HFRouterEmbedding) -> None:
    assert embedding.get_text_embedding_batch([]) == []
    assert sim.exchanges == []


def test_bad_input_is_named_before_anything_is_sent(sim: Simulator, embedding: HFRouterEmbedding) -> None:
    with pytest.raises(ConfigurationError, match=r"texts\[0\] is empty"):
        embedding.get_text_embedding("")
    with pytest.raises(ConfigurationError, match="did you mean 'normalize'"):
        HFRouterEmbedding(model_name=E5, normalise=True)  # type: ignore[call-arg]  # what this test is about
    with pytest.raises(ConfigurationError, match="no embedding model"):
        embedding.model_copy(update={"model_name": MODEL}).get_text_embedding("hello")
    assert not [exchange for exchange in sim.exchanges if exchange.method == "POST"]


def test_one_object_serves_several_event_loops(router: Router) -> None:
    made = HFRouterEmbedding(model_name=BGE, router=router)
    assert {len(asyncio.run(made.aget_query_embedding(f"text {i}"))) for i in range(4)} == {384}


def test_dumps_copies_and_pickles_hold_no_token(sim: Simulator) -> None:
    made = HFRouterEmbedding(model_name=BGE, base_url=sim.base_url, token="hf_SECRET", ledger="memory")
    made.get_query_embedding("hello")
    for shown in (repr(made), str(made.to_dict()), made.to_json(), str(made.to_payload()), str(pickle.dumps(made))):
        assert "SECRET" not in shown
    assert pickle.loads(pickle.dumps(made)).model_name == BGE
    assert HFRouterEmbedding.from_dict(made.to_dict()).model_name == BGE
    assert len(copy.deepcopy(made).get_query_embedding("hello")) == 384

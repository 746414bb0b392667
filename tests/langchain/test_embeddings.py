"""`HFRouterEmbeddings`: LangChain's standard suites, prompts, fallback, and what must never leak."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from hfrouter import Router
from hfrouter.simulator import Fault, Simulator
from langchain_hfrouter import HFRouterConfigurationError, HFRouterEmbeddings

BGE = "BAAI/bge-small-en-v1.5"
E5 = "intfloat/multilingual-e5-large"


@pytest.fixture(scope="module")
def address() -> Iterator[dict[str, str]]:
    with Simulator(seed=0) as sim:
        yield {"base_url": sim.base_url, "api_key": sim.token, "ledger": "memory"}


class TestUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[HFRouterEmbeddings]:
        return HFRouterEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": BGE, "api_key": "hf_test"}


class TestIntegration(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _at(self, address: dict[str, str]) -> None:
        self._address = address

    @property
    def embeddings_class(self) -> type[HFRouterEmbeddings]:
        return HFRouterEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": BGE, **self._address}


@pytest.fixture
def embeddings(router: Router) -> HFRouterEmbeddings:
    return HFRouterEmbeddings(model=E5, router=router, query_prompt_name="query", document_prompt_name="passage")


def test_queries_and_documents_have_prompts_of_their_own(sim: Simulator, router: Router) -> None:
    made = HFRouterEmbeddings(model=BGE, router=router, query_prompt_name="query")
    made.embed_documents(["a lighthouse"])
    assert "prompt_name" not in sim.exchanges[-1].body
    made.embed_query("a lighthouse")
    assert sim.exchanges[-1].body["prompt_name"] == "query"


async def test_a_store_finds_the_passage_while_the_first_provider_is_gone(
    sim: Simulator, embeddings: HFRouterEmbeddings
) -> None:
    sim.fail("together", Fault.gone(), times=None)
    texts = ["The lighthouse was lit in 1871.", "Dogs are welcome on the island.", "The ferry leaves at 18:40."]
    store = await InMemoryVectorStore.afrom_texts(texts, embeddings)
    (found,) = await store.asimilarity_search("When does the ferry leave?", k=1)
    assert found.page_content == texts[2]
    assert {row.outcome for row in embeddings.active_router.entries()} == {"gone", "ok"}


def test_many_documents_with_a_progress_bar_come_in_order(
    embeddings: HFRouterEmbeddings, capfd: pytest.CaptureFixture[str]
) -> None:
    texts = [f"Passage {i} about topic {i * 3}." for i in range(70)]
    shown = embeddings.model_copy(update={"show_progress": True, "concurrency": 1}).embed_documents(texts)
    assert shown == embeddings.embed_documents(texts)
    assert "embedding with" in capfd.readouterr().err


def test_no_documents_are_no_vectors(sim: Simulator, embeddings: HFRouterEmbeddings) -> None:
    assert embeddings.embed_documents([]) == []
    assert sim.exchanges == []


def test_bad_input_is_named_before_anything_is_sent(sim: Simulator, embeddings: HFRouterEmbeddings) -> None:
    with pytest.raises(HFRouterConfigurationError, match=r"texts\[1\] is empty"):
        embeddings.embed_documents(["a", ""])
    with pytest.raises(ValueError, match="modle"):
        HFRouterEmbeddings(model=E5, modle=E5)  # type: ignore[call-arg]  # what this test is about
    assert not [exchange for exchange in sim.exchanges if exchange.method == "POST"]


def test_one_object_serves_several_event_loops(router: Router) -> None:
    made = HFRouterEmbeddings(model=BGE, router=router)
    lengths = {len(asyncio.run(made.aembed_query(f"text {i}"))) for i in range(4)}
    assert lengths == {384}


def test_copies_and_pickles_hold_no_token(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    made = HFRouterEmbeddings(model=BGE, base_url=sim.base_url, api_key="hf_SECRET", ledger="memory")
    made.embed_query("hello")
    assert "SECRET" not in repr(made)
    assert b"SECRET" not in pickle.dumps(made)
    assert pickle.loads(pickle.dumps(made)).model == BGE
    assert len(copy.deepcopy(made).embed_query("hello")) == 384

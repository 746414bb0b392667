"""Recorded embeddings, similarities and provider mappings, replayed and read."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hfrouter import Router
from hfrouter.routing.verdict import judge
from hfrouter.wire.mapping import TASKS, read_mapping
from hfrouter.wire.problem import read_problem
from hfrouter.wire.vectors import NotVectors, read_vectors
from tests.recordings.cassettes import ABSENT, Exchange, recorded
from tests.wire.replay import Answer, Server, cut_up

EXTRACTIONS = recorded("feature extraction")
SIMILARITIES = recorded("sentence similarity")
MAPPINGS = recorded("hub mapping")


def cases(exchanges: list[Exchange], what: str) -> Any:
    """One case for each exchange, named by its file; one that is skipped where there is none."""
    absent = pytest.param(None, marks=pytest.mark.skip(reason=f"{what}: {ABSENT}"), id="absent")
    return pytest.mark.parametrize("exchange", exchanges or [absent], ids=str)


def pooled(answer: Any, texts: int) -> list[list[float]]:
    """A naive reading: open what is nested too deep, average what is left of the tokens."""
    if not isinstance(answer[0], list):
        return [answer]
    items = [answer] if texts == 1 and not isinstance(answer[0][0], list) and len(answer) > 1 else answer
    vectors = []
    for item in items:
        while isinstance(item[0], list) and isinstance(item[0][0], list):
            item = item[0]
        rows = item if isinstance(item[0], list) else [item]
        vectors.append([sum(column) / len(rows) for column in zip(*rows, strict=True)])
    return vectors


@cases([e for e in EXTRACTIONS if e.status == 200], "feature extraction")
@pytest.mark.parametrize("split", ["whole", "random"])
def test_recorded_vectors_come_out_right(exchange: Exchange, split: Any, server: Server) -> None:
    inputs = (exchange.request or {}).get("inputs", "Hi")
    texts = [inputs] if isinstance(inputs, str) else list(inputs)
    headers = {"content-type": "application/json", "x-compute-time": exchange.headers.get("x-compute-time", "")}
    place = server.place(Answer(cut_up(exchange.body, split), 200, headers))
    with Router(base_url=place.base_url, token="hf_test", ledger="memory") as router:
        done = router.embed(texts, model="recorded/model:hf-inference")
    expected = pooled(exchange.json, len(texts))
    assert len(done.vectors) == len(texts) == len(expected)
    for vector, wanted in zip(done.vectors, expected, strict=True):
        assert vector == pytest.approx(wanted, rel=1e-9)
        assert all(map(math.isfinite, vector))
    assert place.asked[0].path.endswith("/hf-inference/models/recorded/model/pipeline/feature-extraction")
    assert place.asked[0].json == {"inputs": texts}
    (row,) = router.entries()
    if headers["x-compute-time"]:
        assert row.cost.upper == pytest.approx(float(headers["x-compute-time"]) * 120_000, abs=1)
    else:
        assert row.cost.upper is None


@cases([e for e in EXTRACTIONS if e.status != 200], "feature extraction that failed")
def test_a_recorded_cold_start_is_cold_with_its_estimate(exchange: Exchange) -> None:
    judgement = judge(read_problem(exchange.status, exchange.headers, exchange.body, 0.0))
    assert (judgement.kind, judgement.cold) == ("cold", True)
    assert judgement.retry_after == exchange.json["estimated_time"]


@cases(SIMILARITIES, "sentence similarity")
def test_recorded_similarities_are_not_taken_for_vectors(exchange: Exchange) -> None:
    with pytest.raises(NotVectors):
        read_vectors(exchange.json, len(exchange.json))


@cases(MAPPINGS, "provider mapping")
def test_recorded_mappings_are_read_whole(exchange: Exchange) -> None:
    found = exchange.json
    for form in (found, found.get("dict_form"), found.get("no_provider")):
        if not isinstance(form, dict) or "inferenceProviderMapping" not in form:
            continue
        wanted = {
            (provider, row["providerId"], row["task"], row["status"] == "live")
            for provider, row in form["inferenceProviderMapping"].items()
        }
        assert {(s.provider, s.name, s.task, s.live) for s in read_mapping(form)} == wanted
        assert all(task == "conversational" or task in TASKS for _, _, task, _ in wanted)
    if item := found.get("list_form_item_accepted_by_clients"):
        (served,) = read_mapping({"inferenceProviderMapping": [item]})
        assert (served.provider, served.name, served.task) == (item["provider"], item["providerId"], item["task"])


def test_a_chat_models_mapping_leaves_nobody_to_embed() -> None:
    """As recorded, a chat model's providers serve it for `conversational` only."""
    if not MAPPINGS:
        pytest.skip(f"provider mapping: {ABSENT}")
    served = [s for exchange in MAPPINGS for s in read_mapping(exchange.json)]
    assert served
    assert not [s for s in served if s.task in TASKS]

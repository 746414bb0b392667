"""`/v1/models`: the recorded shape, with the gaps real rows have."""

import json

import pytest

from hfrouter.simulator import Fault, Simulator


def test_the_list_has_the_recorded_shape(send):
    answer = send("GET", "/v1/models", token=None)
    assert answer.status == 200
    assert answer.json["object"] == "list"
    entry = next(entry for entry in answer.json["data"] if entry["id"] == "openai/gpt-oss-20b")
    assert list(entry) == ["id", "object", "created", "owned_by", "architecture", "providers"]
    assert entry["providers"][0] == {
        "provider": "groq",
        "status": "live",
        "context_length": 131072,
        "pricing": {"input": 0.1, "output": 0.5},
        "is_free": False,
        "supports_tools": True,
        "supports_structured_output": True,
        "first_token_latency_ms": 316.4,
        "throughput": 711.1005022902897,
        "is_model_author": False,
    }
    assert b'"output":0.6000000000000001' in answer.raw  # float noise, as in real catalogues


def test_rows_have_gaps(sim):
    rows = [row for entry in sim.models for row in entry["providers"]]
    later = {"zai-org", "fireworks-ai", "featherless-ai", "hf-inference", "deepinfra"}
    assert {row["provider"] for row in rows} == {"groq", "cerebras", "novita", "together"} | later
    for key in ("pricing", "supports_tools", "supports_structured_output", "context_length", "throughput"):
        assert any(key not in row for row in rows), key
    assert {"provider": "together", "status": "live", "is_free": False, "is_model_author": False} in rows
    assert any(row["is_free"] for row in rows)
    assert any(row["status"] == "error" for row in rows)


def test_rows_of_fireworks_have_no_price_and_those_of_featherless_have_nothing(sim):
    rows = [row for entry in sim.models for row in entry["providers"]]
    assert not any("pricing" in row for row in rows if row["provider"] in ("fireworks-ai", "hf-inference"))
    bare = {"provider": "featherless-ai", "status": "live", "is_free": False, "is_model_author": False}
    assert [row for row in rows if row["provider"] == "featherless-ai"] == [bare, bare]
    assert [row["provider"] for row in rows if row["is_model_author"]] == ["zai-org"]


def test_the_first_model_is_at_all_four_providers_with_tools(sim):
    entry = next(entry for entry in sim.models if entry["id"] == "openai/gpt-oss-120b")
    assert len(entry["providers"]) == 4
    assert all(row["supports_tools"] and row["supports_structured_output"] for row in entry["providers"])


def test_a_known_etag_is_answered_with_304(send, sim):
    tag = send("GET", "/v1/models").headers["etag"]
    again = send("GET", "/v1/models", if_none_match=tag)
    assert (again.status, again.raw, again.headers["etag"]) == (304, b"", tag)
    sim.replace_models(sim.models[:2])
    changed = send("GET", "/v1/models", if_none_match=tag)
    assert changed.status == 200
    assert len(changed.json["data"]) == 2


def test_one_model_can_be_asked_for(send):
    assert send("GET", "/v1/models/zai-org/GLM-4.6").json["id"] == "zai-org/GLM-4.6"
    assert send("GET", "/v1/models/acme/nothing").status == 404


def test_the_catalogue_can_fail_too(send, sim):
    sim.fail(Simulator.CATALOGUE, Fault.status(503, html=True), Fault.html_200())
    assert send("GET", "/v1/models").status == 503
    assert send("GET", "/v1/models").raw.startswith(b"<html>")
    assert send("GET", "/v1/models").status == 200


def test_the_catalogue_of_one_simulator_is_not_anothers(sim):
    sim.models[0]["providers"].clear()
    assert Simulator().models[0]["providers"]


@pytest.mark.parametrize("entry", [{}, {"id": "a/b"}, {"id": "a/b", "providers": [{}]}])
def test_an_incomplete_entry_is_refused(entry):
    with pytest.raises(ValueError):
        Simulator(models=[entry])


def test_models_are_json(sim):
    assert json.loads(json.dumps(sim.models)) == sim.models

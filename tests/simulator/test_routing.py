"""The choice of a provider, and the errors the router makes itself."""

import json

import pytest

from hfrouter.simulator import Fault, Simulator


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("openai/gpt-oss-120b", "cerebras"),
        ("openai/gpt-oss-120b:fastest", "cerebras"),
        ("openai/gpt-oss-120b:cheapest", "novita"),
        ("openai/gpt-oss-120b:preferred", "groq"),
        ("openai/gpt-oss-120b:together", "together"),
        ("openai/gpt-oss-20b", "groq"),
        ("deepseek-ai/DeepSeek-R1", "together"),  # novita's row has no speed, so it comes last
        ("deepseek-ai/DeepSeek-R1:cheapest", "novita"),
        ("openai/gpt-oss-20b:cheapest", "novita"),  # together's row has no price, so it comes last
        ("meta-llama/Llama-3.3-70B-Instruct", "groq"),  # cerebras would be faster, but is in error
    ],
)
def test_the_suffix_chooses_the_provider(chat, model, provider):
    answer = chat(model)
    assert answer.status == 200
    assert answer.headers["x-inference-provider"] == provider


def test_preferred_is_the_order_of_the_user():
    with Simulator(preferred=["together"]) as sim:
        assert sim._state.catalogue.route("openai/gpt-oss-120b", "preferred")["provider"] == "together"


def test_an_unknown_model_is_400_word_for_word(chat):
    answer = chat("no-such-model-m95")
    assert answer.status == 400
    assert len(answer.raw) == 151  # as recorded on 2026-10-04
    assert answer.json["error"]["code"] == "model_not_found"
    assert answer.headers["x-request-id"].startswith("Root=1-")
    assert "x-inference-provider" not in answer.headers


@pytest.mark.parametrize(
    "model", ["zai-org/GLM-4.6:groq", "openai/gpt-oss-20b:nobody", "meta-llama/Llama-3.3-70B-Instruct:cerebras"]
)
def test_a_pin_that_is_not_served_is_400_not_supported(chat, model):
    answer = chat(model)
    assert (answer.status, answer.json["error"]["code"]) == (400, "model_not_supported")
    assert f"'{model}'" in answer.json["error"]["message"]
    assert "x-inference-provider" not in answer.headers


@pytest.mark.parametrize("token", [None, Simulator.BAD_TOKEN, "sk-openai", "hf_"])
def test_a_bad_token_is_401(send, token):
    answer = send("POST", "/v1/chat/completions", {"model": "openai/gpt-oss-20b", "messages": []}, token=token)
    assert (answer.status, answer.json) == (401, {"error": "Invalid username or password."})
    assert answer.headers["www-authenticate"].startswith("Bearer realm=")


def test_a_malformed_credential_is_another_401(send):
    answer = send("POST", "/v1/chat/completions", {}, token=None, Authorization="Basic abc")
    assert answer.json == {"error": "Invalid credentials in Authorization header"}


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/embeddings"), ("GET", "/nothing"), ("GET", "/v1/chat/completions"), ("GET", "/")]
)
def test_an_unknown_path_is_404_in_plain_text(send, method, path):
    answer = send(method, path, {} if method == "POST" else None)
    assert (answer.status, answer.raw) == (404, b"Not Found")
    assert answer.headers["content-type"].startswith("text/plain")


def test_a_body_that_is_no_json_is_400(send):
    assert send("POST", "/v1/chat/completions", b"{not json").status == 400
    assert send("POST", "/v1/chat/completions", b"[1]").status == 400
    assert send("POST", "/v1/chat/completions", {"messages": []}).json["error"]["param"] == "model"


def test_a_body_above_32_mb_is_413(send, sim):
    big = json.dumps({"model": "openai/gpt-oss-20b", "messages": [{"role": "user", "content": "x" * 33_000_000}]})
    big = big[:-1] + " " * (33 * 1024 * 1024 - len(big)) + "}"
    assert send("POST", "/v1/chat/completions", big.encode()).status in (400, 413)
    assert send("POST", "/v1/chat/completions", b" " * (32 * 1024 * 1024 + 1)).status == 413
    assert sim.exchanges[-1].raw == b""


@pytest.mark.parametrize(
    ("path", "model", "provider"),
    [
        ("/groq/openai/v1/chat/completions", "llama-3.3-70b-versatile", "groq"),
        ("/cerebras/v1/chat/completions", "zai-glm-4.6", "cerebras"),
        ("/novita/v3/openai/chat/completions", "openai/gpt-oss-120b", "novita"),
        ("/together/v1/chat/completions", "deepseek-ai/DeepSeek-R1", "together"),
        ("/zai-org/api/paas/v4/chat/completions", "glm-4.7", "zai-org"),
        ("/fireworks-ai/inference/v1/chat/completions", "accounts/fireworks/models/qwen3-8b", "fireworks-ai"),
        ("/featherless-ai/v1/chat/completions", "Qwen/Qwen3-8B", "featherless-ai"),
        ("/deepinfra/v1/openai/chat/completions", "deepseek-ai/DeepSeek-V4-Pro", "deepinfra"),
    ],
)
def test_the_pinned_path_takes_the_providers_own_id(send, path, model, provider):
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    answer = send("POST", path, body)
    assert (answer.status, answer.headers["x-inference-provider"]) == (200, provider)
    other = send("POST", path, {**body, "model": "nobody/knows"})
    assert (other.status, other.json) == (400, {"error": f"Model not supported by provider {provider}"})


def test_the_pinned_path_of_hf_inference_names_the_model(send):
    path, body = "/hf-inference/models/{}/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}
    for named in ({}, {"model": "tgi"}, {"model": "dummy"}):
        answer = send("POST", path.format("HuggingFaceTB/SmolLM3-3B"), {**body, **named})
        assert (answer.status, answer.json["model"]) == (200, "HuggingFaceTB/SmolLM3-3B")
    other = send("POST", path.format("openai/gpt-oss-20b"), body)
    assert (other.status, other.json) == (400, {"error": "Model not supported by provider hf-inference"})
    assert send("POST", path.format("HuggingFaceTB/SmolLM3-3B"), b"{").status == 400
    assert send("POST", "/hf-inference/v1/chat/completions", body).status == 404


def test_the_hub_knows_models_of_both_kinds(send, sim):
    def ask(model: str, query: str = "?expand[]=inferenceProviderMapping"):
        return send("GET", f"/api/models/{model}{query}", token=None)

    e5 = ask("intfloat/multilingual-e5-large").json["inferenceProviderMapping"]
    assert list(e5) == ["hf-inference", "together", "deepinfra"]
    assert e5["together"] == {
        "status": "live",
        "providerId": "intfloat/multilingual-e5-large-instruct",
        "task": "feature-extraction",
        "isModelAuthor": False,
    }
    mini = ask("sentence-transformers/all-MiniLM-L6-v2").json["inferenceProviderMapping"]
    assert mini["hf-inference"]["task"] == "sentence-similarity"
    glm = ask("zai-org/GLM-4.7").json["inferenceProviderMapping"]
    assert glm["zai-org"] == {
        "status": "live",
        "providerId": "glm-4.7",
        "task": "conversational",
        "isModelAuthor": True,
    }
    assert glm["fireworks-ai"]["providerId"] == "accounts/fireworks/models/glm-4p7"
    assert "inferenceProviderMapping" not in ask("zai-org/GLM-4.7", "").json
    assert ask("zai-org/GLM-4.7", "?expand=inference").json["inference"] == "warm"
    missing = ask("acme/nothing")
    assert (missing.status, missing.json) == (404, {"error": "Repository not found"})
    assert send("GET", "/api/models/zai-org/GLM-4.7", token=Simulator.BAD_TOKEN).status == 401
    sim.fail(Simulator.HUB, Fault.status(503))
    assert [ask("zai-org/GLM-4.7").status for _ in range(2)] == [503, 200]


def test_the_hub_endpoints_help_clients_that_are_pointed_here(send):
    mapping = send("GET", "/api/models/openai/gpt-oss-20b?expand=inferenceProviderMapping", token=None).json
    assert mapping["inferenceProviderMapping"]["groq"]["providerId"] == "openai/gpt-oss-20b"
    assert send("GET", "/api/whoami-v2").json["name"] == "simulated"
    assert send("GET", "/api/whoami-v2", token="hf_bad_token").status == 401

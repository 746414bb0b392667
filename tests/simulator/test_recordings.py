"""The shapes are those of real traffic. Needs the folder of recordings, which lies beside the repository."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hfrouter.simulator import Fault, Simulator

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "recordings"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="there is no folder shared/recordings beside the repository"
)


def shape(value: Any) -> Any:
    """Return a value with its keys in order and its leaves replaced by their kind."""
    if isinstance(value, dict):
        return tuple((key, shape(item)) for key, item in value.items())
    if isinstance(value, list):
        return tuple(dict.fromkeys(shape(item) for item in value))
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def shapes(events: list[Any]) -> list[Any]:
    return list(dict.fromkeys(shape(event) for event in events))


def bodies(pattern: str, marker: str) -> list[Any]:
    """Return the JSON bodies or events of the lines of YAML cassettes that start with `marker`."""
    found = []
    for path in sorted(FOLDER.glob(pattern)):
        for line in path.read_text().splitlines():
            text = line.strip()
            if text.startswith(marker + "{") and text.rstrip("'").endswith("}") and '"created"' in text:
                found.append(json.loads(text.removeprefix(marker).rstrip("'").replace("''", "'")))
    assert found
    return found


@pytest.mark.parametrize("name", ["03-tool-call-stream", "04-tool-result-stream"])
def test_a_groq_stream_has_the_same_kinds_of_chunks(send, name):
    recorded = json.loads((FOLDER / f"router-auto-2026-10/{name}.json").read_text())
    answer = send("POST", "/v1/chat/completions", recorded["request"]["body"])
    events = [event["data"] for event in recorded["response"]["events"] if event["data"] != "[DONE]"]
    assert shapes(answer.events) == shapes(events)
    missing = set(recorded["response"]["headers"]) - set(answer.headers) - {"connection", "set-cookie"}
    assert not missing


def test_an_error_of_the_router_is_the_same_bytes(send):
    recorded = json.loads((FOLDER / "router-auto-2026-10/05-error-invalid-model.json").read_text())
    answer = send("POST", "/v1/chat/completions", recorded["request"]["body"])
    assert answer.json == recorded["response"]["body"]
    assert answer.headers["etag"] == recorded["response"]["headers"]["etag"]
    assert answer.headers["content-length"] == recorded["response"]["headers"]["content-length"]


def test_a_catalogue_row_has_the_same_keys(send):
    recorded = json.loads((FOLDER / "router-auto-2026-10/01-models-list.json").read_text())
    samples = recorded["response"]["bodySummary"]["sample"]
    ours = {entry["id"]: entry for entry in send("GET", "/v1/models").json["data"]}
    entry = next(sample for sample in samples if sample["id"] == "openai/gpt-oss-20b")
    rows = {row["provider"]: row for row in entry["providers"]}
    for row in ours["openai/gpt-oss-20b"]["providers"][:2]:
        assert row == rows[row["provider"]]
    assert shape(ours["openai/gpt-oss-20b"]["architecture"]) == shape(entry["architecture"])


def test_cerebras_bodies_and_chunks_have_the_same_shape(chat):
    pattern = "router-auto-2025-2026/2025-10-21*qwen3-coder__simple"
    model = "Qwen/Qwen3-Coder-480B-A35B-Instruct:cerebras"
    (unary,) = shapes(bodies(f"{pattern}.yaml", "body: '"))
    assert shape(chat(model, max_tokens=4000).json) == unary
    streamed = shapes(bodies(f"{pattern}_streaming.yaml", "data: "))
    assert shapes(chat(model, stream=True).events) == streamed


def test_cerebras_tool_calls_have_the_same_shape(chat):
    tool = {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Get weather information for a location",
            "parameters": {
                "type": "object",
                "properties": {"location": {"type": "string", "description": "the city"}},
                "required": ["location"],
            },
        },
    }
    recorded = bodies("router-auto-2025-2026/2025-10-21*qwen3-coder__tool.yaml", "body: '")[0]
    answer = chat("Qwen/Qwen3-Coder-480B-A35B-Instruct:cerebras", "What's the weather in Florence,Italy?", tools=[tool])
    assert shape(answer.json) == shape(recorded)
    theirs, ours = (body["choices"][0]["message"]["tool_calls"][0]["function"] for body in (recorded, answer.json))
    assert ours == theirs


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Get weather information for a location",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string", "description": "the city"}},
            "required": ["location"],
        },
    },
}
ZAI = "zai-org/GLM-4.7:zai-org"


def answers(pattern: str) -> list[tuple[int, dict[str, str], str]]:
    """Return status, headers and body of what the router answered in YAML cassettes."""
    yaml = pytest.importorskip("yaml")
    found = []
    for path in sorted(FOLDER.glob(pattern)):
        for each in yaml.safe_load(path.read_text())["interactions"]:
            if each["request"]["uri"].startswith("https://router.huggingface.co/"):
                response = each["response"]
                headers = {name.lower(): values[0] for name, values in response["headers"].items()}
                found.append((response["status"]["code"], headers, response["body"]["string"]))
    assert found
    return found


def parsed(stream: str) -> list[Any]:
    data = [line[6:] for line in stream.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in data]


def test_zai_bodies_and_chunks_have_the_same_shape(chat):
    pattern = "router-auto-2025-2026/2025-10-23*glm-4.6__simple"
    assert shape(chat(ZAI).json) in shapes(bodies(f"{pattern}.yaml", "body: '"))
    recorded = shapes(bodies("router-auto-2025-2026/2025-10-23*glm-4.6__*_streaming.yaml", "data: "))
    assert set(shapes(chat(ZAI, stream=True).events)) <= set(recorded)


@pytest.mark.parametrize("stream", [False, True])
def test_zai_tool_calls_have_the_same_shape(chat, stream):
    pattern = f"router-auto-2025-2026/2025-10-23*glm-4.6__tool{'_streaming' if stream else ''}.yaml"
    recorded = shapes(bodies(pattern, "data: " if stream else "body: '"))
    answer = chat(ZAI, "What's the weather in Florence,Italy?", tools=[WEATHER], stream=stream)
    assert set(shapes(answer.events if stream else [answer.json])) <= set(recorded)


@pytest.mark.parametrize(
    ("provider", "model"), [("fireworks-ai", "Qwen/Qwen3-8B"), ("hf-inference", "HuggingFaceTB/SmolLM3-3B")]
)
def test_pinned_bodies_chunks_and_headers_have_the_same_shape(chat, provider, model):
    ((_, headers, body), *_) = answers(f"pinned-providers-2025/2025-02-14*no_stream*{provider},*")
    ours = chat(f"{model}:{provider}")
    assert shape(ours.json) == shape(json.loads(body))
    own = [name for name in headers if name.startswith(("fireworks-", "x-compute-", "x-sha", "x-ratelimit-"))]
    assert own
    assert set(own) - set(ours.headers) <= {"fireworks-speculation-generated-tokens"}
    ((_, headers, stream), *_) = answers(f"pinned-providers-2025/2025-02-14*with_stream*{provider},*")
    streamed = chat(f"{model}:{provider}", stream=True)
    assert shapes(streamed.events) == shapes(parsed(stream))
    assert streamed.headers["content-type"] == headers["content-type"]
    assert streamed.done


def test_a_422_of_hf_inference_reads_the_same(chat, send):
    ((status, headers, text), *_) = answers("hf-inference-2025/2025-02-05*unprocessable*")
    answer = chat("HuggingFaceTB/SmolLM3-3B", [])  # not the one that was recorded
    assert answer.status == status
    body = {"model": "HuggingFaceTB/SmolLM3-3B", "messages": "please output 'Observation'"}
    answer = send("POST", "/v1/chat/completions", body)
    assert answer.headers["content-type"] == headers["content-type"]
    assert re.sub(r"\d+$", "", answer.raw.decode()) == re.sub(r"\d+$", "", text)


def test_feature_extraction_and_similarity_nest_the_same(send):
    def depth(value: Any) -> int:
        return 1 + depth(value[0]) if isinstance(value, list) else 0

    served = "/hf-inference/models/{}/pipeline/{}"
    for status, headers, text in answers("hf-inference-2025/2025-03-21*feature_extraction*"):
        body = {"inputs": "Hi, who are you?"}
        answer = send("POST", served.format("facebook/bart-base", "feature-extraction"), body)
        assert (answer.status, depth(answer.json)) == (status, depth(json.loads(text)))
        assert len(answer.json[0][0]) == len(json.loads(text)[0][0])
        missing = {name for name in headers if name.startswith(("x-compute-t", "x-sha", "x-inference"))}
        assert missing <= set(answer.headers)
    similar = {"inputs": {"source_sentence": "I am happy", "sentences": ["happy", "glad", "sad"]}}
    ((_, _, text), *_) = answers("hf-inference-2025/2025-03-21*async_sentence*")
    answer = send("POST", served.format("sentence-transformers/all-MiniLM-L6-v2", "sentence-similarity"), similar)
    assert shape(answer.json) == shape(json.loads(text))
    assert len(answer.json) == len(json.loads(text))


def test_a_model_that_is_loading_says_so_in_the_same_words(send, sim):
    loading = [
        (status, text) for status, _, text in answers("hf-inference-2025/2025-02-05*with_transf*") if status == 503
    ]
    sim.fail("hf-inference", Fault.loading(22.307266235351562))
    answer = send("POST", "/hf-inference/models/facebook/bart-base/pipeline/feature-extraction", {"inputs": "a"})
    assert (answer.status, answer.raw.decode()) == loading[0]


def test_billing_and_mapping_have_the_same_keys(send, chat):
    facts = json.loads((FOLDER / "facts/billing.json").read_text())
    chat("openai/gpt-oss-20b:groq")
    usage = send("GET", "/api/settings/billing/usage-v2").json["usage"]
    recorded = facts["usage_v2"]["response"]["usage"]
    assert set(recorded["inferenceProviders"]) <= set(usage["inferenceProviders"])
    assert set(recorded["jobs"]) == set(usage["jobs"])
    recorded = json.loads((FOLDER / "catalogue/inferenceProviderMapping.json").read_text())["dict_form"]
    ours = send("GET", "/api/models/Qwen/Qwen3-8B?expand=inferenceProviderMapping").json
    assert shape(ours["inferenceProviderMapping"]["featherless-ai"]) == shape(
        recorded["inferenceProviderMapping"]["featherless-ai"]
    )
    assert list(ours) == list(recorded)


def test_whoami_has_the_recorded_keys(send):
    recorded = json.loads((FOLDER / "router-auto-2026-10/02-whoami-key-test.json").read_text())["response"]
    answer = send("GET", "/api/whoami-v2", token=Simulator.FINE_GRAINED_TOKEN)

    def keys(value: Any) -> Any:
        return {name: keys(item) for name, item in value.items()} if isinstance(value, dict) else None

    assert keys(answer.json) == keys(recorded["bodySummary"])
    assert {"ratelimit", "ratelimit-policy", "etag"} <= set(answer.headers)

"""The shapes are those of real traffic. Needs a folder of recordings, named by HFROUTER_RECORDINGS."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(os.environ.get("HFROUTER_RECORDINGS", "/nonexistent"))
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="HFROUTER_RECORDINGS names no folder of recordings")


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

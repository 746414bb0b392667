"""What a request asks of a target is read from its parts, and a schema is sent in one form whoever serves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hfrouter.routing.target import Target
from hfrouter.wire.request import Request

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
OPENAI = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
CHOSEN = {"type": "function", "function": {"name": "f"}}

NEEDS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "nothing": ({}, set()),
    "tools": ({"tools": [TOOL]}, {"tools"}),
    "tools, left to the model": ({"tools": [TOOL], "tool_choice": "auto"}, {"tools"}),
    "tools, one required": ({"tools": [TOOL], "tool_choice": "required"}, {"tools"}),
    "tools, one named": ({"tools": [TOOL], "tool_choice": CHOSEN}, {"tools"}),
    "tools that must not be used": ({"tools": [TOOL], "tool_choice": "none"}, set()),
    "no tools": ({"tools": [], "tool_choice": "auto"}, set()),
    "functions": ({"functions": [TOOL["function"]]}, {"tools"}),
    "functions that must not be used": ({"functions": [TOOL["function"]], "function_call": "none"}, set()),
    "a schema": ({"response_format": OPENAI}, {"structured"}),
    "any JSON": ({"response_format": {"type": "json_object"}}, set()),
    "text": ({"response_format": {"type": "text"}}, set()),
    "a picture": ({"messages": [{"role": "user", "content": [PICTURE]}]}, {"images"}),
    "a picture from a tool": (
        {"messages": [{"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "x"}, PICTURE]}]},
        {"images"},
    ),
    "parts without a picture": ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, set()),
}


def made(**parameters: Any) -> Request:
    return Request.make(parameters.pop("messages", "hi"), parameters)


@pytest.mark.parametrize("name", NEEDS)
def test_needs_are_inferred_from_the_request(name: str) -> None:
    parameters, expected = NEEDS[name]
    needs = made(**parameters).needs
    assert {need for need in ("tools", "structured", "images") if getattr(needs, need)} == expected


DIALECTS: dict[str, tuple[dict[str, Any], Any]] = {
    "OpenAI": (OPENAI, OPENAI),
    "OpenAI, strict": (
        {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
        {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
    ),
    "together": ({"type": "json_schema", "schema": SCHEMA}, OPENAI),
    "fireworks-ai and cohere": ({"type": "json_object", "schema": SCHEMA}, OPENAI),
    "hf-inference": ({"type": "json_object", "value": SCHEMA}, OPENAI),
    "text-generation-inference": ({"type": "json", "value": SCHEMA}, OPENAI),
    "any JSON": ({"type": "json_object"}, {"type": "json_object"}),
    "a schema that is none": ({"type": "json_object", "schema": "x"}, {"type": "json_object", "schema": "x"}),
    "a form of tomorrow": ({"type": "grammar", "value": "x"}, {"type": "grammar", "value": "x"}),
}
TARGETS = [Target("org/m", "fireworks-ai"), Target("org/m", "together"), Target("llama3.2", "own", url="http://h/v1")]


@pytest.mark.parametrize("name", DIALECTS)
def test_a_schema_goes_out_in_openais_form_whichever_provider_is_pinned(name: str) -> None:
    given, expected = DIALECTS[name]
    request = made(response_format=given)
    assert request.needs.structured is (expected["type"] == "json_schema")
    for target in TARGETS:
        assert json.loads(request.bytes_for(target, stream=True))["response_format"] == expected


def test_the_callers_mapping_is_left_as_it_is() -> None:
    given = {"type": "json_object", "schema": SCHEMA}
    made(response_format=given)
    assert given == {"type": "json_object", "schema": SCHEMA}


def test_a_target_is_asked_by_the_name_it_knows() -> None:
    names = [json.loads(made().bytes_for(target, stream=False))["model"] for target in TARGETS]
    assert names == ["org/m:fireworks-ai", "org/m:together", "llama3.2"]


def test_the_bytes_of_a_picture_are_no_measure_of_its_tokens() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    needs = made(messages=[{"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]}]).needs
    assert needs.input_bytes > 1_000_000
    assert needs.text_bytes < 300
    assert needs.input_tokens < 100

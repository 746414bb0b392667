"""What holds for every request: it is answered or refused, limits are kept, JSON validates."""

import json
import math
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hfrouter.simulator import tokens
from hfrouter.simulator.answer import compose
from hfrouter.simulator.refusal import RefusedError
from hfrouter.simulator.request import parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
TEXT = st.text(max_size=60) | st.sampled_from(
    [
        "What is the weather in Paris, Rome and Oslo?",
        "Context: The sky is blue.\nQuestion: What colour is the sky?",
        "a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p-q-r-s-t-u-v-w-x-y-z name is a-b-c-d-e-f-g-h-i-j-k-l-m#",
        "1" * 5000,
        "Count from 1 to 999999999",
        f"What is {'9' * 400} * {'9' * 90}?",
        "Summarise: one. two. three.",
        "magic(3) {\"a\": [1, {}]} keys 'x' and 'y' JSON",
    ]
)
FAST = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    leaf = st.sampled_from(
        [
            {"type": "string"},
            {"type": "string", "maxLength": 5},
            {"type": "string", "minLength": 9},
            {"type": "integer", "minimum": 3, "maximum": 9},
            {"type": "number", "exclusiveMinimum": 0},
            {"type": "boolean"},
            {"type": "null"},
            {"enum": ["red", "green", None]},
            {"const": 4},
            {"type": ["string", "null"]},
        ]
    )

    def grow(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
        names = st.sampled_from(["name", "age", "city", "colours", "note", "is_open"])
        fields = st.dictionaries(names, inner, min_size=1, max_size=3)
        return (
            fields.map(lambda p: {"type": "object", "properties": p, "required": list(p)})
            | st.tuples(inner, st.integers(0, 2)).map(lambda t: {"type": "array", "items": t[0], "minItems": t[1]})
            | inner.map(lambda each: {"anyOf": [each, {"type": "null"}]})
        )

    return st.recursive(leaf, grow, max_leaves=6)


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """A second, tiny validator: only for the keywords used above."""
    if "anyOf" in schema:
        return any(fits(value, each) for each in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return value in schema.get("enum", [schema.get("const")])
    kind = schema["type"]
    if isinstance(kind, list):
        return any(fits(value, {**schema, "type": each}) for each in kind)
    if kind == "object":
        return isinstance(value, dict) and all(
            name in value and fits(value[name], part) for name, part in schema["properties"].items()
        )
    if kind == "array":
        return (
            isinstance(value, list)
            and len(value) >= schema["minItems"]
            and all(fits(item, schema["items"]) for item in value)
        )
    if kind == "string":
        return isinstance(value, str) and schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**6)
    if kind in ("integer", "number"):
        plain = isinstance(value, int) or (kind == "number" and isinstance(value, float))
        low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
        return (
            plain
            and not isinstance(value, bool)
            and low <= value <= high
            and value > schema.get("exclusiveMinimum", -math.inf)
        )
    return {"boolean": isinstance(value, bool), "null": value is None}[kind]


FIELDS = ("tools", "tool_choice", "response_format", "stop", "n", "max_tokens", "stream_options", "reasoning_effort")


def survives(body: dict[str, Any]) -> bool:
    """Whether a request is answered, or refused in the proper way; anything else raises."""
    try:
        request = parse(body, lacks_arguments=None)
    except RefusedError as error:
        return error.refusal.status == 400
    return compose(request, reasons=True, spaced=True).finish in ("stop", "length", "tool_calls")


@FAST
@given(
    body=st.fixed_dictionaries(
        {"messages": st.just([{"role": "user", "content": "hi"}]) | JSON}, optional=dict.fromkeys(FIELDS, JSON)
    )
)
def test_any_json_is_answered_or_refused(body):
    assert survives(body)


@FAST
@given(
    message=st.dictionaries(
        st.sampled_from(["role", "content", "tool_calls", "name", "tool_call_id"]),
        JSON | st.sampled_from(["user", "assistant", "tool", "system"]),
    )
)
def test_any_message_is_answered_or_refused(message):
    assert survives({"messages": [message]})


@FAST
@given(prompt=TEXT, limit=st.integers(1, 40))
def test_the_token_limit_is_kept(prompt, limit):
    request = parse({"messages": [{"role": "user", "content": prompt}], "max_tokens": limit}, lacks_arguments=None)
    answer = compose(request, reasons=True, spaced=True)
    assert answer.completion_tokens <= limit
    assert "".join(tokens.split(answer.text or "")) == (answer.text or "")


@FAST
@given(prompt=TEXT, schema=schemas())
def test_structured_output_validates(prompt, schema):
    wanted = {"type": "object", "properties": {"value": schema}, "required": ["value"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": wanted}}
    request = parse({"messages": [{"role": "user", "content": prompt}], "response_format": form}, lacks_arguments=None)
    value = json.loads(compose(request, reasons=False, spaced=True).text or "")
    assert fits(value, wanted), value


@FAST
@given(prompt=TEXT, schema=schemas())
def test_forced_tool_arguments_validate(prompt, schema):
    wanted = {"type": "object", "properties": {"value": schema}, "required": ["value"]}
    tool = {"type": "function", "function": {"name": "magic", "description": "Do it.", "parameters": wanted}}
    body = {"messages": [{"role": "user", "content": prompt}], "tools": [tool], "tool_choice": "required"}
    for call in compose(parse(body, lacks_arguments=None), reasons=False, spaced=True).calls:
        assert fits(json.loads(call.arguments), wanted), call

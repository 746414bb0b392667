"""The dialects of `response_format`: all are read, one is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# How a schema is given on providers' own paths, as (type, key that holds it): huggingface_hub 2.4.0,
# `inference/_providers/*.py`. On `/v1/chat/completions`, the only path used here, the documented form is OpenAI's
# whichever provider is pinned, and huggingface_hub rewrites nothing there.
_DIALECTS = {
    ("json_schema", "schema"): "together",
    ("json_object", "schema"): "fireworks-ai, cohere",
    ("json_object", "value"): "hf-inference: text-generation-inference",
    ("json", "value"): "text-generation-inference, its older word",
}
_NAME = "answer"


def openai_form(response_format: Mapping[str, Any]) -> Mapping[str, Any]:
    """A `response_format` in OpenAI's form, since any provider may get it; what is no known dialect stays as it is.

    Args:
        response_format: As the caller gave it, perhaps copied from code for one provider.

    >>> openai_form({"type": "json_object", "schema": {"type": "object"}})
    {'type': 'json_schema', 'json_schema': {'name': 'answer', 'schema': {'type': 'object'}}}
    """
    if "json_schema" in response_format:
        return response_format
    kind = response_format.get("type")
    for key in ("schema", "value"):
        schema = response_format.get(key)
        if (kind, key) in _DIALECTS and isinstance(schema, Mapping):
            return {"type": "json_schema", "json_schema": {"name": _NAME, "schema": schema}}
    return response_format


def wants_schema(response_format: object) -> bool:
    """Whether an answer must fit a schema; the form is OpenAI's."""
    return isinstance(response_format, Mapping) and response_format.get("type") == "json_schema"

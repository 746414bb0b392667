"""A schema that the prompt itself describes: as JSON schema, as an example, or by naming keys."""

import json
import re
from typing import Any

from hfrouter.simulator import language

_MOST_TRIES = 100  # braces that are looked at


def embedded(text: str) -> tuple[Any, str] | None:
    """Find a JSON schema, or a JSON object given as an example, in a prompt.

    Returns:
        The schema and the prompt without it; None when there is none.
    """
    decoder = json.JSONDecoder()
    best: tuple[Any, int, int] | None = None
    position, tries = text.find("{"), 0
    while position != -1 and tries < _MOST_TRIES:
        tries += 1
        try:
            value, end = decoder.raw_decode(text, position)
        except RecursionError:
            return None
        except ValueError:
            position = text.find("{", position + 1)
            continue
        if isinstance(value, dict) and value:
            schema = value if "properties" in value or "$defs" in value else _of_example(value)
            best = (schema, position, end)
        position = text.find("{", end)
    return None if best is None else (best[0], text[: best[1]] + " " + text[best[2] :])


def named_keys(text: str) -> list[str]:
    """Return the keys a prompt asks for: `'setup' and 'punchline' keys`, `with the fields name, age and city`."""
    before = re.search(
        r"((?:[\"'`]\w+[\"'`][\s,]*(?:and|or)?\s*)+)(?:as\s+)?(?:the\s+)?(?:keys?|fields?|properties)\b", text
    )
    if before is not None:
        return re.findall(r"[\"'`](\w+)[\"'`]", before[1])
    word, separator = r"[\"'`]?\w+[\"'`]?", r"(?:\s*,\s*(?:and\s+)?|\s+and\s+)"
    named = (
        rf"\b(?:keys?|fields?|properties|attributes)\b\s*(?:named|called|are|of)?\s*:?\s*((?:{word}{separator})*{word})"
    )
    after = re.search(f"(?i){named}", text)
    return re.findall(r"\w+", re.sub(r"\band\b", ",", after[1])) if after else []


def of_keys(keys: list[str]) -> Any:
    """Return a schema of named keys; counts and ages are numbers, the others strings."""
    numeric = {"age", "count", "number", "year", "price", "score", "rating", "quantity", "total", "amount"}
    kinds = {key: "number" if set(language.words(key)) & numeric else "string" for key in keys}
    return {"type": "object", "properties": {key: {"type": kind} for key, kind in kinds.items()}, "required": keys}


def _of_example(value: Any) -> Any:
    if isinstance(value, dict):
        return {"type": "object", "properties": {k: _of_example(v) for k, v in value.items()}, "required": list(value)}
    if isinstance(value, list):
        return {"type": "array", "items": _of_example(value[0]) if value else {"type": "string"}}
    kinds: dict[type, str] = {bool: "boolean", int: "integer", float: "number"}
    return {"type": kinds.get(type(value), "string")}

"""Values for a JSON schema, taken from a text."""

import re
from decimal import Decimal
from typing import Any, Final

from hfrouter.simulator import language
from hfrouter.simulator.evidence import Evidence, Hint
from hfrouter.simulator.reading import topic

Schema = Any
MISSING: Final = object()
"""There is no evidence for a value, and none is required."""
_DEPTH = 12
_EXAMPLES = {
    "email": "nobody@example.com",
    "uri": "https://example.com",
    "url": "https://example.com",
    "date-time": "1970-01-01T00:00:00Z",
    "date": "1970-01-01",
    "time": "00:00:00",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "duration": "PT0S",
}


class Filler:
    """Fills one schema from one text.

    Args:
        schema: The root schema, which `$ref` points into.
        evidence: Where values come from.
    """

    def __init__(self, schema: Schema, evidence: Evidence) -> None:
        self._root = schema
        self._evidence = evidence

    def fill(self) -> Any:
        """Return a value that validates against the root schema."""
        hint = Hint(str(self._root.get("title", "")), str(self._root.get("description", "")))
        return self._value(self._root, hint, required=True, depth=0)

    def supports(self, names: list[str]) -> bool:
        """Whether the text offers a value of its own for each of these properties."""
        return self.backed(names) == len(names)

    def backed(self, names: list[str]) -> int:
        """Return for how many of these properties the text offers a value of its own."""
        trial = Filler(self._root, Evidence(self._evidence.text, self._evidence.wider))
        properties = self._resolved(self._root).get("properties") or {}
        values = [
            trial._value(properties[name], Hint(name, _described(properties[name])), required=False, depth=1)
            for name in names
            if name in properties
        ]
        return sum(value is not MISSING for value in values)

    def _value(self, schema: Schema, hint: Hint, *, required: bool, depth: int) -> Any:
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._enum(schema, required)
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                return self._either(schema, schema[key], hint, required, depth)
        kind = schema.get("type")
        if isinstance(kind, list):
            return self._either(schema, [schema | {"type": each} for each in kind], hint, required, depth)
        if kind == "object" or (kind is None and "properties" in schema):
            return self._object(schema, hint, required, depth)
        if kind == "array":
            return self._array(schema, hint, required, depth)
        if kind in ("integer", "number"):
            return self._number(schema, hint, required)
        if kind == "boolean":
            flag = self._evidence.flag(hint)
            return _default(schema, required, False) if flag is None else flag
        if kind == "null":
            return None
        return self._string(schema, hint, required)

    def _resolved(self, schema: Schema) -> dict[str, Any]:
        """Follow `$ref` and merge `allOf`; `true` and anything unknown allow every value."""
        seen = 0
        while isinstance(schema, dict) and "$ref" in schema and seen < _DEPTH:
            target: Any = self._root
            for step in str(schema["$ref"]).lstrip("#/").split("/"):
                target = target.get(step, {}) if isinstance(target, dict) else {}
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**target, **rest} if isinstance(target, dict) else rest
            seen += 1
        if not isinstance(schema, dict):
            return {}
        merged = dict(schema)
        for each in merged.pop("allOf", ()):
            part = self._resolved(each)
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            names = [*merged.get("required", ()), *part.get("required", ())]
            merged = {**part, **merged}
            merged.update({"properties": properties, "required": names} if properties else {})
        return merged

    def _either(self, schema: Any, options: list[Any], hint: Hint, required: bool, depth: int) -> Any:
        """Take the first non-null alternative the text supports, else null or the default, else the first."""
        branches = [self._resolved(option) for option in options]
        nullable = any(branch.get("type") == "null" for branch in branches)
        real = [branch for branch in branches if branch.get("type") != "null"]
        if not (nullable and self._declined(hint)):
            for branch in real:
                value = self._value(branch, hint, required=False, depth=depth)
                if value is not MISSING:
                    return value
            if nullable and self._requested(hint) and real:
                return self._value(real[0], hint, required=True, depth=depth)
        if nullable:
            return None if required else _default(schema, False, None)
        if not required:
            return _default(schema, False, None)
        return self._value(real[0], hint, required=True, depth=depth) if real else None

    def _declined(self, hint: Hint) -> bool:
        name = re.escape(" ".join(hint.words))
        return (
            bool(name) and re.search(rf"(?i)\b(?:no|without(?: a| the)?)\s+{name}\b", self._evidence.text) is not None
        )

    def _requested(self, hint: Hint) -> bool:
        name = re.escape(" ".join(hint.words))
        return bool(name) and re.search(rf"(?i)\b{name}\b", self._evidence.text) is not None

    def _object(self, schema: Any, hint: Hint, required: bool, depth: int) -> Any:
        names = set(schema.get("required", ()))
        result: dict[str, Any] = {}
        if depth >= _DEPTH:
            return MISSING if not required else result
        found = False
        for name, part in (schema.get("properties") or {}).items():
            value = self._value(part, Hint(name, _described(part)), required=False, depth=depth + 1)
            found = found or value is not MISSING
            if value is MISSING and name in names:
                value = self._value(part, Hint(name, _described(part)), required=True, depth=depth + 1)
            if value is not MISSING:
                result[name] = value
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict) and not result:
            for key, value in re.findall(r"\b(\w+)\s*[:=]\s*([^\s,;]+)", self._evidence.text):
                result[key] = Filler(self._root, Evidence(value))._value(
                    extra, Hint(key), required=True, depth=depth + 1
                )
        return result if required or found or result else MISSING

    def _array(self, schema: Any, hint: Hint, required: bool, depth: int) -> Any:
        items = self._resolved(schema.get("items", {}))
        low, high = int(schema.get("minItems", 0)), schema.get("maxItems")
        values = self._items(items, hint, depth) if depth < _DEPTH else []
        if schema.get("uniqueItems"):
            values = [value for index, value in enumerate(values) if value not in values[:index]]
        if high is not None:
            values = values[: int(high)]
        if not values and not required:
            return MISSING
        while len(values) < low:
            values.append(self._value(items, hint, required=True, depth=depth + 1))
        return values

    def _items(self, items: Any, hint: Hint, depth: int) -> list[Any]:
        kind = items.get("type")
        if "enum" in items:
            text = self._evidence.text.lower()
            return [option for option in items["enum"] if str(option).lower() in text]
        if kind in ("integer", "number"):
            return [_fitted(items, number) for number in self._evidence.numbers()]
        if kind == "object" or "properties" in items:
            found = []
            for sentence in language.sentences(self._evidence.text):
                inner = Filler({**items, "$defs": self._root.get("$defs", {})}, Evidence(sentence))
                needed = list(items.get("required") or items.get("properties") or ())
                if needed and inner.backed(needed) * 2 > len(needed):
                    found.append(inner._value(items, hint, required=True, depth=depth + 1))
            return found
        if kind == "string" or not items:
            return [shaped(items, item) for item in self._evidence.items(hint)]
        return []

    def _enum(self, schema: Any, required: bool) -> Any:
        options = list(schema["enum"])
        named = self._evidence.option([str(option) for option in options if option is not None])
        if named is not None:
            return next(option for option in options if str(option) == named)
        return _default(schema, required, None if None in options else options[0])

    def _number(self, schema: Any, hint: Hint, required: bool) -> Any:
        number = self._evidence.number(hint)
        if number is None:
            return _fitted(schema, _default(schema, required, Decimal(0)))
        return _fitted(schema, number)

    def _string(self, schema: Any, hint: Hint, required: bool) -> Any:
        kind, pattern = schema.get("format"), schema.get("pattern")
        value: str | None
        if kind in _EXAMPLES:
            value = self._evidence.format(kind)
            return _default(schema, required, _EXAMPLES[kind]) if value is None else value
        if pattern:
            match = _search(pattern, self._evidence.text)
            return _default(schema, required, "") if match is None else match
        value = self._evidence.string(hint)
        if value is None and (not required or "default" in schema):
            return _default(schema, required, "")
        if value is None:
            value = self._evidence.sentence(hint)
        if value is None:
            value = f"{topic(self._evidence.text)}: {hint.description or ' '.join(hint.words) or 'value'}"
        return shaped(schema, value)


def _described(schema: Any) -> str:
    return str(schema.get("description") or "") if isinstance(schema, dict) else ""


def _default(schema: Any, required: bool, fallback: Any) -> Any:
    if "default" in schema and required:
        return schema["default"]
    return fallback if required else MISSING


def _fitted(schema: Any, number: Any) -> Any:
    """Return a number inside the limits of its schema, as int or float."""
    if not isinstance(number, Decimal | int | float) or isinstance(number, bool):
        return number
    value = Decimal(str(number))
    step = Decimal(1) if schema.get("type") == "integer" else Decimal("0.001")
    if schema.get("multipleOf"):
        step = Decimal(str(schema["multipleOf"]))
        value = (value / step).to_integral_value() * step
    limits = {key: Decimal(str(schema[key])) for key in _LIMITS if isinstance(schema.get(key), int | float)}
    if "minimum" in limits:
        value = max(value, limits["minimum"])
    if "exclusiveMinimum" in limits and value <= limits["exclusiveMinimum"]:
        value = limits["exclusiveMinimum"] + step
    if "maximum" in limits:
        value = min(value, limits["maximum"])
    if "exclusiveMaximum" in limits and value >= limits["exclusiveMaximum"]:
        value = limits["exclusiveMaximum"] - step
    if schema.get("type") == "integer" or value == value.to_integral_value():
        return int(value)
    return float(value)


_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def shaped(schema: Any, value: str) -> str:
    """Return a string within the length limits of its schema."""
    value = value[: int(schema["maxLength"])] if "maxLength" in schema else value
    return value.ljust(int(schema.get("minLength", 0)), ".")


def _search(pattern: str, text: str) -> str | None:
    """Find a string in the text that the schema's pattern accepts."""
    try:
        expression = re.compile(pattern)
    except re.error:
        return None
    for word in re.findall(r"\S+", text):
        stripped = word.strip(".,;:!?()\"'")
        if expression.search(stripped):
            return str(stripped)
    return None

"""Structured answers validate against their schema and hold what the text says."""

import json
from typing import Any

import pytest

from hfrouter.simulator.answer import compose
from hfrouter.simulator.request import parse

TEXT, WHOLE = {"type": "string"}, {"type": "integer"}


def fill(schema: Any, prompt: str, *, system: str = "") -> Any:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return structured(form, prompt, system)


def structured(form: Any, prompt: str, system: str = "") -> Any:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
    request = parse({"messages": messages, "response_format": form}, lacks_arguments=None)
    return json.loads(compose(request, reasons=False, spaced=True).text or "")


def record(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def test_a_person_is_extracted_from_sentences():
    schema = record(
        name=TEXT, age=WHOLE, city=TEXT, occupation=TEXT, is_student={"type": "boolean"}, email=TEXT,
        hobbies={"type": "array", "items": TEXT},
    )  # fmt: skip
    prompt = (
        "Extract the person: John Smith is 34 years old and lives in Paris. He works as a software engineer. He is not "
        "a student. His hobbies are chess, tennis and cooking. Reach him at john@example.org."
    )
    assert fill(schema, prompt) == {
        "name": "John Smith",
        "age": 34,
        "city": "Paris",
        "occupation": "software engineer",
        "is_student": False,
        "email": "john@example.org",
        "hobbies": ["chess", "tennis", "cooking"],
    }


def test_a_list_of_records_has_one_for_each_sentence_that_holds_one():
    person = record(name=TEXT, age=WHOLE)
    schema = {**record(people={"type": "array", "items": {"$ref": "#/$defs/Person"}}), "$defs": {"Person": person}}
    prompt = "Alice is 30 years old. Bob is 25 years old. The sky is blue."
    assert fill(schema, prompt) == {"people": [{"name": "Alice", "age": 30}, {"name": "Bob", "age": 25}]}


def test_labelled_values_win():
    schema = record(title=TEXT, price={"type": "number"}, in_stock={"type": "boolean"})
    assert fill(schema, "title: Blue Chair\nprice: 1,249.50\nin stock: yes") == {
        "title": "Blue Chair",
        "price": 1249.5,
        "in_stock": True,
    }


def test_enums_take_the_option_that_is_named_or_felt():
    mood = record(sentiment={"enum": ["positive", "negative", "neutral"]})
    assert fill(mood, "The film was terrible and boring.") == {"sentiment": "negative"}
    assert fill(mood, "Classify as positive or negative: It was a great day.")["sentiment"] in ("positive", "negative")
    assert fill(record(unit={"enum": ["celsius", "fahrenheit"]}), "Paris in fahrenheit") == {"unit": "fahrenheit"}


def test_null_is_for_what_is_not_said():
    schema = record(setup=TEXT, punchline={"anyOf": [TEXT, {"type": "null"}], "default": None})
    assert fill(schema, "Give me the setup to a joke about cats, no punchline.")["punchline"] is None
    assert fill(schema, "Give me a joke about cats, include the punchline.")["punchline"]
    assert fill(record(rating={"type": ["integer", "null"]}), "Nothing to see.") == {"rating": None}


@pytest.mark.parametrize(
    ("schema", "check"),
    [
        (WHOLE | {"minimum": 5, "maximum": 7}, lambda v: v in (5, 6, 7)),
        (WHOLE | {"exclusiveMinimum": 0, "multipleOf": 5}, lambda v: v > 0 and v % 5 == 0),
        ({"type": "number", "exclusiveMaximum": 0}, lambda v: v < 0),
        (TEXT | {"minLength": 40}, lambda v: len(v) >= 40),
        (TEXT | {"maxLength": 3}, lambda v: len(v) <= 3),
        (TEXT | {"format": "email"}, lambda v: "@" in v),
        (TEXT | {"pattern": r"^[A-Z]{3}-\d{3}$"}, lambda v: v == "ABC-123"),
        ({"type": "array", "items": WHOLE, "minItems": 2, "maxItems": 2}, lambda v: len(v) == 2),
        ({"const": "fixed"}, lambda v: v == "fixed"),
        ({"type": "null"}, lambda v: v is None),
        ({"allOf": [record(a=WHOLE), record(b=WHOLE)]}, lambda v: set(v) == {"a", "b"}),
        (TEXT | {"default": "usual", "format": "uuid"}, lambda v: v == "usual"),
        ({"type": "object", "additionalProperties": WHOLE}, lambda v: v == {"x": 1, "y": 2}),
        (True, lambda v: isinstance(v, str)),
    ],
)
def test_the_keywords_of_a_schema_are_kept(schema, check):
    value = fill(record(value=schema), "Take ABC-123, x=1, y=2.")["value"]
    assert check(value), value


def test_a_schema_that_refers_to_itself_ends():
    node = {"type": "object", "properties": {"child": {"$ref": "#/$defs/Node"}}, "required": ["child"]}
    assert "child" in fill({"$ref": "#/$defs/Node", "$defs": {"Node": node}}, "A tree.")


def test_json_mode_takes_the_keys_the_prompt_names():
    prompt = (
        "Tell me a joke about cats. Return the result as a JSON with 'setup' and 'punchline' keys. Nothing but JSON."
    )
    assert set(structured({"type": "json_object"}, prompt)) == {"setup", "punchline"}
    listed = "Anna is 31 years old and lives in Oslo. Return JSON with the keys name, age and city."
    assert structured({"type": "json_object"}, listed) == {"name": "Anna", "age": 31, "city": "Oslo"}


def test_json_mode_takes_a_schema_or_an_example_from_the_prompt():
    schema = json.dumps(record(name=TEXT, age=WHOLE))
    prompt = f"Anna is 31 years old.\nHere's a JSON schema to follow:\n{schema}\nOutput a valid JSON object."
    assert structured({"type": "json_object"}, prompt) == {"name": "Anna", "age": 31}
    assert structured(
        {"type": "json_object"}, 'Anna is 31 years old. Answer as JSON like {"name": "x", "age": 1}.'
    ) == {
        "name": "Anna",
        "age": 31,
    }


def test_json_mode_without_keys_answers_all_the_same():
    assert structured({"type": "json_object"}, "What is 2 + 3? Answer in JSON.") == {"answer": "2 + 3 = 5"}


def test_the_dialects_of_other_paths_are_taken():
    schema = record(age=WHOLE)
    for form in ({"type": "json_schema", "schema": schema}, {"type": "json_object", "schema": schema},
                 {"type": "json_object", "value": schema}):  # fmt: skip
        assert structured(form, "Bob is 25 years old.") == {"age": 25}

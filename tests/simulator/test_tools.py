"""Tool calls are chosen and filled from the prompt."""

import json
from typing import Any

import pytest

from hfrouter.simulator.answer import compose
from hfrouter.simulator.request import parse

TEXT, WHOLE = {"type": "string"}, {"type": "integer"}


def tool(tool_name: str, description: str, required: list[str] | None = None, /, **properties: Any) -> dict[str, Any]:
    needed = list(properties) if required is None else required
    schema = {"type": "object", "properties": properties, "required": needed}
    return {"type": "function", "function": {"name": tool_name, "description": description, "parameters": schema}}


WEATHER = tool("get_weather", "Get the weather at a location.", location=TEXT)
TIME = tool("get_time", "Get the current time in a city.", city=TEXT)
MAGIC = tool("magic_function", "Apply a magic function to an input.", input=WHOLE)
ADD = tool("add", "Add two numbers.", a=WHOLE, b=WHOLE)
MULTIPLY = tool("multiply", "Multiply two numbers.", a=WHOLE, b=WHOLE)


def calls(prompt: str | list[dict[str, Any]], *tools: Any, **more: Any) -> list[tuple[str, Any]]:
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    request = parse({"messages": messages, "tools": list(tools), **more}, lacks_arguments=None)
    answer = compose(request, reasons=False, spaced=True)
    assert (answer.finish == "tool_calls") == bool(answer.calls)
    return [(call.name, json.loads(call.arguments)) for call in answer.calls]


@pytest.mark.parametrize(
    ("prompt", "tools", "expected"),
    [
        ("What is the value of magic_function(3)? Use the tool.", [MAGIC, WEATHER], [("magic_function", {"input": 3})]),
        (
            "Compare magic_function(3) and magic_function(-5).",
            [MAGIC],
            [("magic_function", {"input": 3}), ("magic_function", {"input": -5})],
        ),
        ("Hello!", [MAGIC, WEATHER], []),
        ("What is the weather in San Francisco, CA?", [WEATHER], [("get_weather", {"location": "San Francisco, CA"})]),
        (
            "What is the weather in Paris and in Rome?",
            [WEATHER],
            [("get_weather", {"location": "Paris"}), ("get_weather", {"location": "Rome"})],
        ),
        (
            "Weather in Paris, Rome and Oslo please",
            [WEATHER],
            [("get_weather", {"location": place}) for place in ("Paris", "Rome", "Oslo")],
        ),
        (
            "What is the weather in Paris and what time is it in Tokyo?",
            [WEATHER, TIME],
            [("get_weather", {"location": "Paris"}), ("get_time", {"city": "Tokyo"})],
        ),
        ("Add and multiply 2 and 3", [ADD, MULTIPLY], [("add", {"a": 2, "b": 3}), ("multiply", {"a": 2, "b": 3})]),
        ("What is 3 + 4?", [ADD, WEATHER], [("add", {"a": 3, "b": 4})]),
        (
            "Search the web for cheap flights to Oslo",
            [tool("search_web", "Search the web", query=TEXT), tool("search_docs", "Search the docs", query=TEXT)],
            [("search_web", {"query": "cheap flights to Oslo"})],
        ),
        ("Call ping_server now", [tool("ping_server", "Ping it.")], [("ping_server", {})]),
    ],
)
def test_a_prompt_gets_the_calls_it_asks_for(prompt, tools, expected):
    assert calls(prompt, *tools) == expected


def test_unicode_is_copied_and_not_escaped():
    customer = tool("unicode_customer", "Create a customer.", customer_name=TEXT, description=TEXT)
    prompt = "Create a customer named '你好啊集团' (Hello Group) - a Chinese technology company"
    request = parse({"messages": [{"role": "user", "content": prompt}], "tools": [customer]}, lacks_arguments=None)
    (call,) = compose(request, reasons=False, spaced=True).calls
    assert "你好啊集团" in call.arguments
    assert json.loads(call.arguments)["customer_name"] == "你好啊集团"


def test_arguments_follow_the_schema():
    booking = tool(
        "book_table",
        "Book a restaurant table.",
        ["guest", "seats", "date", "contact", "area"],
        guest={"type": "string", "description": "The name of the guest"},
        seats={"type": "integer", "minimum": 1, "maximum": 3},
        date={"type": "string", "format": "date"},
        contact={"type": "object", "properties": {"email": TEXT}, "required": ["email"]},
        area={"enum": ["inside", "terrace"]},
        note={"anyOf": [TEXT, {"type": "null"}], "default": None},
        seed=WHOLE | {"default": 4},
    )
    prompt = "Book a table for Maria Rossi (maria@example.org), 4 seats on the terrace on 2026-12-01."
    ((_, arguments),) = calls(prompt, booking)
    assert arguments["seats"] == 3
    assert arguments["date"] == "2026-12-01"
    assert arguments["contact"] == {"email": "maria@example.org"}
    assert arguments["area"] == "terrace"
    assert arguments["guest"] == "Maria Rossi"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("none", []),
        ("auto", []),
        ("required", ["magic_function"]),
        ("any", ["magic_function"]),
        ({"type": "function", "function": {"name": "get_weather"}}, ["get_weather"]),
        ({"function": {"name": "get_weather"}}, ["get_weather"]),
    ],
)
def test_tool_choice_is_obeyed(choice, expected):
    assert [name for name, _ in calls("Hello!", MAGIC, WEATHER, tool_choice=choice)] == expected


def test_without_parallel_calls_there_is_one():
    assert len(calls("Weather in Paris and Rome", WEATHER, parallel_tool_calls=False)) == 1


def turn(prompt: str, *results: tuple[str, str, str]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
    for number, (name, arguments, content) in enumerate(results):
        call = {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{number}", "content": content},
        ]
    return messages


def test_a_tool_is_called_once_a_turn_and_then_its_results_are_the_answer(chat):
    prompt = "What is the weather in Paris?"
    messages = turn(prompt, ("get_weather", '{"location":"Paris"}', '{"sky":"clear","degrees":22}'))
    assert calls(messages, WEATHER) == []
    answer = chat("meta-llama/Llama-3.3-70B-Instruct:groq", messages, tools=[WEATHER]).json["choices"][0]
    assert answer["message"]["content"] == "get_weather(Paris) says: sky: clear, degrees: 22."
    again = [
        *messages,
        {"role": "assistant", "content": "Clear."},
        {"role": "user", "content": "And the weather in Rome?"},
    ]
    assert calls(again, WEATHER) == [("get_weather", {"location": "Rome"})]


def test_all_results_of_a_turn_are_used(chat):
    messages = turn(
        "Weather in Paris and Rome?", ("get_weather", '{"l":"Paris"}', "Sunny."), ("get_weather", "{}", "Rain.")
    )
    text = chat("meta-llama/Llama-3.3-70B-Instruct:groq", messages).json["choices"][0]["message"]["content"]
    assert "Sunny." in text
    assert "Rain." in text


def test_a_tool_whose_input_only_just_became_known_is_called_next():
    lookup = tool("find_customer", "Find a customer by name.", name=TEXT)
    order = tool("cancel_order", "Cancel an order.", order_id={"type": "integer"})
    prompt = "Find the customer Maria Rossi and cancel the order."
    assert calls(prompt, lookup, order) == [("find_customer", {"name": "Maria Rossi"})]
    messages = turn(prompt, ("find_customer", '{"name":"Maria Rossi"}', '{"open_order_id": 4711}'))
    assert calls(messages, lookup, order) == [("cancel_order", {"order_id": 4711})]


def test_required_ends_an_agent_loop_with_the_tool_not_yet_called():
    final = tool("final_answer", "The structured answer.", answer=TEXT)
    messages = turn("What is the weather in Paris?", ("get_weather", '{"location":"Paris"}', "Sunny."))
    assert [name for name, _ in calls(messages[:1], WEATHER, final, tool_choice="required")] == ["get_weather"]
    assert [name for name, _ in calls(messages, WEATHER, final, tool_choice="required")] == ["final_answer"]


def test_arguments_can_be_cut_by_the_token_limit(chat):
    body = chat("meta-llama/Llama-3.3-70B-Instruct:groq", "Weather in Paris", tools=[WEATHER], max_tokens=6).json
    choice = body["choices"][0]
    assert choice["finish_reason"] == "length"
    with pytest.raises(ValueError):
        json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])

"""A request is checked as a provider would."""

from typing import Any

import pytest

MODEL = "openai/gpt-oss-20b:groq"
PING = {"type": "function", "function": {"name": "ping", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize(
    "more",
    [
        {"messages": []},
        {"messages": "hello"},
        {"messages": ["hello"]},
        {"messages": [{"role": "robot", "content": "hi"}]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": 3}]},
        {"messages": [{"role": "user", "content": [{"type": "smell"}]}]},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]},
        {"tools": {}},
        {"tools": [{"type": "function"}]},
        {"tool_choice": "required"},
        {"tools": [PING], "tool_choice": "sometimes"},
        {"tools": [PING], "tool_choice": {"type": "function", "function": {"name": "pong"}}},
        {"response_format": {"type": "yaml"}},
        {"response_format": {"type": "json_schema"}},
        {"max_tokens": 0},
        {"max_tokens": "many"},
        {"n": True},
        {"stop": ["a", "b", "c", "d", "e"]},
    ],
    ids=str,
)
def test_what_does_not_fit_is_a_400_of_the_provider(send, more: dict[str, Any]):
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **more}
    answer = send("POST", "/v1/chat/completions", body)
    assert answer.status == 400
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert answer.headers["x-inference-provider"] == "groq"


def test_unusual_but_good_conversations_are_answered(chat):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": "hello", "name": "anna"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Hi.", "reasoning": "Greet."},
        {"role": "assistant", "content": "How are you?", "tool_calls": None, "name": None},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is 2 + 3?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "file", "file": {"file_data": "AAAA"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            ],
        },
    ]
    body = chat(MODEL, messages, tools=[], temperature=0, top_p=1, user="x", logprobs=True).json
    assert body["choices"][0]["message"]["content"] == "2 + 3 = 5"
    assert body["usage"]["prompt_tokens"] > 3 * 256


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(chat, sim):
    entry = {"id": "acme/small", "providers": [{"provider": "groq", "context_length": 20}]}
    sim.replace_models([entry])
    assert chat("acme/small", "hi").status == 200
    answer = chat("acme/small", "word " * 30)
    assert answer.status == 400
    assert answer.json["error"]["code"] == "context_length_exceeded"
    assert "maximum context length is 20 tokens" in answer.json["error"]["message"]


def test_a_provider_refuses_what_its_row_says_it_cannot_do(chat):
    assert chat("openai/gpt-oss-20b:novita", tools=[PING]).status == 400
    assert chat("openai/gpt-oss-20b:novita", tools=[PING], tool_choice="none").status == 200
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    assert chat("Qwen/Qwen3-Coder-480B-A35B-Instruct:novita", response_format=form).status == 400

"""Messages in, messages out."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from hfrouter import Body, ConfigurationError, Delta
from hfrouter.simulator import Fault, Simulator
from langchain_hfrouter import HFRouterConfigurationError
from langchain_hfrouter.convert import chunk, openai_messages

DATA = base64.b64encode(b"not really a picture").decode()
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}
CALL = {"name": "add", "args": {"city": "Zürich"}, "id": "call_1", "type": "tool_call"}
SENT_CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"city": "Zürich"}'}}

MESSAGES: dict[str, tuple[BaseMessage, dict[str, Any]]] = {
    "system": (SystemMessage("Be brief."), {"role": "system", "content": "Be brief."}),
    "developer": (
        SystemMessage("Be brief.", additional_kwargs={"__openai_role__": "developer"}),
        {"role": "developer", "content": "Be brief."},
    ),
    "human": (HumanMessage("Hi", name="ada"), {"role": "user", "content": "Hi", "name": "ada"}),
    "any role": (ChatMessage("Hi", role="critic"), {"role": "critic", "content": "Hi"}),
    "function": (FunctionMessage("3", name="add"), {"role": "function", "content": "3", "name": "add"}),
    "tool": (
        ToolMessage("3", tool_call_id="call_1", name="add", status="error"),
        {"role": "tool", "tool_call_id": "call_1", "content": "3"},
    ),
    "answer": (AIMessage("Hello"), {"role": "assistant", "content": "Hello"}),
    "empty answer": (AIMessage(""), {"role": "assistant", "content": ""}),
    "tool calls": (
        AIMessage("", tool_calls=[CALL]),
        {"role": "assistant", "content": None, "tool_calls": [SENT_CALL]},
    ),
    "text and tool calls": (
        AIMessage([{"type": "text", "text": "I add."}, {"type": "tool_use", "id": "call_1"}], tool_calls=[CALL]),
        {"role": "assistant", "content": "I add.", "tool_calls": [SENT_CALL]},
    ),
    "broken tool call": (
        AIMessage(
            "",
            invalid_tool_calls=[
                {"name": "add", "args": '{"a": ', "id": "c", "error": "bad", "type": "invalid_tool_call"}
            ],
        ),
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": '}}],
        },
    ),
    "blocks only answers have": (
        AIMessage(
            [
                {"type": "reasoning", "reasoning": "hm", "index": 0},
                {"type": "text", "text": "Hel", "index": 1, "annotations": []},
                "lo",
                {"type": "refusal", "refusal": "no"},
                {"type": "non_standard", "value": {}},
            ],
            additional_kwargs={"reasoning_content": "hm"},
        ),
        {"role": "assistant", "content": "Hello"},
    ),
    "texts in a list": (
        HumanMessage(["a", {"type": "text", "text": "b", "id": "x"}]),
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ),
}
BLOCKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "image, v1": ({"type": "image", "base64": DATA, "mime_type": "image/png"}, IMAGE),
    "image, v0": ({"type": "image", "source_type": "base64", "data": DATA, "mime_type": "image/png"}, IMAGE),
    "image, openai": (IMAGE, IMAGE),
    "image, anthropic": (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
        IMAGE,
    ),
    "image, url": (
        {"type": "image", "url": "https://example.org/a.png"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    ),
    "audio": (
        {"type": "audio", "base64": DATA, "mime_type": "audio/wav"},
        {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}},
    ),
    "file": (
        {"type": "file", "base64": DATA, "mime_type": "application/pdf", "filename": "a.pdf"},
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{DATA}", "filename": "a.pdf"}},
    ),
    "plain text": (
        {"type": "text-plain", "text": "notes", "mime_type": "text/plain"},
        {"type": "text", "text": "notes"},
    ),
    "of a kind not known": ({"type": "hologram", "x": 1}, {"type": "hologram", "x": 1}),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_a_message_becomes_what_a_chat_request_has(case: str) -> None:
    message, wanted = MESSAGES[case]
    assert openai_messages([message]) == [wanted]


@pytest.mark.parametrize("case", BLOCKS)
def test_a_content_block_becomes_a_part(case: str) -> None:
    block, wanted = BLOCKS[case]
    assert openai_messages([HumanMessage([block])]) == [{"role": "user", "content": [wanted]}]


@pytest.mark.parametrize(
    "message",
    [RemoveMessage(id="1"), HumanMessage([{"type": "file", "url": "https://example.org/a.pdf"}])],
    ids=["no message of a chat", "file by address"],
)
def test_what_a_request_cannot_carry_is_refused(message: BaseMessage, chat: Any, chats: Any) -> None:
    with pytest.raises(ConfigurationError):
        openai_messages([message])
    with pytest.raises(HFRouterConfigurationError):
        chat().invoke([message])
    assert chats() == []


def test_conversion_leaves_the_messages_as_they_were() -> None:
    message = AIMessage([{"type": "text", "text": "a", "index": 0}], tool_calls=[CALL])
    before = message.model_dump()
    openai_messages([message])
    assert message.model_dump() == before


def answered(sim: Simulator, message: dict[str, Any], **more: Any) -> None:
    """Let groq answer exactly this."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    sim.fail("groq", Fault.status(200, body={"id": "x", "object": "chat.completion", "choices": [choice], **more}))


def call(arguments: Any) -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": {"name": "add", "arguments": arguments}}


@pytest.mark.parametrize("way", ["invoke", "stream"])
@pytest.mark.parametrize(
    ("arguments", "args"), [('{"a": 1}', {"a": 1}), ("", {}), ("{}", {}), ({"a": 1}, {"a": 1})], ids=repr
)
def test_arguments_of_tools_are_read(
    arguments: Any, args: Any, way: str, chat: Any, sim: Simulator, added: Any
) -> None:
    answered(sim, {"content": None, "tool_calls": [call(arguments)]})
    message = chat().invoke("x") if way == "invoke" else added(chat().stream("x"))
    assert message.tool_calls == [{"name": "add", "args": args, "id": "c1", "type": "tool_call"}]
    assert message.text == ""


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", "nothing", "[" * 100_000], ids=lambda text: text[:9])
def test_arguments_that_are_no_json_object_are_kept_apart(arguments: str, chat: Any, sim: Simulator) -> None:
    answered(sim, {"content": None, "tool_calls": [call(arguments)]})
    message = chat().invoke("x")
    assert message.tool_calls == []
    (broken,) = message.invalid_tool_calls
    assert (broken["name"], broken["args"], broken["id"]) == ("add", arguments, "c1")
    assert broken["error"]


def test_usage_with_holes_is_whole_numbers(chat: Any, sim: Simulator) -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": None},
    }
    answered(sim, {"content": "ok"}, usage=usage)
    message = chat().invoke("x")
    assert message.usage_metadata == {
        "input_tokens": 10,
        "output_tokens": 5,
        "total_tokens": 15,
        "input_token_details": {"cache_read": 4},
    }
    assert message.response_metadata["cost_details"]["reason"] == "cached tokens without a cache price"
    assert "cost" not in message.response_metadata


def test_a_refusal_is_kept(chat: Any, sim: Simulator) -> None:
    answered(sim, {"content": None, "refusal": "I will not."})
    message = chat().invoke("x")
    assert message.additional_kwargs == {"refusal": "I will not."}
    assert message.text == ""


def test_a_choice_that_is_null_is_no_reason_to_break_a_stream() -> None:
    body = Body({"choices": [{"index": 0, "delta": {"content": "hi"}}, None]})
    made = chunk(Delta(text="hi", body=body), blocks=False)
    assert made is not None
    assert made.text == "hi"

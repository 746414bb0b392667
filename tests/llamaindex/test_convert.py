"""Messages: every kind of block either arrives as providers know it, says nothing to them, or is refused."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from hfrouter import ConfigurationError
from llamaindex_hfrouter.convert import openai_messages

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
INLINE = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
SOUND = base64.b64encode(b"RIFF....WAVE").decode()
ADD = ToolCallBlock(tool_call_id="c1", tool_name="add", tool_kwargs={"a": 1})


def one(*blocks: Any, role: str = "user", **more: Any) -> dict[str, Any]:
    message = ChatMessage(role=role, blocks=list(blocks), **more)
    before = message.model_dump()
    (found,) = openai_messages([message])
    assert message.model_dump() == before
    return found


@pytest.mark.parametrize(
    ("role", "sent"),
    [
        *[(role, role) for role in ("system", "user", "assistant")],
        *[("developer", "system"), ("chatbot", "assistant"), ("model", "assistant")],
    ],
)
def test_roles_are_those_that_open_models_know(role: str, sent: str) -> None:
    assert one(TextBlock(text="Hi"), role=role) == {"role": sent, "content": "Hi"}
    assert {role.value for role in MessageRole} == {
        *("system", "developer", "user", "assistant", "function", "tool", "chatbot", "model")
    }


def test_text_is_one_text() -> None:
    assert one(TextBlock(text="a"), TextBlock(text="b"))["content"] == "a\nb"
    assert one()["content"] == ""


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (ImageBlock(url="https://a.b/c.png"), {"type": "image_url", "image_url": {"url": "https://a.b/c.png"}}),
        (ImageBlock(image=PNG, detail="low"), {"type": "image_url", "image_url": {"url": INLINE, "detail": "low"}}),
        (ImageBlock(url=INLINE), {"type": "image_url", "image_url": {"url": INLINE}}),
        (
            AudioBlock(audio=b"RIFF....WAVE", format="wav"),
            {"type": "input_audio", "input_audio": {"data": SOUND, "format": "wav"}},
        ),
        (VideoBlock(url="https://a.b/c.mp4"), {"type": "video_url", "video_url": {"url": "https://a.b/c.mp4"}}),
        (DocumentBlock(data=b"Plain words.", document_mimetype="text/plain"), {"type": "text", "text": "Plain words."}),
        (
            DocumentBlock(data=b"%PDF-1.4", document_mimetype="application/pdf", title="a.pdf"),
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQ="}},
        ),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_block_is_a_part(block: Any, part: dict[str, Any]) -> None:
    assert one(TextBlock(text="Look:"), block)["content"] == [{"type": "text", "text": "Look:"}, part]


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    assert one(ImageBlock(path=path))["content"][0]["image_url"]["url"] == INLINE


def test_what_is_cited_is_sent_and_what_only_others_know_is_not() -> None:
    cached = CachePoint(cache_control=CacheControl(type="ephemeral"))
    source = CitableBlock(title="Notes", source="a.txt", content=[TextBlock(text="a fact")])
    assert one(TextBlock(text="By:"), source, cached)["content"] == "By:\na fact"
    cited = CitationBlock(
        cited_content=TextBlock(text="a fact"), source="a.txt", title="Notes", additional_location_info={}
    )
    assert one(cited, ThinkingBlock(content="hm"), role="assistant")["content"] == "a fact"


def test_nothing_is_downloaded_on_the_way() -> None:
    for block in (AudioBlock(url="https://a.b/c.mp3"), DocumentBlock(url="https://a.b/c.pdf")):
        with pytest.raises(ConfigurationError, match="give its bytes"):
            one(block)


def test_tool_messages_keep_their_id_and_their_images() -> None:
    answered = {"additional_kwargs": {"tool_call_id": "c1"}}
    assert one(TextBlock(text="3"), role="tool", **answered) == {"role": "tool", "tool_call_id": "c1", "content": "3"}
    shown = one(TextBlock(text="see"), ImageBlock(url="https://a.b/c.png"), role="tool", **answered)
    assert [part["type"] for part in shown["content"]] == ["text", "image_url"]
    by_name = one(TextBlock(text="3"), role="function", additional_kwargs={"name": "add"})
    assert by_name == {"role": "tool", "tool_call_id": "add", "content": "3"}


def test_an_answer_that_was_returned_directly_is_an_answer() -> None:
    found = one(TextBlock(text="3"), role="assistant", additional_kwargs={"tool_call_id": "c1"})
    assert found == {"role": "assistant", "content": "3"}


def test_calls_are_told_from_blocks_or_from_what_older_integrations_kept() -> None:
    function = {"name": "add", "arguments": '{"a": 1}'}
    said = [{"id": "c1", "type": "function", "function": function}]
    expected = {"role": "assistant", "content": None, "tool_calls": said}
    assert one(ADD, role="assistant") == expected
    assert one(role="assistant", additional_kwargs={"tool_calls": said}) == expected
    both = one(TextBlock(text="Adding."), ADD, role="assistant", additional_kwargs={"tool_calls": said})
    assert both == {**expected, "content": "Adding."}


def test_reasoning_goes_back_beside_tool_calls_when_that_is_asked_for() -> None:
    blocks = [ThinkingBlock(content="One should add."), ADD]
    message = ChatMessage(role="assistant", blocks=blocks)
    assert "reasoning_content" not in openai_messages([message])[0]
    assert openai_messages([message], reasoning=True)[0]["reasoning_content"] == "One should add."
    plain = ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm"), TextBlock(text="Hi")])
    assert "reasoning_content" not in openai_messages([plain], reasoning=True)[0]


def test_the_switch_for_it_reaches_the_wire(make: Any, sent: Any) -> None:
    answered = ChatMessage(role="tool", content="3", additional_kwargs={"tool_call_id": "c1"})
    asked = ChatMessage(role="assistant", blocks=[ThinkingBlock(content="One should add."), ADD])
    make(replay_reasoning=True).chat([ChatMessage("Add 1."), asked, answered])
    assert sent()["messages"][1]["reasoning_content"] == "One should add."

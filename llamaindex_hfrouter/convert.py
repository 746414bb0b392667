"""Between LlamaIndex's messages and OpenAI's mappings. Pure: nothing here opens a socket, reads a clock or keeps state.

A file that a block names by its path is the one exception: it is read, as its block says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    ChatResponse,
    CitableBlock,
    CitationBlock,
    CompletionResponse,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

from hfrouter import Completion, ConfigurationError, Delta
from llamaindex_hfrouter import about
from llamaindex_hfrouter.tools import wire_name

# Open models' chat templates know three roles and `tool`; the others are LlamaIndex's names for the same.
_ROLES = {
    MessageRole.DEVELOPER: "system",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.FUNCTION: "tool",
}


# -- messages to mappings ----------------------------------------------------------------------------------------------


def openai_messages(
    messages: Sequence[ChatMessage], names: Mapping[str, str] | None = None, *, reasoning: bool = False
) -> list[dict[str, Any]]:
    """Messages as an OpenAI chat request has them.

    Args:
        messages: LlamaIndex's messages; they are left as they are.
        names: The names by which tools are offered, to their own names.
        reasoning: Send earlier reasoning back beside tool calls.

    Raises:
        ConfigurationError: for a content block that a chat request cannot carry.

    >>> openai_messages([ChatMessage("Hello")])
    [{'role': 'user', 'content': 'Hello'}]
    """
    offered = {own: wire for wire, own in (names or {}).items()}
    return [_message(message, offered, reasoning) for message in messages]


def _message(message: ChatMessage, offered: Mapping[str, str], reasoning: bool) -> dict[str, Any]:
    role = _ROLES.get(message.role, message.role.value)
    extra = message.additional_kwargs
    if role == "assistant":
        return _assistant(message, offered, reasoning)
    if role == "tool":
        # Functions of the older interface have no id, only a name.
        identity = str(extra.get("tool_call_id") or extra.get("name") or "")
        return {"role": role, "tool_call_id": identity, "content": _content(message.blocks)}
    named = {"name": extra["name"]} if extra.get("name") else {}
    return {"role": role, "content": _content(message.blocks), **named}


def _assistant(message: ChatMessage, offered: Mapping[str, str], reasoning: bool) -> dict[str, Any]:
    """An earlier answer: its text as text, and null beside tool calls, as providers want it."""
    calls = [_sent_call(block, offered) for block in message.blocks if isinstance(block, ToolCallBlock)]
    calls = calls or [_plain(call) for call in message.additional_kwargs.get("tool_calls") or ()]
    text = "\n".join(block.text for block in _flat(message.blocks) if isinstance(block, TextBlock))
    if not calls:
        return {"role": "assistant", "content": text}
    thought = "".join(block.content or "" for block in message.blocks if isinstance(block, ThinkingBlock))
    replayed = {"reasoning_content": thought} if reasoning and thought else {}
    return {"role": "assistant", "content": text or None, "tool_calls": calls, **replayed}


def _sent_call(block: ToolCallBlock, offered: Mapping[str, str]) -> dict[str, Any]:
    given = block.tool_kwargs
    arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    function = {"name": offered.get(block.tool_name) or wire_name(block.tool_name), "arguments": arguments or "{}"}
    return {"id": block.tool_call_id or "", "type": "function", "function": function}


def _plain(call: Any) -> Any:
    """A tool call from another integration, which may be an object of an SDK."""
    return call.model_dump(exclude_none=True) if hasattr(call, "model_dump") else call


def _content(blocks: Sequence[ContentBlock]) -> str | list[dict[str, Any]]:
    flat = _flat(blocks)
    if all(isinstance(block, TextBlock) for block in flat):
        return "\n".join(block.text for block in flat if isinstance(block, TextBlock))
    return [_part(block) for block in flat]


def _flat(blocks: Iterable[ContentBlock]) -> list[ContentBlock]:
    """Blocks without those that say nothing to an OpenAI interface, and citations as what they cite."""
    found: list[ContentBlock] = []
    for block in blocks:
        if isinstance(block, CitableBlock):
            found += block.content
        elif isinstance(block, CitationBlock):
            found.append(block.cited_content)
        elif not isinstance(block, (CachePoint, ThinkingBlock, ToolCallBlock)):
            found.append(block)
    return found


def _part(block: ContentBlock) -> dict[str, Any]:
    match block:
        case TextBlock():
            return {"type": "text", "text": block.text}
        case ImageBlock():
            shown = {"url": _url(block.url) or _data_url(block, block.image_mimetype or "image/jpeg")}
            return {"type": "image_url", "image_url": shown | ({"detail": block.detail} if block.detail else {})}
        case VideoBlock():
            url = _url(block.url) or _data_url(block, block.video_mimetype or "video/mp4")
            return {"type": "video_url", "video_url": {"url": url}}
        case AudioBlock():
            sound = {"data": _base64(block), "format": block.format or "mp3"}
            return {"type": "input_audio", "input_audio": sound}
        case DocumentBlock():
            return _document(block)
    raise ConfigurationError(f"a {type(block).__name__} has no place in a chat request; give its text.")


def _document(block: DocumentBlock) -> dict[str, Any]:
    """Text as text, since few open models take files; anything else as a file."""
    kind = block.document_mimetype or "application/pdf"
    if kind.startswith("text/") or kind in ("application/json", "application/xml"):
        return {"type": "text", "text": _resolved(block).read().decode(errors="replace")}
    return {"type": "file", "file": {"filename": block.title, "file_data": _data_url(block, kind)}}


def _url(url: object) -> str | None:
    return str(url) if url else None


def _data_url(block: ImageBlock | VideoBlock | DocumentBlock, kind: str) -> str:
    return f"data:{kind};base64,{_base64(block)}"


def _base64(block: ImageBlock | VideoBlock | AudioBlock | DocumentBlock) -> str:
    _refuse_download(block)
    # LlamaIndex's own inline form is right but for a kind it could not guess.
    return block.inline_url().partition(";base64,")[2]


def _resolved(block: DocumentBlock) -> Any:
    _refuse_download(block)
    return block.resolve_document()


def _refuse_download(block: ImageBlock | VideoBlock | AudioBlock | DocumentBlock) -> None:
    url = _url(block.url) or ""
    if url and not url.startswith("data:"):
        raise ConfigurationError(
            f"a {type(block).__name__} with a URL cannot be sent as a link; fetch it and give its bytes."
        )


# -- answers to responses ----------------------------------------------------------------------------------------------


class Answer:
    """An answer as far as it has come: fed with deltas, or made of a whole completion."""

    def __init__(self, names: Mapping[str, str] | None = None, *, promote: bool = True) -> None:
        self._names = names or {}
        self._promote = promote
        self._text = self._reasoning = ""
        self._calls: dict[int, dict[str, Any]] = {}
        self._reasoning_tokens: int | None = None

    def step(self, delta: Delta) -> ChatResponse:
        """Add a step of a stream; the response holds all that has come."""
        self._text += delta.text
        self._reasoning += delta.reasoning
        for fragment in delta.tool_calls:
            self._add(fragment)
        thinking = {"thinking_delta": delta.reasoning} if delta.reasoning else {}
        return ChatResponse(message=self._message(), delta=delta.text, raw=delta.body, additional_kwargs=thinking)

    def end(self, completion: Completion, *, streamed: bool) -> ChatResponse:
        """The whole answer with everything about it; at the end of a stream, its last response."""
        came = len(self._text)
        self._text, self._reasoning = completion.text, completion.reasoning
        self._calls = dict(enumerate(completion.tool_calls))
        self._reasoning_tokens = completion.usage.reasoning_tokens if completion.usage else None
        unsaid = not self._text and not self._calls and completion.finish_reason == "stop"
        if unsaid and self._promote:
            self._text = self._reasoning  # some models put their only answer there (llama_index#21337)
        return ChatResponse(
            message=self._message(final=True),
            delta=self._text[came:] if streamed else None,
            raw=completion.body,
            logprobs=_logprobs(completion.body["choices"][0].get("logprobs")),
            additional_kwargs=about.completion(completion),
        )

    def _add(self, fragment: Mapping[str, Any]) -> None:
        function = fragment.get("function") or {}
        known = self._calls.get(fragment["index"])
        if known is None:
            whole = {"name": function.get("name") or "", "arguments": function.get("arguments") or ""}
            self._calls[fragment["index"]] = {"id": fragment.get("id"), "type": "function", "function": whole}
            return
        known["function"]["name"] += function.get("name") or ""
        known["function"]["arguments"] += function.get("arguments") or ""

    def _message(self, *, final: bool = False) -> ChatMessage:
        """Blocks for new readers, and `additional_kwargs["tool_calls"]` for those that look only there."""
        blocks: list[ContentBlock] = []
        if self._reasoning:
            blocks.append(ThinkingBlock(content=self._reasoning, num_tokens=self._reasoning_tokens))
        if self._text or not (self._reasoning or self._calls):
            blocks.append(TextBlock(text=self._text))
        calls = [call for _, call in sorted(self._calls.items())]
        blocks += [self._block(call, final=final) for call in calls]
        said = {"tool_calls": [{**call, "function": dict(call["function"])} for call in calls]} if calls else {}
        return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=said)

    def _block(self, call: Mapping[str, Any], *, final: bool) -> ToolCallBlock:
        name, given = call["function"]["name"], call["function"]["arguments"]
        whole = _object(given) if final else None
        return ToolCallBlock(
            tool_call_id=call["id"],
            tool_name=self._names.get(name, name),
            tool_kwargs=given if whole is None else whole,
        )


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _logprobs(report: Mapping[str, Any] | None) -> list[list[LogProb]] | None:
    """For each token the likeliest ones that were reported; the token itself where there are none."""
    if not report or not report.get("content"):
        return None
    return [
        [LogProb(token=top["token"], logprob=top["logprob"], bytes=top.get("bytes") or []) for top in tops]
        for tops in (token.get("top_logprobs") or [token] for token in report["content"])
    ]


def completion_response(response: ChatResponse) -> CompletionResponse:
    """A chat's answer as that of a completion, with what is known about it."""
    return CompletionResponse(
        text=response.message.content or "",
        additional_kwargs={**response.message.additional_kwargs, **response.additional_kwargs},
        raw=response.raw,
        logprobs=response.logprobs,
        delta=response.delta,
    )

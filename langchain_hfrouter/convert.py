"""Between LangChain's messages and OpenAI's mappings. Pure: nothing here reads a clock, a file or a socket."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolCallChunk,
    ToolMessage,
    is_data_content_block,
)
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.block_translators.openai import convert_to_openai_data_block
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.output_parsers.openai_tools import make_invalid_tool_call, parse_tool_call
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from hfrouter import Completion, ConfigurationError, Delta, Usage
from hfrouter.adapting import answer_facts, cost_facts

PROVIDER = "huggingface"
"""`response_metadata["model_provider"]` and LangSmith's `ls_provider`, which LangChain's middleware compares."""

# What an earlier answer may say again; its other blocks (reasoning, tool calls, citations) are no input.
_REPLAYED = frozenset({"text", "image_url", "input_audio", "file", "video_url"})


# -- messages to mappings ----------------------------------------------------------------------------------------------


def openai_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Messages as an OpenAI chat request has them.

    Raises:
        ConfigurationError: for a kind of message or a content block that a chat request cannot carry.

    >>> openai_messages([HumanMessage("Hello")])
    [{'role': 'user', 'content': 'Hello'}]
    """
    return [_message(message) for message in messages]


def _message(message: BaseMessage) -> dict[str, Any]:
    content = _content(message.content)
    if isinstance(message, AIMessage) and isinstance(content, list):
        content = [part for part in content if part.get("type") in _REPLAYED]
    if isinstance(message, ToolMessage):
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": content}
    plain = {"role": _role(message), "content": content} | ({"name": message.name} if message.name else {})
    if isinstance(message, AIMessage):
        return plain | _assistant(message, content)
    return plain


def _role(message: BaseMessage) -> str:
    match message:
        case ChatMessage():
            return message.role
        case FunctionMessage():
            return "function"
        case HumanMessage():
            return "user"
        case AIMessage():
            return "assistant"
        case SystemMessage():
            # OpenAI's newer name for it; LangChain keeps it here.
            return str(message.additional_kwargs.get("__openai_role__") or "system")
    raise ConfigurationError(f"a {type(message).__name__} has no place in a chat request; use one of LangChain's own.")


def _assistant(message: AIMessage, content: str | list[Any]) -> dict[str, Any]:
    """Content and tool calls of an earlier answer; providers want its text as text, and null beside tool calls."""
    calls = [_call(call["id"], call["name"], _json(call["args"])) for call in message.tool_calls]
    calls += [_call(bad["id"], bad["name"], bad["args"]) for bad in message.invalid_tool_calls]
    if isinstance(content, list) and all(part["type"] == "text" for part in content):
        content = "".join(part["text"] for part in content)
    return {"content": content or None, "tool_calls": calls} if calls else {"content": content}


def _call(identity: str | None, name: str | None, arguments: str | None) -> dict[str, Any]:
    return {"id": identity or "", "type": "function", "function": {"name": name or "", "arguments": arguments or ""}}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _content(content: str | list[str | dict[str, Any]]) -> str | list[Any]:
    if isinstance(content, str):
        return content
    return [{"type": "text", "text": block} if isinstance(block, str) else _part(block) for block in content]


def _part(block: dict[str, Any]) -> dict[str, Any]:
    """A content block as a part of an OpenAI message; one of a kind not known here is for the provider to judge."""
    kind = block.get("type")
    if kind in ("text", "text-plain") and "text" in block:
        return {"type": "text", "text": block["text"]}  # without index, annotations, id
    if kind == "image" and isinstance(block.get("source"), Mapping):
        return _anthropic_image(block["source"])
    if not is_data_content_block(block):
        return block
    try:
        return convert_to_openai_data_block(block)
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"a block of type {kind!r} cannot be sent: {error}.") from None


def _anthropic_image(source: Mapping[str, Any]) -> dict[str, Any]:
    url = source.get("url") or f"data:{source.get('media_type')};base64,{source.get('data')}"
    return {"type": "image_url", "image_url": {"url": url}}


# -- answers to messages -----------------------------------------------------------------------------------------------


def chat_result(completion: Completion) -> ChatResult:
    """A whole answer. Usage and cost stand on its first generation only, so that sums over messages stay right."""
    choices: list[Mapping[str, Any]] = completion.body["choices"]
    generations = [_generation(choice, completion, first=position == 0) for position, choice in enumerate(choices)]
    return ChatResult(generations=generations, llm_output={"model_name": completion.model})


def _generation(choice: Mapping[str, Any], completion: Completion, *, first: bool) -> ChatGeneration:
    answer: Mapping[str, Any] = choice["message"]
    calls, broken = _tool_calls(answer.get("tool_calls") or ())
    message = AIMessage(
        content=answer.get("content") or "",
        additional_kwargs={name: answer[name] for name in ("reasoning_content", "refusal") if answer.get(name)},
        tool_calls=calls,
        invalid_tool_calls=broken,
        usage_metadata=usage_metadata(completion.usage) if first else None,
        response_metadata=_metadata(completion) | (cost_facts(completion) if first else {}),
    )
    info = {"finish_reason": choice.get("finish_reason"), "logprobs": choice.get("logprobs")}
    return ChatGeneration(message=message, generation_info={k: v for k, v in info.items() if v is not None})


def _tool_calls(raw: Iterable[dict[str, Any]]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    calls: list[ToolCall] = []
    broken: list[InvalidToolCall] = []
    for call in raw:
        try:
            parsed = parse_tool_call(call)
            if parsed and isinstance(parsed["args"], dict):
                calls.append(ToolCall(name=parsed["name"], args=parsed["args"], id=parsed["id"], type="tool_call"))
            else:
                broken.append(make_invalid_tool_call(call, "the arguments are no JSON object"))
        except (OutputParserException, RecursionError) as error:  # a model may nest brackets without end
            broken.append(make_invalid_tool_call(call, str(error)))
    return calls, broken


# Chunks of a stream are added up by LangChain: equal strings are joined ("stopstop"), integers summed, differing
# floats refused. So everything about the whole answer is said once, on the last chunk.


def chunk(delta: Delta, *, blocks: bool) -> ChatGenerationChunk | None:
    """A step of a stream, or None when it carries nothing for the reader.

    Args:
        delta: The step.
        blocks: Write the content as LangChain's content blocks (`output_version="v1"`). Left to LangChain, the first
            tool call would be merged into the text or reasoning before it: both get index 0.
    """
    if not delta.meaningful:
        return None
    calls = [
        tool_call_chunk(
            name=call["function"].get("name"),
            args=call["function"].get("arguments"),
            id=call.get("id"),
            index=call["index"],
        )
        for call in delta.tool_calls
    ]
    message = AIMessageChunk(
        content=_blocks(delta, calls) if blocks else delta.text,
        additional_kwargs={"reasoning_content": delta.reasoning} if delta.reasoning else {},
        tool_call_chunks=calls,
        response_metadata=_every_chunk(blocks=blocks),
    )
    choices = (choice for choice in delta.body.get("choices", ()) if isinstance(choice, Mapping))
    logprobs = next((c["logprobs"] for c in choices if c.get("logprobs")), None)
    return ChatGenerationChunk(message=message, generation_info={"logprobs": logprobs} if logprobs else None)


def last_chunk(completion: Completion, *, usage: bool, blocks: bool) -> ChatGenerationChunk:
    """The end of a stream: why it ended, who served it, its tokens (when `usage`) and its cost."""
    message = AIMessageChunk(
        content=[] if blocks else "",
        usage_metadata=usage_metadata(completion.usage) if usage else None,
        response_metadata=_metadata(completion) | cost_facts(completion) | _every_chunk(blocks=blocks),
        chunk_position="last",
    )
    reason = completion.finish_reason
    return ChatGenerationChunk(message=message, generation_info={"finish_reason": reason} if reason else None)


def _every_chunk(*, blocks: bool) -> dict[str, Any]:
    """The two entries that LangChain keeps once, however many chunks have them."""
    return {"model_provider": PROVIDER} | ({"output_version": "v1"} if blocks else {})


def _blocks(delta: Delta, calls: Sequence[ToolCallChunk]) -> list[str | dict[str, Any]]:
    """Content blocks with indexes by which LangChain joins the pieces of each; its own begin with `lc_`."""
    blocks: list[str | dict[str, Any]] = []
    if delta.reasoning:
        blocks.append({"type": "reasoning", "reasoning": delta.reasoning, "index": "lc_reasoning"})
    if delta.text:
        blocks.append({"type": "text", "text": delta.text, "index": "lc_text"})
    return blocks + [{**call, "type": "tool_call_chunk", "index": f"lc_tool_{call['index']}"} for call in calls]


def usage_metadata(usage: Usage | None) -> UsageMetadata | None:
    """Tokens as LangChain counts them: whole numbers only, since its sums refuse floats and None."""
    if usage is None:
        return None
    metadata = UsageMetadata(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=usage.total_tokens
    )
    if usage.cached_tokens is not None:
        metadata["input_token_details"] = InputTokenDetails(cache_read=usage.cached_tokens)
    if usage.reasoning_tokens is not None:
        metadata["output_token_details"] = OutputTokenDetails(reasoning=usage.reasoning_tokens)
    return metadata


# -- metadata ----------------------------------------------------------------------------------------------------------


def _metadata(completion: Completion) -> dict[str, Any]:
    """Who answered and how it came to that, as plain JSON."""
    named = {name: completion.body.get(name) for name in ("id", "system_fingerprint")}
    told = {name: value for name, value in named.items() if value}
    return {"model_provider": PROVIDER, **answer_facts(completion), **told}

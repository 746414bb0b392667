"""Tools: how they are offered and chosen in an OpenAI chat request, and which calls an answer makes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.llms.utils import parse_partial_json
from llama_index.core.tools.types import BaseTool
from pydantic_core import from_json

from hfrouter import ConfigurationError

_LONGEST_NAME = 64  # OpenAI's limit for the name of a function, which others copied


def wire_name(name: str) -> str:
    """A tool's name as providers accept it: `Box[int]` and `server.tool` are names to Python and MCP only.

    >>> wire_name("Box[int]")
    'Box_int_'
    """
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:_LONGEST_NAME] or "tool"


def openai_tools(tools: Sequence[BaseTool]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """LlamaIndex tools as OpenAI mappings, and the names they are offered by, to their own."""
    specs: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for tool in tools:
        spec = tool.metadata.to_openai_tool(skip_length_check=True)
        own = tool.metadata.get_name()
        name, number = wire_name(own), 1
        while name in names:
            number += 1
            name = f"{wire_name(own)[: _LONGEST_NAME - 4]}_{number}"
        names[name] = own
        specs.append({**spec, "function": {**spec["function"], "name": name}})
    return specs, names


def choice_of(choice: str | Mapping[str, Any] | None, names: Mapping[str, str], *, required: bool) -> Any:
    """A choice of tools as OpenAI spells it.

    Args:
        choice: A tool's name, `auto`, `none`, `required`, `any`, or OpenAI's own mapping; None for the default.
        names: The names by which tools are offered, to their own names.
        required: What the default is: at least one call, or as the model likes.

    Raises:
        ConfigurationError: for a name that is none of the tools'.
    """
    if choice is None:
        return "required" if required else "auto"
    if choice == "any":
        return "required"
    if not isinstance(choice, str) or choice in ("auto", "none", "required"):
        return choice
    for wire, own in names.items():
        if choice in (own, wire):
            return {"type": "function", "function": {"name": wire}}
    raise ConfigurationError(
        f"tool_choice {choice[:80]!r} is none of the tools {', '.join(names.values())}; use one of them, 'auto', "
        "'none' or 'required'."
    )


def arguments(given: Mapping[str, Any] | str) -> dict[str, Any]:
    """The arguments of a tool call, as far as they have come; none from a text that is no JSON object.

    It is called for every chunk of a stream, so it is the parser of pydantic's core that reads, not Python.

    >>> arguments('{"city": "Par')
    {'city': 'Par'}
    """
    if isinstance(given, Mapping):
        return dict(given)
    if not given.strip():
        return {}
    try:
        found = from_json(given, allow_partial="trailing-strings")
    except ValueError:
        try:
            found = parse_partial_json(given)  # slower, and lenient about line breaks inside strings
        except ValueError:
            return {}
    return found if isinstance(found, dict) else {}


def selections(response: ChatResponse) -> list[ToolSelection]:
    """The tool calls of a response, whole or as far as a stream has come.

    In the last response of an answer only arguments that are whole count: no tool is run with half of them.
    """
    ended = "finish_reason" in response.additional_kwargs
    return [
        ToolSelection(
            tool_id=block.tool_call_id or "",
            tool_name=block.tool_name,
            tool_kwargs={} if ended and isinstance(block.tool_kwargs, str) else arguments(block.tool_kwargs),
        )
        for block in response.message.blocks
        if isinstance(block, ToolCallBlock)
    ]


def first_call_only(response: ChatResponse) -> ChatResponse:
    """A response without the tool calls after its first one, for providers that send several unasked."""
    calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    if len(calls) < 2:
        return response
    extra = response.message.additional_kwargs
    message = response.message.model_copy(
        update={
            "blocks": [block for block in response.message.blocks if block not in calls[1:]],
            "additional_kwargs": {**extra, "tool_calls": extra["tool_calls"][:1]},
        }
    )
    return response.model_copy(update={"message": message})

"""Tools and answers of a given shape: how LangChain's choices are spelled in an OpenAI chat request, and read back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Literal

from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

Schema = dict[str, Any] | type
Method = Literal["function_calling", "json_schema", "json_mode"]
METHODS: tuple[Method, ...] = ("json_schema", "function_calling", "json_mode")


def tool_choice(choice: dict[str, Any] | str | bool | None, tools: Sequence[dict[str, Any]]) -> Any:
    """LangChain's `tool_choice` as OpenAI spells it; None to leave it out.

    Raises:
        ValueError: for a name that is none of the tools'.

    >>> tool_choice("any", []), tool_choice("add", [{"function": {"name": "add"}}])
    ('required', {'type': 'function', 'function': {'name': 'add'}})
    """
    names = [tool["function"]["name"] for tool in tools if "function" in tool]
    if choice is None or choice is False:
        return None
    if choice is True or choice in ("any", "required"):
        return "required"
    if isinstance(choice, dict) or choice in ("auto", "none"):
        return choice
    if choice in names:
        return {"type": "function", "function": {"name": choice}}
    raise ValueError(
        f"tool_choice {choice!r} is none of the tools {names}; use one of them, 'auto', 'none', 'any' or 'required'."
    )


def response_format(schema: Schema, strict: bool | None) -> dict[str, Any]:
    """A schema (pydantic class, TypedDict or JSON schema) as `response_format`; one that is ready is left as it is.

    >>> response_format({"title": "Pet", "type": "object", "properties": {}}, None)["json_schema"]["name"]
    'Pet'
    """
    if isinstance(schema, dict) and schema.get("type") in ("json_schema", "json_object"):
        return schema
    if isinstance(schema, dict) and isinstance(schema.get("schema"), dict):
        named = schema  # {"name", "schema", "strict"?}: what stands under `json_schema`
    else:
        inner = convert_to_json_schema(schema)
        # OpenAI's rule for names; a title such as "My answer" breaks it.
        named = {"name": re.sub(r"\W+", "_", inner.get("title") or "", flags=re.ASCII) or "answer", "schema": inner}
    return {"type": "json_schema", "json_schema": named if strict is None else named | {"strict": strict}}


def binding(schema: Schema | None, method: str, strict: bool | None) -> dict[str, Any]:
    """What to bind to a model so that it answers in the shape of `schema`.

    Raises:
        ValueError: for an unknown method, or no schema where the method needs one.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is not known; use one of {', '.join(map(repr, METHODS))}.")
    if schema is None:
        if method != "json_mode":
            raise ValueError(f"method {method!r} needs a schema.")
        return {"response_format": {"type": "json_object"}}
    # For traces: LangChain takes it out of the call and shows it in LangSmith.
    traced = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
    bound: dict[str, Any] = {"ls_structured_output_format": traced}
    if method == "json_mode":
        return bound | {"response_format": {"type": "json_object"}}
    if method == "json_schema":
        return bound | {"response_format": response_format(schema, strict)}
    tools = [convert_to_openai_tool(schema, strict=strict)]
    choice = tool_choice(tools[0]["function"]["name"], tools)
    return bound | {"tools": tools, "tool_choice": choice, "parallel_tool_calls": False}


def parser(schema: Schema | None, method: str) -> BaseOutputParser[Any]:
    """What reads such an answer: objects for a pydantic class, mappings for anything else."""
    # pydantic's own v1 classes count too, which share no base with those of v2
    model: type[Any] | None = schema if isinstance(schema, type) and is_basemodel_subclass(schema) else None
    if method == "function_calling" and schema is not None:
        if model is not None:
            return PydanticToolsParser(tools=[model], first_tool_only=True)
        name = convert_to_openai_tool(schema)["function"]["name"]
        return JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
    return JsonOutputParser() if model is None else PydanticOutputParser(pydantic_object=model)


def with_raw(llm: Runnable[Any, Any], reads: BaseOutputParser[Any]) -> Runnable[Any, Any]:
    """Both the message and what was read from it; an answer that cannot be read is an entry, not an exception."""
    good = RunnablePassthrough.assign(parsed=itemgetter("raw") | reads, parsing_error=lambda _: None)
    bad = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | good.with_fallbacks([bad], exception_key="parsing_error")

"""A chat request as a provider reads it: checked, and with the dialects of its fields made one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hfrouter.simulator.refusal import Refusal, RefusedError, error_object
from hfrouter.simulator.tokens import count, count_message

Message = dict[str, Any]

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
PARTS = ("text", "image_url", "file", "input_audio", "video_url", "input_text", "refusal", "thinking", "reasoning")


def invalid(message: str, param: str | None = None, code: str | None = None) -> RefusedError:
    """Return the 400 of a provider that does not accept a request."""
    body = error_object(message, "invalid_request_error", param=param, code=code)
    return RefusedError(Refusal(400, body, router=False))


def text_of(content: Any) -> str:
    """Return the text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [part.get("text") if isinstance(part, dict) else part for part in content]
    return "\n".join(part for part in parts if isinstance(part, str))


@dataclass(frozen=True, slots=True)
class Tool:
    """One function the caller offers; `parameters` is its JSON schema."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """What the request says about tools: `none`, `auto`, `required`, or `named` with a name."""

    mode: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """The wanted form of the text: `text`, `json_object` or `json_schema` with a schema."""

    kind: str
    schema: Any = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A valid chat request."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...]
    choice: ToolChoice
    format: Format
    stream: bool
    include_usage: bool
    max_tokens: int | None
    stop: tuple[str, ...]
    n: int
    seed: int | None
    parallel: bool
    effort: str | None
    prompt_tokens: int

    @property
    def turn(self) -> tuple[Message, ...]:
        """The messages after the last user message: what happened since the caller last spoke."""
        for index in range(len(self.messages) - 1, -1, -1):
            if self.messages[index]["role"] == "user":
                return self.messages[index + 1 :]
        return self.messages

    @property
    def prompt(self) -> str:
        """The text of the last user message, or of the last message of any kind when there is none."""
        texts = [text_of(m.get("content")) for m in self.messages if m["role"] == "user"]
        return (texts or [text_of(self.messages[-1].get("content"))])[-1].strip()

    @property
    def system(self) -> str:
        """The text of all system messages."""
        return "\n".join(text_of(m.get("content")) for m in self.messages if m["role"] in ("system", "developer"))

    @property
    def earlier(self) -> list[str]:
        """What the user said before the last user message."""
        return [text_of(m.get("content")) for m in self.messages if m["role"] == "user"][:-1]


def parse(body: dict[str, Any], *, lacks_arguments: Refusal | None) -> ChatRequest:
    """Check a request body as a provider would.

    Args:
        body: The JSON object.
        lacks_arguments: The provider's own answer to an assistant tool call without `arguments`; None for a 400.

    Raises:
        RefusedError: The provider would refuse it.
    """
    messages = _messages(body.get("messages"), lacks_arguments)
    tools = tuple(_tools(body.get("tools")))
    options = body.get("stream_options")
    return ChatRequest(
        messages=messages,
        tools=tools,
        choice=_choice(body.get("tool_choice"), tools),
        format=_format(body.get("response_format")),
        stream=bool(body.get("stream")),
        include_usage=isinstance(options, dict) and bool(options.get("include_usage")),
        max_tokens=_limit(body),
        stop=_stop(body.get("stop")),
        n=_integer(body.get("n"), "n", 1, 128) or 1,
        seed=_integer(body.get("seed"), "seed", -(2**63), 2**63),
        parallel=body.get("parallel_tool_calls") is not False,
        effort=body.get("reasoning_effort"),
        prompt_tokens=_prompt_tokens(messages, body),
    )


def _prompt_tokens(messages: tuple[Message, ...], body: dict[str, Any]) -> int:
    total = sum(count_message(message) for message in messages)
    for key in ("tools", "response_format"):
        if body.get(key):
            total += count(repr(body[key]))
    return total


def _messages(value: Any, lacks_arguments: Refusal | None) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise invalid("'messages' must be a non-empty list of messages.", "messages")
    for index, message in enumerate(value):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise invalid(f"{where} must be an object.", where)
        role = message.get("role")
        if role not in ROLES:
            raise invalid(f"{where}.role: unknown role {role!r}.", f"{where}.role")
        _check_content(message, where)
        if not isinstance(message.get("tool_calls") or [], list):
            raise invalid(f"{where}.tool_calls must be a list.", f"{where}.tool_calls")
        for call in message.get("tool_calls") or ():
            _check_call(call, where, lacks_arguments)
        if role == "tool" and not message.get("tool_call_id"):
            raise invalid(f"{where}.tool_call_id is required in a message of role 'tool'.", f"{where}.tool_call_id")
    return tuple(value)


def _check_content(message: Message, where: str) -> None:
    content = message.get("content")
    if content is None:
        if message["role"] not in ("assistant", "tool"):
            raise invalid(f"{where}.content is required.", f"{where}.content")
        return
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise invalid(f"{where}.content must be a string or a list of parts.", f"{where}.content")
    for part in content:
        if not isinstance(part, str) and (not isinstance(part, dict) or part.get("type") not in PARTS):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise invalid(f"{where}.content: unknown part type {kind!r}.", f"{where}.content")


def _check_call(call: Any, where: str, lacks_arguments: Refusal | None) -> None:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise invalid(f"{where}.tool_calls: every call needs a function with a name.", f"{where}.tool_calls")
    if not isinstance(function.get("arguments"), str):
        if lacks_arguments is not None and "arguments" not in function:
            raise RefusedError(lacks_arguments)
        raise invalid(f"{where}.tool_calls: function.arguments must be a string of JSON.", f"{where}.tool_calls")


def _tools(value: Any) -> Iterator[Tool]:
    if value is None:
        return
    if not isinstance(value, list):
        raise invalid("'tools' must be a list.", "tools")
    for index, tool in enumerate(value):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            raise invalid(f"tools[{index}].function needs a name.", "tools")
        parameters = function.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise invalid(f"tools[{index}].function.parameters must be a JSON schema.", "tools")
        yield Tool(function["name"], str(function.get("description") or ""), parameters)


def _choice(value: Any, tools: tuple[Tool, ...]) -> ToolChoice:
    if value is None:
        return ToolChoice("auto" if tools else "none")
    if value in ("auto", "none"):
        return ToolChoice(value if tools else "none")
    if value in ("required", "any"):
        if not tools:
            raise invalid("'tool_choice' is required, but there are no 'tools'.", "tool_choice")
        return ToolChoice("required")
    function = value.get("function") if isinstance(value, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str):
        raise invalid(f"'tool_choice' is not understood: {value!r}.", "tool_choice")
    if name not in {tool.name for tool in tools}:
        raise invalid(f"'tool_choice' names the tool '{name}', which is not in 'tools'.", "tool_choice")
    return ToolChoice("named", name)


def _format(value: Any) -> Format:
    """Read `response_format`; besides OpenAI's form the dialects of together, fireworks-ai and TGI are taken."""
    if value is None:
        return Format("text")
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return Format("text")
    nested = value.get("json_schema") if isinstance(value, dict) else None
    schema = nested.get("schema") if isinstance(nested, dict) else None
    if schema is None and isinstance(value, dict):
        schema = value.get("schema") or value.get("value")
    if kind == "json_schema" and not isinstance(schema, dict):
        raise invalid("'response_format.json_schema.schema' is required.", "response_format")
    if kind in ("json_schema", "json_object", "json"):
        return Format("json_schema", schema) if isinstance(schema, dict) else Format("json_object")
    raise invalid(f"'response_format' has an unknown type: {kind!r}.", "response_format")


def _limit(body: dict[str, Any]) -> int | None:
    key = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    return _integer(body.get(key), key, 1, 2**31)


def _integer(value: Any, name: str, low: int, high: int) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise invalid(f"'{name}' must be an integer of at least {low}.", name)
    return value


def _stop(value: Any) -> tuple[str, ...]:
    strings = [value] if isinstance(value, str) else value or []
    if not isinstance(strings, list) or not all(isinstance(item, str) for item in strings) or len(strings) > 4:
        raise invalid("'stop' must be a string or a list of at most 4 strings.", "stop")
    return tuple(item for item in strings if item)

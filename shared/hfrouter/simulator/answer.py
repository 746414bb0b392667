"""The answer to a request: computed from it, then held to its limits."""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from hfrouter.simulator import language, tokens
from hfrouter.simulator.evidence import Evidence
from hfrouter.simulator.prompted import embedded, named_keys, of_keys
from hfrouter.simulator.reading import answer as read_answer
from hfrouter.simulator.reading import marked_source, read, split_source, without_instruction
from hfrouter.simulator.request import ChatRequest, Message, text_of
from hfrouter.simulator.schema import Filler
from hfrouter.simulator.tools import Call, choose

_JSON_ASKED = re.compile(r"(?i)\bjson\b")
_LONG_RESULT = 1200  # characters of a tool result that are quoted whole; longer ones are read for the question


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as it goes out: its arguments are a JSON text, possibly cut by the token limit."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says.

    Attributes:
        reasoning: The thinking before the answer; empty for models that do not show any.
        text: The answer; None when there are only tool calls.
        calls: The tool calls.
        finish: Why it ended.
    """

    reasoning: str
    text: str | None
    calls: tuple[ToolCall, ...]
    finish: Literal["stop", "length", "tool_calls"]

    @property
    def reasoning_tokens(self) -> int:
        """Tokens of the reasoning."""
        return tokens.count(self.reasoning)

    @property
    def visible_tokens(self) -> int:
        """Tokens of the text and the calls."""
        calls = sum(tokens.count(call.name) + tokens.count(call.arguments) for call in self.calls)
        return tokens.count(self.text or "") + calls

    @property
    def completion_tokens(self) -> int:
        """All tokens that were produced."""
        return self.reasoning_tokens + self.visible_tokens


def compose(request: ChatRequest, *, reasons: bool, spaced: bool, inline: bool = False) -> Answer:
    """Compute the answer to a request.

    Args:
        request: The request.
        reasons: The model shows its reasoning.
        spaced: The provider writes arguments as `{"a": 1, "b": 2}` rather than `{"a":1,"b":2}`.
        inline: It shows it inside the content; then there is none beside tool calls (recorded 2026-03), nor before a
            text whose form is prescribed.
    """
    calls = choose(request)
    room = not inline or (not calls and request.format.kind == "text")
    thinks = reasons and room and request.effort not in ("none", "minimal")
    if request.effort == "low" and not calls and _results(request):
        thinks = False  # recorded 2026-10-04: nothing is thought before a tool's result is passed on
    thinking = _reasoning(request, calls) if thinks else ""
    if calls:
        made = tuple(ToolCall(call.name, _json(call.arguments, spaced)) for call in calls)
        return _limited(Answer(thinking, None, made, "tool_calls"), request.max_tokens)
    text = _stopped(_text(request), request.stop)
    return _limited(Answer(thinking, text, (), "stop"), request.max_tokens)


def _json(value: Any, spaced: bool) -> str:
    return json.dumps(value, ensure_ascii=False, separators=None if spaced else (",", ":"))


def _reasoning(request: ChatRequest, calls: list[Call]) -> str:
    if calls:
        with_values = ", ".join(f'{key} "{value}"' for key, value in calls[0].arguments.items())
        return f"Need to call {calls[0].name}{f' with {with_values}' if with_values else ''}."
    if _results(request):
        return "The tool results are here. Answer with them."
    _, question = split_source(request.prompt, request.system)
    telling = [word for word in re.findall(r"\w+", question) if language.terms(word)]
    return f"The user asks about {' '.join(telling[:6]) or 'nothing in particular'}."


def _text(request: ChatRequest) -> str:
    results = _results(request)
    if request.format.kind != "text":
        return _structured(request, results)
    if results:
        return _from_results(request.prompt, results)
    if _JSON_ASKED.search(request.prompt) and embedded(request.prompt) is not None:
        return _structured(request, results)
    return read_answer(request.prompt, request.system, request.earlier)


def _structured(request: ChatRequest, results: list[tuple[str, str]]) -> str:
    """Return JSON for `response_format`, for a schema in the prompt, or for the keys the prompt names."""
    text, schema = request.prompt, request.format.schema
    if schema is None:
        found = embedded(text) or embedded(request.system)
        keys = named_keys(text) or named_keys(request.system)
        if found is not None:
            schema, rest = found
            text = rest if embedded(text) else text
        elif keys:
            schema = of_keys(keys)
        else:
            answer = _from_results(text, results) if results else read_answer(text, request.system, request.earlier)
            return _json({"answer": answer}, spaced=True)
    marked = marked_source(text)
    given = marked[0] if marked else without_instruction(text)
    known = "\n".join(content for _, content in results)
    evidence = Evidence(f"{known}\n{given}" if known else given or text, wider=text)
    return _json(Filler(schema, evidence).fill(), spaced=True)


def _results(request: ChatRequest) -> list[tuple[str, str]]:
    """Return (what was called, content) of each tool message of this turn."""
    names: dict[str, str] = {}
    found = []
    for message in request.turn:
        for call in message.get("tool_calls") or ():
            names[str(call.get("id"))] = _called(call)
        if message["role"] in ("tool", "function"):
            name = names.get(str(message.get("tool_call_id"))) or str(message.get("name") or "the tool")
            found.append((name, _content(message)))
    return found


def _called(call: dict[str, Any]) -> str:
    name = str(call["function"]["name"])
    try:
        arguments = json.loads(call["function"].get("arguments") or "{}")
    except ValueError:
        return name
    values = ", ".join(str(value) for value in arguments.values()) if isinstance(arguments, dict) else ""
    return f"{name}({values})"


def _content(message: Message) -> str:
    """Return a tool result as text; a JSON object becomes `key: value` pairs."""
    text = text_of(message.get("content")).strip()
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, dict):
        shown = {k: _json(v, spaced=True) if isinstance(v, dict | list) else v for k, v in value.items()}
        return ", ".join(f"{key}: {item}" for key, item in shown.items())
    return text


def _from_results(question: str, results: list[tuple[str, str]]) -> str:
    parts = []
    for name, content in results:
        shown = content
        if len(content) > _LONG_RESULT:
            shown = read(content, question) or content[:_LONG_RESULT]
        parts.append(f"{name} says: {shown or 'nothing'}")
    return "; ".join(parts) + ("" if parts[-1].endswith((".", "!", "?")) else ".")


def _stopped(text: str, stop: tuple[str, ...]) -> str:
    ends = [position for position in (text.find(item) for item in stop) if position >= 0]
    return text[: min(ends)] if ends else text


def _limited(answer: Answer, limit: int | None) -> Answer:
    """Cut an answer to `limit` tokens, as the model would have run out of them."""
    if limit is None or answer.completion_tokens <= limit:
        return answer
    reasoning = tokens.split(answer.reasoning)[:limit]
    left = limit - len(reasoning)
    text = None if answer.text is None else "".join(tokens.split(answer.text)[:left])
    left -= tokens.count(text or "")
    calls = []
    for call in answer.calls:
        left -= tokens.count(call.name)
        if left <= 0:
            break
        pieces = tokens.split(call.arguments)[:left]
        left -= len(pieces)
        calls.append(ToolCall(call.name, "".join(pieces)))
    return Answer("".join(reasoning), text if text is not None or calls else "", tuple(calls), "length")

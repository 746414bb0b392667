"""Which tools a prompt asks for, and with which arguments."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hfrouter.simulator import language, vocabulary
from hfrouter.simulator.evidence import Evidence
from hfrouter.simulator.request import ChatRequest, Message, Tool, text_of
from hfrouter.simulator.schema import Filler, shaped

_GENERIC = frozenset(language.stem(word) for word in vocabulary.GENERIC_TOOL_WORDS)
_CLAUSE = re.compile(r"(?:[.;?!]\s+|,?\s+(?:and|then|also|as well as)\s+(?!\d))", re.I)
_MOST_CALLS = 16  # calls of one tool in one answer
_MAIN_KINDS = ("string", "integer", "number")


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call: the tool's name and its arguments."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Match:
    """How a prompt speaks of a tool."""

    tool: Tool
    verbatim: bool
    by_name: frozenset[str]
    by_description: frozenset[str]
    supported: bool

    @property
    def score(self) -> float:
        return 10.0 * self.verbatim + 3.0 * len(self.by_name) + len(self.by_description) + 0.5 * self.supported

    @property
    def asked_for(self) -> bool:
        plain = len(self.by_description) >= 2 or (len(self.by_description) == 1 and self.supported)
        return self.verbatim or bool(self.by_name) or plain


def choose(request: ChatRequest) -> list[Call]:
    """Return the calls to make now; empty when the answer is text."""
    if request.choice.mode == "none" or not request.tools:
        return []
    prompt, known = request.prompt, _results(request.turn)
    called = [
        str(call["function"]["name"])
        for message in request.turn
        if message["role"] == "assistant"
        for call in message.get("tool_calls") or ()
    ]
    if request.choice.mode == "named":
        tools = [tool for tool in request.tools if tool.name == request.choice.name]
        chosen = [_match(tool, prompt, known) for tool in tools][:1]
    elif request.choice.mode == "required":
        chosen = _required(request, called, known)
    else:
        fresh = [tool for tool in request.tools if tool.name not in called]
        chosen = _asked_for([_match(tool, prompt, known) for tool in fresh], later=bool(called))
    calls = [call for match in chosen for call in _calls(match, request, known, several=len(chosen) > 1)]
    return calls if request.parallel else calls[:1]


def _results(turn: Sequence[Message]) -> str:
    return "\n".join(text_of(message.get("content")) for message in turn if message["role"] == "tool")


def _required(request: ChatRequest, called: list[str], known: str) -> list[_Match]:
    """Some tool must be called: what is asked for, else one not yet called (so that agent loops end), else any."""
    fresh = [tool for tool in request.tools if tool.name not in called] or list(request.tools)
    matches = [_match(tool, request.prompt, known) for tool in fresh]
    asked = _asked_for(matches, later=bool(called))
    return asked or [max(matches, key=lambda match: match.score)]


def _asked_for(matches: list[_Match], *, later: bool) -> list[_Match]:
    """Return the tools the prompt plainly asks for.

    A tool named word for word excludes those that are not. The best match comes first; another one is added when the
    prompt has words for it alone and it has all it needs. `later` in a turn only such plain matches count.
    """
    if any(match.verbatim for match in matches):
        return [match for match in matches if match.verbatim]
    asked = [m for m in matches if (m.by_name and m.supported if later else m.asked_for)]
    chosen: list[_Match] = []
    used: set[str] = set()
    for match in sorted(asked, key=lambda m: (m.supported, m.score), reverse=True):
        own = match.by_name - used
        if not chosen or (own and match.supported):
            chosen.append(match)
            used |= match.by_name | match.by_description
    order = [match.tool.name for match in matches]
    return sorted(chosen, key=lambda match: order.index(match.tool.name))


def _match(tool: Tool, prompt: str, known: str) -> _Match:
    asked = language.terms(prompt, synonyms=True)
    name = language.terms(tool.name) - _GENERIC
    description = language.terms(tool.description) - _GENERIC - name
    properties = tool.parameters.get("properties") or {}
    needed = [key for key in tool.parameters.get("required", ()) if key in properties]
    return _Match(
        tool=tool,
        verbatim=re.search(rf"(?<!\w){re.escape(tool.name)}(?!\w)", prompt) is not None and _is_name(tool.name, prompt),
        by_name=frozenset(asked & name),
        by_description=frozenset(asked & description),
        supported=Filler(tool.parameters, Evidence(f"{prompt}\n{known}")).supports(needed),
    )


def _is_name(name: str, prompt: str) -> bool:
    """Whether a plain word such as `weather` is used as the name of a tool rather than as a word."""
    if "_" in name or re.search(r"[a-z][A-Z]", name):
        return True
    word = re.escape(name)
    forms = (
        rf"(?<!\w){word}\(",
        rf"[`\"']{word}[`\"']",
        rf"\b(?:tool|function)\s+{word}\b",
        rf"\b{word}\s+(?:tool|function)\b",
    )
    return any(re.search(form, prompt) for form in forms)


def _calls(match: _Match, request: ChatRequest, known: str, *, several: bool) -> list[Call]:
    """Return the calls of one tool: one for each `name(...)`, for each item of a list, or simply one."""
    tool, prompt = match.tool, request.prompt
    schema = tool.parameters
    written = re.findall(rf"(?<!\w){re.escape(tool.name)}\(([^)]*)\)", prompt)
    explicit = [_explicit(schema, arguments) for arguments in written]
    if explicit and all(arguments is not None for arguments in explicit):
        return [Call(tool.name, arguments) for arguments in explicit if arguments is not None]
    if not schema.get("properties"):
        return [Call(tool.name, {})]
    text = _own_clause(match, prompt) if several else prompt
    calls = [_filled(tool, part, prompt, known) for part in _parts(schema, text)]
    return [call for index, call in enumerate(calls) if call not in calls[:index]]


def _filled(tool: Tool, text: str, prompt: str, known: str) -> Call:
    """Fill the arguments from `text`; when it lacks a required value, from the whole prompt and the tool results."""
    schema = tool.parameters
    needed = [key for key in schema.get("required", ()) if key in schema["properties"]]
    for source in (text, prompt, f"{prompt}\n{known}"):
        filler = Filler(schema, Evidence(source, wider=prompt))
        if filler.supports(needed):
            break
    value = filler.fill()
    return Call(tool.name, value if isinstance(value, dict) else {})


def _explicit(schema: dict[str, Any], arguments: str) -> dict[str, Any] | None:
    """Read `name(3)`, `name("x", 2)` or `name(a=1)` by position or key; None when that does not fit the schema."""
    properties = schema.get("properties") or {}
    given = [item.strip() for item in arguments.split(",") if item.strip()]
    if len(given) > len(properties) or (not given and schema.get("required")):
        return None
    result: dict[str, Any] = {}
    for key, item in zip(properties, given, strict=False):
        name, separator, value = item.partition("=")
        key = name.strip() if separator and name.strip() in properties else key
        text = (value if separator else item).strip().strip("\"'`")
        part = {"type": "object", "properties": {key: properties[key]}, "required": [key], "$defs": schema.get("$defs")}
        filled = Filler(part, Evidence(f"{key}: {text}", wider=text)).fill()[key]
        plain = isinstance(properties[key], dict) and properties[key].get("type") == "string"
        result[key] = (
            shaped(properties[key], text) if plain and not {"enum", "const"} & set(properties[key]) else filled
        )
    missing = set(schema.get("required", ())) - set(result)
    return None if missing else result


def _own_clause(match: _Match, prompt: str) -> str:
    """Return the part of a prompt that speaks of this tool, when only some clauses do."""
    clauses = [clause for clause in _CLAUSE.split(prompt) if clause and clause.strip()]
    words = match.by_name | match.by_description
    own = [clause for clause in clauses if language.terms(clause, synonyms=True) & words]
    return " ".join(own) if own else prompt


def _parts(schema: dict[str, Any], text: str) -> list[str]:
    """Split a text that asks the same for several things (`weather in Paris and in Rome`) into one text for each."""
    properties = schema.get("properties") or {}
    needed = list(schema.get("required") or properties)
    kinds = [properties[key].get("type") for key in needed if key in properties and isinstance(properties[key], dict)]
    if len(needed) != 1 or kinds[:1] not in [[kind] for kind in _MAIN_KINDS]:
        return [text]
    if kinds[0] != "string":
        return [text]
    evidence = Evidence(text)
    places, quoted = evidence.places(), evidence.quoted()
    listed = places if len(places) > 1 else [f'"{item}"' for item in quoted] if len(quoted) > 1 else []
    if not listed or len(listed) > _MOST_CALLS:
        return [text]
    rest = text
    for item in listed:
        spelled = re.escape(item.strip('"'))
        rest = re.sub(rf"(?:,\s*|\s+(?:and|or)\s+)?(?:\b(?:in|for|at)\s+)?[\"'“]?{spelled}[\"'”]?", "", rest)
    return [f"{rest.rstrip(' ?.!')} in {item}" for item in listed]

"""From a provider's events to one answer: text, reasoning, tool calls, usage, and whether it is whole."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from hfrouter.cost.usage import Usage
from hfrouter.result import Body, Delta
from hfrouter.wire.think import ThinkSplitter

# Older back-ends have their own words for the end of an answer (together `eos`, TGI `eos_token`, recorded 2025).
_FINISH = {"eos": "stop", "eos_token": "stop", "stop_sequence": "stop", "function_call": "tool_calls"}


class _Halves:
    """Puts characters together that come in halves, as JSON escapes in two events; a half that is left is replaced.

    Nobody could print, send or store half a character: every encoder refuses it.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """Take in a piece of text; give back what is whole of it."""
        if text.isascii() and not self._held:
            return text
        text, self._held = self._held + text, ""
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def close(self) -> str:
        """Give back what stands for a half that was held."""
        held, self._held = self._held, ""
        return "\ufffd" if held else ""


_REASONING_NAMES = ("reasoning", "reasoning_content", "reasoning_text")
_TEXT_NAMES = ("id", "model", "system_fingerprint", "service_tier")


class _Choice:
    """One choice of the answer, as far as it has come."""

    __slots__ = ("calls", "finish", "halves", "logprobs", "reasoning", "refusal", "slots", "text", "think", "thought")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: dict[int, dict[str, Any]] = {}
        self.slots: dict[int, int] = {}  # where the latest call under a provider's index is kept
        self.finish: str | None = None
        self.logprobs: list[Any] = []
        self.refusal: list[str] = []
        self.think = ThinkSplitter()
        self.halves, self.thought = _Halves(), _Halves()  # of the text, and of reasoning in a field of its own


class Assembly:
    """Reads events one by one and keeps the answer they add up to.

    The same reader serves streams (each event becomes a `Delta`) and whole answers (the `body` at the end), and a
    unary answer is read as its own single event, so text, tool calls, reasoning and usage mean the same everywhere.

    Args:
        choices: How many were asked for.

    Attributes:
        usage: The last report seen; reports are cumulative or repeated, never to be added up.
        behind: More came since that report, or one that cannot be used: it is not of the whole answer.
        finished: Every choice has its `finish_reason`, or `[DONE]` was seen: the answer is whole.
    """

    def __init__(self, choices: int = 1) -> None:
        self.usage: Usage | None = None
        self.behind = self.finished = False
        self._head: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._expected = self._unfinished = choices
        self._raw_usage: Mapping[str, Any] | None = None
        self._usage_sent = False

    def feed(self, event: Mapping[str, Any]) -> list[Delta]:
        """Read an event; give back what it adds, a `Delta` for each choice it touches."""
        self._read_head(event)
        choices = event.get("choices")
        if not isinstance(choices, list):
            return []
        found = [self._choice(c, position, event) for position, c in enumerate(choices) if isinstance(c, dict)]
        deltas = [delta for delta in found if delta is not None]
        if not event.get("usage") and any(delta.meaningful for delta in deltas):
            self.behind = self.usage is not None
        return deltas

    def close(self) -> list[Delta]:
        """End the reading: give back text that was held in doubt, and the usage."""
        deltas: list[Delta] = []
        for index, choice in self._choices.items():
            inline, text = choice.think.feed(choice.halves.close())
            more, rest = choice.think.close()
            reasoning, text = choice.thought.close() + inline + more, text + rest
            if reasoning or text:
                choice.reasoning.append(reasoning)
                choice.text.append(text)
                deltas.append(Delta(index, text, reasoning))
        if self.usage is not None and not self._usage_sent:
            self._usage_sent = True
            deltas.append(Delta(usage=self.usage, body=Body(self._head | {"choices": [], "usage": self._raw_usage})))
        return deltas

    @property
    def served_model(self) -> str | None:
        """The model's name as the provider gave it."""
        return self._head.get("model")

    @property
    def text(self) -> str:
        """The first choice's text so far."""
        return "".join(self._choices[0].text) if 0 in self._choices else ""

    @property
    def empty(self) -> bool:
        """Whether no choice has text, a refusal or a tool call, though it did not run out of tokens."""
        return not any(
            "".join(c.text).strip() or c.calls or c.refusal or c.finish in {"length", "content_filter"}
            for c in self._choices.values()
        )

    @property
    def nameless_call(self) -> bool:
        """Whether a tool call never got a name, so that nobody could run it."""
        return any(not call["function"]["name"] for c in self._choices.values() for call in c.calls.values())

    def body(self) -> Body:
        """The answer as an OpenAI chat completion."""
        head = {"id": "", "created": 0, "model": ""} | self._head
        return Body(
            head
            | {
                "object": "chat.completion",
                "choices": [self._whole(index, choice) for index, choice in sorted(self._choices.items())],
                "usage": self._raw_usage,
            }
        )

    def _read_head(self, event: Mapping[str, Any]) -> None:
        head = self._head
        for name in _TEXT_NAMES:
            if name not in head and (value := event.get(name)) and isinstance(value, str):
                head[name] = value
        if "created" not in head and isinstance(created := event.get("created"), (int, float)):
            head["created"] = created
        if report := event.get("usage"):
            usage = Usage.read(report)
            self.behind = usage is None and self.usage is not None
            if usage is not None:
                self.usage, self._raw_usage = usage, report

    def _choice(self, choice: Mapping[str, Any], position: int, event: Mapping[str, Any]) -> Delta | None:
        """Read what an event says of a choice; None when it adds nothing a reader waits for."""
        index = choice.get("index")
        if type(index) is not int:
            index = position
        kept = self._choices.get(index)
        if kept is None:
            kept = self._choices[index] = _Choice()
            if len(self._choices) > self._expected:
                self._unfinished += 1
                self.finished = False
        # A unary answer has a message; some back-ends put one into the last event of a stream as well, whole again.
        part = choice.get("delta")
        if not (isinstance(part, dict) and part):
            part = choice.get("message") if not kept.text and not kept.calls else None
            if not isinstance(part, dict):
                part = {}
        reasoning, text = self._said(kept, part)
        raw_calls = part.get("tool_calls")
        calls = tuple(call for raw in _list(raw_calls) if (call := self._call(kept, raw))) if raw_calls else ()
        logprobs, refusal, finish = choice.get("logprobs"), part.get("refusal"), choice.get("finish_reason")
        if logprobs and isinstance(logprobs, dict):
            kept.logprobs.extend(_list(logprobs.get("content")))
        if refusal and (refusal := _text(refusal)):
            kept.refusal.append(refusal)
        finish = self._finish(kept, finish) if finish and isinstance(finish, str) else None
        if not (text or reasoning or calls or finish or refusal):
            return None
        return Delta(index, text, reasoning, calls, finish, None, Body(event))

    @staticmethod
    def _said(kept: _Choice, part: Mapping[str, Any]) -> tuple[str, str]:
        """Read and keep the reasoning and the text that an event adds."""
        reasoning, text, content = _reasoning(part), "", part.get("content")
        if reasoning:
            reasoning = kept.thought.feed(reasoning)
        if content and (content := kept.halves.feed(_text(content))):
            inline, text = kept.think.feed(content)
            reasoning += inline
        if text:
            kept.text.append(text)
        if reasoning:
            kept.reasoning.append(reasoning)
        return reasoning, text

    def _finish(self, kept: _Choice, said: str) -> str:
        """Note a finish reason, in the words of OpenAI."""
        if kept.finish is None:
            self._unfinished -= 1
            self.finished = self._unfinished == 0
        kept.finish = _FINISH.get(said, said)
        return kept.finish

    def _call(self, choice: _Choice, raw: Any) -> dict[str, Any]:
        """Add a fragment of a tool call; give it back with the index, and on the first with an id."""
        if not isinstance(raw, dict):
            return {}
        function = raw.get("function")
        if not isinstance(function, dict):
            function = {}
        name, arguments = _text(function.get("name")), function.get("arguments")
        if isinstance(arguments, (dict, list)):
            arguments = json.dumps(arguments, ensure_ascii=False)
        elif not isinstance(arguments, str):
            arguments = ""
        identity = raw.get("id")
        if not isinstance(identity, str):
            identity = ""
        index = _slot(choice, raw.get("index"), identity, named=bool(name))
        known = choice.calls.get(index)
        if known is None:
            head = {"id": identity or f"call_{uuid.uuid4().hex[:12]}", "type": "function"}
            choice.calls[index] = head | {"function": {"name": name, "arguments": arguments}}
            return {"index": index, **head, "function": {"name": name, "arguments": arguments}}
        kept: dict[str, Any] = known["function"]
        kept["arguments"] += arguments
        if name and not kept["name"]:
            kept["name"] = name
            return {"index": index, "function": {"name": name, "arguments": arguments}}
        return {"index": index, "function": {"arguments": arguments}}

    @staticmethod
    def _whole(index: int, choice: _Choice) -> dict[str, Any]:
        text, reasoning = "".join(choice.text), "".join(choice.reasoning)
        calls = [call for _, call in sorted(choice.calls.items())]
        message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None}
        if reasoning:
            message["reasoning_content"] = reasoning
        if choice.refusal:
            message["refusal"] = "".join(choice.refusal)
        if calls:
            message["tool_calls"] = calls
        logprobs = {"content": choice.logprobs} if choice.logprobs else None
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": choice.finish}


def _slot(choice: _Choice, index: Any, identity: str, *, named: bool) -> int:
    """Which call a fragment belongs to: by index, else by id; a fragment with neither continues the last one.

    Some back-ends number every call 0: under an old index, a new id with a name is another call, and what follows
    under that index is its own.
    """
    calls = choice.calls
    if type(index) is int:
        slot: int | None = choice.slots.get(index)
        if slot is None:
            slot = int(index) if index not in calls else max(calls) + 1
        elif named and identity and identity != calls[slot]["id"] and calls[slot]["function"]["name"]:
            slot = max(calls) + 1
        choice.slots[index] = slot
        return slot
    if identity:
        known = next((at for at, call in calls.items() if call["id"] == identity), None)
        if known is not None:
            return known
    if identity or named or not calls:
        return max(calls, default=-1) + 1
    return list(calls)[-1]


def _reasoning(part: Mapping[str, Any]) -> str:
    """The first of its names that has text: some back-ends send the same under two."""
    for name in _REASONING_NAMES:
        value = part.get(name)
        if value and (text := _text(value)):
            return text
    return ""


def _text(value: Any) -> str:
    """Text, or the text parts of a list; anything else is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = (part.get("text") for part in value if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

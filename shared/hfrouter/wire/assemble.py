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


class _Choice:
    """One choice of the answer, as far as it has come."""

    __slots__ = ("calls", "finish", "logprobs", "reasoning", "refusal", "text", "think")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.calls: dict[int, dict[str, Any]] = {}
        self.finish: str | None = None
        self.logprobs: list[Any] = []
        self.refusal: list[str] = []
        self.think = ThinkSplitter()


class Assembly:
    """Reads events one by one and keeps the answer they add up to.

    The same reader serves streams (each event becomes a `Delta`) and whole answers (the `body` at the end), and a
    unary answer is read as its own single event, so text, tool calls, reasoning and usage mean the same everywhere.

    Attributes:
        usage: The last report seen; reports are cumulative or repeated, never to be added up.
        finished: A `finish_reason` or `[DONE]` was seen: the answer is whole.
        served_model: The model's name as the provider gave it.
    """

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.finished = False
        self.served_model: str | None = None
        self._head: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._raw_usage: Mapping[str, Any] | None = None
        self._usage_sent = False

    def feed(self, event: Mapping[str, Any]) -> list[Delta]:
        """Read an event; give back what it adds, a `Delta` for each choice it touches."""
        self._read_head(event)
        deltas: list[Delta] = []
        choices = event.get("choices")
        for position, choice in enumerate(choices if isinstance(choices, list) else ()):
            if isinstance(choice, Mapping):
                deltas.append(self._choice(choice, position, event))
        return [delta for delta in deltas if delta.meaningful or delta.finish_reason]

    def close(self) -> list[Delta]:
        """End the reading: give back text that was held in doubt, and the usage."""
        deltas: list[Delta] = []
        for index, choice in self._choices.items():
            reasoning, text = choice.think.close()
            if reasoning or text:
                choice.reasoning.append(reasoning)
                choice.text.append(text)
                deltas.append(Delta(index, text, reasoning))
        if self.usage is not None and not self._usage_sent:
            self._usage_sent = True
            deltas.append(Delta(usage=self.usage, body=Body(self._head | {"choices": [], "usage": self._raw_usage})))
        return deltas

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
        for name in ("id", "created", "model", "system_fingerprint", "service_tier"):
            if event.get(name) and not self._head.get(name):
                self._head[name] = event[name]
        model = self._head.get("model")
        self.served_model = model if isinstance(model, str) else None
        usage = Usage.read(event.get("usage"))
        if usage is not None:
            self.usage, self._raw_usage = usage, event["usage"]

    def _choice(self, choice: Mapping[str, Any], position: int, event: Mapping[str, Any]) -> Delta:
        index = choice["index"] if isinstance(choice.get("index"), int) else position
        kept = self._choices.setdefault(index, _Choice())
        # A unary answer has a message; some back-ends put one into the last event of a stream as well, whole again.
        part = choice.get("delta")
        if not isinstance(part, Mapping):
            part = choice.get("message") if not kept.text and not kept.calls else None
        part = part if isinstance(part, Mapping) else {}
        inline, text = kept.think.feed(_text(part.get("content")))
        reasoning = (
            _text(part.get("reasoning")) or _text(part.get("reasoning_content")) or _text(part.get("reasoning_text"))
        ) + inline
        calls = tuple(self._call(kept, raw, i) for i, raw in enumerate(_list(part.get("tool_calls"))))
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish:
            kept.finish = _FINISH.get(finish, finish)
            self.finished = True
        kept.text.append(text)
        kept.reasoning.append(reasoning)
        if refusal := _text(part.get("refusal")):
            kept.refusal.append(refusal)
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, Mapping):
            kept.logprobs.extend(_list(logprobs.get("content")))
        return Delta(
            index, text, reasoning, tuple(c for c in calls if c), kept.finish if finish else None, body=Body(event)
        )

    def _call(self, choice: _Choice, raw: Any, position: int) -> dict[str, Any]:
        """Add a fragment of a tool call; give it back with the index, and on the first with an id."""
        if not isinstance(raw, Mapping):
            return {}
        function = raw.get("function")
        function = function if isinstance(function, Mapping) else {}
        name, arguments = _text(function.get("name")), function.get("arguments")
        if isinstance(arguments, (Mapping, list)):
            arguments = json.dumps(arguments, ensure_ascii=False)
        index = self._call_index(choice, raw, position, bool(name))
        known = choice.calls.get(index)
        if known is None:
            known = {"id": raw.get("id") or f"call_{uuid.uuid4().hex[:12]}", "type": "function"}
            choice.calls[index] = known | {"function": {"name": name, "arguments": _text(arguments)}}
            return {"index": index, **known, "function": {"name": name, "arguments": _text(arguments)}}
        if name and not known["function"]["name"]:
            known["function"]["name"] = name
        else:
            name = ""
        known["function"]["arguments"] += _text(arguments)
        piece = {"name": name, "arguments": _text(arguments)} if name else {"arguments": _text(arguments)}
        return {"index": index, "function": piece}

    @staticmethod
    def _call_index(choice: _Choice, raw: Mapping[str, Any], position: int, named: bool) -> int:
        """Which call a fragment belongs to: by index, else by id; a fragment with neither continues the last one."""
        index = raw.get("index")
        identity = raw.get("id")
        if isinstance(index, int):
            known = choice.calls.get(index)
            if known is None or not (named and identity and identity != known["id"] and known["function"]["name"]):
                return index
            return max(choice.calls) + 1  # a new id and name under an old index: another call
        for at, call in choice.calls.items():
            if identity and call["id"] == identity:
                return at
        if identity or named or not choice.calls:
            return max(choice.calls, default=-1) + 1
        return max(choice.calls)

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


def _text(value: Any) -> str:
    """Text, or the text parts of a list; anything else is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(_text(part.get("text")) for part in value if isinstance(part, Mapping))
    return ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

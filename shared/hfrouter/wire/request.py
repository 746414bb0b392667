"""A chat request made ready: checked, turned into bytes once, and headed with each target's name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hfrouter.cost.estimate import input_bound
from hfrouter.errors import ConfigurationError
from hfrouter.routing.eligible import Needs
from hfrouter.routing.policy import Policy
from hfrouter.routing.target import Target
from hfrouter.wire.dialect import openai_form, wants_schema

# Several providers cut silently at 2,048 tokens when none are asked for, so a number is always sent.
_DEFAULT_MAX_TOKENS = 4096
# Up to here an answer is asked for in one piece: there is little to save by watching it come.
_SHORT = 256
_TOOL_IDLE, _IDLE = 60.0, 20.0
# What offers tools, and what forbids to use them; the second pair is OpenAI's older one.
_TOOLS = (("tools", "tool_choice"), ("functions", "function_call"))
_TEMPLATE = 64
_TEXTS = frozenset({"text", "input_text", "output_text", "refusal", "thinking", "tool_result", None})
# No model has a context of a billion tokens, and nobody offers more than 128 choices.
_MOST_TOKENS, _MOST_CHOICES = 1_000_000_000, 128


@dataclass(frozen=True, slots=True)
class Request:
    """A checked chat request without its model. Its `repr` shows nothing of it.

    Attributes:
        body: As the caller gave it, without `model`, `stream` and `stream_options`.
        json: The same as bytes, without the opening brace.
        needs: What it asks of a target.
        media: Parts whose tokens their bytes do not bound: images, and whatever is no text.
        pictures: Those of them that are images, which a ceiling for images bounds.
    """

    body: Mapping[str, Any] = field(repr=False)
    json: bytes = field(repr=False)
    needs: Needs
    media: int = 0
    pictures: int = 0

    @classmethod
    def make(cls, messages: object, parameters: Mapping[str, Any]) -> Request:
        """Check and encode a request.

        Raises:
            ConfigurationError: for messages that are empty or no messages, or values JSON cannot carry.
        """
        body = {"messages": _messages(messages)} | {k: v for k, v in parameters.items() if v is not None}
        _check_shapes(body)
        for ours in ("stream", "stream_options", "model"):
            body.pop(ours, None)
        if "response_format" in body:
            body["response_format"] = openai_form(body["response_format"])
        for optional in ("tools", "functions"):
            if not body.get(optional, True):
                del body[optional]  # an empty list of tools is refused by some back-ends
        try:
            encoded = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            raw = encoded.encode()
        except UnicodeEncodeError:
            raw = json.dumps(body, separators=(",", ":")).encode()  # lone surrogates: escaped
        except RecursionError:
            raise ConfigurationError("the request is nested too deeply for JSON; flatten it.") from None
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"the request holds a value JSON cannot carry: {_reason(error)}.") from None
        media, pictures = sum(map(_media, body["messages"])), sum(1 for _ in _all_pictures(body))
        return cls(body, raw[1:], _needs(body, len(raw)), media, pictures)

    def bytes_for(self, target: Target, *, stream: bool) -> bytes:
        """The body for a target: the model's name first, since the router reads it from a small prefix."""
        extra: dict[str, Any] = {}
        if stream:
            extra |= {"stream": True, "stream_options": {"include_usage": True}}
        if self.needs.max_tokens is None:
            extra["max_tokens"] = self.max_tokens_for(target)
        name = target.model if target.url else target.id
        head = json.dumps({"model": name} | extra, separators=(",", ":")).encode()
        return head[:-1] + b"," + self.json

    def max_tokens_for(self, target: Target) -> int:
        """Output tokens to ask for: the caller's number, else 4,096 or what the context leaves."""
        if self.needs.max_tokens is not None:
            return self.needs.max_tokens
        if target.context_length is None:
            return _DEFAULT_MAX_TOKENS
        return max(16, min(_DEFAULT_MAX_TOKENS, target.context_length - self.needs.input_tokens - _TEMPLATE))

    @property
    def choices(self) -> int:
        """How many answers are asked for."""
        n: int = self.body.get("n", 1)
        return n

    def bound_for(self, target: Target, image_tokens: int | None = None) -> tuple[int, int] | None:
        """(input, output) tokens an attempt cannot exceed; None when it has an image or the like without a ceiling.

        Args:
            target: Where to.
            image_tokens: Tokens of an image at most, or None.
        """
        if self.media and (image_tokens is None or self.media > self.pictures):
            return None
        media = self.media * (image_tokens or 0)
        return input_bound(self.needs.input_bytes) + media, self.max_tokens_for(target) * self.choices

    def upstream_stream(self, policy: Policy) -> bool:
        """Whether a whole answer is asked for as a stream: a cut is noticed, and no gateway's limit is met."""
        if policy.upstream != "auto":
            return policy.upstream == "stream"
        short = self.needs.max_tokens is not None and self.needs.max_tokens <= _SHORT
        special = self.choices != 1 or bool(self.body.get("logprobs"))
        return not (short or special)

    def idle(self, policy: Policy) -> float:
        """Seconds allowed between two content events."""
        if policy.idle is not None:
            return policy.idle
        return _TOOL_IDLE if self.needs.tools or self.needs.structured else _IDLE


def _check_shapes(body: Mapping[str, Any]) -> None:
    """Refuse what is read here and could not be sent.

    Raises:
        ConfigurationError: for `n`, `tools` or `response_format` of another kind.
    """
    if "n" in body:
        whole("n", body["n"], _MOST_CHOICES)
    tools, shape = body.get("tools", []), body.get("response_format", {})
    if isinstance(tools, str) or not isinstance(tools, Sequence):
        raise ConfigurationError(f"tools is a {type(tools).__name__}; give a list of OpenAI tool mappings.")
    if not isinstance(shape, Mapping):
        raise ConfigurationError(f"response_format is a {type(shape).__name__}; give a mapping with its 'type'.")


def _messages(messages: object) -> list[Mapping[str, Any]]:
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if isinstance(messages, (Mapping, bytes)) or not isinstance(messages, Sequence):
        raise ConfigurationError(
            f"messages is a {type(messages).__name__}; give a list like [{{'role': 'user', 'content': 'Hello'}}]."
        )
    if not messages:
        raise ConfigurationError("messages is empty; give at least one, like {'role': 'user', 'content': 'Hello'}.")
    for position, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise ConfigurationError(
                f"messages[{position}] has no role; a message is a mapping like {{'role': 'user', 'content': 'Hello'}}."
            )
    return list(messages)


def _needs(body: Mapping[str, Any], size: int) -> Needs:
    pictures = list(_all_pictures(body))
    return Needs(
        tools=any(body.get(tools) and body.get(choice) != "none" for tools, choice in _TOOLS),
        structured=wants_schema(body.get("response_format")),
        images=bool(pictures),
        input_bytes=size,
        max_tokens=_limit(body),
        parameters=frozenset(body) - {"messages"},
        image_bytes=sum(map(_inline, pictures)),
    )


def _limit(body: Mapping[str, Any]) -> int | None:
    """Output tokens at most. Of two limits the larger one: who serves may read either, and a budget must hold."""
    names = [name for name in ("max_tokens", "max_completion_tokens") if body.get(name) is not None]
    return max((whole(name, body[name], _MOST_TOKENS) for name in names), default=None)


def whole(name: str, value: object, most: int) -> int:
    """A whole number from 1 to `most`.

    Raises:
        ConfigurationError: for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        shown = repr(value)[:20] if isinstance(value, (str, float)) else f"a {type(value).__name__}"
        shown = str(value) if isinstance(value, int) and abs(value) < 10**12 else shown
        raise ConfigurationError(f"{name} must be a whole number from 1 to {most}, not {shown}.")
    return value


def _all_pictures(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for message in body["messages"]:
        yield from _pictures(message.get("content"))


def _pictures(content: object) -> Iterator[Mapping[str, Any]]:
    for part in content if isinstance(content, (list, tuple)) else ():
        if isinstance(part, Mapping) and part.get("type") in {"image_url", "input_image", "image"}:
            yield part


def _inline(picture: Mapping[str, Any]) -> int:
    """Bytes of a picture that is in the request itself."""
    given = picture.get("image_url")
    url = given.get("url") if isinstance(given, Mapping) else given
    return len(url) if isinstance(url, str) and url.startswith("data:") else 0


def _media(message: Mapping[str, Any]) -> int:
    """How many parts of a message are no text. A link may lead to any number of tokens, and so may a small file."""
    content = message.get("content")
    parts = content if isinstance(content, (list, tuple)) else []
    return sum(isinstance(part, Mapping) and part.get("type") not in _TEXTS for part in parts)


def _reason(error: Exception) -> str:
    """The encoder's words, which name a type and no value."""
    words = str(error)
    return words if words.startswith(("Object of type", "keys must be", "Circular")) else "a number that is not finite"

"""A deterministic token counter: words, digits and punctuation, in pieces that join back to the text."""

import re
from typing import Any

_PIECE = re.compile(r"\s?\w{1,12}|\s?[^\w\s]|\s")

MESSAGE_OVERHEAD = 4
"""Tokens a chat template adds around each message (role markers); the order of size of open chat templates."""
IMAGE_TOKENS = 256
"""Tokens one image, file or audio part counts for; a fixed figure, since nothing is decoded."""


def split(text: str) -> list[str]:
    """Return the tokens of `text`; joining them gives `text` again."""
    return _PIECE.findall(text)


def count(text: str) -> int:
    """Return how many tokens `text` has."""
    return sum(1 for _ in _PIECE.finditer(text))


def count_message(message: dict[str, Any]) -> int:
    """Return the tokens of one chat message: its text, its parts, its tool calls and the template around it."""
    total = MESSAGE_OVERHEAD
    content = message.get("content")
    if isinstance(content, str):
        total += count(content)
    elif isinstance(content, list):
        for part in content:
            text = part.get("text") if isinstance(part, dict) else part
            total += count(text) if isinstance(text, str) else IMAGE_TOKENS
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        total += count(str(function.get("name", ""))) + count(str(function.get("arguments", "")))
    return total

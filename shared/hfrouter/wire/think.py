"""Reasoning left inside the text: a leading `<think>...</think>` (DeepSeek-R1 on together, recorded)."""

from __future__ import annotations

_OPEN, _CLOSE = "<think>", "</think>"
# Blanks before the block: recorded are none, or a line break. Beyond these the text is handed on as it comes.
_MOST_BLANKS = 64


class ThinkSplitter:
    r"""Splits streamed text into reasoning and answer. Only a block that opens the text is reasoning.

    Line breaks after the opening tag and blanks after the closing one belong to neither; whatever the pieces, the
    split is the same.

    >>> splitter = ThinkSplitter()
    >>> [splitter.feed(piece) for piece in ("<thi", "nk>Hm", "m.</think>", "\n\nHello")]
    [('', ''), ('Hm', ''), ('m.', ''), ('', 'Hello')]
    """

    __slots__ = ("_held", "_state")

    def __init__(self) -> None:
        self._state = "start"
        self._held = ""

    def feed(self, text: str) -> tuple[str, str]:
        """Take in a piece of text; give back the reasoning and the answer it completes."""
        if self._state == "answer":
            return "", text
        if self._held:
            text, self._held = self._held + text, ""
        reasoning = ""
        if self._state == "start":
            begin = text.lstrip()
            blanks = len(text) - len(begin)
            if blanks <= _MOST_BLANKS and len(begin) < len(_OPEN) and _OPEN.startswith(begin):
                self._held = text
                return "", ""
            if blanks > _MOST_BLANKS or not begin.startswith(_OPEN):
                self._state = "answer"
                return "", text
            self._state, text = "opened", begin[len(_OPEN) :]
        if self._state == "opened":
            text = text.lstrip("\n")
            if not text:
                return "", ""
            self._state = "thinking"
        if self._state == "thinking":
            reasoning, closed, text = text.partition(_CLOSE)
            if not closed:
                reasoning, self._held = _hold_back(reasoning)
                return reasoning, ""
            self._state = "gap"
        text = text.lstrip()
        if text:
            self._state = "answer"
        return reasoning, text

    def close(self) -> tuple[str, str]:
        """Give back what was held: at the end, half a tag is text."""
        held, self._held = self._held, ""
        return (held, "") if self._state == "thinking" else ("", held)


def _hold_back(text: str) -> tuple[str, str]:
    """Split off an end that may be the beginning of the closing tag."""
    at = text.rfind("<", -len(_CLOSE) + 1)
    if at >= 0 and _CLOSE.startswith(text[at:]):
        return text[:at], text[at:]
    return text, ""

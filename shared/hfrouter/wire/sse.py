"""Server-sent events, decoded tolerantly: any line ends, comments, split UTF-8, `data:` without a space."""

from __future__ import annotations

# A tool call of a million characters is one event; beyond 8 MB something is broken, and an endless line must not fill
# the memory (a 64 MB line without an end was accepted by the SDK, measured).
MAX_EVENT_BYTES = 8 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """An event grew beyond `MAX_EVENT_BYTES`."""


class ErrorEvent(str):
    """The data of an event named `error`, whose data need not look like one."""

    __slots__ = ()


class SSEDecoder:
    r"""Turns pieces of a body into the data of its events.

    Only `data` fields and the event name `error` are read; comments, ids and retry hints are not for us.

    >>> decoder = SSEDecoder()
    >>> decoder.feed(b'data: {"a":1}\n\n: keep-alive\n\ndata:[DONE]\n\n')
    ['{"a":1}', '[DONE]']
    """

    __slots__ = ("_after_carriage", "_data", "_fresh", "_is_error", "_size", "_tail")

    def __init__(self) -> None:
        self._tail = bytearray()  # of a line without its end
        self._data: list[bytes] = []
        self._size = 0
        self._after_carriage = self._is_error = False
        self._fresh = True

    def feed(self, piece: bytes) -> list[str]:
        """The data of the events that `piece` completes.

        Raises:
            EventTooLarge: when an event does not end.
        """
        lines = self._lines(piece)
        events: list[str] = []
        for line in lines:
            if line.startswith(b"data:"):
                self._size += len(line)
                if self._size > MAX_EVENT_BYTES:
                    raise EventTooLarge
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif line.startswith(b"event:"):
                self._is_error = line[6:].strip() == b"error"
            elif not line:
                self._end_event(events)
        if len(self._tail) + self._size > MAX_EVENT_BYTES:
            raise EventTooLarge
        return events

    def close(self) -> list[str]:
        """What is left at the end of the body: an event without its blank line counts."""
        self._after_carriage = False
        return self.feed(b"\n\n")

    def _lines(self, piece: bytes) -> list[bytes]:
        """The lines that `piece` ends, without their ends."""
        # A CR ends its line at once; the LF that may follow, perhaps in the next piece, ends nothing more.
        if self._after_carriage and piece:
            self._after_carriage = False
            piece = piece.removeprefix(b"\n")
        if b"\r" in piece:
            self._after_carriage = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = piece.split(b"\n")
        rest = lines.pop()
        tail = self._tail
        if lines:
            if tail:
                lines[0] = bytes(tail) + lines[0]
                tail.clear()
            if self._fresh:
                self._fresh = False
                lines[0] = lines[0].removeprefix(_BOM)
        if rest:
            tail += rest
        return lines

    def _end_event(self, events: list[str]) -> None:
        """A blank line: hand out the event before it, if there is one."""
        lines = self._data
        if lines:
            data = (lines[0] if len(lines) == 1 else b"\n".join(lines)).decode("utf-8", "replace")
            events.append(ErrorEvent(data) if self._is_error else data)
            lines.clear()
            self._size = 0
        self._is_error = False

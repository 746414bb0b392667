"""Server-sent events, decoded tolerantly: any line ends, comments, split UTF-8, `data:` without a space."""

from __future__ import annotations

from collections.abc import Iterator

# A tool call of a million characters is one event; beyond 8 MB something is broken, and an endless line must not fill
# the memory (a 64 MB line without an end was accepted by the SDK, measured).
MAX_EVENT_BYTES = 8 * 1024 * 1024


class EventTooLarge(ValueError):
    """An event grew beyond `MAX_EVENT_BYTES`."""


class SSEDecoder:
    r"""Turns pieces of a body into the data of its events.

    Only `data` and `event` fields are read; comments, ids and retry hints are not for us. An event named `error` is
    handed out like any other: what its data says is judged by the reader.

    >>> decoder = SSEDecoder()
    >>> list(decoder.feed(b'data: {"a":1}\n\n: keep-alive\n\ndata:[DONE]\n\n'))
    ['{"a":1}', '[DONE]']
    """

    __slots__ = ("_data", "_pending", "_scanned", "_size")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._scanned = 0
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> Iterator[str]:
        """Decode the events that `piece` completes.

        Raises:
            EventTooLarge: when an event does not end.
        """
        pending = self._pending
        pending += piece
        start = 0
        while (end := _line_end(pending, max(start, self._scanned))) is not None:
            stop, after = end
            event = self._line(bytes(pending[start:stop]))
            start = self._scanned = after
            if event is not None:
                yield event
        del pending[:start]
        # A lone CR at the end may be half of CRLF: look at it again.
        self._scanned = max(0, len(pending) - 1)
        if len(pending) > MAX_EVENT_BYTES:
            raise EventTooLarge

    def close(self) -> Iterator[str]:
        """Decode what is left at the end of the body: an event without its blank line counts when it is whole."""
        if self._pending:
            line, self._pending = bytes(self._pending).rstrip(b"\r"), bytearray()
            self._line(line)
        event = self._line(b"")
        if event is not None:
            yield event

    def _line(self, line: bytes) -> str | None:
        """Take in a line; a blank one ends an event."""
        if not line:
            if not self._data:
                return None
            event = b"\n".join(self._data).decode("utf-8", "replace")
            self._data.clear()
            self._size = 0
            return event
        if line.startswith(b"\xef\xbb\xbf"):
            line = line[3:]
        if line.startswith(b"data:"):
            data = line[6:] if line[5:6] == b" " else line[5:]
            self._size += len(data)
            if self._size > MAX_EVENT_BYTES:
                raise EventTooLarge
            self._data.append(data)
        return None


def _line_end(buffer: bytearray, start: int) -> tuple[int, int] | None:
    """Where the line ends and where the next one begins; None while it is not certain."""
    newline = buffer.find(b"\n", start)
    carriage = buffer.find(b"\r", start, newline if newline >= 0 else len(buffer))
    if carriage < 0:
        return None if newline < 0 else (newline, newline + 1)
    if carriage + 1 == len(buffer):
        return None
    return carriage, carriage + (2 if buffer[carriage + 1] == 0x0A else 1)

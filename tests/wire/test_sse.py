"""The decoder of server-sent events: tolerant, exact whatever the chunking, linear and bounded."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfrouter.wire import sse
from hfrouter.wire.sse import EventTooLarge, SSEDecoder


def decoded(*pieces: bytes) -> list[str]:
    decoder = SSEDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + list(decoder.close())


def feed_all(decoder: SSEDecoder, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        decoder.feed(piece)


def singly(body: bytes) -> Iterable[bytes]:
    return (body[i : i + 1] for i in range(len(body)))


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_every_line_end_of_the_standard_is_read(end: bytes) -> None:
    body = end.join([b"data: one", b"", b"data: two", b"", b""])
    assert decoded(body) == decoded(*singly(body)) == ["one", "two"]


def test_line_ends_may_be_mixed() -> None:
    assert decoded(b"data: a\r\n\ndata: b\r\rdata: c\n\r\ndata: d\r\n\r\n") == ["a", "b", "c", "d"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_an_event_is_handed_out_with_its_last_byte_and_not_later(end: bytes) -> None:
    decoder = SSEDecoder()
    assert list(decoder.feed(b"data: now" + end + end)) == ["now"]
    assert list(decoder.close()) == []


def test_a_body_split_at_any_byte_gives_the_same_events() -> None:
    body = "\ufeffdata: é👋\r\n\r\n: comment\n\ndata:[DONE]\r\r".encode()
    for at in range(len(body) + 1):
        assert decoded(body[:at], body[at:]) == ["é👋", "[DONE]"], at


def test_the_space_after_data_is_optional_and_only_one_is_dropped() -> None:
    assert decoded(b"data:a\n\ndata: b\n\ndata:  c\n\n") == ["a", "b", " c"]


def test_several_data_lines_are_one_event() -> None:
    assert decoded(b"data: {\ndata: }\n\n") == ["{\n}"]


def test_comments_ids_retry_hints_and_blank_lines_are_no_events() -> None:
    body = b": keep-alive\n\n\n\nid: 7\nretry: 3000\n\ndatabase: no\n\ndata: yes\nid: 8\n\n"
    assert decoded(body) == ["yes"]


def test_a_comment_inside_an_event_does_not_end_it() -> None:
    assert decoded(b"data: a\n: ping\ndata: b\n\n") == ["a\nb"]


def test_the_last_event_counts_without_its_blank_line() -> None:
    assert decoded(b"data: a\n\ndata: b\n") == decoded(b"data: a\n\ndata: b") == ["a", "b"]
    assert decoded(b"data: a\r") == ["a"]


def test_a_byte_order_mark_opens_the_body_and_is_skipped() -> None:
    assert decoded(b"\xef\xbb\xbfdata: a\n\n") == decoded(*singly(b"\xef\xbb\xbfdata: a\n\n")) == ["a"]


def test_broken_utf8_is_replaced_and_the_event_survives() -> None:
    assert decoded(b"data: a\xff\xc3b\n\n") == ["a\ufffd\ufffdb"]


def test_line_separators_of_unicode_are_text() -> None:
    assert decoded("data: a\u2028b\x0bc\x85\n\n".encode()) == ["a\u2028b\x0bc\x85"]


def test_an_event_named_error_is_marked_and_others_are_not() -> None:
    events = decoded(b"event: error\ndata: {}\n\nevent: message\ndata: {}\n\ndata: {}\n\n")
    assert [isinstance(event, sse.ErrorEvent) for event in events] == [True, False, False]


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["one endless line", "endless lines"])
def test_an_event_without_an_end_is_refused_and_not_kept(monkeypatch: pytest.MonkeyPatch, end: bytes) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 10_000)
    decoder = SSEDecoder()
    with pytest.raises(EventTooLarge):
        feed_all(decoder, itertools.repeat(b"data: x" + end, 12_000))


def test_empty_data_lines_count_towards_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 10_000)
    decoder = SSEDecoder()
    with pytest.raises(EventTooLarge):
        feed_all(decoder, itertools.repeat(b"data:\n", 12_000))


def test_an_event_below_the_bound_is_read_however_large() -> None:
    data = "x" * (7 * 1024 * 1024)
    assert decoded(f"data: {data}\n\n".encode()) == [data]


@pytest.mark.parametrize(
    "pieces",
    [
        [b"x"] * 400_000,
        [b"data: x\r" * 10_000] * 20,
        [b"\r" * 65_536] * 8,
        [b"\n" * 65_536] * 8,
        [b"data: " + b"y" * 1000] * 4000,
    ],
    ids=["bytes without an end", "CR only", "only CR", "only LF", "long pieces of one line"],
)
def test_the_time_is_linear_in_the_bytes(pieces: list[bytes]) -> None:
    decoder, began = SSEDecoder(), time.perf_counter()
    feed_all(decoder, pieces)
    assert time.perf_counter() - began < 1.5


_LINES = st.sampled_from(
    [b"data: a", b"data:b", b"data: ", b"data", b": c", b"", b"event: error", b"id: 1", "data: é👋".encode(), b"\xff"]
)
_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.lists(st.tuples(_LINES, _ENDS), max_size=12), st.lists(st.integers(0, 80), max_size=12))
@settings(max_examples=400, derandomize=True, deadline=None)
def test_no_chunking_changes_the_events(lines: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    body = b"".join(line + end for line, end in lines)
    at = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    pieces = [body[a:b] for a, b in itertools.pairwise(at)]
    assert decoded(*pieces) == decoded(body) == decoded(*singly(body))


@given(st.binary(max_size=200))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_no_bytes_break_the_decoder(body: bytes) -> None:
    assert decoded(body) == decoded(*singly(body))

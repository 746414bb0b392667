"""Whatever a provider sends, the reading of it ends in an answer or in `Failed`, never in anything else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from hfrouter import Delta
from hfrouter.wire.assemble import Assembly
from hfrouter.wire.http import Reply
from hfrouter.wire.reader import Failed, Reader
from tests.wire.replay import cut_up, event

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["stop", "<think>", "</think>", "{", "[DONE]", "\ud800", "c1", 0, 1])
)
_NAMES = st.sampled_from(
    [
        "id",
        "model",
        "created",
        "object",
        "choices",
        "index",
        "delta",
        "message",
        "content",
        "reasoning",
        "reasoning_content",
        "refusal",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "type",
        "text",
        "logprobs",
        "finish_reason",
        "usage",
        "prompt_tokens",
        "completion_tokens",
        "cached_tokens",
        "prompt_tokens_details",
        "error",
        "code",
        "status",
        "detail",
        "loc",
        "msg",
        "estimated_time",
        "role",
    ]
)
_ANYTHING = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=5), max_leaves=12
)
_OBJECT = st.dictionaries(_NAMES, _ANYTHING, max_size=5)


def _mostly(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(right, right, right, _ANYTHING)


_FRAGMENT = st.fixed_dictionaries(
    {},
    optional={
        "index": _mostly(st.integers(0, 2)),
        "id": _mostly(st.sampled_from(["c1", "c2", "", None])),
        "function": _mostly(
            st.fixed_dictionaries(
                {},
                optional={"name": _mostly(st.sampled_from(["f", "g", ""])), "arguments": _mostly(st.text(max_size=4))},
            )
        ),
    },
)
_PART = st.fixed_dictionaries(
    {},
    optional={
        "content": _mostly(st.sampled_from(["a", "<think>", "</think>", "", None])),
        "reasoning": _mostly(st.text(max_size=3)),
        "tool_calls": _mostly(st.lists(_mostly(_FRAGMENT), max_size=3)),
        "refusal": _ANYTHING,
    },
)
_CHOICE = st.fixed_dictionaries(
    {},
    optional={
        "index": _mostly(st.integers(0, 2)),
        "delta": _mostly(_PART),
        "message": _mostly(_PART),
        "finish_reason": _mostly(st.sampled_from(["stop", "length", None])),
        "logprobs": _ANYTHING,
    },
)
_EVENT = _OBJECT | st.fixed_dictionaries(
    {"choices": _mostly(st.lists(_mostly(_CHOICE), max_size=2))}, optional={"usage": _ANYTHING, "id": _ANYTHING}
)


class _Reply:
    """As much of a `Reply` as a reader sees."""

    status = 200

    def __init__(self, pieces: list[bytes], headers: Mapping[str, str]) -> None:
        self._pieces, self.headers = pieces, headers

    async def pieces(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    async def aclose(self) -> None:
        pass


def _read(pieces: list[bytes], *, strict: bool = True, kind: str = "") -> tuple[list[Delta], Assembly, bool]:
    """Read to the end: the deltas, the assembly, and whether it ended whole."""

    async def reading() -> tuple[list[Delta], Assembly, bool]:
        reply = cast(Reply, _Reply(pieces, {"content-type": kind}))
        reader = Reader(reply, 5.0, asyncio.get_running_loop().time() + 5, "Hello", strict=strict)
        deltas = []
        try:
            while (delta := await reader.next()) is not None:
                deltas.append(delta)
        except Failed:
            return deltas, reader.assembly, False
        finally:
            await reader.aclose()
        return deltas, reader.assembly, True

    return asyncio.run(reading())


def _sound(deltas: list[Delta], assembly: Assembly) -> None:
    """What any caller may rely on."""
    body = assembly.body()
    json.dumps(body)
    assert all(isinstance(d.text, str) and isinstance(d.reasoning, str) for d in deltas)
    for choice in body["choices"]:
        parts = [delta for delta in deltas if delta.index == choice["index"]]
        assert "".join(delta.text for delta in parts) == (choice["message"]["content"] or "")
        assert "".join(delta.reasoning for delta in parts) == choice["message"].get("reasoning_content", "")
        for call in choice["message"].get("tool_calls", ()):
            assert isinstance(call["id"], str)
            assert isinstance(call["function"]["name"], str)
            assert isinstance(call["function"]["arguments"], str)
    seen: dict[tuple[int, int], bool] = {}
    for delta in deltas:
        for fragment in delta.tool_calls:
            assert isinstance(fragment["index"], int)
            assert ("id" in fragment) is not seen.get((delta.index, fragment["index"]), False)
            seen[delta.index, fragment["index"]] = True


@given(st.lists(_EVENT, max_size=5))
@settings(max_examples=250, derandomize=True, deadline=None)
def test_no_events_break_the_assembly(events: list[dict[str, Any]]) -> None:
    assembly = Assembly()
    deltas = [delta for one in events for delta in assembly.feed(one)] + assembly.close()
    _sound(deltas, assembly)
    assert assembly.empty in {True, False}
    assert assembly.nameless_call in {True, False}
    assert sum(delta.usage is not None for delta in deltas) == (assembly.usage is not None)


@given(st.lists(_EVENT, max_size=4), st.booleans(), st.booleans(), st.integers(0, 99))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_a_stream_of_any_events_ends_whole_or_in_a_failure(
    events: list[dict[str, Any]], done: bool, strict: bool, seed: int
) -> None:
    body = b"".join(event(json.dumps(one)) for one in events) + event("[DONE]") * done
    deltas, assembly, whole = _read(cut_up(body, "random", seed), strict=strict)
    if whole:
        _sound(deltas, assembly)
    same = _read([body] if body else [], strict=strict)
    assert same[2] is whole
    if whole:
        assert [(d.text, d.reasoning, d.finish_reason) for d in same[0]] == [
            (d.text, d.reasoning, d.finish_reason) for d in deltas
        ]


@given(_EVENT, st.sampled_from(["application/json", "text/event-stream", ""]))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_a_unary_answer_of_any_shape_ends_whole_or_in_a_failure(body: dict[str, Any], kind: str) -> None:
    deltas, assembly, whole = _read(cut_up(json.dumps(body).encode(), "random"), kind=kind)
    if whole:
        _sound(deltas, assembly)


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"data: ", b"\n\n", b"{", b"}", b'"', b"\r"]), max_size=12))
@settings(max_examples=250, derandomize=True, deadline=None)
def test_any_bytes_end_whole_or_in_a_failure(pieces: list[bytes]) -> None:
    for strict in (True, False):
        _read(pieces, strict=strict)

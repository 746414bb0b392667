"""Every recorded chat answer, replayed through the sender and the assembly over a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hfrouter import Completion, Cost, Delta, HFRouterError, StreamInterrupted, Usage
from tests.recordings.cassettes import ABSENT, Exchange, recorded
from tests.recordings.reading import Reading, read
from tests.recordings.replayed import PRICES, replay
from tests.wire.replay import Server

_LARGE = 40_000  # bytes; larger bodies are not sent byte by byte


def each(*kinds: str, nth: int = 1) -> Any:
    """A case for each (or nth) recording of these kinds, named by its file; without recordings one visible skip."""
    found: Sequence[Any] = [pytest.param(exchange, id=str(exchange)) for exchange in recorded(*kinds)[::nth]]
    absent = pytest.param(None, id="-".join(kinds), marks=pytest.mark.skip(reason=ABSENT))
    return pytest.mark.parametrize("exchange", found or [absent])


@each("unary")
def test_a_recorded_whole_answer_is_read_right(exchange: Exchange, server: Server) -> None:
    said, replayed = read(exchange), replay(server, exchange)
    if said.empty:
        _fails_as_empty(lambda: replayed.router.chat(**replayed.call))
        return
    answer = replayed.router.chat(**replayed.call)
    _same_answer(answer, said, exchange)
    assert answer.provider == replayed.provider
    assert "stream" not in replayed.place.asked[0].json


@each("unary")
def test_a_recorded_whole_answer_in_tiny_pieces_is_read_right(exchange: Exchange, server: Server) -> None:
    said, replayed = read(exchange), replay(server, exchange, "random" if len(exchange.body) > 2000 else "bytes")
    if not said.empty:
        _same_answer(replayed.router.chat(**replayed.call), said, exchange)


@each("unary", nth=4)
async def test_a_recorded_whole_answer_is_read_right_by_async_callers(exchange: Exchange, server: Server) -> None:
    said, replayed = read(exchange), replay(server, exchange)
    if not said.empty:
        _same_answer(await replayed.router.achat(**replayed.call), said, exchange)


@each("unary")
def test_a_recorded_whole_answer_that_comes_instead_of_a_stream_is_streamed_right(
    exchange: Exchange, server: Server
) -> None:
    said, replayed = read(exchange), replay(server, exchange)
    if not said.empty:
        with replayed.router.stream(**replayed.call) as stream:
            _same_deltas(list(stream), said)


@each("stream")
def test_a_recorded_stream_is_assembled_right(exchange: Exchange, server: Server) -> None:
    said, replayed = read(exchange), replay(server, exchange)
    if said.broken or not said.whole or said.empty:
        with pytest.raises(HFRouterError) as caught:
            replayed.router.chat(**replayed.call)
        if not said.broken:
            assert caught.value.__cause__.kind == ("cut" if not said.whole else "empty_answer")
        return
    answer = replayed.router.chat(**replayed.call)
    _same_answer(answer, said, exchange)
    assert answer.provider == replayed.provider
    assert replayed.place.asked[0].json["stream"] is True


@each("stream")
def test_a_recorded_stream_is_streamed_right(exchange: Exchange, server: Server) -> None:
    said, replayed = read(exchange), replay(server, exchange, "random")
    deltas: list[Delta] = []
    if said.broken or not said.whole:
        with pytest.raises(StreamInterrupted) as caught, replayed.router.stream(**replayed.call) as stream:
            deltas.extend(stream)
        assert caught.value.partial == "".join(delta.text for delta in deltas)
        return
    with replayed.router.stream(**replayed.call) as stream:
        deltas.extend(stream)
        answer = stream.completion()
    _same_deltas(deltas, said)
    _same_answer(answer, said, exchange)
    assert stream.provider == replayed.provider


@each("stream")
async def test_a_recorded_stream_in_tiny_pieces_is_read_right_by_async_callers(
    exchange: Exchange, server: Server
) -> None:
    said = read(exchange)
    split = "random" if len(exchange.body) > _LARGE else "bytes"
    if said.broken or not said.whole or said.empty:
        return
    replayed = replay(server, exchange, split)
    async with await replayed.router.astream(**replayed.call) as stream:
        deltas = [delta async for delta in stream]
    _same_deltas(deltas, said)
    replayed = replay(server, exchange, "random")
    _same_answer(await replayed.router.achat(**replayed.call), said, exchange)


def _same_answer(answer: Completion, said: Reading, exchange: Exchange) -> None:
    assert answer.text == said.text
    assert answer.reasoning == said.reasoning
    assert answer.finish_reason == said.finish
    _same_calls(answer.tool_calls, said)
    _same_usage(answer.usage, said)
    _same_cost(answer.cost, said)
    assert answer.body["model"] == said.model
    assert answer.body["id"] == said.identity
    assert answer.attempts[0].request_id == exchange.headers.get("x-request-id")
    assert answer.attempts[0].status == exchange.status


def _same_deltas(deltas: Sequence[Delta], said: Reading) -> None:
    assert "".join(delta.text for delta in deltas if delta.index == 0) == said.text
    assert "".join(delta.reasoning for delta in deltas if delta.index == 0) == said.reasoning
    assert next((d.finish_reason for d in reversed(deltas) if d.finish_reason and d.index == 0), None) == said.finish
    calls: dict[int, dict[str, Any]] = {}
    for fragment in (fragment for delta in deltas for fragment in delta.tool_calls):
        call = calls.setdefault(fragment["index"], {"id": "", "function": {"name": "", "arguments": ""}})
        call["id"] += fragment.get("id", "")
        call["function"]["name"] += fragment["function"].get("name", "")
        call["function"]["arguments"] += fragment["function"].get("arguments", "")
    _same_calls([call for _, call in sorted(calls.items())], said)
    reports = [delta.usage for delta in deltas if delta.usage is not None]
    assert len(reports) == (said.usage is not None)
    _same_usage(reports[0] if reports else None, said)


def _same_calls(calls: Sequence[dict[str, Any]], said: Reading) -> None:
    assert [(c["function"]["name"], json.loads(c["function"]["arguments"] or "{}")) for c in calls] == [
        (name, arguments) for _, name, arguments in said.calls
    ]
    for call, (identity, _, _) in zip(calls, said.calls, strict=True):
        assert call["id"] == identity if identity else call["id"]


def _same_usage(usage: Usage | None, said: Reading) -> None:
    numbers = usage and (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens)
    assert numbers == said.usage


def _same_cost(cost: Cost, said: Reading) -> None:
    """By hand: USD per million tokens, in nano-USD; without usage it is not known, and never nothing."""
    if said.usage is None:
        assert (cost.exact, cost.reason) == (False, "no usage reported")
        return
    full = PRICES["input"] * said.usage[0] + PRICES["output"] * said.usage[1]
    least = full - PRICES["input"] * (said.usage[2] or 0)
    assert (cost.lower, cost.upper) == (least * 1000, full * 1000)


def _fails_as_empty(call: Callable[[], Any]) -> None:
    with pytest.raises(HFRouterError) as caught:
        call()
    assert caught.value.__cause__.kind == "empty_answer"


@pytest.mark.skipif(not recorded(), reason=ABSENT)
def test_the_recordings_hold_every_kind_of_chat_answer() -> None:
    assert all(recorded(kind) for kind in ("unary", "stream", "error"))

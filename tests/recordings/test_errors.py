"""Every recorded error answer: what the router makes of it, and what the caller gets."""

from __future__ import annotations

import pickle

import pytest

import hfrouter
from hfrouter import HFRouterError
from hfrouter.routing.verdict import judge
from hfrouter.wire.problem import problem_of, read_problem
from tests.recordings.cassettes import Exchange
from tests.recordings.reading import meaning
from tests.recordings.replayed import replay
from tests.recordings.test_chat import each
from tests.wire.replay import Server


@each("error")
def test_a_recorded_error_is_judged_by_whom_it_speaks_about(exchange: Exchange) -> None:
    if exchange.status < 400:
        problem = problem_of(_only_event(exchange))
    else:
        problem = read_problem(exchange.status, exchange.headers, exchange.body, 0.0)
    judgement = judge(problem)
    assert (judgement.kind, judgement.scope.name, judgement.verdict.name) == meaning(exchange)[:3]


@each("error")
def test_a_recorded_error_reaches_the_caller_as_the_right_error(exchange: Exchange, server: Server) -> None:
    replayed = replay(server, exchange)
    with pytest.raises(HFRouterError) as caught:
        replayed.router.chat(**replayed.call)
    error, (kind, _, _, name) = caught.value, meaning(exchange)
    assert type(error) is getattr(hfrouter, name)
    assert error.__cause__.kind == kind
    assert len(error.attempts) == len(replayed.place.asked) == 1
    assert error.attempts[0].outcome == kind
    assert exchange.status == 200 or error.status_code == exchange.status
    assert exchange.status == 200 or error.attempts[0].cost.usd == 0
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@each("error")
def test_a_recorded_error_fails_a_stream_before_its_first_delta(exchange: Exchange, server: Server) -> None:
    replayed = replay(server, exchange, "bytes")
    with pytest.raises(HFRouterError) as caught:
        replayed.router.stream(**replayed.call)
    assert type(caught.value) is getattr(hfrouter, meaning(exchange)[3])


@each("error")
def test_the_retry_after_of_a_recorded_error_is_read(exchange: Exchange) -> None:
    judgement = judge(read_problem(exchange.status, exchange.headers, exchange.body, 0.0))
    said = exchange.headers.get("retry-after")
    estimate = (exchange.json or {}).get("estimated_time")
    expected = estimate if estimate is not None else float(said) if said and exchange.status >= 429 else None
    assert judgement.retry_after == expected


def _only_event(exchange: Exchange) -> dict[str, object]:
    import json

    found: dict[str, object] = json.loads(exchange.body.decode().strip().removeprefix("data:"))
    return found

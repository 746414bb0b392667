"""Money where it is easy to get wrong: reports that say too little, bounds that miss something, ends told twice."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time
import weakref
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hfrouter import AttemptEvent, Budget, BudgetExceeded, CallEvent, ConfigurationError, Endpoint, Policy, Router
from hfrouter.cost.budget import Refused, limits_for
from hfrouter.cost.holds import Holds
from hfrouter.cost.price import Cost
from hfrouter.cost.sqlite import SQLiteLedger
from hfrouter.routing.target import Target
from hfrouter.simulator import Fault, Simulator
from hfrouter.wire.request import Request
from hfrouter.wire.writer import Writer
from tests.cost.entries import pending, settled

MODEL = "openai/gpt-oss-120b"
MINI = "sentence-transformers/all-MiniLM-L6-v2"
TARGET = Target("org/m", "p", input_price=Decimal(1), output_price=Decimal(1))


class Told(BaseHTTPRequestHandler):
    """Answers with the events it was given, and ends the body there."""

    events: tuple[Any, ...] = ()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in self.events)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def told() -> Iterator[Endpoint]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Told) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Endpoint(f"http://127.0.0.1:{server.server_port}/v1", name="own", input_price=1, output_price=1)
        server.shutdown()
        thread.join()


def event(text: str, usage: Any = None, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}], "usage": usage}


def test_a_report_of_no_tokens_for_an_answer_is_none(told: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    monkeypatch.setattr(Told, "events", (event("391"), event("", nothing, "stop")))
    with Router(ledger="memory", endpoints=[told]) as router:
        answer = router.chat(model="org/m:own", messages="hi")
    assert not answer.cost.exact, answer.cost


@pytest.mark.parametrize("last", [None, {"prompt_tokens": 10, "completion_tokens": -5}], ids=["none", "unusable"])
def test_a_report_from_before_the_rest_of_the_answer_is_no_exact_cost(
    told: Endpoint, monkeypatch: pytest.MonkeyPatch, last: Any
) -> None:
    first = event("The answer", {"prompt_tokens": 10, "completion_tokens": 1})
    monkeypatch.setattr(Told, "events", (first, event(" is 391, as is easily seen.", last), event("", None, "stop")))
    with Router(ledger="memory", endpoints=[told]) as router:
        answer = router.chat(model="org/m:own", messages="hi")
    assert not answer.cost.exact, answer.cost
    assert answer.cost.lower >= 11_000


@pytest.mark.parametrize("asked", [{"max_tokens": 10, "max_completion_tokens": 4000}])
def test_of_two_limits_of_output_the_larger_one_is_the_bound(asked: dict[str, int]) -> None:
    bound = Request.make("hi", asked).bound_for(TARGET)
    assert bound is not None
    assert bound[1] == 4000


def test_a_picture_in_a_tuple_is_a_picture() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}
    request = Request.make([{"role": "user", "content": (picture,)}], {})
    assert request.bound_for(TARGET) is None


def test_a_ceiling_for_images_bounds_no_film() -> None:
    film = {"type": "video_url", "video_url": {"url": "https://example.org/cat.mp4"}}
    request = Request.make([{"role": "user", "content": [film]}], {})
    assert request.bound_for(TARGET, 1000) is None


def test_an_embedding_that_is_billed_by_time_cannot_pass_a_budget_unseen(sim: Simulator) -> None:
    budget, prices = Budget("0.000002"), {MINI: ("0.0000001", 0)}
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory", budgets=[budget], prices=prices) as router:
        for _ in range(40):
            try:
                router.embed(["Hello"], model=MINI)
            except BudgetExceeded:
                break
        (state,) = router.budgets()
        assert state.spent + state.held + state.unsettled <= state.limit, str(state)


async def test_an_answer_of_the_ledger_that_comes_with_the_deadline_holds_nothing(tmp_path: Path) -> None:
    budget, entry = Budget("1"), pending(cost=pending().cost)
    writer = Writer(SQLiteLedger(tmp_path / "ledger.sqlite3"), [budget])

    async def busy() -> None:
        time.sleep(0.5)  # noqa: ASYNC251 (what blocks the loop is the point)

    refused, _ = await asyncio.gather(writer.begin(entry, 0.2), busy(), return_exceptions=True)
    writer.entries()
    writer.entries()
    (limit,) = limits_for([budget], entry, writer.keeper.run)
    held = writer.keeper.standing(limit).held
    writer.close()
    assert not (isinstance(refused, Refused) and held), (refused, held)


def test_a_stream_that_is_collected_while_money_is_held_does_not_lock_the_holds_for_ever() -> None:
    budget, holds = Budget("1"), Holds()

    class Cycle:
        def __init__(self) -> None:
            self.me = self

    def work() -> None:
        for _ in range(50):
            first, second = pending(), pending()
            limits = limits_for([budget], first, "run")
            holds.reserve(first, limits, first.started_ms + 10**6)
            dropped = Cycle()
            weakref.finalize(dropped, holds.settle, settled(first, cost=Cost(0, 0)), limits)
            del dropped
            holds.reserve(second, limits, second.started_ms + 10**6)
        done.set()

    done, before = threading.Event(), gc.get_threshold()
    gc.set_threshold(1)
    try:
        threading.Thread(target=work, daemon=True).start()
        assert done.wait(10)
    finally:
        gc.set_threshold(*before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
async def test_a_child_that_drops_a_stream_of_its_parent_leaves_its_row_alone(sim: Simulator, tmp_path: Path) -> None:
    router = Router(base_url=sim.base_url, token=sim.token, ledger=tmp_path / "l.sqlite3", policy=Policy(only=["groq"]))
    stream = await router.astream(model=MODEL, messages="hi")
    child = os.fork()
    if child == 0:
        try:
            del stream
            gc.collect()
            router.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)  # noqa: ASYNC222 (the loop has nothing else to do)
    (row,) = router.entries()
    async for _ in stream:
        pass
    (after,) = router.entries()
    await router.aclose()
    assert row.outcome == "pending"
    assert after.outcome == "ok"


def test_an_attempt_at_an_own_endpoint_is_billed_to_nobody_in_events_either(
    told: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Told, "events", (event("391", {"prompt_tokens": 9, "completion_tokens": 1}, "stop"),))
    events: list[Any] = []
    with Router(ledger="memory", endpoints=[told], bill_to="acme", on_event=events.append) as router:
        answer = router.chat(model="org/m:own", messages="hi")
        (row,) = router.entries(answer.id)
    (attempt,) = [each for each in events if isinstance(each, AttemptEvent)]
    assert attempt.billed == row.billed


def test_an_object_with_an_asynchronous_call_is_no_hook() -> None:
    class Later:
        async def __call__(self, event: object) -> None: ...

    with pytest.raises(ConfigurationError):
        Router(ledger="memory", on_event=Later())


def test_attempts_at_a_batch_that_was_halved_are_among_the_attempts_of_the_call(sim: Simulator) -> None:
    events: list[Any] = []
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory", on_event=events.append) as router:
        sim.fail("hf-inference", Fault.status(413))
        done = router.embed(["one", "two"], model=MINI)
        (call,) = [each for each in events if isinstance(each, CallEvent)]
        assert [attempt.outcome for attempt in call.attempts] == ["batch_too_large", "ok", "ok"]
        assert done.attempts == call.attempts
        assert done.total == call.total
        assert len(router.entries()) == sum(len(router.entries(part)) for part in done.calls)

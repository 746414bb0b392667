"""A router's hooks hear of every attempt and every call once, on the caller's thread, whatever the ending."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import gc
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import hfrouter
from hfrouter import AttemptEvent, Budget, BudgetWarning, CallEvent, ConfigurationError, Policy, Router, Total
from hfrouter.cost.price import nano_of
from hfrouter.simulator import Fault, Simulator

MODEL = "openai/gpt-oss-120b"
EMBEDDER = "BAAI/bge-small-en-v1.5"
ASK: dict[str, Any] = {"model": MODEL, "messages": "What is 17 * 23?"}
LONG: dict[str, Any] = {"model": MODEL, "messages": "Count from 1 to 400."}
SECRETS = ("hf_secret", "xylophone", "acme-industries")
who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


class Seen(list[Any]):
    """A hook that keeps the events, and where it ran."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[threading.Thread] = []
        self.whos: list[str] = []

    def __call__(self, event: object) -> None:
        self.append(event)
        self.threads.append(threading.current_thread())
        self.whos.append(who.get())

    @property
    def calls(self) -> list[CallEvent]:
        return [event for event in self if isinstance(event, CallEvent)]

    @property
    def attempts(self) -> list[AttemptEvent]:
        return [event for event in self if isinstance(event, AttemptEvent)]


@pytest.fixture
def seen(router: Router) -> Iterator[Seen]:
    hook = Seen()
    stop = router.listen(hook)
    yield hook
    stop()


def streamed(router: Router, **ask: Any) -> Any:
    with router.stream(**ask) as stream:
        list(stream)
    return stream.completion()


def achatted(router: Router, **ask: Any) -> Any:
    return asyncio.run(router.achat(**ask))


def astreamed(router: Router, **ask: Any) -> Any:
    async def read() -> Any:
        async with await router.astream(**ask) as stream:
            _ = [delta async for delta in stream]
        return stream.completion()

    return asyncio.run(read())


WAYS: dict[str, Callable[..., Any]] = {
    "chat": lambda router, **ask: router.chat(**ask),
    "stream": streamed,
    "achat": achatted,
    "astream": astreamed,
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return WAYS[request.param]


def test_an_answer_is_told_with_the_objects_of_the_result(
    router: Router, sim: Simulator, seen: Seen, way: Callable[..., Any]
) -> None:
    sim.fail("groq", Fault.rate_limited())
    token = who.set("ann")
    answer = way(router, **ASK, tags={"user": "ann"}, session="s-7")
    who.reset(token)
    assert [type(event) for event in seen] == [AttemptEvent, AttemptEvent, CallEvent]
    assert set(seen.threads) == {threading.current_thread()}
    assert set(seen.whos) == {"ann"}
    (call,) = seen.calls
    assert all(one is other for one, other in zip(call.attempts, answer.attempts, strict=True))
    assert all(one is other.attempt for one, other in zip(call.attempts, seen.attempts, strict=True))
    assert call.events == tuple(seen.attempts)
    assert (call.call, call.outcome, call.error, call.operation) == (answer.id, "ok", None, "chat")
    assert (call.requested, call.model, call.provider) == (MODEL, MODEL, answer.provider)
    assert (call.total, call.cost, call.usage) == (answer.total, Total.of([answer.cost]), answer.usage)
    assert call.total.known == nano_of(sim.bill().total)
    assert {event.tags for event in seen} == {(("user", "ann"),)}
    assert {event.session for event in seen} == {"s-7"}
    assert {event.server for event in seen} == {"127.0.0.1"}


def test_an_attempt_lies_within_its_call_and_after_the_one_before(
    router: Router, sim: Simulator, seen: Seen, way: Callable[..., Any]
) -> None:
    sim.fail("groq", Fault.rate_limited())
    way(router, **ASK)
    (call,) = seen.calls
    first, second = call.events
    assert call.start_ns <= first.start_ns <= first.end_ns <= second.start_ns + 1_000_000
    assert second.end_ns <= call.end_ns
    assert call.seconds == pytest.approx((call.end_ns - call.start_ns) / 1e9)
    for event, row in zip(call.events, router.entries(call.call), strict=True):
        assert abs(event.start_ns // 1_000_000 - row.started_ms) < 1_000


def test_a_failed_call_is_told_and_raises(router: Router, sim: Simulator, seen: Seen, way: Callable[..., Any]) -> None:
    sim.fail("groq", Fault.rate_limited(), times=None)
    with pytest.raises(hfrouter.RouteExhausted) as caught:
        way(router, **ASK, policy=Policy(only="groq", attempts=1))
    (call,) = seen.calls
    assert (call.outcome, call.error, call.provider) == ("failed", "RouteExhausted", "groq")
    assert call.attempts == caught.value.attempts
    assert (call.usage, call.cost.known, call.total.usd) == (None, 0, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "no such model"},
        {"model": "nobody/serves-it"},
        {"messages": []},
        {"session": "a\nb"},
        {"provider": {"onyl": ["groq"]}},
    ],
)
def test_a_refused_call_is_told_without_what_was_asked(
    router: Router, sim: Simulator, seen: Seen, way: Callable[..., Any], wrong: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError):
        way(router, **{**ASK, **wrong})
    (call,) = seen.calls
    assert (call.outcome, call.error, call.events) == ("failed", "ConfigurationError", ())
    assert call.requested in ("", MODEL, "nobody/serves-it")
    assert call.total == Total.of([])
    assert not router.entries()


@pytest.mark.parametrize("wrong", [{"a b": "x"}, {"user": "ann\nbob"}, {"user": 7}, ["user"], "user=ann"], ids=repr)
def test_a_malformed_tag_is_refused_before_anything_is_sent(
    router: Router, sim: Simulator, seen: Seen, way: Callable[..., Any], wrong: Any
) -> None:
    with pytest.raises(ConfigurationError, match="tag"):
        way(router, **ASK, tags=wrong)
    assert not sim.exchanges
    assert not seen


def test_embeddings_are_one_call_whose_batches_are_all_in_it(router: Router, sim: Simulator, seen: Seen) -> None:
    sim.fail("hf-inference", Fault.status(503))
    done = router.embed([f"text {number}" for number in range(70)], model=EMBEDDER, tags={"run": "7"})
    asyncio.run(router.aembed(["one"], model=EMBEDDER))
    first, second = seen.calls
    assert (first.operation, first.outcome, first.call) == ("embeddings", "ok", done.calls[0])
    assert sorted(map(id, first.attempts)) == sorted(map(id, done.attempts))
    assert (first.cost, first.total) == (done.cost, done.total)
    assert len({event.call for event in first.events}) == 3
    assert {row.tags for row in router.entries() if row.call in done.calls} == {(("run", "7"),)}
    assert second.tags == ()
    with pytest.raises(ConfigurationError):
        router.embed(["a", 7], model=EMBEDDER)  # type: ignore[list-item]
    router.embed([], model=EMBEDDER)
    assert [(call.outcome, call.requested) for call in seen.calls[2:]] == [("failed", ""), ("ok", EMBEDDER)]


# -- streams -----------------------------------------------------------------------------------------------------------


def test_a_stream_is_told_when_its_reader_has_its_end_and_not_before(router: Router, seen: Seen) -> None:
    stream = router.stream(**ASK)
    _wait_for(lambda: bool(stream.attempts))  # it is read ahead
    next(stream)
    assert not seen
    assert list(stream)
    assert [call.outcome for call in seen.calls] == ["ok"]


def test_a_broken_stream_is_told_with_its_bounds(router: Router, sim: Simulator, seen: Seen) -> None:
    sim.fail("groq", Fault.cut_after(20))
    with pytest.raises(hfrouter.StreamInterrupted) as caught:
        list(router.stream(**LONG, provider={"only": ["groq"]}))
    (call,) = seen.calls
    assert (call.outcome, call.error, call.provider) == ("interrupted", "StreamInterrupted", "groq")
    assert call.total == Total.of([caught.value.cost])
    assert call.cost == Total.of([])
    assert not call.total.usd


def test_a_stream_that_is_left_is_told_at_once(router: Router, seen: Seen) -> None:
    for _delta in router.stream(**LONG):
        break
    assert [(call.outcome, call.error, len(call.events)) for call in seen.calls] == [("abandoned", None, 1)]
    assert set(seen.threads) == {threading.current_thread()}


async def test_an_asynchronous_stream_that_is_left_is_told_at_once(router: Router, seen: Seen) -> None:
    async with await router.astream(**LONG) as stream:
        await anext(stream)  # type: ignore[arg-type]
    assert [(call.outcome, len(call.events)) for call in seen.calls] == [("abandoned", 1)]
    assert set(seen.threads) == {threading.current_thread()}


@pytest.mark.parametrize("end", ["close", "chat"])
def test_a_dropped_stream_is_told_by_the_next_call_or_by_close(router: Router, seen: Seen, end: str) -> None:
    stream = router.stream(**LONG)
    del stream
    gc.collect()
    _wait_for(lambda: router.entries()[0].outcome == "abandoned")
    assert not seen.calls
    if end == "close":
        router.close()
        assert [call.outcome for call in seen.calls] == ["abandoned"]
    else:
        router.chat(**ASK)
        assert [call.outcome for call in seen.calls] == ["abandoned", "ok"]
    assert set(seen.threads) == {threading.current_thread()}


async def test_a_dropped_asynchronous_stream_is_told_by_the_next_call(router: Router, seen: Seen) -> None:
    stream = await router.astream(**LONG)
    del stream
    gc.collect()
    await asyncio.sleep(0.05)
    await router.achat(**ASK)
    assert [call.outcome for call in seen.calls] == ["abandoned", "ok"]


def test_a_stream_read_elsewhere_is_told_there_with_the_tags_of_its_call(router: Router, seen: Seen) -> None:
    token = who.set("ann")
    with hfrouter.tags(user="ann"):
        stream = router.stream(**ASK)
    who.reset(token)
    reader = threading.Thread(target=lambda: list(stream), name="reader")
    reader.start()
    reader.join()
    (call,) = seen.calls
    assert call.tags == (("user", "ann"),)
    assert seen.threads[-1] is reader
    assert seen.whos[-1] == "ann"


async def test_a_cancelled_call_is_told_as_cancelled(router: Router, sim: Simulator, seen: Seen) -> None:
    sim.fail("groq", Fault.hang())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await router.achat(**ASK, provider={"only": ["groq"]})
    (call,) = seen.calls
    assert (call.outcome, call.error) == ("cancelled", "CancelledError")
    assert [attempt.outcome for attempt in call.attempts] == ["abandoned"]
    assert call.total.unknown == 1


# -- hooks -------------------------------------------------------------------------------------------------------------


def test_a_hook_that_raises_fails_no_call_and_is_logged_once_without_what_it_said(
    router: Router, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: object) -> None:
        raise ValueError("xylophone")

    stop = router.listen(broken)
    with caplog.at_level(logging.DEBUG, "hfrouter"):
        assert router.chat(**ASK).text
        assert router.chat(**ASK).text
    stop()
    records = [record for record in caplog.records if "hook" in record.getMessage()]
    assert [(record.name, record.levelname) for record in records] == [("hfrouter", "WARNING")]
    assert "ValueError at " in records[0].getMessage()
    assert "xylophone" not in caplog.text
    assert len(seen.calls) == 2


def test_a_hook_may_call_the_router_and_is_not_told_of_that(router: Router, seen: Seen) -> None:
    asked: list[str] = []

    def curious(event: object) -> None:
        if isinstance(event, CallEvent):
            asked.append(router.chat(**ASK).id)

    stop = router.listen(curious)
    with router.track() as spent:
        first = router.chat(**ASK)
    stop()
    router.chat(**ASK)
    assert len(asked) == 1
    assert [call.call for call in seen.calls][:1] == [first.id]
    assert len(seen.calls) == 2
    assert spent.calls == 2  # money is counted all the same


@pytest.mark.parametrize("wrong", [7, "print", None])
def test_a_hook_is_a_plain_function(router: Router, wrong: Any) -> None:
    async def asynchronous(event: object) -> None: ...

    for hook in (wrong, asynchronous):
        with pytest.raises(ConfigurationError, match="plain function"):
            router.listen(hook)


def test_a_router_takes_its_hook_when_it_is_made_and_a_pickle_forgets_it(sim: Simulator) -> None:
    heard: list[object] = []
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory", on_event=lambda e: heard.append(e)) as router:
        router.chat(**ASK)
        assert len(heard) >= 2
        copy = pickle.loads(pickle.dumps(router))
    assert copy._outbox.hooks == ()


def test_a_warning_of_a_budget_is_told_on_the_callers_thread_too(sim: Simulator) -> None:
    seen = Seen()
    limits = {"budgets": [Budget("0.01", warn=["0.0001"])], "policy": Policy(order=["groq"])}
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory", on_event=seen, **limits) as router:
        router.chat(**ASK, max_tokens=300)
    assert [type(event) for event in seen if not isinstance(event, AttemptEvent | CallEvent)] == [BudgetWarning]
    assert set(seen.threads) == {threading.current_thread()}


async def test_many_calls_at_once_are_each_told_once_within_their_own_context(router: Router, seen: Seen) -> None:
    async def ask(number: int) -> str:
        who.set(str(number))
        return (await router.achat(**ASK, tags={"n": str(number)})).id

    ids = await asyncio.gather(*map(ask, range(40)))
    assert sorted(call.call for call in seen.calls) == sorted(ids)
    assert all(dict(event.tags)["n"] == told for event, told in zip(seen, seen.whos, strict=True))
    assert set(seen.threads) == {threading.current_thread()}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_was_left_before_a_fork_is_the_parents_to_tell(sim: Simulator) -> None:
    where = f"base_url={sim.base_url!r}, token={sim.token!r}, ledger='memory'"
    script = (
        "import gc, os, time, hfrouter\n"
        "seen = []\n"
        f"router = hfrouter.Router({where}, on_event=seen.append)\n"
        "with router.track() as spent:\n"
        f"    stream = router.stream(model={MODEL!r}, messages='Count from 1 to 400.')\n"
        "del stream\n"
        "while not spent.calls:\n"
        "    time.sleep(0.01)\n"
        "child = os.fork()\n"
        f"router.chat(model={MODEL!r}, messages='What is 17 * 23?')\n"
        "told = [event.outcome for event in seen if isinstance(event, hfrouter.CallEvent)]\n"
        "os.write(1, f'{told} {spent}\\n'.encode())  # one write, so that two processes do not mix their lines\n"
        "os._exit(0) if not child else os.waitpid(child, 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    told = sorted(line.partition("]")[0] for line in done.stdout.splitlines())
    assert told == ["['abandoned', 'ok'", "['ok'"], done


def test_events_are_frozen_pickle_and_hold_no_secret(sim: Simulator) -> None:
    seen = Seen()
    sim.fail("groq", Fault.cut_after(5))
    router = Router(base_url=sim.base_url, token=sim.token, ledger="memory", bill_to="acme-industries", on_event=seen)
    with router:
        messages = "The secret word is xylophone. What is the secret word?"
        assert "xylophone" in router.chat(model=MODEL, messages=messages).text
        assert "xylophone" in streamed(router, model=MODEL, messages=messages).text
    assert len({event.billed for event in seen}) == 1
    assert seen.calls[0].billed
    for event in seen:
        with pytest.raises(dataclasses.FrozenInstanceError):
            event.tags = ()
        assert pickle.loads(pickle.dumps(event)) == event
        shown = repr(event) + repr(pickle.dumps(event)) + str(dataclasses.asdict(event))
        assert not [secret for secret in (*SECRETS, sim.token) if secret in shown]


def _wait_for(true: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(300):
        if true():
            return
        done.wait(0.01)
    raise AssertionError("it did not come")

"""`Router.track` and `Router.spending`: what was spent, live and afterwards, to the nano-dollar."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import hfrouter
from hfrouter import Policy, Router, Total
from hfrouter.cost.price import nano_of
from hfrouter.simulator import Fault, Simulator

MODEL = "openai/gpt-oss-120b"
EMBEDDER = "BAAI/bge-small-en-v1.5"
ASK: dict[str, Any] = {"model": MODEL, "messages": "What is 17 * 23?"}
LONG: dict[str, Any] = {"model": MODEL, "messages": "Count from 1 to 400."}


def rows_of(router: Router, **wanted: str) -> Total:
    return Total.of(row.cost for row in router.entries() if set(wanted.items()) <= set(row.tags))


def test_the_totals_are_those_of_the_ledger_and_the_bill(router: Router, sim: Simulator) -> None:
    sim.fail("groq", Fault.rate_limited())
    router.chat(**ASK)
    with router.track(user="ann") as spent:
        sim.fail("novita", Fault.rate_limited())
        sim.fail("groq", Fault.cut_after(10))
        first = router.chat(**ASK)
        assert (spent.calls, spent.attempts) == (1, len(first.attempts))
        with router.stream(**ASK) as stream:
            list(stream)
        third = asyncio.run(router.achat(**ASK))
    router.chat(**ASK)
    assert spent.calls == 3
    assert spent.total == rows_of(router, user="ann")
    assert spent.attempts == len([row for row in router.entries() if row.tags])
    assert spent.cost == Total.of([first.cost, stream.completion().cost, third.cost])
    assert spent.usage.input_tokens == sum(row.usage.input_tokens for row in router.entries() if row.tags and row.usage)
    assert spent.providers == router.spending(tags={"user": "ann"})


def test_a_call_that_fails_and_one_that_is_refused_count(router: Router, sim: Simulator) -> None:
    sim.fail("groq", Fault.cut_after(0), times=None)
    with router.track() as spent:
        with pytest.raises(hfrouter.RouteExhausted) as caught:
            router.chat(**ASK, policy=Policy(only="groq", attempts=2))
        with pytest.raises(hfrouter.ConfigurationError):
            router.chat(model="nobody/serves-it", messages="Hello")
    assert (spent.calls, spent.attempts) == (2, len(caught.value.attempts))
    assert spent.total == Total.of(attempt.cost for attempt in caught.value.attempts)
    assert spent.cost == Total.of([])
    assert "not exact" in str(spent) or "unknown" in str(spent)


@pytest.mark.parametrize("ending", ["left", "dropped", "broken"])
def test_a_stream_counts_when_it_ends_however_that_is(router: Router, sim: Simulator, ending: str) -> None:
    if ending == "broken":
        sim.fail("groq", Fault.cut_after(20))
    with router.track() as spent:
        stream = router.stream(**LONG, provider={"only": ["groq"]})
        if ending == "left":
            for _delta in stream:
                break
        elif ending == "broken":
            with pytest.raises(hfrouter.StreamInterrupted):
                list(stream)
        del stream
        gc.collect()
    waited = threading.Event()
    while not spent.calls:
        waited.wait(0.01)
    assert (spent.calls, spent.attempts) == (1, 1)
    assert spent.total == rows_of(router)
    assert not spent.total.usd


def test_inner_totals_are_part_of_outer_ones_and_other_routers_are_not(router: Router, sim: Simulator) -> None:
    other = Router(base_url=sim.base_url, token=sim.token, ledger="memory", seed=0)
    with router.track(user="ann") as outer:
        router.chat(**ASK)
        with router.track(feature="search") as inner:
            router.chat(**ASK)
            other.chat(**ASK)
    assert (outer.calls, inner.calls) == (2, 1)
    assert inner.total == rows_of(router, user="ann", feature="search")
    assert outer.total == rows_of(router, user="ann")
    assert other.entries()[0].tags == (("feature", "search"), ("user", "ann"))
    other.close()


async def test_threads_and_tasks_that_inherit_the_context_are_inside(router: Router) -> None:
    with router.track(user="ann") as spent:
        tasks = [asyncio.create_task(router.achat(**ASK)) for _ in range(8)]
        await asyncio.to_thread(router.chat, **ASK)
        await asyncio.to_thread(lambda: list(router.stream(**ASK)))
        bare = threading.Thread(target=lambda: router.chat(**ASK))
        bare.start()
        await asyncio.to_thread(bare.join)
    await asyncio.gather(*tasks)
    assert spent.calls == 10
    assert spent.total == rows_of(router, user="ann")
    assert len([row for row in router.entries() if not row.tags]) == 1


def test_the_sums_hold_at_every_moment_of_many_threads(router: Router, sim: Simulator) -> None:
    sim.fail("groq", Fault.rate_limited(), times=10)
    with router.track(user="ann") as spent, ThreadPoolExecutor(8) as pool:
        contexts = [contextvars.copy_context() for _ in range(60)]
        work = [pool.submit(context.run, lambda: router.chat(**ASK)) for context in contexts]
        while not all(each.done() for each in work):
            total = spent.total
            assert total.lower == total.known <= 60 * 1_000_000
    assert (spent.calls, spent.total) == (60, rows_of(router, user="ann"))
    assert spent.total.known == nano_of(sim.bill().total)


def test_what_means_something_to_sql_is_text_in_the_ledger(sim: Simulator, tmp_path: Path) -> None:
    users = ["'; DROP TABLE attempts; --", '" OR "1"="1', "%", "?1", "ann\\", "Zoë 😀"]
    with Router(base_url=sim.base_url, token=sim.token, ledger=tmp_path / "l.sqlite3", seed=0) as router:
        for user in users:
            router.chat(**ASK, tags={"user": user, "x.y-z": user})
        assert set(router.spending(by="user")) == set(router.spending(by="x.y-z")) == set(users)
        assert [dict(row.tags)["user"] for row in router.entries()] == users
        for user in users:
            assert len(router.spending(by="call", tags={"user": user})) == 1


def test_embeddings_count_too(router: Router) -> None:
    with router.track() as spent:
        done = router.embed([f"text {number}" for number in range(70)], model=EMBEDDER)
    assert (spent.calls, spent.attempts) == (1, len(done.attempts))
    assert (spent.total, spent.cost) == (done.total, done.cost)


def test_spending_is_answered_by_a_later_process(sim: Simulator, tmp_path: Path) -> None:
    """The one that spent is killed without a word, with a call on the way."""
    path = tmp_path / "ledger.sqlite3"
    script = (
        "import os, hfrouter\n"
        f"router = hfrouter.Router(base_url={sim.base_url!r}, token={sim.token!r}, ledger={str(path)!r}, seed=0)\n"
        "for number, user in enumerate(('ann', 'bob', 'ann')):\n"
        f"    router.chat(model={MODEL!r}, messages=f'What is {{number}} + 2?', tags={{'user': user}})\n"
        f"stream = router.stream(model={MODEL!r}, messages='Count from 1 to 400.', tags={{'user': 'eve'}})\n"
        "next(stream)\n"
        "os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=60, env=dict(os.environ))
    assert done.returncode == 9
    with Router(base_url=sim.base_url, token=sim.token, ledger=path) as router:
        found = router.spending(by="user")
        (day,) = router.spending(by="day").values()
    assert list(found) == ["ann", "bob", "eve"]
    bill = [nano_of(line.cost) for line in sim.bill()]
    assert found["ann"].known == bill[0] + bill[2]
    assert found["bob"].known == bill[1]
    assert (found["eve"].unknown, found["eve"].lower) == (1, 0)
    assert found["eve"].upper
    assert day.unknown == 1


DOCS = Path(__file__).resolve().parents[2] / "docs" / "events.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_a_snippet_of_the_documentation_runs(
    number: int, sim: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "telemetry" in SNIPPETS[number]:
        pytest.importorskip("opentelemetry.trace")
    monkeypatch.setenv("HF_TOKEN", sim.token)
    monkeypatch.setenv("HF_ENDPOINT", sim.url)
    monkeypatch.setattr("hfrouter.router.HF_ROUTER", sim.base_url)
    names: dict[str, Any] = {"__name__": "docs"}
    exec(compile(SNIPPETS[number], f"events.md, snippet {number}", "exec"), names)
    names["router"].close()
    assert "391" in capsys.readouterr().out

"""One model in many threads, loops and batches."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hfrouter.simulator import Fault, Simulator


def test_one_model_works_in_loop_after_loop(chat: Any) -> None:
    model = chat()
    for number in range(4):
        assert asyncio.run(model.ainvoke(f"Repeat: {number}")).text == str(number)

    async def read() -> str:
        return "".join([chunk.text async for chunk in model.astream("Repeat: once more")])

    assert [asyncio.run(read()) for _ in range(2)] == ["once more"] * 2


async def test_the_synchronous_methods_work_inside_a_running_loop(chat: Any) -> None:
    model = chat()
    assert model.invoke("Repeat: one").text == "one"
    assert "".join(chunk.text for chunk in model.stream("Repeat: two")) == "two"
    assert (await model.ainvoke("Repeat: three")).text == "three"


def test_many_threads_share_a_model(chat: Any, sim: Simulator) -> None:
    sim.fail("groq", Fault.rate_limited(), times=10)
    model = chat()

    def ask(number: int) -> str:
        if number % 2:
            return model.invoke(f"Repeat: {number}").text
        return "".join(chunk.text for chunk in model.stream(f"Repeat: {number}"))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(40))) == [str(number) for number in range(40)]
    outcomes = [row.outcome for row in model.active_router.entries()]
    assert outcomes.count("ok") == 40
    # How many meet the rate limit depends on who learns of it first; each that did has its row.
    met = [exchange for exchange in sim.exchanges if exchange.status == 429]
    assert sorted(outcomes) == ["ok"] * 40 + ["rate_limited"] * len(met)
    assert met


def test_the_first_calls_of_many_threads_make_one_router(chat: Any) -> None:
    model = chat()
    start = threading.Barrier(8)

    def router_of(_number: int) -> int:
        start.wait()
        return id(model.active_router)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(router_of, range(8)))) == 1


async def test_batches_come_back_in_order_and_whole(chat: Any, sim: Simulator) -> None:
    sim.fail("groq", Fault.gone(), Fault.rate_limited(), times=3)
    model = chat()
    prompts = [f"Repeat: {number}" for number in range(20)]
    wanted = [str(number) for number in range(20)]
    assert [m.text for m in await model.abatch(prompts, config={"max_concurrency": 5})] == wanted
    sim.fail("groq", Fault.gone(), Fault.rate_limited(), times=3)
    answers = await asyncio.to_thread(model.batch, prompts, config={"max_concurrency": 5})
    assert [m.text for m in answers] == wanted
    costs = sum(int(float(m.response_metadata["cost"]) * 10**9 + 0.5) for m in answers)
    assert costs > 0


async def test_a_batch_gives_failures_back_as_errors_of_both_trees(chat: Any, sim: Simulator) -> None:
    from langchain_hfrouter import HFRouterInvalidRequestError

    sim.fail("groq", Fault.status(400))
    answers = await chat().abatch(["Repeat: a", "Repeat: b"], return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["AIMessage", HFRouterInvalidRequestError.__name__]


async def test_a_shared_model_streams_to_many_readers_at_once(chat: Any) -> None:
    model = chat()

    async def read(number: int) -> str:
        return "".join([chunk.text async for chunk in model.astream(f"Repeat: {number}")])

    assert await asyncio.gather(*map(read, range(20))) == [str(number) for number in range(20)]

"""Cancellation and company: whoever gives up, however often, nothing stays open, pending or blamed on a provider."""

from __future__ import annotations

import asyncio
import random
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from hfrouter import HFRouterError, Policy, Router
from hfrouter.simulator import Fault, Simulator
from hfrouter.wire import http

MODEL = "openai/gpt-oss-120b"
ASK: dict[str, Any] = {"model": f"{MODEL}:groq", "messages": "What is 17 * 23?"}


def free_slots() -> int:
    held = http._held[asyncio.get_running_loop()]
    return held[1].slots._value


async def settled(router: Router) -> set[str]:
    """The outcomes of all rows, once none is pending; gives up after 3 s."""
    for _ in range(300):
        outcomes = {row.outcome for row in router.entries()}
        if "pending" not in outcomes:
            break
        await asyncio.sleep(0.01)
    return outcomes


@pytest.mark.parametrize("stubborn", [False, True], ids=["once", "again and again"])
async def test_a_call_cancelled_at_any_moment_gives_back_everything(
    stubborn: bool, sim: Simulator, router: Router
) -> None:
    """As by `asyncio.timeout`, and as by anyio's scopes, which cancel on every tick until the task ends."""
    await router.achat(**ASK)
    before = free_slots()
    chance = random.Random(0)

    async def call() -> None:
        async with await router.astream(**ASK) as stream:
            async for _ in stream:
                pass

    for number in range(80):
        task = asyncio.create_task(call() if number % 2 else router.achat(**ASK))  # type: ignore[arg-type]
        await asyncio.sleep(chance.uniform(0, 0.008))
        task.cancel()
        while stubborn and not task.done():
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert "pending" not in await settled(router)
    for _ in range(200):
        if free_slots() == before:
            break
        await asyncio.sleep(0.01)
    assert free_slots() == before


class HeldLine(socketserver.StreamRequestHandler):
    """Gives a whole answer and holds the connection open."""

    def handle(self) -> None:
        while head := self.rfile.readline():
            length = 0
            while (line := self.rfile.readline()).strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.rfile.read(length)
            if head.startswith(b"GET"):
                body = b'{"data":[{"id":"a/b","providers":[{"provider":"p"}]}]}'
                self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
                continue
            choice = b'{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}'
            data = b'data: {"choices":[%s]}\n\ndata: [DONE]\n\n' % choice
            kind = b"content-type: text/event-stream\r\ntransfer-encoding: chunked"
            self.wfile.write(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n%x\r\n%s\r\n" % (kind, len(data), data))


@pytest.fixture
def held_line() -> Iterator[str]:
    """A router whose answers are whole, and whose connection is then held open."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), HeldLine) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


async def test_a_cancel_while_the_end_of_a_body_is_awaited_gives_the_slot_back(held_line: str) -> None:
    router = Router(base_url=held_line, token="hf_x", ledger="memory")
    assert (await router.achat(model="a/b", messages="hi")).text == "hi"
    before = free_slots()
    for _ in range(5):
        stream = await router.astream(model="a/b", messages="hi")
        assert (await anext(stream)).text == "hi"
        task = asyncio.create_task(anext(stream))  # type: ignore[arg-type]  # an awaitable like any other
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert free_slots() == before
    await http.close_client()


async def test_waiting_for_a_place_is_on_no_providers_time(sim: Simulator, router: Router) -> None:
    await router.achat(**ASK)
    slots = http._held[asyncio.get_running_loop()][1].slots
    while not slots.locked():
        await slots.acquire()
    call = asyncio.create_task(router.achat(**ASK, policy=Policy(first_content=0.2)))
    await asyncio.sleep(0.5)
    slots.release()
    answer = await call
    assert [attempt.outcome for attempt in answer.attempts] == ["ok"]


async def test_a_call_that_was_never_sent_costs_nothing_and_has_no_row(sim: Simulator, router: Router) -> None:
    await router.achat(**ASK)
    rows = len(router.entries())
    slots = http._held[asyncio.get_running_loop()][1].slots
    while not slots.locked():
        await slots.acquire()
    with pytest.raises(TimeoutError):
        await router.achat(**ASK, timeout=0.3)
    assert len(router.entries()) == rows


@pytest.mark.parametrize("how", ["threads", "tasks", "loops"])
def test_a_second_reader_of_a_stream_is_refused_and_the_first_goes_on(how: str, sim: Simulator, router: Router) -> None:
    sim.fail("groq", Fault.stall_after(2, 0.5, resume=True), times=None)
    if how == "threads":
        stream = router.stream(**ASK)
        refused: list[str] = []

        def second() -> None:
            try:
                while True:
                    next(stream)
            except HFRouterError as error:
                refused.append(str(error))

        thread = threading.Timer(0.1, second)
        thread.start()
        assert "391" in "".join(delta.text for delta in stream)
        thread.join(5)
        assert not thread.is_alive()
        assert "another thread" in refused[0]
        return

    async def main() -> None:
        flow = await router.astream(**ASK)
        texts = [(await anext(flow)).text]

        async def second() -> None:
            async for _ in flow:
                pass

        async def first() -> None:
            texts.extend([delta.text async for delta in flow])

        if how == "tasks":
            reading = asyncio.create_task(first())
            await asyncio.sleep(0.1)
            with pytest.raises(HFRouterError, match="another task"):
                await second()
            await reading
        else:
            with pytest.raises(HFRouterError, match="another event loop"):
                await asyncio.to_thread(asyncio.run, second())
            await first()
        assert "391" in "".join(texts)

    asyncio.run(main())


def test_many_threads_may_each_run_loops_of_their_own(sim: Simulator, router: Router) -> None:
    failures: list[BaseException] = []

    async def ask() -> None:
        assert "391" in (await router.achat(**ASK)).text

    def work() -> None:
        try:
            for _ in range(8):
                asyncio.run(ask())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


async def test_the_first_calls_of_a_loop_share_one_client(sim: Simulator, router: Router) -> None:
    router.targets()
    made: list[object] = []
    original = http._Client.__init__

    def counted(client: http._Client) -> None:
        made.append(client)
        original(client)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http._Client, "__init__", counted)
        await asyncio.gather(*(router.achat(**ASK) for _ in range(30)))
    assert len(made) == 1


def test_outside_asyncio_it_says_so(router: Router) -> None:
    coroutine = router.achat(**ASK)
    with pytest.raises(HFRouterError, match="asyncio"):
        coroutine.send(None)


def test_a_locked_ledger_costs_a_call_no_attempt(sim: Simulator, tmp_path: Any) -> None:
    import sqlite3

    with Router(base_url=sim.base_url, token=sim.token, ledger=tmp_path / "ledger.sqlite3") as router:
        router.chat(**ASK)
        rival = sqlite3.connect(tmp_path / "ledger.sqlite3", isolation_level=None)
        rival.execute("BEGIN IMMEDIATE")
        answer = router.chat(**ASK, policy=Policy(first_content=0.3))
        assert [attempt.outcome for attempt in answer.attempts] == ["ok"]
        rival.execute("ROLLBACK")
        rival.close()
        assert [row.outcome for row in router.entries()] == ["ok", "ok"]


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{listener.getsockname()[1]}")

        async def ask() -> str:
            router = Router(base_url=sim.base_url, token=sim.token, ledger="memory")
            return (await router.achat(**ASK, timeout=5)).text

        assert "391" in asyncio.run(ask())


def test_an_environment_that_breaks_the_client_is_named(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "foo://nowhere")

    async def ask() -> None:
        router = Router(base_url=sim.base_url, token=sim.token, ledger="memory")
        await router.achat(**ASK)

    with pytest.raises(HFRouterError, match="proxy variables"):
        asyncio.run(ask())

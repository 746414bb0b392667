"""One process, many ways to live in it: loops, threads, forks, pickles, exits. No error, no leak, no warning."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hfrouter import (
    AttemptFailed,
    ConfigurationError,
    Cost,
    HFRouterError,
    NoTargetAvailable,
    RouteExhausted,
    Router,
    StreamInterrupted,
)
from hfrouter.simulator import Fault, Simulator

MODEL = "openai/gpt-oss-120b"

PREAMBLE = """
import asyncio, gc, logging, os, sys, threading, time
# Debug mode tells of callbacks that took 0.1 s, which on a busy machine is any.
logging.getLogger("asyncio").addFilter(lambda record: "Executing" not in record.getMessage())
from hfrouter import Policy, Router
MODEL = "openai/gpt-oss-120b"
router = Router(base_url=sys.argv[1], token="hf_simulated", ledger=sys.argv[2], policy=Policy(order=["groq"]))
ASK = dict(model=MODEL, messages="What is 17 * 23?")
def fds():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
"""

SCRIPTS = {
    "four asyncio.run in a row": """
async def main():
    assert "391" in (await router.achat(**ASK)).text
    async with await router.astream(**ASK) as stream:
        assert "391" in "".join([delta.text async for delta in stream])
for _ in range(4):
    asyncio.run(main())
""",
    "many asyncio.run leak nothing": """
async def main():
    assert "391" in (await router.achat(**ASK)).text
asyncio.run(main())
before = fds()
for _ in range(30):
    asyncio.run(main())
gc.collect()
assert fds() <= before + 2, (before, fds())
""",
    "a loop that is closed by hand": """
for _ in range(3):
    loop = asyncio.new_event_loop()
    assert "391" in loop.run_until_complete(router.achat(**ASK)).text
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
""",
    "inside a running loop, synchronously": """
async def main():
    assert "391" in router.chat(**ASK).text
    assert "391" in "".join(delta.text for delta in router.stream(**ASK))
    assert "391" in (await router.achat(**ASK)).text
asyncio.run(main())
""",
    "many calls at once": """
async def main():
    answers = await asyncio.gather(*(router.achat(**ASK) for _ in range(40)))
    assert all("391" in answer.text for answer in answers)
asyncio.run(main())
assert len(router.entries()) == 40
""",
    "threads": """
texts = []
def work():
    texts.append(router.chat(**ASK).text)
    texts.append("".join(delta.text for delta in router.stream(**ASK)))
threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(texts) == 32 and all("391" in text for text in texts)
assert len(router.entries()) == 32 and len({row.id for row in router.entries()}) == 32
""",
    "exit without close after a call": """
router.chat(**ASK)
""",
    "exit with an open stream": """
stream = router.stream(**ASK)
next(stream)
""",
    "exit of asyncio.run with an open stream": """
async def main():
    stream = await router.astream(**ASK)
    await anext(stream)
asyncio.run(main())
""",
    "a call in a thread after the main thread has ended": """
def late():
    threading.main_thread().join()
    assert "391" in router.chat(**ASK).text
    assert "391" in Router(base_url=sys.argv[1].replace("127.0.0.1", "localhost"), token="hf_simulated",
                           ledger="memory").chat(**ASK).text
    print("late")
router.chat(**ASK)
threading.Thread(target=late).start()
""",
    "abandoned streams": """
def sync_break():
    for _ in router.stream(**ASK):
        break
def sync_drop():
    router.stream(**ASK)
def sync_close():
    with router.stream(**ASK) as stream:
        next(stream)
def sync_raise():
    try:
        for _ in router.stream(**ASK):
            raise KeyError
    except KeyError:
        pass
async def async_break():
    async for _ in await router.astream(**ASK):
        break
async def async_drop():
    await router.astream(**ASK)
async def async_close():
    async with await router.astream(**ASK) as stream:
        await anext(stream)
async def async_cancel():
    async def read():
        async for _ in await router.astream(**ASK):
            await asyncio.sleep(10)
    task = asyncio.create_task(read())
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
gc.disable()
for way in (sync_break, sync_drop, sync_close, sync_raise):
    way()
async def main():
    for way in (async_break, async_drop, async_close, async_cancel):
        await way()
    await asyncio.sleep(0.2)
asyncio.run(main())
deadline = time.monotonic() + 5
while any(row.outcome == "pending" for row in router.entries()) and time.monotonic() < deadline:
    time.sleep(0.01)
assert [row.outcome for row in router.entries()] == ["abandoned"] * 8, [row.outcome for row in router.entries()]
""",
    "a synchronous call on the bridge's own thread is refused": """
from hfrouter.wire import bridge
async def hook():
    try:
        router.chat(**ASK)
    except RuntimeError as error:
        return str(error)
assert "asynchronous twin" in bridge.run(hook)
""",
    "Ctrl-C stops a call and the next one works": """
import signal
from hfrouter import Policy
slow = Policy(order=["novita"], only=["novita"])
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
began = time.monotonic()
try:
    router.chat(model="deepseek-ai/DeepSeek-R1", messages="hang", policy=slow)
except KeyboardInterrupt:
    pass
else:
    raise AssertionError("not interrupted")
assert time.monotonic() - began < 3
assert "391" in router.chat(**ASK).text
assert "pending" not in [row.outcome for row in router.entries()]
""",
    "fork while a thread is calling and a stream is open": """
from hfrouter import HFRouterError
open_stream = router.stream(**ASK)
next(open_stream)
busy = threading.Thread(target=lambda: [router.chat(**ASK) for _ in range(20)])
busy.start()
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for _ in range(5):
                assert "391" in router.chat(**ASK).text
            async def main():
                return (await router.achat(**ASK)).text
            assert "391" in asyncio.run(main())
            try:
                next(open_stream)
            except HFRouterError as error:
                assert "process" in str(error)
                code = 0
        finally:
            router.close()
            os._exit(code)
    children.append(pid)
codes = [os.waitpid(pid, 0)[1] for pid in children]
busy.join()
assert codes == [0, 0, 0], codes
open_stream.close()
rows = router.entries()
assert len(rows) == 1 + 20 + 3 * 6, len(rows)
assert "pending" not in [row.outcome for row in rows]
""",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_without_error_leak_or_warning(name: str, sim: Simulator, tmp_path: Path) -> None:
    if "fork" in name and not hasattr(os, "fork"):
        pytest.skip("this platform has no fork")
    sim.fail("novita", Fault.hang(), model="deepseek-ai/DeepSeek-R1", times=None)
    if "open stream" in name or "abandoned" in name:
        sim.fail("groq", Fault.stall_after(2, 20), times=None)
    script = tmp_path / "script.py"
    script.write_text(PREAMBLE + SCRIPTS[name], encoding="utf-8")
    # A fork of a process with threads is what this test is about; newer Pythons warn of it.
    strict = ["-X", "dev", "-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    done = subprocess.run(
        [sys.executable, *strict, str(script), sim.base_url, str(tmp_path / "ledger.sqlite3")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    if "main thread has ended" in name:
        assert "late" in done.stdout


def test_leaving_a_stream_closes_the_upstream_at_once(sim: Simulator, router: Router) -> None:
    sim.fail("groq", Fault.stall_after(2, 20), times=None)
    for _ in router.stream(model=f"{MODEL}:groq", messages="What is 17 * 23?"):
        break
    deadline = threading.Event()
    for _ in range(100):
        if sim.exchanges[-1].closed_by_client:
            break
        deadline.wait(0.01)
    assert sim.exchanges[-1].closed_by_client
    assert router.entries()[-1].outcome == "abandoned"


@pytest.mark.parametrize("twin", [pickle.loads, None], ids=["pickle", "deepcopy"])
def test_a_router_is_copied_without_its_token_and_works_with_one_from_the_environment(
    twin: object, sim: Simulator, router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    router.chat(model=MODEL, messages="hi")
    data = pickle.dumps(router)
    assert sim.token.encode() not in data
    other: Router = pickle.loads(data) if twin else copy.deepcopy(router)
    assert other.policy == router.policy
    with pytest.raises(ConfigurationError, match="HF_TOKEN"):
        other.chat(model=MODEL, messages="hi")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert other.chat(model=MODEL, messages="What is 17 * 23?").provider == "groq"


def test_every_error_survives_a_pickle(sim: Simulator, router: Router) -> None:
    sim.fail("groq", Fault.gone(), times=None)
    with pytest.raises(RouteExhausted) as caught:
        router.chat(model=f"{MODEL}:groq", messages="What is 17 * 23?")
    made = [
        caught.value,
        HFRouterError("x"),
        AttemptFailed("x", "gone"),
        NoTargetAvailable("x", {"m:p": "not live"}),
        StreamInterrupted("x", partial="SECRET ANSWER", cost=Cost(0, 5, "cut")),
    ]
    for error in made:
        data = pickle.dumps(error)
        assert b"SECRET" not in data
        twin = pickle.loads(data)
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert twin.attempts == error.attempts
        assert twin.explain() == error.explain()
    assert pickle.loads(pickle.dumps(made[3])).reasons == {"m:p": "not live"}
    assert pickle.loads(pickle.dumps(made[4])).cost == Cost(0, 5, "cut")

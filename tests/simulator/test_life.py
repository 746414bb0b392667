"""Start, stop, and everything that must not be left behind."""

import asyncio
import http.client
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

import hfrouter.simulator
from hfrouter.simulator import Fault, Simulator
from hfrouter.simulator.__main__ import main

ROOT = Path(hfrouter.simulator.__file__).parents[2]


OTHERS: set[threading.Thread] = set()


@pytest.fixture(autouse=True)
def others() -> None:
    """Other tests of this process may have a simulator of their own running."""
    OTHERS.clear()
    OTHERS.update(threading.enumerate())


def served() -> list[threading.Thread]:
    running = set(threading.enumerate()) - OTHERS
    return [thread for thread in running if thread.name.startswith("hfrouter-simulator")]


def ask(sim: Simulator) -> int:
    with urllib.request.urlopen(sim.base_url + "/models", timeout=5) as answer:
        return int(answer.status)


def test_start_and_stop_are_idempotent_and_leave_nothing():
    sim = Simulator()
    assert (sim.url, served()) == ("", [])
    assert sim.start() is sim.start()
    assert len(served()) == 1
    port = int(sim.url.rsplit(":", 1)[1])
    assert ask(sim) == 200
    sim.stop()
    sim.stop()
    assert served() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_it_can_be_started_again_and_remembers_its_log():
    sim = Simulator()
    for number in (1, 2):
        with sim:
            ask(sim)
            assert len(sim.exchanges) == number
    assert len(sim.exchanges) == 2


def test_stop_is_quick_with_hanging_requests_and_that_is_not_the_clients_doing():
    with Simulator() as sim:
        sim.fail("groq", Fault.hang(), Fault.keep_alive_comments(60), Fault.stall_after(2, 60))
        body = b'{"model":"openai/gpt-oss-20b:groq","stream":true,"messages":[{"role":"user","content":"Count to 9"}]}'
        clients = []
        for number in (1, 2, 3):
            client = http.client.HTTPConnection("127.0.0.1", int(sim.url.rsplit(":", 1)[1]), timeout=5)
            client.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {sim.token}"})
            clients.append(client)
            while len(sim.exchanges) < number:
                time.sleep(0.01)
        started = time.monotonic()
        sim.stop()
        assert time.monotonic() - started < 1
        assert [exchange.closed_by_client for exchange in sim.exchanges] == [False] * 3
        for client in clients:
            client.close()
    assert served() == []


def test_several_live_side_by_side():
    with Simulator() as one, Simulator() as two:
        assert one.url != two.url
        ask(one)
        assert (len(one.exchanges), len(two.exchanges)) == (1, 0)


async def test_it_starts_and_stops_inside_a_running_loop():
    with Simulator() as sim:
        assert await asyncio.to_thread(ask, sim) == 200


def test_a_taken_port_is_said_and_leaves_nothing():
    with Simulator() as sim:
        other = Simulator(port=int(sim.url.rsplit(":", 1)[1]))
        with pytest.raises(OSError):
            other.start()
    assert served() == []


def test_many_requests_at_once_are_all_answered_and_numbered(sim):
    import json
    from concurrent.futures import ThreadPoolExecutor

    def one(number: int) -> str:
        body = {"model": "openai/gpt-oss-120b", "messages": [{"role": "user", "content": f"Say: {number}"}]}
        request = urllib.request.Request(sim.base_url + "/chat/completions", json.dumps(body).encode())
        request.add_header("authorization", f"Bearer {sim.token}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(json.load(answer)["choices"][0]["message"]["content"])

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(one, range(64))) == [str(number) for number in range(64)]
    assert [exchange.number for exchange in sim.exchanges] == list(range(1, 65))
    assert all(exchange.finished for exchange in sim.exchanges)


def test_the_same_seed_makes_the_same_answers(chat):
    import json

    def answers(seed: int) -> list[str]:
        with Simulator(seed) as sim:
            found = []
            for model in ("openai/gpt-oss-20b:groq", "openai/gpt-oss-120b:together"):
                body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
                request = urllib.request.Request(sim.base_url + "/chat/completions", json.dumps(body).encode())
                request.add_header("authorization", f"Bearer {sim.token}")
                with urllib.request.urlopen(request, timeout=10) as answer:
                    found.append(json.dumps({**json.load(answer), "created": 0}) + answer.headers["x-request-id"])
            return found

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)


def test_latency_and_rate_are_kept(chat):
    import json

    def seconds(model: str) -> float:
        body = {"model": model, "messages": [{"role": "user", "content": "Count to 20"}], "stream": True}
        request = urllib.request.Request(sim.base_url + "/chat/completions", json.dumps(body).encode())
        request.add_header("authorization", f"Bearer {sim.token}")
        started = time.monotonic()
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
        return time.monotonic() - started

    with Simulator(latency={"groq": 0.2}, rate={"groq": 200.0}) as sim:
        assert 0.3 < seconds("meta-llama/Llama-3.3-70B-Instruct:groq") < 2  # 0.2 s and 20 tokens of 5 ms
        assert seconds("meta-llama/Llama-3.3-70B-Instruct:together") < 0.2


def run(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-W", "error", "-m", "hfrouter.simulator", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_url_and_ends_cleanly_on_a_signal(number):
    with run("--port", "0", "--seconds", "60") as process:
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(url + "/v1/models", timeout=5) as answer:
            assert answer.status == 200
        process.send_signal(number)
        _, errors = process.communicate(timeout=5)
    assert (process.returncode, errors) == (0, "")


def test_the_command_ends_by_itself():
    with run("--seconds", "0.2") as process:
        output, errors = process.communicate(timeout=10)
    assert output.startswith("http://127.0.0.1:")
    assert (process.returncode, errors) == (0, "")


def test_the_command_says_when_a_port_is_taken(capsys, monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with Simulator() as sim:
        assert main(["--port", sim.url.rsplit(":", 1)[1]]) == 1
    assert "in use" in capsys.readouterr().err


def test_the_import_does_nothing_and_brings_nothing():
    code = (
        "import sys, threading; import hfrouter.simulator as s; "
        "assert threading.active_count() == 1; "
        "heavy = {'uvicorn', 'starlette', 'asyncio', 'openai', 'httpx', 'pydantic'} & set(sys.modules); "
        "assert not heavy, heavy; assert sorted(s.__all__) == s.__all__"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT)}, timeout=20)


def test_a_missing_extra_is_one_clear_sentence(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("hfrouter.simulator.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ModuleNotFoundError, match=r'install it with: pip install "hfrouter\[sim\]"'):
        Simulator().start()
    assert served() == []


def test_nothing_of_the_rest_of_hfrouter_is_imported():
    for path in Path(hfrouter.simulator.__file__).parent.rglob("*.py"):
        for line in path.read_text().splitlines():
            if line.strip().startswith(("import hfrouter", "from hfrouter")):
                assert "hfrouter.simulator" in line, (path, line)

"""The command `simulate`."""

import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest

from hfrouter.simulator import Simulator

typer = pytest.importorskip("typer")
CODE = "import typer; from hfrouter.cli.simulate import simulate; typer.run(simulate)"


def run(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-W", "error", "-c", CODE, *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_it_serves_until_ctrl_c_and_says_what_it_charged():
    with run("--port", "0", "--seed", "3", "--rate", "1000", "--latency", "0.01") as process:
        shown = "".join(iter(process.stdout.readline, "It ends after 3600 s, or with Ctrl-C.\n"))
        base = re.search(r"http://127\.0\.0\.1:\d+/v1", shown)[0]
        body = b'{"model":"openai/gpt-oss-20b:groq","messages":[{"role":"user","content":"What is 2 + 3?"}]}'
        request = urllib.request.Request(
            f"{base}/chat/completions", body, {"authorization": f"Bearer {Simulator.token}"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert b"2 + 3 = 5" in answer.read()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=5)
    assert (process.returncode, errors) == (0, "")
    assert f'OpenAI(base_url="{base}", api_key="{Simulator.token}")' in shown
    assert f'Router(base_url="{base}", token="{Simulator.token}")' in shown
    assert output.endswith("\nRequests: 1, charged: 1, cost: $0.000007\n")


def test_it_ends_by_itself_and_says_when_a_port_is_taken():
    with Simulator() as sim:
        port = sim.url.rsplit(":", 1)[1]
        with run("--port", port) as taken, run("--port", "0", "--seconds", "0.1") as brief:
            _, errors = taken.communicate(timeout=10)
            output, _ = brief.communicate(timeout=10)
    assert taken.returncode == 1
    assert f"Port {port} cannot be used" in errors
    assert brief.returncode == 0
    assert output.endswith("Requests: 0, charged: 0, cost: $0\n")


def test_a_missing_extra_is_one_sentence(monkeypatch, capsys):
    from hfrouter.cli.simulate import simulate

    for name in [name for name in sys.modules if name.startswith("hfrouter.simulator.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(typer.Exit) as raised:
        simulate(port=0)
    assert raised.value.exit_code == 2
    assert "pip install 'hfrouter[sim]'" in capsys.readouterr().err

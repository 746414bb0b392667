"""The demo, run as a user runs it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

pytest.importorskip("langchain_core")


def hfrouter(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "hfrouter.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_demo_survives_every_trouble_and_says_who_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    done = hfrouter("demo")
    assert (done.returncode, done.stderr) == (0, "")
    out = done.stdout
    for kind in ("chain", "chain, streamed"):
        rows = [line for line in out.splitlines() if re.match(rf"{kind} {{2,}}", line)]
        for trouble in ("429 rate_limited", "503 server_error", "first_content_timeout", "cut"):
            assert any(f"groq {trouble}" in row and "right" in row for row in rows), (kind, trouble)
    assert "tool loop, turn 2" in out
    assert "WRONG" not in out
    assert re.search(r"no price listed .* n/a +right", out)
    assert re.search(r"\$0\.0\d+ +right", out)
    assert re.search(r"(\d+) of \1 answers right\. Fallback saved 10 calls", out)
    assert "$0.00 " not in out.split("attempts that failed")[0]


def test_the_live_demo_without_a_token_says_what_to_do() -> None:
    done = hfrouter("demo", "--live")
    assert done.returncode == 1
    assert "set HF_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_is_printed() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", hfrouter("--version").stdout)

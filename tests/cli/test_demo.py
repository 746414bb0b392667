"""The demo, run as a user runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("llama_index.core")


README = Path(__file__).resolve().parents[2] / "README.md"


def figures(text: str) -> list[tuple[str, ...]]:
    """Call, tokens and exact cost of the chat calls in a report."""
    row = r"^(chain|chain, streamed|tool loop, turn \d) {2,}.* (\d+/\d+) +(\$[\d.]+) +right$"
    return re.findall(row, text, re.MULTILINE)


def hfrouter(*arguments: str) -> subprocess.CompletedProcess[str]:
    # LlamaIndex's agents touch what pydantic has deprecated and leave a loop of their own open; all else is an error.
    strict = ["-W", "error", "-W", "ignore::DeprecationWarning", "-W", "ignore::ResourceWarning"]
    command = [sys.executable, *strict, "-m", "hfrouter.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_demo_survives_every_trouble_and_says_who_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    done = hfrouter("demo")
    assert (done.returncode, done.stderr) == (0, "")
    out = done.stdout
    rows = [line for line in out.splitlines() if re.search(r" right$", line)]
    for kind in ("chain", "chain, streamed"):
        for trouble in ("429 rate_limited", "503 server_error", "first_content_timeout", "cut"):
            assert any(re.match(rf"{kind} {{2,}}groq {trouble}", row) for row in rows), (kind, trouble)
    for scene in ("tool loop, turn 2", "retrieval chain", "query, LlamaIndex", "agent, LlamaIndex"):
        assert any(row.startswith(scene) for row in rows), scene
    assert "WRONG" not in out
    readme = README.read_text(encoding="utf-8")
    assert figures(out) == figures(readme) != []
    assert re.findall(r"^\d+ calls, .* tokens\.", out, re.MULTILINE)[0] in readme
    assert re.search(r"no price listed .* n/a +right", out)
    assert re.search(r"\$0\.0\d+ +right", out)
    assert re.search(r"(\d+) of \1 answers right\. Fallback saved \d\d calls", out)


def test_the_live_demo_without_a_token_says_what_to_do() -> None:
    done = hfrouter("demo", "--live")
    assert done.returncode == 1
    assert "set HF_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_is_printed() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", hfrouter("--version").stdout)

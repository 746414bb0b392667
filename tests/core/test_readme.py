"""The README's snippets run. That its report is the demo's is checked with the demo."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hfrouter import Router
from hfrouter.simulator import Simulator

README = Path(__file__).resolve().parents[2] / "README.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_a_snippet_of_the_readme_runs(
    number: int, sim: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As written: only the address of Hugging Face's router is the simulator's."""
    snippet = SNIPPETS[number]
    for package in ("langchain_core", "llama_index"):
        if package.partition("_")[0] in snippet:
            pytest.importorskip(package)
    monkeypatch.setenv("HF_TOKEN", sim.token)
    monkeypatch.setenv("HF_ENDPOINT", sim.url)
    monkeypatch.setattr("hfrouter.router.HF_ROUTER", sim.base_url)
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(snippet, f"README.md, snippet {number}", "exec"), names)
    for name in [name for name in names if name.startswith("test_")]:
        names[name]()  # type: ignore[operator]  # a test function of the snippet
    printed = capsys.readouterr().out
    assert any(sign in printed for sign in ("391", "18:40")) or "def test_" in snippet
    for value in names.values():
        if isinstance(value, Router):
            value.close()


def test_the_snippet_on_top_has_six_lines() -> None:
    assert len([line for line in SNIPPETS[0].splitlines() if line.strip()]) == 6

"""The examples in the class docstring run, in order, against the simulator."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from typing import Any

import pytest

import langchain_hfrouter
from hfrouter.simulator import Fault, Simulator
from langchain_hfrouter import ChatHFRouter


async def test_the_examples_of_the_docstring_run(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Here(ChatHFRouter):
        def __init__(self, **settings: Any) -> None:
            super().__init__(api_key=sim.token, base_url=sim.base_url, ledger="memory", **settings)

    monkeypatch.setattr(langchain_hfrouter, "ChatHFRouter", Here)
    text = textwrap.dedent("    " + (inspect.getdoc(ChatHFRouter) or ""))
    blocks = [textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)]
    assert len(blocks) == 9
    names: dict[str, Any] = {}
    for block in blocks:
        if "fallback_models" in block:
            sim.fail("together", Fault.rate_limited())
        code = compile(block, "docstring", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if (pending := eval(code, names)) is not None:
            await pending
    assert "1 2 3 4 5" in capsys.readouterr().out
    about = names["message"].response_metadata
    assert [(a["provider"], a["outcome"]) for a in about["attempts"]] == [("together", "rate_limited"), ("groq", "ok")]
    assert about["cost"]
    assert about["cost_details"]["total_usd"]
    assert names["model"].active_router.entries()
    assert "ann" in names["model"].active_router.spending(by="user")

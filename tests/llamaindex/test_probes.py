"""The twenty-three probes, in the three places where people call an LLM."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from hfrouter.simulator import Simulator
from llamaindex_hfrouter import HFRouter
from tests.llamaindex import probes

# Workflows look at every attribute of an agent, those that pydantic deprecates included.
pytestmark = pytest.mark.filterwarnings("ignore:(The `|Accessing the ):pydantic.warnings.PydanticDeprecationWarning")


@pytest.mark.parametrize("probe", probes.PROBES, ids=lambda probe: probe.__name__)
def test_in_a_test(probe: Callable[..., Any], llm: HFRouter, sim: Simulator) -> None:
    done = probe(llm, sim)
    if inspect.iscoroutine(done):
        asyncio.run(done)


async def test_all_in_one_running_loop(llm: HFRouter, sim: Simulator) -> None:
    for probe in probes.PROBES:
        done = probe(llm, sim)
        if inspect.iscoroutine(done):
            await done


def test_all_in_a_plain_script(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(probes.__file__))], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(probes.PROBES)} of {len(probes.PROBES)}" in done.stdout
    assert len(probes.PROBES) == 23
    assert not done.stderr

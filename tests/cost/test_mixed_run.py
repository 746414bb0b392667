"""The short form of `make mixed-run`."""

from __future__ import annotations

from pathlib import Path

from tests.cost.mixed_run import KINDS, run


async def test_everything_that_is_told_about_money_agrees(tmp_path: Path) -> None:
    figures = await run(200, 7, tmp_path / "ledger.sqlite3", patient=False)
    assert not figures.wrong, str(figures)
    assert sum(figures.kinds.values()) == 200
    assert figures.kinds.keys() >= KINDS.keys() - {"langchain", "llamaindex"}
    assert min(figures.exact, figures.bounded, figures.told["answer"], figures.told["event"]) > 20
    assert figures.outcomes["abandoned"] > 5
    assert figures.told["sessions on the bill"] > 50

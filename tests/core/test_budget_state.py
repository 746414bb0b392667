"""How a budget stands can be asked at any moment."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from hfrouter import Budget, Router, tags
from hfrouter.simulator import Simulator

ASK = {"model": "openai/gpt-oss-120b", "messages": "What is 17 * 23?"}


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_what_was_spent_is_gone_from_what_is_left(sim: Simulator, tmp_path: Path, kind: str) -> None:
    ledger = "memory" if kind == "memory" else tmp_path / "ledger.sqlite3"
    budgets = [Budget("5.00"), Budget("1.00", window="day", each="user")]
    with Router(base_url=sim.base_url, token=sim.token, ledger=ledger, budgets=budgets) as router:
        with tags(user="ann"):
            cost = router.chat(**ASK).cost.usd
            whole, hers = router.budgets()
        assert cost
        assert (whole.spent, whole.held, whole.left) == (cost, 0, Decimal(5) - cost)
        assert (hers.spent, hers.limit) == (cost, 1)
        assert "user=ann" in str(hers)
        assert hers.resets_at is not None
        assert router.budgets({"user": "bob"})[1].spent == 0

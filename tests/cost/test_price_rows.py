"""The price in a row: which one, from which catalogue, and never changed by a later one."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from hfrouter import Entry, Router
from hfrouter.simulator import Fault, Simulator

MODEL = "openai/gpt-oss-20b:groq"


@pytest.fixture
def make(sim: Simulator, tmp_path: Path) -> Iterator[Any]:
    made: list[Router] = []

    def one() -> Router:
        made.append(Router(base_url=sim.base_url, token=sim.token, ledger=tmp_path / "ledger.sqlite3", seed=0))
        return made[-1]

    yield one
    for router in made:
        router.close()


def row_of(router: Router) -> Entry:
    (row,) = router.entries(router.chat(model=MODEL, messages="What is 2 + 3?").id)
    return row


def priced(sim: Simulator, input_price: float, output_price: float) -> list[dict[str, Any]]:
    models = copy.deepcopy(sim.models)
    for model in models:
        for row in model["providers"]:
            if f"{model['id']}:{row['provider']}" == MODEL:
                row["pricing"] = {"input": input_price, "output": output_price}
    return models


def document(sim: Simulator) -> bytes:
    return json.dumps({"object": "list", "data": sim.models}, separators=(",", ":"), ensure_ascii=False).encode()


def test_a_row_keeps_the_price_its_source_its_time_and_the_hash_of_its_catalogue(sim: Simulator, make: Any) -> None:
    row = row_of(make())
    assert row.price is not None
    assert (row.price.input, row.price.output, row.price.source) == (Decimal("0.1"), Decimal("0.5"), "catalogue")
    assert row.price.catalogue == hashlib.sha256(document(sim)).hexdigest()[:16]
    assert 0 <= row.started_ms // 1000 - row.price.at <= 300
    assert row.usage is not None
    # $0.1 and $0.5 per million tokens are 100 and 500 nano-USD per token.
    assert row.cost.lower == row.cost.upper == row.usage.input_tokens * 100 + row.usage.output_tokens * 500


def test_the_hash_is_kept_on_disk_with_the_catalogue(sim: Simulator, make: Any) -> None:
    first = row_of(make())
    asked = sum(exchange.path == "/v1/models" for exchange in sim.exchanges)
    again = row_of(make())
    assert sum(exchange.path == "/v1/models" for exchange in sim.exchanges) == asked
    assert first.price == again.price
    assert again.price is not None
    assert again.price.catalogue


def test_a_change_of_price_changes_no_old_row(sim: Simulator, make: Any, tmp_path: Path) -> None:
    router = make()
    old = row_of(router)
    sim.replace_models(priced(sim, 0.3, 0.7))
    router._catalogue._listing = None  # as if it had grown old
    for kept in tmp_path.rglob("models-*.json"):
        kept.unlink()
    new = row_of(router)
    assert new.price is not None
    assert old.price is not None
    assert (new.price.input, new.price.output) == (Decimal("0.3"), Decimal("0.7"))
    assert new.price.catalogue not in (None, old.price.catalogue)
    assert new.usage == old.usage
    assert new.usage is not None
    assert new.cost.lower == new.cost.upper == new.usage.input_tokens * 300 + new.usage.output_tokens * 700
    router.close()
    assert make().entries() == [old, new]  # read anew, from the file
    assert [line.cost for line in sim.bill()] == [row.cost.usd for row in (old, new)]


def test_a_catalogue_that_was_kept_without_its_hash_still_gives_prices(
    sim: Simulator, make: Any, tmp_path: Path
) -> None:
    row_of(make())
    (kept,) = tmp_path.rglob("models-*.json")
    of_disk = json.loads(kept.read_bytes())
    del of_disk["digest"]
    kept.write_text(json.dumps(of_disk))
    row = row_of(make())
    assert row.price is not None
    assert row.price.catalogue is None
    assert row.cost.exact


def answer(usage: Any) -> Fault:
    message = {"role": "assistant", "content": "5"}
    body = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
    return Fault.status(200, body=body)


def test_a_sound_report_is_priced_by_hand(sim: Simulator, router: Router) -> None:
    sim.fail("groq", answer({"prompt_tokens": 1522, "completion_tokens": 34, "total_tokens": 1556}))
    cost = router.chat(model=MODEL, messages="What is 2 + 3?", max_tokens=50).cost
    assert cost.lower == cost.upper == 1522 * 100 + 34 * 500


WRONG: list[Any] = [
    None,
    {},
    [],
    "12 tokens",
    {"prompt_tokens": -12, "completion_tokens": 3},
    {"prompt_tokens": "a dozen", "completion_tokens": 3},
    {"prompt_tokens": 12.5, "completion_tokens": 3},
    {"prompt_tokens": 12, "completion_tokens": 10**12},
    {"prompt_tokens": 12, "completion_tokens": True},
    {"prompt_tokens": 12},
    {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": -4}},
]


@pytest.mark.parametrize("usage", WRONG, ids=lambda usage: json.dumps(usage)[:60])
def test_a_report_that_is_none_leaves_bounds_and_a_reason_in_the_row(
    sim: Simulator, router: Router, usage: Any
) -> None:
    sim.fail("groq", answer(usage))
    done = router.chat(model=MODEL, messages="What is 2 + 3?", max_tokens=50)
    (row,) = router.entries(done.id)
    assert (row.outcome, row.usage, row.cost.reason) == ("ok", None, "no usage reported")
    assert row.price is not None
    bytes_of_json = len(b'{"messages":[{"role":"user","content":"What is 2 + 3?"}],"max_tokens":50}')
    assert (row.cost.lower, row.cost.upper) == (0, (bytes_of_json + 1024) * 100 + 50 * 500)
    assert done.cost.usd is None
    assert done.total.usd is None


@pytest.mark.parametrize("total", [100, 2000])
def test_a_report_that_does_not_add_up_leaves_bounds_in_the_row(sim: Simulator, router: Router, total: int) -> None:
    sim.fail("groq", answer({"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": total}))
    (row,) = router.entries(router.chat(model=MODEL, messages="What is 2 + 3?", max_tokens=50).id)
    parts, doubt = 1000 * 100 + 100 * 500, abs(total - 1100) * 500
    assert (row.cost.lower, row.cost.upper) == ((parts, parts + doubt) if total > 1100 else (0, parts))
    assert row.cost.reason == "the tokens reported do not add up to their total"

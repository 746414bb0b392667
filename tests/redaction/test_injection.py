"""Names that mean something to SQL, HTTP, formats or files are refused before anything is sent, or kept as they are."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hfrouter import Budget, ConfigurationError, Endpoint, HFRouterError, Policy, Router, tags
from hfrouter.cost.schema import SCHEMA_VERSION
from hfrouter.simulator import Simulator
from hfrouter.wire.token import Credential

MODEL = "openai/gpt-oss-120b"
HOSTILE = [
    "'; DROP TABLE attempts; --",
    "x'); DELETE FROM attempts; --",
    '" OR 1=1 --',
    "?1 :name @p $v",
    "%s %d %(x)s {} {0.__class__}",
    "${HOME} $(id) `id`",
    "../../../etc/passwd",
    "<script>alert(1)</script>",
    "a\x00b",
    "a\r\nX-Evil: 1",
    "a\nX-Evil: 1\n\nGET / HTTP/1.1",
    "a\x1b[2Jb",
    "a\u2028b\u202ec",
    "\ud800",
    "é",
    "x" * 10_000,
    " a ",
    " ",
    "",
]
Place = Callable[[Router, str], Any]


def _asked(router: Router, **more: Any) -> Any:
    defaults: dict[str, Any] = {"model": MODEL, "messages": "hello", "max_tokens": 5}
    return router.chat(**defaults | more)


CALLS: dict[str, Place] = {
    "model": lambda router, text: _asked(router, model=text),
    "name of a model": lambda router, text: _asked(router, model=f"openai/{text}"),
    "pinned provider": lambda router, text: _asked(router, model=f"{MODEL}:{text}"),
    "fallback model": lambda router, text: _asked(router, models=[text]),
    "only": lambda router, text: _asked(router, provider={"only": [text]}),
    "order": lambda router, text: _asked(router, provider={"order": [text]}),
    "ignore": lambda router, text: _asked(router, provider={"ignore": [text]}),
    "sort": lambda router, text: _asked(router, provider={"sort": text}),
    "session": lambda router, text: _asked(router, session=text),
    "value of a tag": lambda router, text: _asked(router, tags={"user": text}),
    "name of a tag": lambda router, text: _asked(router, tags={text: "ann"}),
    "embedding model": lambda router, text: router.embed(["hello"], model=text),
}
MADE: dict[str, Callable[[str], dict[str, Any]]] = {
    "bill_to": lambda text: {"bill_to": text},
    "session of a router": lambda text: {"session": text},
    "token": lambda text: {"token": f"hf_{text}"},
    "key of a price": lambda text: {"prices": {text: (1, 2)}},
    "key of a provider's price": lambda text: {"prices": {f"{MODEL}:{text}": (1, 2)}},
    "name of a budget": lambda text: {"budgets": Budget(1, "day", name=text)},
    "tag of a budget": lambda text: {"budgets": Budget(1, "day", tags={"user": text})},
    "each of a budget": lambda text: {"budgets": Budget(1, "day", each=text)},
    "name of an endpoint": lambda text: {"endpoints": [Endpoint("http://127.0.0.1:9", name=text)]},
    "model of an endpoint": lambda text: {"endpoints": [Endpoint("http://127.0.0.1:9", name="own", model=text)]},
    "token of an endpoint": lambda text: {"endpoints": [Endpoint("http://127.0.0.1:9", name="own", token=text)]},
    "address of an endpoint": lambda text: {"endpoints": [Endpoint(f"http://127.0.0.1:9/{text}", name="own")]},
    "base_url": lambda text: {"base_url": f"http://127.0.0.1:9/{text}"},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger" / "rows.sqlite3"


def schema(file: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        return db.execute("SELECT type, name FROM sqlite_schema ORDER BY name").fetchall()


def check(router: Router, file: Path, call: Callable[[], Any], sim: Simulator) -> Any:
    """Make a call; it is sent as it stands, or refused with a row for each attempt that was, and none lost."""
    rows, sent = len(router.entries()), len(posts(sim))
    error: HFRouterError | None = None
    try:
        call()
    except ConfigurationError as refused:
        error = refused
        assert len(posts(sim)) == sent
    except HFRouterError as failed:  # nobody is eligible, as for a provider nobody knows
        error = failed
    assert len(router.entries()) - rows == len(posts(sim)) - sent
    return error


def posts(sim: Simulator) -> list[Any]:
    return [exchange for exchange in sim.exchanges if exchange.method == "POST"]


@pytest.mark.parametrize("place", CALLS)
def test_a_hostile_name_in_a_call_is_refused_or_kept(place: str, file: Path, sim: Simulator) -> None:
    with Router(base_url=sim.base_url, token=sim.token, ledger=file, policy=Policy(order="groq"), seed=0) as router:
        _asked(router)
        before = schema(file)
        kept = []
        for text in HOSTILE:
            error = check(router, file, partial(CALLS[place], router, text), sim)
            kept += [] if error else [text]
            assert error is None or len(str(error)) < 2000, "a page of it is no help"
        _asked(router)
    assert schema(file) == before
    for exchange in posts(sim):
        assert "x-evil" not in {name.lower() for name in exchange.headers}
    if place == "value of a tag":
        with Router(base_url=sim.base_url, token=sim.token, ledger=file) as again:
            assert [dict(row.tags)["user"] for row in again.entries() if row.tags] == kept
        assert kept == [text for text in HOSTILE if text.isprintable() and 0 < len(text) <= 256]
    if place == "session":
        asked = [exchange.headers.get("x-hf-session-id") for exchange in posts(sim)]
        assert [session for session in asked if session is not None] == kept


@pytest.mark.parametrize("place", MADE)
def test_a_hostile_name_in_a_setting_is_refused_or_kept(place: str, file: Path, sim: Simulator) -> None:
    account: dict[str, Any] = {
        "base_url": sim.base_url,
        "token": sim.token,
        "ledger": file,
        "policy": Policy(order="groq"),
        "seed": 0,
    }
    with Router(**account) as router:
        _asked(router)
        before = schema(file)
    for text in HOSTILE:
        try:
            made = Router(**account | MADE[place](text))
        except ConfigurationError:
            continue
        with made:
            if place in ("base_url", "address of an endpoint"):  # nobody is there
                assert "\r" not in text
                assert "\n" not in text
                continue
            check(made, file, partial(_asked, made, tags={"user": "ann"}), sim)
    assert schema(file) == before
    for exchange in posts(sim):
        assert "x-evil" not in {name.lower() for name in exchange.headers}
        if (payer := exchange.headers.get("x-hf-bill-to")) is not None:
            assert payer in HOSTILE


def test_the_ledgers_own_questions_take_hostile_names_as_values(file: Path, sim: Simulator) -> None:
    with Router(base_url=sim.base_url, token=sim.token, ledger=file, seed=0) as router:
        _asked(router, tags={"user": "ann"})
        before = schema(file)
        for text in HOSTILE:
            assert router.entries(text) == []
            asked: list[dict[str, Any]] = [{"by": text}, {"tags": {"user": text}}]
            for question in asked:
                try:
                    router.spending(**question)
                except ConfigurationError:
                    continue
        assert len(router.entries()) == 1
    assert schema(file) == before


def test_tags_that_no_name_holds_are_refused_around_a_call_as_well(sim: Simulator) -> None:
    for text in ("a\r\nb", "\x00", "\ud800", ""):
        with pytest.raises(ConfigurationError), tags(user=text):
            raise AssertionError("it was let in")


@pytest.mark.parametrize("text", ["a\r\nX-Evil: 1", "a\n", "a\x00", "é", "\ud800", "a b"])
def test_no_header_can_be_added_by_a_token_of_the_environment(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "\x00" not in text and "\ud800" not in text:  # which no environment holds
        monkeypatch.setenv("HF_TOKEN", f"hf_{text}x")
        with pytest.raises(ConfigurationError):
            Credential(None, "https://router.huggingface.co/v1").header("https://router.huggingface.co/v1")

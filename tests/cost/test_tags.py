"""Tags, and the totals beside them: what is a tag, how tags nest and travel, how totals add up."""

from __future__ import annotations

import asyncio
import contextvars
import doctest
import enum
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hfrouter
from hfrouter import ConfigurationError, Cost, Total, Usage
from hfrouter.cost import spending as spending_module
from hfrouter.cost import spent as spent_module
from hfrouter.cost import tags as tags_module
from hfrouter.cost.spending import spending
from hfrouter.cost.spent import Spent
from hfrouter.cost.tags import Scope, checked, frozen, tags, totals
from tests.cost.entries import pending, settled


@pytest.mark.parametrize("module", [tags_module, spent_module, spending_module])
def test_the_examples_run(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


# -- what is a tag -----------------------------------------------------------------------------------------------------

REFUSED_VALUES = {
    "empty": "",
    "too long": "x" * 257,
    "line feed": "ann\nx-hf-bill-to: bob",
    "carriage return": "ann\r",
    "crlf": "ann\r\n\r\nGET / HTTP/1.1",
    "nul": "ann\0",
    "tab": "ann\t",
    "escape": "ann\x1b[2J",
    "delete": "ann\x7f",
    "c1": "ann\x85",
    "line separator": "ann\u2028",
    "right to left": "ann\u202e",
    "lone surrogate": "ann\ud800",
    "bytes": b"ann",
    "number": 7,
    "truth": True,
    "nothing": None,
    "list": ["ann"],
    "mapping": {"ann": "bob"},
}
REFUSED_NAMES = ["", "7up", ".a", "-a", "a b", "a\n", "a\0", "a:b", "ä", "a" * 65, "a'b", 'a"', "a;b", "a=b"]
KEPT_VALUES = [
    "ann",
    "ann o'hara",
    "'; DROP TABLE attempts; --",
    '" OR 1=1 --',
    "%s %d {x} $1 ?1 :a @a",
    "Zoë 你好 😀",
    "x" * 256,
    "=cmd|' /C calc'!A0",
]


@pytest.mark.parametrize("value", REFUSED_VALUES.values(), ids=REFUSED_VALUES)
def test_a_value_that_is_no_printable_text_is_refused_and_not_shown(value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        tags({"user": value})
    assert "user" in str(caught.value)
    assert "ann" not in str(caught.value)


@pytest.mark.parametrize("name", [*REFUSED_NAMES, 7, None, b"a"], ids=repr)
def test_a_name_that_is_no_name_is_refused_and_not_shown(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="a tag's name is"):
        tags({name: "hf_secret"})


@pytest.mark.parametrize("value", KEPT_VALUES)
def test_quotes_and_what_means_something_elsewhere_are_text_here(value: str) -> None:
    with tags(user=value):
        assert frozen() == (("user", value),)


@pytest.mark.parametrize("name", ["a", "_", "user", "User-Id", "a.b.c", "a" * 64])
def test_names_are_those_that_are_said_to_be(name: str) -> None:
    assert checked({name: "x"}) == {name: "x"}


@pytest.mark.parametrize("wrong", ["user=ann", ["user"], 7, object()])
def test_tags_are_a_mapping(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="mapping"):
        frozen(wrong)


def test_there_are_at_most_sixteen_of_a_call_together() -> None:
    ten = {f"a{number}": "x" for number in range(10)}
    with pytest.raises(ConfigurationError, match="17 tags"):
        tags({f"a{number}": "x" for number in range(17)})
    with tags(ten), tags({f"b{number}": "x" for number in range(6)}):
        assert len(frozen()) == 16
        assert len(frozen({"a0": "y"})) == 16
        with pytest.raises(ConfigurationError, match="17 tags"):
            frozen({"one": "more"})


def test_a_text_of_another_class_becomes_a_plain_one() -> None:
    class Feature(enum.StrEnum):
        SEARCH = "search"

    assert type(checked({"feature": Feature.SEARCH})["feature"]) is str


@given(st.dictionaries(st.text(max_size=70), st.text(max_size=260), max_size=20))
def test_whatever_is_given_is_kept_to_the_letter_or_refused(found: dict[str, str]) -> None:
    try:
        kept = frozen(found)
    except ConfigurationError:
        return
    assert dict(kept) == found
    assert list(kept) == sorted(kept)
    assert all(value.isprintable() and 0 < len(value) <= 256 for _, value in kept)


# -- how they nest and travel ------------------------------------------------------------------------------------------


def test_inner_tags_win_and_outer_ones_come_back() -> None:
    assert frozen() == ()
    with tags(user="ann", run="1"):
        with hfrouter.tags(user="bob"):
            assert frozen({"run": "2"}) == (("run", "2"), ("user", "bob"))
        assert frozen() == (("run", "1"), ("user", "ann"))
    assert frozen() == ()


def test_one_scope_may_be_entered_again_and_by_many_at_once() -> None:
    scope = tags(user="ann")
    with scope, tags(user="bob"):
        with scope:
            assert frozen() == (("user", "ann"),)
        assert frozen() == (("user", "bob"),)
    arrived = threading.Barrier(4)

    def enter(_: int) -> tuple[Any, Any]:
        with scope:
            arrived.wait(5)
            inside = frozen()
        return inside, frozen()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(enter, range(4))) == [((("user", "ann"),), ())] * 4


def test_a_scope_left_in_another_context_changes_nothing_there() -> None:
    scope = tags(user="ann")
    here, there = contextvars.copy_context(), contextvars.copy_context()
    here.run(scope.__enter__)
    there.run(scope.__exit__, None, None, None)
    assert there.run(frozen) == ()
    assert here.run(frozen) == (("user", "ann"),)
    here.run(scope.__exit__, None, None, None)
    assert here.run(frozen) == ()


def test_a_generator_that_is_left_half_way_takes_only_its_own_tags_along() -> None:
    def steps() -> Iterator[int]:
        with tags(user="ann"):
            yield 1
            yield 2

    with tags(feature="search"):
        generator = steps()
        next(generator)
        with tags(run="7"):
            generator.close()
            assert frozen() == (("feature", "search"), ("run", "7"))


async def test_an_asynchronous_generator_closed_by_another_task_raises_nothing() -> None:
    async def steps() -> AsyncIterator[int]:
        with tags(user="ann"):
            yield 1
            yield 2

    generator = steps()
    await asyncio.create_task(anext(generator))  # type: ignore[arg-type]
    await asyncio.create_task(generator.aclose())  # type: ignore[attr-defined]
    assert frozen() == ()


async def test_tasks_and_threads_that_copy_the_context_have_the_tags_and_bare_threads_do_not() -> None:
    async def task() -> Any:
        return frozen()

    with tags(user="ann"):
        begun = asyncio.create_task(task())
        threaded = await asyncio.to_thread(frozen)
        seen: list[Any] = []
        bare = threading.Thread(target=lambda: seen.append(frozen()))
        bare.start()
        bare.join()
    assert (await begun, threaded, seen) == ((("user", "ann"),), (("user", "ann"),), [()])


async def test_tasks_beside_each_other_do_not_see_each_other() -> None:
    async def task(user: str) -> Any:
        with tags(user=user):
            await asyncio.sleep(0.001)
            return frozen()

    names = [f"user {number}" for number in range(50)]
    assert await asyncio.gather(*map(task, names)) == [(("user", name),) for name in names]


# -- running totals ----------------------------------------------------------------------------------------------------


def test_totals_are_of_one_owner_and_each_counts_once() -> None:
    one, other = object(), object()
    scope = Scope(Spent(), {}, owner=one)
    with scope as outer, scope, Scope(Spent(), {}, owner=one) as inner:
        assert totals(one) == (outer, inner)
        assert totals(other) == ()


def test_sums_are_those_of_the_parts_however_many_threads_add_them() -> None:
    spent = Spent()
    costs = [Cost(number, number + number % 3) for number in range(2_000)]

    def add(cost: Cost) -> None:
        spent.attempted(f"p{cost.lower % 2}", cost, Usage(1, 2, None, 3), ok=cost.lower % 5 == 0)
        if cost.lower % 4 == 0:
            spent.called()
            assert spent.attempts >= spent.calls

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, costs))
    assert spent.total == Total.of(costs)
    assert spent.cost == Total.of(cost for cost in costs if cost.lower % 5 == 0)
    assert (spent.calls, spent.attempts) == (500, 2_000)
    assert spent.usage == Usage(2_000, 4_000, None, 6_000)
    assert spent.providers == {f"p{k}": Total.of(cost for cost in costs if cost.lower % 2 == k) for k in (0, 1)}


def test_an_attempt_that_ends_while_another_is_added_up_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    # Garbage collection may settle a dropped stream in the middle of a sum, on the same thread.
    spent = Spent()
    plus = spent_module._plus

    def interrupted(total: Total, cost: Cost) -> Total:
        if cost.lower == 1:
            spent.attempted("groq", Cost(10, 10), None, ok=False)
        return plus(total, cost)

    monkeypatch.setattr(spent_module, "_plus", interrupted)
    spent.attempted("groq", Cost(1, 1), None, ok=False)
    assert (spent.total.known, spent.attempts) == (21, 3)  # the total and the provider's are two sums


def test_an_unknown_cost_is_shown_as_unknown() -> None:
    spent = Spent()
    spent.attempted("groq", Cost(1_200_000, 1_200_000), None, ok=True)
    spent.attempted("together", Cost(0, None, "no price in the catalogue"), None, ok=True)
    spent.called()
    spent.called()
    assert str(spent) == "2 calls, 2 attempts, $0.0012 + 1 unknown"
    assert spent.total.usd is None


# -- spending, from rows -----------------------------------------------------------------------------------------------

NOON = datetime(2026, 9, 21, 12, tzinfo=UTC)


def row(minutes: int, nano: int, **facts: Any) -> Any:
    began = int((NOON + timedelta(minutes=minutes)).timestamp()) * 1000
    return settled(pending(started_ms=began, **facts), cost=Cost(nano, nano), provider=facts.get("provider", "groq"))


ROWS = [
    row(0, 1, tags=(("feature", "search"), ("user", "ann"))),
    row(1, 10, tags=(("user", "ann"),), session="s"),
    row(2, 100, tags=(("user", "bob"),), provider="novita"),
    row(24 * 60, 1000, model="a/b", session=None, billed="0123456789ab"),
]


@pytest.mark.parametrize(
    ("by", "sums"),
    [
        ("provider", {"groq": 1011, "novita": 100}),
        ("model", {"a/b": 1000, "openai/gpt-oss-20b": 111}),
        ("session", {"": 1000, "chat 7": 101, "s": 10}),
        ("user", {"": 1000, "ann": 11, "bob": 100}),
        ("feature", {"": 1110, "search": 1}),
        ("day", {"2026-09-21": 111, "2026-09-22": 1000}),
        ("billed", {"": 111, "0123456789ab": 1000}),
        ("nobody", {"": 1111}),
    ],
)
def test_rows_are_added_up_by_what_is_asked_in_the_order_of_names(by: str, sums: dict[str, int]) -> None:
    found = spending(ROWS, by=by)
    assert {name: total.known for name, total in found.items()} == sums
    assert list(found) == sorted(found)


def test_a_tag_named_like_a_column_counts_where_the_column_is_empty() -> None:
    rows = [row(0, 1, session=None, tags=(("session", "tag"),)), row(0, 10, session="id", tags=(("session", "tag"),))]
    assert {name: total.known for name, total in spending(rows, by="session").items()} == {"id": 10, "tag": 1}


def test_only_rows_of_the_time_and_the_tags_count() -> None:
    assert spending(ROWS, tags={"user": "ann"})["groq"].known == 11
    assert spending(ROWS, tags={"user": "ann", "feature": "search"})["groq"].known == 1
    assert spending(ROWS, tags={"user": "an"}) == {}
    assert spending(ROWS, since=NOON + timedelta(minutes=1), until=NOON + timedelta(minutes=2))["groq"].known == 10
    assert spending(ROWS, since=NOON + timedelta(microseconds=1), tags={"user": "ann"})["groq"].known == 10
    elsewhere = NOON.astimezone(timezone(timedelta(hours=-7)))
    assert spending(ROWS, since=elsewhere) == spending(ROWS, since=NOON) == spending(ROWS)
    here = NOON.astimezone().replace(tzinfo=None)
    assert spending(ROWS, since=here + timedelta(days=1))["groq"].known == 1000


def test_a_row_on_the_way_counts_with_its_bounds() -> None:
    found = spending([ROWS[0], replace(pending(), cost=Cost(0, 250_000, "pending"))])
    assert found["groq"] == Total(known=1, unknown=1, lower=1, upper=250_001)


@pytest.mark.parametrize("moment", ["2026-09-21", 1_790_000_000, NOON.date()])
def test_a_moment_is_a_datetime(moment: Any) -> None:
    with pytest.raises(ConfigurationError, match="give a datetime"):
        spending(ROWS, since=moment)

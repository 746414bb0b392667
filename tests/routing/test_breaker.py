"""The breaker as tables: what happens at which second, and whether it lets an attempt through then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfrouter.routing.breaker import Breaker

# A row is a list of (second, what happens). `fails` and `answers` are results of attempts sent while it was closed,
# `probe fails` and `probe answers` those of a probe, `goes` sends a probe, `gives up` cancels it. What must come of it
# stands after the colon. `admits` and `shuts` ask whether an attempt may go.
Row = list[tuple[float, str]]

CLOSED: dict[str, Row] = {
    "a new one admits": [(0, "admits")],
    "two failures in a row do not open it": [(0, "fails"), (1, "fails"), (1, "admits")],
    "the third does": [(0, "fails"), (1, "fails"), (2, "fails: opens"), (2, "shuts")],
    "an answer between starts the count anew": [
        *((0, "fails"), (0, "fails"), (0, "answers"), (0, "fails"), (0, "fails")),
        *((0, "admits"), (0, "fails: opens")),
    ],
    "three in a row, however far apart": [(0, "fails"), (1_000, "fails"), (2_000, "fails: opens")],
    "half of ten is not too many": [(0, "answers"), (0, "fails")] * 5 + [(0, "admits")],
    "more than half of eleven is": [(0, "fails"), (0, "answers")] * 5 + [(0, "fails: opens"), (0, "shuts")],
    "more than half of ten is": [
        *((0, "fails"), (0, "fails"), (0, "answers")),
        *[(0, "fails"), (0, "answers")] * 3,
        (0, "fails: opens"),
    ],
    "five of eight are too few to tell": [
        *((0, "fails"), (0, "fails"), (0, "answers"), (0, "fails"), (0, "fails"), (0, "answers")),
        *((0, "answers"), (0, "fails"), (0, "admits")),
    ],
    "six of nine are too few to tell": [
        *((0, "fails"), (0, "fails"), (0, "answers")) * 3,
        (0, "admits"),
    ],
    "what is 30 s old no longer counts": [
        *((0, "fails"), (0, "answers")),
        *[(1, "fails"), (1, "answers")] * 4,
        *((30, "fails"), (30, "admits")),
    ],
    "what is not quite 30 s old does": [
        *((0, "fails"), (0, "answers")),
        *[(1, "fails"), (1, "answers")] * 4,
        *((29.999, "fails: opens"), (29.999, "shuts")),
    ],
    "of thousands the latest hundred count": [
        *[(0.0, "answers")] * 1_000,
        *[(0.0, "answers"), (0.0, "fails"), (0.0, "fails")] * 25,
        *((0.0, "admits"), (0.0, "answers"), (0.0, "fails: opens")),
    ],
}

OPEN: dict[str, Row] = {
    "it is open for 5 s, not for 4.999": [*[(0, "fails")] * 2, (0, "fails: opens"), (4.999, "shuts"), (5, "admits")],
    "it lets one probe through and nobody else": [
        *[(0, "fails")] * 2,
        *((0, "fails: opens"), (5, "admits"), (5, "goes"), (5, "shuts"), (500, "shuts")),
    ],
    "a probe that answers closes it": [
        *[(0, "fails")] * 2,
        *((0, "fails: opens"), (5, "goes"), (6, "probe answers: closes"), (6, "admits"), (6, "closed")),
    ],
    "and starts the counts anew": [
        *[(0, "fails")] * 2,
        *((0, "fails: opens"), (5, "goes"), (6, "probe answers: closes")),
        *((6, "fails"), (6, "fails"), (6, "admits"), (6, "fails: opens"), (10.999, "shuts"), (11, "admits")),
    ],
    "what was seen before it opened does not count after": [
        *[(0, "fails"), (0, "answers")] * 5,
        *((0, "fails: opens"), (5, "goes"), (6, "probe answers: closes"), (6, "fails"), (6, "admits")),
    ],
    "a probe that fails opens it for 10 s, then for 20 s, then for 20 s": [
        *[(0, "fails")] * 2,
        (0, "fails: opens"),
        *((5, "goes"), (6, "probe fails: opens"), (15.999, "shuts"), (16, "admits")),
        *((16, "goes"), (17, "probe fails: opens"), (36.999, "shuts"), (37, "admits")),
        *((37, "goes"), (38, "probe fails: opens"), (57.999, "shuts"), (58, "admits")),
    ],
    "it does not overflow": [
        *[(0, "fails")] * 2,
        (0, "fails: opens"),
        *[(float(n), "probe fails: opens") for n in range(2_000)],
        *((2_018.999, "shuts"), (2_019, "admits")),
    ],
    "a cancelled probe gives its permit back": [
        *[(0, "fails")] * 2,
        *((0, "fails: opens"), (5, "goes"), (5, "shuts"), (6, "gives up"), (6, "admits"), (6, "open")),
    ],
    "an answer sent before it opened does not close it": [
        *[(0, "fails")] * 2,
        *((0, "fails: opens"), (1, "answers"), (1, "shuts"), (5, "admits"), (5, "open")),
    ],
    "a failure sent before it opened does not open it for longer": [
        *[(0, "fails")] * 2,
        *((0, "fails: opens"), *[(1, "fails")] * 10, (4.999, "shuts"), (5, "admits")),
        *((5, "goes"), (5, "probe fails: opens"), (14.999, "shuts"), (15, "admits")),
    ],
    "late results do not take the permit of a probe": [
        *[(0, "fails")] * 2,
        *((0, "fails: opens"), (5, "goes"), (6, "fails"), (6, "answers"), (6, "shuts")),
        (7, "probe answers: closes"),
    ],
}

TABLE = CLOSED | OPEN


def happens(breaker: Breaker, now: float, what: str, chance: float = 0.5) -> None:
    event, _, outcome = what.partition(": ")
    match event:
        case "fails" | "probe fails":
            assert breaker.failed(now, chance, probe=event.startswith("probe")) is (outcome == "opens")
        case "answers" | "probe answers":
            assert breaker.succeeded(now, probe=event.startswith("probe")) is (outcome == "closes")
        case "goes":
            assert breaker.admits(now)
            breaker.probing = True
        case "gives up":
            breaker.released()
        case "admits" | "shuts":
            assert breaker.admits(now) is (event == "admits")
        case "open" | "closed":
            assert breaker.is_open is (event == "open")
            assert (breaker.until > 0) is (event == "open")
        case _:
            pytest.fail(event)


@pytest.mark.parametrize("name", TABLE)
def test_the_life_of_a_breaker(name: str) -> None:
    breaker = Breaker()
    for now, what in TABLE[name]:
        happens(breaker, now, what)


@pytest.mark.parametrize(("chance", "until"), [(0.0, 4.0), (0.25, 4.5), (0.5, 5.0), (1.0, 6.0)])
def test_chance_moves_the_open_time_by_a_fifth(chance: float, until: float) -> None:
    breaker = Breaker()
    assert breaker.until == 0
    for _ in range(4):  # the fourth was sent before it opened
        breaker.failed(0.0, chance)
    assert breaker.until == pytest.approx(until)


events = st.lists(
    st.tuples(st.floats(0, 20), st.sampled_from(["ok", "fails", "probe", "gives up"]), st.floats(0, 1)), max_size=80
)


@given(events)
def test_whatever_happens_it_admits_somebody_within_24_s_unless_a_probe_is_out(
    happened: list[tuple[float, str, float]],
) -> None:
    breaker, now, out = Breaker(), 0.0, False
    for wait, what, chance in happened:
        now += wait
        if what == "probe" and breaker.is_open and breaker.admits(now):
            assert not out
            breaker.probing = out = True
        elif what == "gives up" and out:
            breaker.released()
            out = False
        elif what == "ok":
            breaker.succeeded(now, probe=out)
            out = False
        elif what == "fails":
            breaker.failed(now, chance, probe=out)
            out = False
        assert breaker.admits(now + 24) is not out
        assert not breaker.is_open or breaker.until <= now + 24

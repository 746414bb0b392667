"""Hedges as tables: what is sent when, seconds from the start of the call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from hfrouter.routing.eligible import Needs
from hfrouter.routing.policy import Policy
from hfrouter.routing.target import Target
from tests.routing.player import (
    BAD_REQUEST,
    CUT,
    E429,
    E500,
    GONE,
    NO_CREDITS,
    NO_FIRST,
    OK,
    OVER_BUDGET,
    Ends,
    Outcome,
    World,
    http,
)


def priced(provider: str, price: str | None, model: str = "org/m", url: str = "") -> Target:
    usd = None if price is None else Decimal(price)
    return Target(model, provider, input_price=usd, output_price=usd, url=url)


A, B, C, D, E = (priced(provider, "1") for provider in "abcde")
TWICE, DEARER, DEARER_C = priced("b", "2"), priced("b", "2.01"), priced("c", "2.01")
UNKNOWN_A, UNKNOWN_B = priced("a", None), priced("b", None)
FREE = replace(UNKNOWN_B, is_free=True)
OWN_A, OWN_B = (priced(provider, "1", url="http://own") for provider in "ab")
OTHER = priced("b", "1", model="org/other")
HEDGE = Policy(hedge=True)

Row = tuple[Sequence[Target], Sequence[Outcome], list[str]]

STREAMS: dict[str, Row] = {  # an attempt ends when it shows its first content
    "while nothing is known a rival comes after 3 s, and the first to show content wins": (
        [A, B],
        [(9, OK), (1, OK)],
        ["0 a", "3 hedge b", "4 abandon 1 (hedge)", "4 answered by 2"],
    ),
    "the first may still win": (
        [A, B],
        [(4, OK), (5, OK)],
        ["0 a", "3 hedge b", "4 abandon 2 (hedge)", "4 answered by 1"],
    ),
    "one that answers in time has no rival": ([A, B], [(2.875, OK)], ["0 a", "2.875 answered by 1"]),
    "one that fails in time has none either": ([A, B], [(2, CUT), (1, OK)], ["0 a", "2 b", "3 answered by 2"]),
    "the first fails, its rival goes on": (
        [A, B],
        [(4, CUT), (3, OK)],
        ["0 a", "3 hedge b", "6 answered by 2"],
    ),
    "the rival fails, the first goes on": (
        [A, B],
        [(9, OK), (1, CUT)],
        ["0 a", "3 hedge b", "9 answered by 1"],
    ),
    "and gets another rival at once": (
        [A, B, C],
        [(9, OK), (1, CUT), (2, OK)],
        ["0 a", "3 hedge b", "4 hedge c", "6 abandon 1 (hedge)", "6 answered by 3"],
    ),
    "so does the rival when the first fails": (
        [A, B, C],
        [(4, CUT), (3, OK), (9, OK)],
        ["0 a", "3 hedge b", "4 hedge c", "6 abandon 3 (hedge)", "6 answered by 2"],
    ),
    "no more than four attempts in all": (
        [A, B, C, D, E],
        [(20, OK), (1, CUT), (1, CUT), (1, CUT)],
        ["0 a", "3 hedge b", "4 hedge c", "5 hedge d", "20 answered by 1"],
    ),
    "both fail, the next is asked": (
        [A, B, DEARER_C],
        [(4, CUT), (3, CUT), (1, OK)],
        ["0 a", "3 hedge b", "6 c", "7 answered by 3"],
    ),
    "in whichever order": (
        [A, B, DEARER_C],
        [(6, CUT), (1, CUT), (1, OK)],
        ["0 a", "3 hedge b", "6 c", "7 answered by 3"],
    ),
    "a rival that fails fast is not asked once more while the first goes on": (
        [A, B],
        [(9, OK), (0, E500)],
        ["0 a", "3 hedge b", "9 answered by 1"],
    ),
    "both fail and nothing is left: the one that may answer soonest": (
        [A, B],
        [(4, CUT), (2, E429), (1, OK)],
        ["0 a", "3 hedge b", "5 a", "6 answered by 3"],
    ),
    "the silence of the first is limited as ever": (
        [A, B],
        [(12, NO_FIRST), (12, OK)],
        ["0 a", "3 hedge b", "15 answered by 2"],
    ),
    "each attempt may have a rival, of those untried": (
        [A, B, DEARER_C],
        [(4, CUT), (3, GONE), (20, OK)],
        ["0 a", "3 hedge b", "6 c", "26 answered by 3"],
    ),
    "the request is to blame: both are stopped": (
        [A, B],
        [(4, BAD_REQUEST), (5, OK)],
        ["0 a", "3 hedge b", "4 abandon 2 (request)", "4 stopped by bad_request"],
    ),
    "the account is to blame, an endpoint of the user's own is left": (
        [A, B, OWN_A],
        [(4, NO_CREDITS), (5, OK), (0, OK)],
        ["0 a", "3 hedge b", "4 abandon 2 (request)", "4 a", "4 answered by 3"],
    ),
    "a budget that refuses the rival leaves the first alone": (
        [A, B, C],
        [(9, OK), (0, OVER_BUDGET)],
        ["0 a", "3 hedge b", "9 answered by 1"],
    ),
    "a budget that refuses the rival may pay a cheaper one": (
        [A, TWICE, C],
        [(9, OK), (0, OVER_BUDGET), (1, OK)],
        ["0 a", "3 hedge b", "3 hedge c", "4 abandon 1 (hedge)", "4 answered by 2"],
    ),
    "a rival that no budget pays beside the first may be asked once that has failed": (
        [A, B, C],
        [(9, E500), (0, OVER_BUDGET), (1, OK)],
        ["0 a", "3 hedge b", "9 b", "10 answered by 2"],
    ),
    "the rival may be twice as dear": (
        [A, TWICE],
        [(9, OK), (1, OK)],
        ["0 a", "3 hedge b", "4 abandon 1 (hedge)", "4 answered by 2"],
    ),
    "not more": ([A, DEARER], [(9, OK)], ["0 a", "9 answered by 1"]),
    "the next that is not": (
        [A, DEARER, C],
        [(9, OK), (1, OK)],
        ["0 a", "3 hedge c", "4 abandon 1 (hedge)", "4 answered by 2"],
    ),
    "nor of an unknown price": ([A, UNKNOWN_B], [(9, OK)], ["0 a", "9 answered by 1"]),
    "nor when no price is known at all": ([UNKNOWN_A, UNKNOWN_B], [(9, OK)], ["0 a", "9 answered by 1"]),
    "a free one may be": (
        [UNKNOWN_A, FREE],
        [(9, OK), (1, OK)],
        ["0 a", "3 hedge b", "4 abandon 1 (hedge)", "4 answered by 2"],
    ),
    "another model is no rival": ([A, OTHER], [(9, OK)], ["0 a", "9 answered by 1"]),
    "nor is the same provider": ([A, replace(A, context_length=5)], [(9, OK)], ["0 a", "9 answered by 1"]),
    "nor an endpoint of the user's own, which is the last resort": (
        [A, OWN_B],
        [(9, OK)],
        ["0 a", "9 answered by 1"],
    ),
    "endpoints of the user's own may be rivals of each other": (
        [OWN_A, OWN_B],
        [(9, OK), (1, OK)],
        ["0 a", "3 hedge b", "4 abandon 1 (hedge)", "4 answered by 2"],
    ),
    "with nobody else there is none": ([A], [(9, OK)], ["0 a", "9 answered by 1"]),
}


@pytest.mark.parametrize("name", STREAMS)
def test_the_first_content_decides(name: str) -> None:
    targets, outcomes, expected = STREAMS[name]
    world = World()
    world.health.hedges.tokens = 9
    assert world.call(targets, outcomes, HEDGE).timeline == expected


WHOLE: dict[str, Row] = {  # the caller wants the whole answer; first contents are told on the way
    "one that has begun in time has no rival": ([A, B], [Ends(60, OK, 2)], ["0 a", "60 answered by 1"]),
    "the first begins, its rival is stopped": (
        [A, B],
        [Ends(60, OK, 4), Ends(9, OK, 2)],
        ["0 a", "3 hedge b", "4 abandon 2 (hedge)", "60 answered by 1"],
    ),
    "the rival begins, the first is stopped": (
        [A, B],
        [Ends(60, OK, 20), Ends(9, OK, 1)],
        ["0 a", "3 hedge b", "4 abandon 1 (hedge)", "12 answered by 2"],
    ),
    "one that has begun and breaks is followed by the next": (
        [A, B, C],
        [Ends(60, OK, 20), Ends(9, CUT, 1), Ends(1, OK, 1)],
        ["0 a", "3 hedge b", "4 abandon 1 (hedge)", "12 c", "13 answered by 3"],
    ),
    "one that answers at once need not begin": (
        [A, B],
        [Ends(60, OK, 20), (1, OK)],
        ["0 a", "3 hedge b", "4 abandon 1 (hedge)", "4 answered by 2"],
    ),
    "both begin in the same moment: one goes on": (
        [A, B],
        [Ends(60, OK, 4), Ends(30, OK, 1)],
        ["0 a", "3 hedge b", "4 abandon 2 (hedge)", "60 answered by 1"],
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_who_begins_goes_on(name: str) -> None:
    targets, outcomes, expected = WHOLE[name]
    assert World().call(targets, outcomes, HEDGE, whole=True).timeline == expected


LIMITS: dict[str, tuple[Policy, dict[str, Any], Row]] = {
    "off unless the policy allows it": (Policy(), {}, ([A, B], [(9, OK)], ["0 a", "9 answered by 1"])),
    "not of attempts whose first content cannot be seen": (
        HEDGE,
        {"streamed": False},
        ([A, B], [(9, OK)], ["0 a", "9 answered by 1"]),
    ),
    "a hedge is an attempt": (
        Policy(hedge=True, attempts=2),
        {},
        ([A, B, C], [(4, CUT), (3, CUT)], ["0 a", "3 hedge b", "6 stopped by cut"]),
    ),
    "the last attempt has none": (
        Policy(hedge=True, attempts=1),
        {},
        ([A, B], [(9, OK)], ["0 a", "9 answered by 1"]),
    ),
    "nor the second of two": (
        Policy(hedge=True, attempts=2),
        {},
        ([A, B, C], [(2, CUT), (9, OK)], ["0 a", "2 b", "11 answered by 2"]),
    ),
    "the deadline stops both": (
        Policy(hedge=True, deadline=10),
        {},
        ([A, B], [(99, OK), (99, OK)], ["0 a", "3 hedge b", "10 abandon 1", "10 abandon 2", "10 stopped by deadline"]),
    ),
    "near the deadline there may be one": (
        Policy(hedge=True, deadline=3.5),
        {},
        ([A, B], [(99, OK), (0.25, OK)], ["0 a", "3 hedge b", "3.25 abandon 1 (hedge)", "3.25 answered by 2"]),
    ),
    "there is none after the deadline": (
        Policy(hedge=True, deadline=3),
        {},
        ([A, B], [(99, OK)], ["0 a", "3 abandon 1", "3 stopped by deadline"]),
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_the_limits_of_hedges(name: str) -> None:
    policy, how, (targets, outcomes, expected) = LIMITS[name]
    assert World().call(targets, outcomes, policy, **how).timeline == expected


def answers(world: World, target: Target, times: Sequence[float], usd: float = 0.0) -> None:
    for seconds in times:
        world.call([target], [Ends(seconds, OK, seconds, usd=usd)])


SEEN: dict[
    str, tuple[Sequence[float], float]
] = {  # times to the first content that were seen, and when the rival comes
    "nineteen are too few to tell": ([0.25] * 19, 3),
    "after half a second at the earliest": ([0.25] * 20, 0.5),
    "after the 95th percentile and half of it": ([0.25] * 38 + [1.5, 2.5], 2.25),
    "in whichever order they came": ([2.5, 1.5] + [0.25] * 38, 2.25),
    "of the latest hundred": ([9.0] * 50 + [0.75] * 100, 1.125),
    "of a hundred the 96th": ([n / 32 for n in range(100)], 1.5 * 95 / 32),
    "it may be later than 3 s": ([4.0] * 20, 6),
}


@pytest.mark.parametrize("name", SEEN)
def test_when_the_rival_comes(name: str) -> None:
    times, after = SEEN[name]
    world = World()
    answers(world, A, times)
    assert world.call([A, B], [(99, OK), (0, OK)], HEDGE).timeline[1] == f"{after:g} hedge b"


def test_the_rivals_reason_is_told() -> None:
    first, rival = World().call([A, B], [(9, OK), (0, OK)], HEDGE).launches
    assert (first.hedge, rival.hedge, rival.why) == (False, True, "hedge after 3.0 s")


# -- who may be the rival, and what is learned -------------------------------------------------------------------------

ONE = Policy(attempts=1)


def breaks(world: World, target: Target) -> None:
    for _ in range(3):
        world.call([target], [(0, CUT)], ONE)


def test_a_target_held_back_or_on_probation_is_no_rival() -> None:
    world = World()
    world.call([B], [(0, http(429, retry_after=30.0))], ONE)
    breaks(world, C)
    world.sleep(5)
    assert world.call([A, B, C], [(9, OK)], HEDGE).asked == "a"
    world.call([C], [(0, OK)])
    assert world.call([A, B, C], [(9, OK), (0, OK)], HEDGE).asked == "a c"


def test_a_call_to_a_target_held_back_is_not_hedged() -> None:
    world = World()
    breaks(world, A)
    world.call([B], [(0, GONE)], ONE)
    world.sleep(5)
    assert world.call([A, B], [(9, OK)], HEDGE).asked == "a"


def test_nor_when_another_has_become_free_meanwhile() -> None:
    world = World()
    answers(world, A, [6.0] * 20)
    breaks(world, A)
    world.call([B], [(0, http(429, retry_after=6.0))], ONE)
    assert world.call([A, B], [(20, OK)], HEDGE).asked == "a"
    assert world.call([A, B], [(20, OK), (0, OK)], HEDGE).asked == "a b"


def test_a_target_asked_for_whole_answers_is_not_hedged() -> None:
    world = World()
    world.health.of(A).streams_badly = True
    assert world.call([A, B], [(9, OK)], HEDGE, needs=Needs(tools=True)).asked == "a"
    assert world.call([A, B], [(9, OK), (0, OK)], HEDGE).asked == "a b"


def test_the_loser_was_silent_for_longer_than_usual_and_that_counts() -> None:
    world = World()
    for _ in range(2):
        world.call([A, B], [(9, OK), (1, OK)], HEDGE)
    assert world.opened == []
    assert world.health.of(A).speed._latency == pytest.approx(4.0)
    world.health.hedges.tokens = 1
    world.call([A, B], [(9, OK), (1, OK)], HEDGE)
    assert world.opened == [("org/m:a", 5.0)]
    assert world.call([A, B], [(1, OK)], HEDGE).asked == "b"


def test_as_long_as_usual_is_long_enough_to_count() -> None:
    world = World()
    for _ in range(3):
        world.health.hedges.tokens = 1
        world.call([A, B], [(9, OK), (0, OK)], HEDGE)
    assert world.opened == [("org/m:a", 5.0)]


def test_a_rival_that_was_stopped_early_has_done_nothing_wrong() -> None:
    world = World()
    for _ in range(3):
        world.health.hedges.tokens = 1
        world.call([A, B], [(4, OK), (9, OK)], HEDGE)
    vitals = world.health.of(B)
    assert (vitals.running, vitals.silent, vitals.breaker.is_open) == (0, [], False)
    assert vitals.speed.latency(0.5, world.now) == 0.5


def test_two_hedges_to_begin_with_and_then_one_of_ten_calls() -> None:
    world = World()
    hedged = [world.call([A, B], [(4, OK), (9, OK)], HEDGE).asked == "a b" for _ in range(10)]
    assert hedged == [True, True] + [False] * 7 + [True]


def test_hedges_are_paid_from_what_was_spent() -> None:
    world, needs = World(), Needs(input_bytes=3_499)  # 1,000 tokens: a loser costs $0.001
    rows = [A, replace(B, output_price=Decimal("1.5"))]
    world.health.hedges.tokens = 10
    for _ in range(10):
        world.call([A], [Ends(0, OK, usd=0.0)], HEDGE)
    assert world.call(rows, [(4, OK)], HEDGE, needs=needs).asked == "a"
    world.call([A], [Ends(0, OK, usd=0.033)], HEDGE)
    assert world.call(rows, [(4, OK)], HEDGE, needs=needs).asked == "a"
    world.call([A], [Ends(0, OK, usd=0.001)], HEDGE)
    assert world.call(rows, [(4, OK), (9, OK)], HEDGE, needs=needs).asked == "a b"
    assert world.call(rows, [(4, OK)], HEDGE, needs=needs).asked == "a"

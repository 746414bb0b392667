"""Health as tables: what is said when, and who is therefore left alone until when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from hfrouter.routing.eligible import Needs
from hfrouter.routing.health import _ABSENT, _BLAMELESS
from hfrouter.routing.target import Target
from hfrouter.routing.verdict import FAILURES, RULES, Judgement
from hfrouter.routing.vitals import Hold
from tests.routing.player import (
    BAD_REQUEST,
    BLOCKED,
    CERTIFICATE,
    COLD,
    COLD_20,
    COLD_300,
    CONNECT_TIMEOUT,
    CUT,
    E429,
    E429_IN_3,
    E500,
    E503_IN_2,
    EMPTY,
    GONE,
    IDLE,
    LOST,
    MALFORMED,
    MODEL_NOT_FOUND,
    NO_CREDITS,
    NO_FIRST,
    NOT_ENABLED,
    NOT_FOUND,
    NOT_SUPPORTED,
    OK,
    OVERFLOW,
    QUOTA,
    REFUSED,
    UNAUTHORIZED,
    UNSUPPORTED,
    World,
    http,
)

A, B, C = (Target("org/m", provider) for provider in "abc")
OTHER = Target("org/other", "a")
OWN, OWN_OTHER = (Target(model, "own", url="http://own") for model in ("org/m", "org/other"))
NAMELESS = Target("org/m", "")  # as without a catalogue
ROSTER = (A, B, OTHER, OWN, OWN_OTHER)
NEEDS = Needs(input_bytes=1_000, parameters=frozenset({"seed", "top_k"}))


def says(
    world: World,
    target: Target,
    judgement: Judgement,
    *,
    needs: Needs = NEEDS,
    only: bool = False,
    own_limit: bool = False,
    seconds: float = 0.0,
) -> None:
    """An attempt goes to a target and comes to this."""
    health = world.health
    at, now = world.now - seconds, world.now
    probe = health.launched(target, at)
    if judgement is OK:
        health.answered(target, at, now, probe=probe)
    else:
        health.failed(
            target, judgement, at, now, probe=probe, seconds=seconds, needs=needs, only=only, own_limit=own_limit
        )


def held(world: World, target: Target, needs: Needs = NEEDS) -> tuple[Hold, float] | None:
    """Why a target is left alone, and until when in seconds of the story."""
    found = world.health.held(target, world.health.of(target), needs, world.now)
    return None if found is None else (found.kind, found.until - 1000)


# -- for how long ------------------------------------------------------------------------------------------------------

# (second, what the target says, what holds it then)
Story = Sequence[tuple[float, Judgement, tuple[Hold, float] | None]]
PAUSED, COLD_HOLD, SHUT, OPEN = Hold.PAUSED, Hold.COLD, Hold.SHUT, Hold.OPEN

STORIES: dict[str, Story] = {
    "rate limits: a second, doubling to a minute": [
        *((0, E429, (PAUSED, 1)), (1, E429, (PAUSED, 3)), (3, E429, (PAUSED, 7)), (7, E429, (PAUSED, 15))),
        *((15, E429, (PAUSED, 31)), (31, E429, (PAUSED, 63)), (63, E429, (PAUSED, 123)), (123, E429, (PAUSED, 183))),
    ],
    "rate limits: what was asked, when it is longer": [(0, E429_IN_3, (PAUSED, 3))],
    "rate limits: what has grown, when that is longer": [
        *((0, E429, (PAUSED, 1)), (1, E429, (PAUSED, 3)), (3, E429_IN_3, (PAUSED, 7))),
    ],
    "rate limits: at most an hour": [(0, http(429, retry_after=1e9), (PAUSED, 3600))],
    "rate limits: a shorter word later shortens nothing": [
        *((0, http(429, retry_after=30.0), (PAUSED, 30)), (1, E429, (PAUSED, 30)), (2, E429_IN_3, (PAUSED, 30))),
    ],
    "rate limits: an answer starts the count anew": [
        *((0, E429, (PAUSED, 1)), (1, E429, (PAUSED, 3)), (3, OK, None), (4, E429, (PAUSED, 5))),
    ],
    "rate limits: an answer sent before does not, nor ends the pause": [
        *((0, E429, (PAUSED, 1)), (1, E429, (PAUSED, 3)), (2, OK, (PAUSED, 3)), (3, E429, (PAUSED, 7))),
    ],
    "rate limits: a failure starts the count anew": [
        *((0, E429, (PAUSED, 1)), (1, E500, None), (2, E429, (PAUSED, 3))),
    ],
    "rate limits: a failure sent before does not": [
        *((0, E429, (PAUSED, 1)), (0.5, E500, (PAUSED, 1)), (1, E429, (PAUSED, 3))),
    ],
    "cold: so long as it says": [(0, COLD_20, (COLD_HOLD, 20)), (1, COLD, (COLD_HOLD, 6))],
    "cold: at most a minute": [(0, COLD_300, (COLD_HOLD, 60))],
    "cold: at once when it says so": [(0, http(503, "loading", estimated_time=0.0), None)],
    "cold: until it answers": [(0, COLD_20, (COLD_HOLD, 20)), (1, OK, None)],
    "a silent one is not known to be cold": [(0, NO_FIRST, None)],
    "gone: ten minutes": [(0, GONE, (SHUT, 600))],
    "not found: ten minutes": [(0, NOT_FOUND, (SHUT, 600))],
    "not supported: ten minutes, or until it answers": [(0, NOT_SUPPORTED, (SHUT, 600)), (1, OK, None)],
    "not enabled: ten minutes": [(0, NOT_ENABLED, (SHUT, 600))],
    "blocked by a firewall: ten minutes": [(0, BLOCKED, (SHUT, 600))],
    "no balance there: ten minutes": [(0, QUOTA, (SHUT, 600))],
    "no balance there: or as long as it says": [(0, http(429, "1113", retry_after=20.0), (SHUT, 20))],
    "no credits: five minutes": [(0, NO_CREDITS, (SHUT, 300))],
    "token refused: five minutes": [(0, UNAUTHORIZED, (SHUT, 300))],
    "too long: an hour": [(0, OVERFLOW, (SHUT, 3600))],
    "unsupported: ten minutes": [(0, UNSUPPORTED, (SHUT, 600))],
    "of several reasons the one that lasts longest": [
        *((0, COLD_20, (COLD_HOLD, 20)), (0, GONE, (SHUT, 600)), (0, E429, (SHUT, 600)), (0, OVERFLOW, (SHUT, 3600))),
    ],
    "three failures open the breaker": [(0, CUT, None), (0, IDLE, None), (0, LOST, (OPEN, 5))],
    "capacity is no failure": [
        *((0, E500, None), (0, E500, None), (0, E429, (PAUSED, 1)), (1, E429, (PAUSED, 3))),
    ],
    "loading is no failure": [(0, E500, None), (0, E500, None), (0, COLD_20, (COLD_HOLD, 20))],
    "the first probe is after 5 s, the second 10 s later": [
        *((0, CUT, None), (0, CUT, None), (0, CUT, (OPEN, 5)), (5, CUT, (OPEN, 15)), (15, OK, None)),
    ],
    "a probe that meets a rate limit says nothing": [
        *((0, CUT, None), (0, CUT, None), (0, CUT, (OPEN, 5)), (5, E429, (PAUSED, 6)), (6, CUT, (OPEN, 16))),
    ],
    "a probe of which the request is to blame says nothing": [
        *((0, CUT, None), (0, CUT, None), (0, CUT, (OPEN, 5)), (5, BAD_REQUEST, None), (5, CUT, (OPEN, 15))),
    ],
    "endpoint: three losses of the line open it": [
        (0, REFUSED, None),
        (0, CONNECT_TIMEOUT, None),
        (0, REFUSED, (OPEN, 5)),
    ],
    "endpoint: an answer between starts anew": [
        *((0, REFUSED, None), (0, REFUSED, None), (0, OK, None), (0, REFUSED, None), (0, REFUSED, None)),
    ],
    "endpoint: so does any failure of a target, for it was reached": [
        *((0, REFUSED, None), (0, REFUSED, None), (0, E500, None), (0, REFUSED, None), (0, REFUSED, None)),
    ],
    "endpoint: a probe that answers closes it": [
        *((0, REFUSED, None), (0, REFUSED, None), (0, REFUSED, (OPEN, 5)), (5, OK, None), (5, REFUSED, None)),
    ],
    "endpoint: a probe that reaches it closes it, whatever comes of it": [
        *((0, REFUSED, None), (0, REFUSED, None), (0, REFUSED, (OPEN, 5)), (5, E500, None), (5, REFUSED, None)),
    ],
    "endpoint: a probe that does not opens it for longer": [
        *((0, REFUSED, None), (0, REFUSED, None), (0, REFUSED, (OPEN, 5)), (5, REFUSED, (OPEN, 15))),
    ],
}


@pytest.mark.parametrize("name", STORIES)
def test_until_when_a_target_is_left_alone(name: str) -> None:
    world = World()
    for second, judgement, expected in STORIES[name]:
        world.now = 1000 + second
        says(world, A, judgement)
        assert held(world, A) == expected
        if expected is not None:
            kind, until = expected
            world.now = 1000 + until - 0.001
            assert held(world, A) == (kind, until)


ENDS: dict[str, tuple[Judgement, ...]] = {
    "rate limited, 1 in a row": (E429,),
    "rate limited, 2 in a row": (E429, E429),
    "loading": (COLD_20,),
    "gone": (GONE,),
    "402 out_of_credits": (NO_CREDITS,),
    "provider_not_enabled": (NOT_ENABLED,),
    "a request of this size did not fit its context": (OVERFLOW,),
    "does not support seed": (UNSUPPORTED,),
    "breaker open": (CUT,) * 3,
    "endpoint out of reach": (REFUSED,) * 3,
}


@pytest.mark.parametrize("why", ENDS)
def test_a_hold_ends_at_its_instant_and_says_why(why: str) -> None:
    world = World()
    for judgement in ENDS[why]:
        says(world, A, judgement)
    found = world.health.held(A, world.health.of(A), NEEDS, world.now)
    assert found is not None
    assert found.why == why
    world.now = found.until
    assert held(world, A) is None


def test_rate_limits_do_not_overflow() -> None:
    world = World()
    for _ in range(3_000):
        says(world, A, E429)
    assert held(world, A) == (PAUSED, 60)


# -- whom it speaks about ----------------------------------------------------------------------------------------------

ABOUT: dict[str, tuple[Target, Judgement, int, str]] = {  # who says it, what, how often, and who is held then
    "account: all that are billed to it": (A, NO_CREDITS, 1, "org/m:a org/m:b org/other:a"),
    "account: 403 too": (A, http(403, "spending limit"), 1, "org/m:a org/m:b org/other:a"),
    "credential: all that send it": (A, UNAUTHORIZED, 1, "org/m:a org/m:b org/other:a"),
    "credential: of the user's own endpoint": (OWN, UNAUTHORIZED, 1, "org/m:own org/other:own"),
    "provider: all its models": (A, NOT_ENABLED, 1, "org/m:a org/other:a"),
    "provider: quota": (A, QUOTA, 1, "org/m:a org/other:a"),
    "provider: nobody, when it has no name": (NAMELESS, NOT_ENABLED, 1, ""),
    "target: gone": (A, GONE, 1, "org/m:a"),
    "target: rate limit": (A, E429, 1, "org/m:a"),
    "target: breaker": (A, E500, 3, "org/m:a"),
    "target: breaker, not at two": (A, E500, 2, ""),
    "target: a Retry-After of a failure is a matter of the call": (A, E503_IN_2, 1, ""),
    "endpoint: all behind it": (A, REFUSED, 3, "org/m:a org/m:b org/other:a"),
    "endpoint: a certificate": (A, CERTIFICATE, 3, "org/m:a org/m:b org/other:a"),
    "endpoint: the user's own": (OWN, REFUSED, 3, "org/m:own org/other:own"),
    "model: not found is for the catalogue to say": (A, MODEL_NOT_FOUND, 9, ""),
    "request: nobody": (A, BAD_REQUEST, 9, ""),
    "request: an overflow holds the target for requests as long": (A, OVERFLOW, 1, "org/m:a"),
    "request: an unsupported parameter for requests that have it": (A, UNSUPPORTED, 1, "org/m:a"),
    "nobody: too large": (A, http(413), 9, ""),
    "nobody: an empty answer": (A, EMPTY, 9, ""),
    "nobody: a malformed tool call": (A, MALFORMED, 9, ""),
    "nobody: vectors of another length": (A, FAILURES["dimension_differs"], 9, ""),
    "nobody: an answer too large": (A, FAILURES["answer_too_large"], 9, ""),
}


@pytest.mark.parametrize("name", ABOUT)
def test_whom_a_failure_speaks_about(name: str) -> None:
    target, judgement, times, expected = ABOUT[name]
    world = World()
    for _ in range(times):
        says(world, target, judgement)
    assert " ".join(t.id for t in dict.fromkeys((*ROSTER, target)) if held(world, t)) == expected


COUNTED: dict[str, tuple[Judgement, dict[str, bool], bool]] = {  # what it is, how, and whether the breaker counts it
    "a server error": (E500, {}, True),
    "a lost line": (LOST, {}, True),
    "a cut stream": (CUT, {}, True),
    "an idle stream": (IDLE, {}, True),
    "no answer in time": (FAILURES["answer_timeout"], {}, True),
    "silence": (NO_FIRST, {}, True),
    "silence of the only one, which may be loading": (NO_FIRST, {"only": True}, False),
    "a failure of the only one": (E500, {"only": True}, True),
    "an idle stream that the caller's own deadline cut short": (IDLE, {"own_limit": True}, False),
    "silence that the caller's own deadline cut short": (NO_FIRST, {"own_limit": True}, False),
    "a rate limit": (E429, {}, False),
    "loading": (COLD_20, {}, False),
    "not an answer": (FAILURES["not_an_answer"], {}, True),
    "a redirection": (http(307), {}, True),
    "an unusual status": (http(204), {}, True),
}


@pytest.mark.parametrize("name", COUNTED)
def test_what_a_breaker_counts(name: str) -> None:
    judgement, how, counted = COUNTED[name]
    world = World()
    for _ in range(3):
        says(world, A, judgement, **how)
    vitals = world.health.of(A)
    assert vitals.breaker.is_open is counted
    assert (vitals.speed.failing(world.now) > 0) is counted
    assert (world.health.throttle("a").tokens < 10) is counted
    assert world.opened == ([("org/m:a", 5.0)] if counted else [])
    assert vitals.running == 0


def test_a_connection_that_the_callers_own_deadline_cut_short_counts_for_nobody() -> None:
    world = World()
    for _ in range(3):
        says(world, A, CONNECT_TIMEOUT, own_limit=True)
    assert (held(world, A), world.opened) == (None, [])


KEPT = replace(LOST, kept=True)


def test_the_loss_of_a_kept_connection_is_excused_once_until_the_target_answers() -> None:
    world = World()
    for expected in (False, True):
        for _ in range(3):
            says(world, A, KEPT)
        assert world.health.of(A).breaker.is_open is False
        says(world, A, KEPT if expected else OK)
        assert world.health.of(A).breaker.is_open is expected


@pytest.mark.parametrize("judgement", [CUT, REFUSED])
def test_one_probe_at_a_time_and_its_permit_comes_back(judgement: Judgement) -> None:
    world = World()
    for _ in range(3):
        says(world, A, judgement)
    world.sleep(5)
    assert held(world, A) is None
    probe = world.health.launched(A, world.now)
    assert probe is (judgement is CUT)
    assert held(world, A) == (OPEN, 5)
    world.sleep(100)
    assert held(world, A) == (OPEN, 5)
    world.health.released(A, world.now - 100, probe=probe)
    assert held(world, A) is None
    probe = world.health.launched(A, world.now)
    world.health.failed(A, CONNECT_TIMEOUT, world.now, world.now, probe=probe, seconds=0.0, needs=NEEDS, own_limit=True)
    assert held(world, A) is None


def test_an_answer_takes_from_the_share_of_failures() -> None:
    world = World()
    says(world, A, CUT)
    says(world, A, OK)
    assert world.health.of(A).speed.failing(world.now) == pytest.approx(0.09)


def test_an_answer_opens_an_account_that_was_shut_before_it_was_sent() -> None:
    world = World()
    says(world, A, NO_CREDITS)
    says(world, B, OK, seconds=0.5)  # sent half a second before
    assert held(world, A) == (SHUT, 300)
    world.sleep(1)
    says(world, B, OK)
    assert (held(world, A), held(world, B)) == (None, None)


def test_who_is_told_of_breakers_that_open() -> None:
    world = World()
    for target, judgement in ((A, CUT), (B, REFUSED), (OWN, REFUSED)):
        for _ in range(3):
            says(world, target, judgement)
    assert world.opened == [("org/m:a", 5.0), ("the router", 5.0), ("http://own", 5.0)]
    world.sleep(5)
    says(world, A, CUT)
    assert held(world, A) == (OPEN, 15)
    assert world.opened[3:] == []  # a probe that fails is no news
    world.sleep(10)
    says(world, A, OK)
    for _ in range(3):
        says(world, A, CUT)
    assert [name for name, _ in world.opened[3:]] == ["org/m:a"]


def test_chance_spreads_the_open_times_of_breakers() -> None:
    opened = set[float]()
    for seed in range(20):
        world = World(seed=seed)
        for _ in range(3):
            says(world, A, CUT)
        opened.add(world.opened[0][1])
    assert len(opened) == 20
    assert min(opened) >= 4
    assert max(opened) <= 6


def test_the_kinds_that_health_knows_are_kinds_of_the_verdicts() -> None:
    kinds = {rule.kind for rule in RULES} | set(FAILURES)
    assert _ABSENT <= _BLAMELESS <= kinds


# -- what a target cannot do ------------------------------------------------------------------------------------------


def size(input_bytes: int) -> Needs:
    return replace(NEEDS, input_bytes=input_bytes)


def test_a_request_too_long_is_remembered_by_its_length_for_an_hour() -> None:
    world = World()
    says(world, A, OVERFLOW, needs=size(1_000))
    says(world, A, OVERFLOW, needs=size(2_000))  # tells nothing new
    assert [n for n in (999, 1_000, 2_000) if held(world, A, size(n))] == [1_000, 2_000]
    world.sleep(3_000)
    says(world, A, OVERFLOW, needs=size(800))
    assert [n for n in (799, 800) if held(world, A, size(n))] == [800]
    world.sleep(3_599)
    assert held(world, A, size(800)) is not None
    assert held(world, B, size(800)) is None
    world.sleep(1)
    assert held(world, A, size(10**9)) is None


PARAMETERS: dict[
    str, tuple[str, str, str, bool]
] = {  # the request's, what is said, the next one's, and whether it is held
    "the one that was named": ("seed top_k", "'seed' is unsupported", "seed", True),
    "not the others": ("seed top_k", "'seed' is unsupported", "top_k", False),
    "all of several named": ("seed top_k n", "'seed' with 'top_k' is unsupported", "seed top_k", True),
    "not one of several named": ("seed top_k n", "'seed' with 'top_k' is unsupported", "seed", False),
    "none when none is named, for it may be any": ("seed top_k", "unsupported", "seed top_k", False),
    "nor when the request has none": ("", "assistant message prefill is not supported", "", False),
    "nor when it is about the messages": ("seed", "image input is not supported by this model", "seed", False),
    "nor when a name is but a part of a word": ("n", "the image is unsupported", "n", False),
    "one that the request did not have is not believed": ("seed", "'top_k' is unsupported", "top_k", False),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_an_unsupported_parameter_is_remembered(name: str) -> None:
    had, text, has, expected = PARAMETERS[name]
    world = World()
    says(world, A, http(422, text), needs=Needs(parameters=frozenset(had.split())))
    assert (held(world, A, Needs(parameters=frozenset(has.split()))) is not None) is expected


def test_several_unsupported_parameters_are_remembered_each_for_ten_minutes() -> None:
    world = World()
    for name in ("seed", "top_k"):
        says(world, A, http(422, f"{name} unsupported"), needs=Needs(parameters=frozenset({name})))
        world.sleep(300)
    both = [name for name in ("seed", "top_k") if held(world, A, Needs(parameters=frozenset({name})))]
    assert both == ["top_k"]
    says(world, A, http(422, "n unsupported"), needs=Needs(parameters=frozenset({"n"})))
    assert set(world.health.of(A).lacks) == {frozenset({"top_k"}), frozenset({"n"})}
    found = world.health.held(A, world.health.of(A), Needs(parameters=frozenset({"n", "top_k"})), world.now)
    assert found is not None
    assert found.why == "does not support top_k"


# -- running, ended, forgotten ----------------------------------------------------------------------------------------


def answers(world: World, target: Target, **facts: Any) -> None:
    """An attempt goes to a target and answers."""
    world.health.answered(target, world.now, world.now, probe=world.health.launched(target, world.now), **facts)


def test_a_stream_runs_until_it_has_ended() -> None:
    world = World()
    vitals = world.health.of(A)
    answers(world, A, first_content=0.5, seconds=0.5, open_=True)
    assert (vitals.running, list(vitals.ring)) == (1, [0.5])
    assert vitals.speed._latency == 0.5
    world.health.ended(A, world.now, seconds=2.0, output_tokens=100, broken=False)
    assert vitals.running == 0
    assert vitals.speed._throughput == 50
    world.health.ended(A, world.now, seconds=2.0, output_tokens=None, broken=False)
    assert vitals.running == 0
    world.health.released(A, world.now, probe=False)
    assert vitals.running == 0  # never less
    assert vitals.speed.failing(world.now) == 0


def test_the_silence_of_a_target_is_that_of_its_oldest_attempt_until_any_shows_content() -> None:
    world = World()
    vitals = world.health.of(A)
    assert vitals.silence(world.now) == 0
    for _ in range(3):
        world.health.launched(A, world.now)
        world.sleep(1)
    assert (vitals.silence(world.now), vitals.running) == (3, 3)
    world.health.released(A, 1000.0, probe=False)
    assert (vitals.silence(world.now), vitals.running) == (2, 2)
    world.health.failed(A, CUT, 1001.0, world.now, probe=False, seconds=2.0, needs=NEEDS)
    assert (vitals.silence(world.now), vitals.running) == (1, 1)
    world.health.launched(A, world.now)
    world.health.answered(A, 1002.0, world.now, probe=False)
    assert (vitals.silence(world.now + 5), vitals.running) == (0, 1)
    world.health.launched(A, world.now)
    world.health.began(A)
    assert (vitals.silence(world.now + 5), vitals.running) == (0, 2)


def test_an_attempt_that_lost_to_its_hedge_is_a_failure_and_took_at_least_so_long() -> None:
    world = World()
    vitals = world.health.of(A)
    for _ in range(3):
        world.health.launched(A, world.now)
        world.sleep(4)
        world.health.outrun(A, world.now - 4, world.now, probe=False)
    assert world.opened == [("org/m:a", 5.0)]
    assert (vitals.running, vitals.silent, vitals.speed._latency) == (0, [], 4.0)
    world.sleep(5)
    probe = world.health.launched(A, world.now)
    world.sleep(1)
    world.health.outrun(A, world.now - 1, world.now, probe=probe)
    assert world.opened == [("org/m:a", 5.0)]
    assert held(world, A) == (OPEN, 28)  # for 10 s from then
    assert vitals.speed._latency == 4.0  # it may take longer than one second, which was known


def test_streams_that_break_by_the_providers_fault_count() -> None:
    world = World()
    vitals = world.health.of(A)
    for _ in range(3):
        answers(world, A, first_content=1.0, open_=True)
        world.health.ended(A, world.now, seconds=2.0, output_tokens=100, broken=True)
        assert vitals.running == 0
    assert vitals.speed.failing(world.now) > 0
    assert vitals.speed.lost == pytest.approx(0.8**3)  # it cost no time before the content
    assert vitals.speed.throughput(None, world.now) == 20  # what a broken stream reports is not believed
    assert not vitals.breaker.is_open  # each began well, so they are no three in a row
    for _ in range(6):
        world.health.ended(A, world.now, seconds=2.0, output_tokens=None, broken=True)
    assert world.opened == [("org/m:a", 5.0)]


def test_a_whole_answer_tells_its_speed() -> None:
    world = World()
    fast = replace(A, throughput=100.0)
    answers(world, fast, seconds=3.0, output_tokens=100)
    vitals = world.health.of(A)
    assert vitals.speed._latency == pytest.approx(2.0)
    assert not vitals.ring
    answers(world, fast, first_content=1.0, seconds=3.0, output_tokens=100)
    assert vitals.speed._throughput == pytest.approx(50)


def test_the_ring_holds_the_latest_hundred() -> None:
    world = World()
    for n in range(250):
        answers(world, A, first_content=float(n), seconds=300.0)
    assert list(world.health.of(A).ring) == [float(n) for n in range(150, 250)]


def test_silence_tells_how_long_the_first_content_takes_at_least() -> None:
    world = World()
    says(world, A, NO_FIRST, seconds=6.0)
    assert world.health.of(A).speed._latency == 6.0
    assert world.health.of(A).speed.lost == pytest.approx(2.0)
    says(world, B, CUT, seconds=6.0)
    assert world.health.of(B).speed.latency(0.4, world.now) == 0.4


def test_a_target_is_proven_for_a_minute_after_an_answer_unless_its_breaker_opened() -> None:
    world = World()
    vitals = world.health.of(A)
    assert not vitals.proven(world.now)
    says(world, A, OK)
    assert vitals.proven(world.now + 60)
    assert not vitals.proven(world.now + 60.1)
    for _ in range(3):
        says(world, A, CUT)
    assert not vitals.proven(world.now)


def test_what_was_used_longest_ago_is_forgotten_when_there_are_thousands() -> None:
    world = World()
    for n in range(4_096):
        world.health.of(Target("org/m", f"p{n}")).running = 1
        world.health.keep(f"s{n}", A, world.now)
    world.health.of(Target("org/m", "p0"))
    world.health.keep("s0", B, world.now)
    world.health.of(A)
    world.health.keep("new", A, world.now)
    assert world.health.of(Target("org/m", "p0")).running == 1
    assert world.health.kept("s0", "org/m", world.now) == "org/m:b"
    assert world.health.kept("s1", "org/m", world.now) is None
    assert world.health.kept("s2", "org/m", world.now) == "org/m:a"
    assert world.health.of(Target("org/m", "p1")).running == 0


def test_the_vitals_of_a_target_are_its_models_its_providers_and_its_endpoints() -> None:
    health = World().health
    assert health.of(A) is health.of(replace(A, context_length=5, throughput=3.0))
    assert len({id(health.of(t)) for t in (A, B, OTHER, OWN, replace(A, url="http://own"))}) == 5
    assert health.throttle("a") is health.throttle("a")
    assert health.throttle("a") is not health.throttle("b")

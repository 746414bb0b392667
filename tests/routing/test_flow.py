"""The engine as tables: targets and scripted outcomes on a fake clock, and the commands that must come of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hfrouter.routing.choice import Choice
from hfrouter.routing.commands import Abandon, Answer, Begun, Done, Launch, Wait
from hfrouter.routing.eligible import Needs
from hfrouter.routing.flow import route
from hfrouter.routing.policy import Policy
from hfrouter.routing.steps import _FOR_GOOD, _ONCE_IS_CHANCE
from hfrouter.routing.target import Target
from hfrouter.routing.verdict import FAILURES, RULES, Judgement, Scope, Verdict
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
    E429_IN_5,
    E429_IN_6,
    E500,
    E503,
    E503_IN_2,
    E503_IN_30,
    EMPTY,
    GONE,
    IDLE,
    LOST,
    MODEL_NOT_FOUND,
    NO_CREDITS,
    NO_FIRST,
    NOT_ENABLED,
    NOT_SUPPORTED,
    OK,
    OVERFLOW,
    QUOTA,
    REFUSED,
    SILENT,
    UNAUTHORIZED,
    UNSUPPORTED,
    Outcome,
    World,
    play,
)

A, B, C, D, E = (Target("org/m", provider, context_length=8_000) for provider in ("a", "b", "c", "d", "e"))
BIG = Target("org/m", "big", context_length=100_000)
BARE = Target("org/m", "bare")  # a row without facts
OTHER = Target("org/other", "a", context_length=8_000)
OTHER_B = Target("org/other", "b", context_length=100_000)

# -- the tables --------------------------------------------------------------------------------------------------------

Row = tuple[list[Target], list[Outcome], list[str]]

FAILING_OVER: dict[str, Row] = {
    "an answer ends the call": ([A, B], [(1, OK)], ["org/m:a 12", "answered by 1"]),
    "a time-out moves on at once": (
        [A, B],
        [(12, NO_FIRST), (1, OK)],
        ["org/m:a 12", "org/m:b 12", "answered by 2"],
    ),
    "an idle stream moves on": ([A, B], [(3, IDLE), (1, OK)], ["org/m:a 12", "org/m:b 12", "answered by 2"]),
    "a cut stream moves on": ([A, B], [(0.1, CUT), (1, OK)], ["org/m:a 12", "org/m:b 12", "answered by 2"]),
    "a rate limit moves on at once": ([A, B], [(0, E429_IN_3), (1, OK)], ["org/m:a 12", "org/m:b 12", "answered by 2"]),
    "a cold model moves on at once": ([A, B], [(0, COLD_20), (1, OK)], ["org/m:a 12", "org/m:b 12", "answered by 2"]),
    "a slow server error moves on": ([A, B], [(1, E500), (1, OK)], ["org/m:a 12", "org/m:b 12", "answered by 2"]),
    "a fast server error is asked once more after a pause": (
        [A, B],
        [(0.9, E500), (1, OK)],
        ["org/m:a 12", "wait 0.5", "org/m:a 12", "answered by 2"],
    ),
    "a lost connection likewise": (
        [A, B],
        [(0, LOST), (1, OK)],
        ["org/m:a 12", "wait 0.5", "org/m:a 12", "answered by 2"],
    ),
    "the second fast server error moves on": (
        [A, B],
        [(0, E500), (0, E500), (1, OK)],
        ["org/m:a 12", "wait 0.5", "org/m:a 12", "org/m:b 12", "answered by 3"],
    ),
    "a fast error after a slow failure of the same target does not count as its first": (
        [A],
        [(2, CUT), (0, E500), (1, OK)],
        ["org/m:a 120", "wait 0.5", "org/m:a 117.5", "wait 1", "org/m:a 116.5", "answered by 3"],
    ),
    "the last attempt is not spent on a second try while a target is untried": (
        [A, B, C],
        [(0, E500), (0, E500), (0, E503), (1, OK)],
        ["org/m:a 12", "wait 0.5", "org/m:a 12", "org/m:b 12", "org/m:c 119.5", "answered by 4"],
    ),
    "a server that names a later time is not asked again at once": (
        [A, B],
        [(0, E503_IN_2), (1, OK)],
        ["org/m:a 12", "org/m:b 12", "answered by 2"],
    ),
}

LAST_RESORTS: dict[str, Row] = {
    "a lone provider has all the time there is": ([A], [(100, OK)], ["org/m:a 120", "answered by 1"]),
    "a lone provider is asked again after a pause that doubles": (
        [A],
        [(2, E500), (2, E500), (2, E500), (2, E500)],
        [
            *("org/m:a 120", "wait 0.5", "org/m:a 117.5", "wait 1", "org/m:a 114.5", "wait 2", "org/m:a 110.5"),
            "stopped by server_error",
        ],
    ),
    "a rate limit without alternative is waited out, longer each time": (
        [A],
        [(0, E429), (0, E429), (0, E429), (1, OK)],
        ["org/m:a 120", "wait 1", "org/m:a 119", "wait 2", "org/m:a 117", "wait 4", "org/m:a 113", "answered by 4"],
    ),
    "rate limits count in a row": (
        [A],
        [(0, E429), (2, CUT), (0, E429), (1, OK)],
        ["org/m:a 120", "wait 1", "org/m:a 119", "wait 1", "org/m:a 116", "wait 1", "org/m:a 115", "answered by 4"],
    ),
    "a Retry-After of 5 s is waited out": (
        [A],
        [(0, E429_IN_5), (1, OK)],
        ["org/m:a 120", "wait 5", "org/m:a 115", "answered by 2"],
    ),
    "one beyond 5 s is the caller's to decide": ([A], [(0, E429_IN_6)], ["org/m:a 120", "stopped by rate_limited"]),
    "a server error with a Retry-After is left alone so long": (
        [A],
        [(0, E503_IN_2), (1, OK)],
        ["org/m:a 120", "wait 2", "org/m:a 118", "answered by 2"],
    ),
    "and given up when that is too long": ([A], [(0, E503_IN_30)], ["org/m:a 120", "stopped by server_error"]),
    "time spent elsewhere counts as waited": (
        [A, B],
        [(0, E429_IN_6), (4, GONE), (1, OK)],
        ["org/m:a 12", "org/m:b 12", "wait 2", "org/m:a 114", "answered by 3"],
    ),
    "the one that may answer soonest is asked": (
        [A, B],
        [(0, E429_IN_3), (0, E429), (1, OK)],
        ["org/m:a 12", "org/m:b 12", "wait 1", "org/m:b 12", "answered by 3"],
    ),
    "of equals the one that failed longest ago": (
        [A, B],
        [(12, NO_FIRST), (12, NO_FIRST), (12, NO_FIRST), (1, OK)],
        ["org/m:a 12", "org/m:b 12", "org/m:a 12", "org/m:b 84", "answered by 4"],
    ),
}

COLD_MODELS: dict[str, Row] = {
    "a lone cold model is given the time it asks for": (
        [A],
        [(0, COLD_20), (1, OK)],
        ["org/m:a 120", "wait 20", "org/m:a 100", "answered by 2"],
    ),
    "and 5 s when it does not say": (
        [A],
        [(0, COLD), (1, OK)],
        ["org/m:a 120", "wait 5", "org/m:a 115", "answered by 2"],
    ),
    "and what remains when it asks for more, less the time to answer": (
        [A],
        [(0, COLD_300), (1, OK)],
        ["org/m:a 120", "wait 115", "org/m:a 5", "answered by 2"],
    ),
    "it is waited for although another target failed last": (
        [A, B],
        [(0, COLD_20), (0, GONE), (1, OK)],
        ["org/m:a 12", "org/m:b 12", "wait 20", "org/m:a 100", "answered by 3"],
    ),
    "a long rate limit is not waited out because another target is cold": (
        [A, B],
        [(0, E429_IN_6), (0, COLD_20), (1, OK)],
        ["org/m:a 12", "org/m:b 12", "wait 20", "org/m:b 12", "answered by 3"],
    ),
}

SCOPES: dict[str, Row] = {
    "target: gone rules it out": ([A], [(0, GONE)], ["org/m:a 120", "stopped by gone"]),
    "target: the next provider of the model serves": (
        [A, B],
        [(0, NOT_SUPPORTED), (1, OK)],
        ["org/m:a 12", "org/m:b 120", "answered by 2"],
    ),
    "provider: not enabled rules out all its models": (
        [A, OTHER, OTHER_B],
        [(0, NOT_ENABLED), (1, OK)],
        ["org/m:a 12", "org/other:b 120", "answered by 2"],
    ),
    "provider: so does a firewall": (
        [A, OTHER, B],
        [(0, BLOCKED), (1, OK)],
        ["org/m:a 12", "org/m:b 120", "answered by 2"],
    ),
    "provider: so does an empty purse there": ([A, OTHER], [(0, QUOTA)], ["org/m:a 12", "stopped by quota_exceeded"]),
    "model: not found rules out all its providers": (
        [A, B, OTHER],
        [(0, MODEL_NOT_FOUND), (1, OK)],
        ["org/m:a 12", "org/other:a 120", "answered by 2"],
    ),
    "model: an overflow goes only to a larger window": (
        [A, B, OTHER, BIG],
        [(0, OVERFLOW), (1, OK)],
        ["org/m:a 12", "org/m:big 120", "answered by 2"],
    ),
    "model: an overflow where a length is unknown goes to another model": (
        [BARE, A, OTHER],
        [(0, OVERFLOW), (1, OK)],
        ["org/m:bare 12", "org/other:a 120", "answered by 2"],
    ),
    "model: an overflow with nothing larger ends the call": (
        [A, B],
        [(0, OVERFLOW)],
        ["org/m:a 12", "stopped by context_overflow"],
    ),
    "account: no credits end the call": ([A, B], [(0, NO_CREDITS)], ["org/m:a 12", "stopped by out_of_credits"]),
    "credential: a refused token ends the call": (
        [A, B],
        [(0, UNAUTHORIZED)],
        ["org/m:a 12", "stopped by unauthorized"],
    ),
    "request: a bad one ends the call": ([A, B], [(0, BAD_REQUEST)], ["org/m:a 12", "stopped by bad_request"]),
    "endpoint: asked once more, since it is the same for all": (
        [A, B],
        [(0, REFUSED), (1, OK)],
        ["org/m:a 12", "wait 0.5", "org/m:a 12", "answered by 2"],
    ),
    "endpoint: out of reach twice ends the call": (
        [A, B],
        [(0, REFUSED), (0, REFUSED)],
        ["org/m:a 12", "wait 0.5", "org/m:a 12", "stopped by connect_failed"],
    ),
    "endpoint: in whichever way": (
        [A, B],
        [(0, REFUSED), (5, CONNECT_TIMEOUT)],
        ["org/m:a 12", "wait 0.5", "org/m:a 12", "stopped by connect_timeout"],
    ),
    "endpoint: a certificate is not asked twice": (
        [A, B],
        [(0, CERTIFICATE)],
        ["org/m:a 12", "stopped by certificate_refused"],
    ),
    "an empty answer is tried on one more target": (
        [A, B, C],
        [(0, EMPTY), (0, EMPTY)],
        ["org/m:a 12", "org/m:b 12", "stopped by empty_answer"],
    ),
    "an unsupported parameter likewise": (
        [A, B, C],
        [(0, UNSUPPORTED), (0, UNSUPPORTED)],
        ["org/m:a 12", "org/m:b 12", "stopped by unsupported_parameter"],
    ),
    "everything ruled out ends the call with the last reason": (
        [A, B],
        [(0, GONE), (0, NOT_SUPPORTED)],
        ["org/m:a 12", "org/m:b 120", "stopped by model_not_supported"],
    ),
}

CAPS: dict[str, Row] = {
    "at most four attempts, and the last has all the time there is": (
        [A, B, C, D, E],
        [(12, NO_FIRST)] * 3 + [(80, CUT)],
        ["org/m:a 12", "org/m:b 12", "org/m:c 12", "org/m:d 84", "stopped by cut"],
    ),
    "the deadline stops the attempt that runs": (
        [A],
        [(0, SILENT)],
        ["org/m:a 120", "abandon 1", "stopped by deadline"],
    ),
    "an answer in the last moment counts": ([A], [(120, OK)], ["org/m:a 120", "answered by 1"]),
    "a failure in the last moment is followed by nothing": (
        [A, B],
        [(120, CUT)],
        ["org/m:a 12", "stopped by deadline"],
    ),
}

TABLE = FAILING_OVER | LAST_RESORTS | COLD_MODELS | SCOPES | CAPS


@pytest.mark.parametrize("name", TABLE)
def test_the_commands_of_a_call(name: str) -> None:
    targets, outcomes, expected = TABLE[name]
    assert play(targets, outcomes).trace == expected


LIMITED: dict[str, tuple[Policy, Row]] = {
    "one attempt": (Policy(attempts=1), ([A, B], [(0, E500)], ["org/m:a 120", "stopped by server_error"])),
    "two attempts go to two targets": (
        Policy(attempts=2),
        ([A, B], [(0, E500), (0, E500)], ["org/m:a 12", "org/m:b 120", "stopped by server_error"]),
    ),
    "two attempts at a lone target": (
        Policy(attempts=2),
        ([A], [(0, E500), (0, E500)], ["org/m:a 120", "wait 0.5", "org/m:a 119.5", "stopped by server_error"]),
    ),
    "the policy's own first_content": (
        Policy(first_content=3),
        ([A, B], [(3, NO_FIRST), (1, OK)], ["org/m:a 3", "org/m:b 3", "answered by 2"]),
    ),
    "while another target is left, half of what remains is for it": (
        Policy(deadline=10),
        ([A, B], [(5, NO_FIRST), (1, OK)], ["org/m:a 5", "org/m:b 2.5", "answered by 2"]),
    ),
    "the policy's own first_content, when that is less": (
        Policy(deadline=10, first_content=4.5),
        ([A, B], [(4.5, NO_FIRST), (1, OK)], ["org/m:a 4.5", "org/m:b 2.75", "answered by 2"]),
    ),
    "a lone target has all that remains": (
        Policy(deadline=10),
        ([A], [(4, CUT), (1, OK)], ["org/m:a 10", "wait 0.5", "org/m:a 5.5", "answered by 2"]),
    ),
    "a wait that the deadline cannot pay is not begun": (
        Policy(deadline=2),
        ([A], [(0, E429_IN_3)], ["org/m:a 2", "stopped by deadline"]),
    ),
    "nor a second try, while another target has the time": (
        Policy(deadline=0.75),
        ([A, B], [(0.25, E500), (0.125, OK)], ["org/m:a 0.375", "org/m:b 0.25", "answered by 2"]),
    ),
    "nor at an endpoint out of reach": (
        Policy(deadline=0.4),
        ([A, B], [(0, REFUSED)], ["org/m:a 0.2", "stopped by deadline"]),
    ),
    "the deadline passes in the last attempt, which has all that remains": (
        Policy(deadline=10, attempts=2),
        ([A, B], [(4, CUT), (0, SILENT)], ["org/m:a 5", "org/m:b 6", "abandon 2", "stopped by deadline"]),
    ),
    "a cold model is not hammered when little time is left": (
        Policy(deadline=4),
        (
            [A],
            [(0, COLD), (0, COLD), (0, COLD), (0, COLD)],
            ["org/m:a 4", "wait 2", "org/m:a 2", "wait 1", "org/m:a 1", "wait 0.5", "org/m:a 0.5", "stopped by cold"],
        ),
    ),
}


@pytest.mark.parametrize("name", LIMITED)
def test_the_commands_of_a_call_with_limits(name: str) -> None:
    policy, (targets, outcomes, expected) = LIMITED[name]
    assert play(targets, outcomes, policy).trace == expected


PATIENT: dict[str, Row] = {
    "a cold model is waited for, although another target is left": (
        [A, B],
        [(0, COLD_20), (30, OK)],
        ["org/m:a 120", "wait 20", "org/m:a 100", "answered by 2"],
    ),
    "anything else moves on": ([A, B], [(2, E500), (1, OK)], ["org/m:a 120", "org/m:b 118", "answered by 2"]),
    "at most four attempts": (
        [A, B],
        [(0, COLD)] * 4,
        ["org/m:a 120", "wait 5", "org/m:a 115", "wait 5", "org/m:a 110", "wait 5", "org/m:a 105", "stopped by cold"],
    ),
}


@pytest.mark.parametrize("name", PATIENT)
def test_the_commands_of_a_patient_call(name: str) -> None:
    targets, outcomes, expected = PATIENT[name]
    assert play(targets, outcomes, patient=True).trace == expected


def test_a_call_without_time_sends_nothing() -> None:
    spent = Policy().model_copy(update={"deadline": 0.0})  # as the driver does when planning took it all
    assert play([A], [], spent).trace == ["stopped by deadline"]


@pytest.mark.parametrize(("jitter", "pause"), [(0.0, 0.25), (0.5, 0.5), (1.0, 0.75)])
def test_the_pause_before_a_second_try_is_between_a_quarter_and_three_quarters_of_a_second(
    jitter: float, pause: float
) -> None:
    assert play([A, B], [(0, E500), (1, OK)], jitter=jitter).pauses == pytest.approx([pause])


@pytest.mark.parametrize("scope", [Scope.ACCOUNT, Scope.CREDENTIAL, Scope.REQUEST])
def test_what_speaks_of_the_caller_rules_out_every_target(scope: Scope) -> None:
    passing = Judgement(Verdict.FALLBACK, "whatever", scope)
    assert play([A, B, OTHER], [(0, passing)]).trace == ["org/m:a 12", "stopped by whatever"]


def test_the_engine_knows_only_kinds_that_the_verdicts_give() -> None:
    kinds = {rule.kind for rule in RULES} | set(FAILURES)
    assert _FOR_GOOD | _ONCE_IS_CHANCE | {"context_overflow"} <= kinds


def test_what_stopped_a_call_is_told_in_a_word() -> None:
    assert str(play([A], [(0, GONE)]).stopped) == "gone"
    stopped = play([A], [(0, SILENT)]).stopped
    assert stopped is not None
    assert (str(stopped), stopped.last, stopped.why) == ("deadline", None, "")


def test_an_outcome_is_of_an_answer_that_cost_nothing_known_and_is_over_unless_it_says_otherwise() -> None:
    done = Done(1, OK, 2.0)
    assert (done.value, done.first_content, done.output_tokens, done.usd, done.flowing) == (
        None,
        None,
        None,
        0.0,
        False,
    )
    assert Abandon(1).why == "deadline"
    launch = Launch(1, A, 12.0, 120.0)
    assert (launch.unary, launch.hedge, launch.why, launch.ranking) == (False, False, "", ())


# -- what is under way -------------------------------------------------------------------------------------------------


def test_a_call_that_is_closed_at_any_command_leaves_nothing_under_way() -> None:
    for commands in range(1, 7):
        world = World()
        health = world.health
        flow = route(Choice.listed([A, B], health), Policy(), lambda: 1000.0, lambda: 0.5)
        answers: list[Answer] = [None, None, Done(1, E500, 0.0), None, None, Done(2, E500, 0.0)]
        for answer in answers[:commands]:
            command = flow.send(answer)
        assert health.of(A).running + health.of(B).running == (0 if isinstance(command, Wait) and commands == 3 else 1)
        flow.close()
        for target in (A, B):
            assert (health.of(target).running, health.of(target).silent) == (0, [])


def test_unless_said_otherwise_a_call_is_streamed_and_not_patient() -> None:
    world = World()
    rows = [replace(target, is_free=True) for target in (A, B)]
    flow = route(Choice.listed(rows, world.health), Policy(hedge=True), lambda: world.now, lambda: 0.5)
    assert isinstance(launch := next(flow), Launch)
    assert launch.first_content == 12
    assert flow.send(None) == Wait(3.0)  # a hedge may follow
    flow.close()


def test_silence_counts_until_the_first_content_is_told() -> None:
    world = World()
    vitals = world.health.of(A)
    flow = route(Choice.listed([A], world.health), Policy(), lambda: world.now, lambda: 0.5)
    next(flow)
    flow.send(None)
    assert (len(vitals.silent), vitals.running) == (1, 1)
    flow.send(Begun(1))
    assert (len(vitals.silent), vitals.running) == (0, 1)
    flow.close()


@pytest.mark.parametrize(("streamed", "badly", "silent"), [(True, False, 1), (False, False, 0), (True, True, 0)])
def test_the_silence_of_an_answer_in_one_piece_says_nothing(streamed: bool, badly: bool, silent: int) -> None:
    world = World()
    world.health.of(A).streams_badly = badly
    choice = Choice.listed([A], world.health, Needs(tools=True))
    flow = route(choice, Policy(), lambda: world.now, lambda: 0.5, streamed=streamed)
    next(flow)
    assert len(world.health.of(A).silent) == silent
    flow.close()

"""Vectors that other systems publish or test: the AWS SDKs, gRPC, Envoy, Polly, resilience4j, Netflix.

Where a rule of ours is of the same kind, theirs is a row here, in our parameters; the comment says theirs. Where ours
differs by design, `DOES_NOT_APPLY` says why. Retry-After in all its forms is in tests/wire/test_retry_after.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import combinations

import pytest

from hfrouter.errors import ConfigurationError
from hfrouter.routing.breaker import Breaker
from hfrouter.routing.buckets import Throttle
from hfrouter.routing.policy import Policy
from hfrouter.routing.target import Target
from tests.routing.player import (
    BAD_REQUEST,
    CUT,
    E429,
    E429_IN_3,
    E500,
    E503,
    NO_CREDITS,
    OK,
    OVER_BUDGET,
    REFUSED,
    Ends,
    Outcome,
    World,
    http,
)

A, B, C, D = (Target("org/m", provider, input_price=Decimal(1), output_price=Decimal(1)) for provider in "abcd")
ONE = Policy(attempts=1)

DOES_NOT_APPLY: dict[str, str] = {
    "AWS: a quota of 500 that retries take from and successes give back": (
        "Retries of one target are bounded by gRPC's throttle and moves by a share of the calls of 10 s; a quota for "
        "the life of a process lets one outage of the morning use up the retries of the afternoon."
    ),
    "AWS: time-outs cost twice": "A time-out is never asked again at the same target while another is left.",
    "AWS: throttles back off from 1 s in a bucket of their own": (
        "A rate limit pauses its target for 1 s, doubling, and the call moves on; only a lone target is waited for."
    ),
    "AWS: the back-off is capped at 20 s": (
        "With four attempts it never gets beyond 3 s; a longer wait is the caller's to decide."
    ),
    "AWS: a server's delay is cut to 5 s and the back-off": (
        "A delay beyond 5 s is believed and not waited for: asking earlier than told is what it should prevent."
    ),
    "AWS: cubic rates": "No rate is learned; a target that is full says 429, and the next one is asked.",
    "gRPC: the back-off begins anew after a pushback": (
        "A call asks at most four times; a pushback says nothing of how the target does afterwards."
    ),
    "gRPC: a negative or unreadable pushback forbids retries": (
        "RFC 9110 knows no such thing, and providers send past dates and garbage by mistake."
    ),
    "gRPC: third and fourth attempt of a hedge at the same time": (
        "Every attempt is paid for: at most two are out, and the second only within a tenth of the calls."
    ),
    "Envoy: success rates below the mean by 1.9 standard deviations": (
        "A statistic of a fleet under even load; with two to ten providers of unequal traffic it ejects the slow, not "
        "the broken, and the score already prefers the reliable."
    ),
    "Envoy: 85 % failures of 50 requests": "More than half of ten is enough: another provider costs nothing to ask.",
    "Envoy: at most 10 % of hosts are ejected": (
        "All may be open at once, since the one that is free first is asked all the same."
    ),
    "Polly: isolate and reset by hand, disposed breakers": (
        "Breakers are nobody's to hold; `Policy.ignore` leaves a provider out."
    ),
    "Polly: a hedge delay of nothing or of infinity": (
        "The delay is what the target usually takes; `hedge=False` is never."
    ),
    "Polly: a discarded result is disposed of": "It does, in the driver: tests/cancellation and tests/core.",
    "resilience4j: several probes at once": "One probe decides; a probe is a call of somebody who waits.",
    "Netflix: AIMD 20 -> 21, 30 -> 27 and Vegas 100 -> 75 -> 56": (
        "Concurrency is not limited by us: attempts under way raise the score of a target, and 429s pause it."
    ),
}


def test_each_reason_is_a_sentence_about_a_named_source() -> None:
    for name, why in DOES_NOT_APPLY.items():
        assert name.partition(":")[0] in {"AWS", "gRPC", "Envoy", "Polly", "resilience4j", "Netflix"}
        assert why.endswith(".")


# -- AWS: outcomes of calls at one target, retries and their delays; jitter pinned ------------------------------------

AWS: dict[str, tuple[Policy, Sequence[Outcome], str]] = {
    "eventually succeeds (theirs: 1 s, 2 s)": (Policy(attempts=3), [(0, E500), (0, E500), (0, OK)], "a ~0.5 a ~1 a ok"),
    "fails at the most attempts (theirs: 1 s, 2 s)": (
        Policy(attempts=3),
        [(0, E503), (0, E503), (0, E503)],
        "a ~0.5 a ~1 a server_error",
    ),
    "back-off doubles (theirs: 1, 2, 4, 8 s)": (
        Policy(),
        [(2, E500), (2, E500), (2, E500), (2, E500)],
        "a ~0.5 a ~1 a ~2 a server_error",
    ),
    "no retry when none is allowed": (ONE, [(0, E500)], "a server_error"),
    "a server's delay is waited for (theirs: 1500 ms)": (
        Policy(),
        [(0, http(503, retry_after=1.5)), (0, OK)],
        "a ~1.5 a ok",
    ),
    "a delay of nothing is ours to choose": (Policy(), [(0, http(503, retry_after=0.0)), (0, OK)], "a ~0.5 a ok"),
    "an error of the client is not retried": (Policy(), [(0, BAD_REQUEST)], "a bad_request"),
}


@pytest.mark.parametrize("name", AWS)
def test_aws_outcomes_and_delays(name: str) -> None:
    policy, outcomes, expected = AWS[name]
    assert World().call([A], outcomes, policy).brief == expected


def test_aws_the_bucket_ends_the_same_whatever_the_interleaving_of_two_threads() -> None:
    one, two = ("failed", "failed", "answered"), ("failed", "answered")
    ends = set[float]()
    for places in combinations(range(5), 3):
        throttle, first, second = Throttle(), iter(one), iter(two)
        for place in range(5):
            getattr(throttle, next(first if place in places else second))()
        ends.add(round(throttle.tokens, 9))
    assert ends == {7.2}


# -- gRPC (gRFC A6) ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failures", "answers", "allowed"), [(4, 0, True), (5, 0, False), (14, 50, False), (14, 52, True)]
)
def test_grpc_throttle_of_ten_tokens_and_a_tenth(failures: int, answers: int, allowed: bool) -> None:
    throttle = Throttle()
    for _ in range(failures):
        throttle.failed()
    for _ in range(answers):
        throttle.answered()
    assert throttle.allows is allowed


def test_grpc_the_throttle_ignores_what_the_caller_is_to_blame_for_and_never_stops_a_first_send() -> None:
    world = World()
    for judgement in (BAD_REQUEST, NO_CREDITS, E429, OVER_BUDGET):
        world.call([A], [(0, judgement)], ONE)
    assert world.health.throttle("a").tokens == 10
    for _ in range(20):
        world.call([A], [(0, CUT)], ONE)
    assert world.health.throttle("a").tokens == 0
    assert world.call([A], [(0, OK)]).brief == "a ok"


def test_grpc_attempts_are_capped_whatever_is_asked_for() -> None:
    assert Policy(attempts=4).attempts == 4
    with pytest.raises(ConfigurationError):
        Policy(attempts=5)


GRPC: dict[str, tuple[Policy, Sequence[Target], Sequence[Outcome], list[str]]] = {
    "a pushback is waited for exactly": (Policy(), [A], [(0, E429_IN_3), (0, OK)], ["0 a", "3 a", "3 answered by 2"]),
    "and ignored with the last attempt": (ONE, [A], [(0, E429_IN_3)], ["0 a", "0 stopped by rate_limited"]),
    "a refusal before anything is sent is no attempt": (
        ONE,
        [A, Target("org/m", "free", is_free=True)],
        [(0, OVER_BUDGET), (0, OK)],
        ["0 a", "0 free", "0 answered by 1"],
    ),
    "the deadline is that of the whole chain": (
        Policy(deadline=10),
        [A, B],
        [(6, CUT), (9, OK)],
        ["0 a", "6 b", "10 abandon 2", "10 stopped by deadline"],
    ),
}


@pytest.mark.parametrize("name", GRPC)
def test_grpc_pushback_and_deadline(name: str) -> None:
    policy, targets, outcomes, expected = GRPC[name]
    timeline = World().call(targets, outcomes, policy).timeline
    assert [step for step in timeline if "wait" not in step] == expected


HEDGE = Policy(hedge=True)
HEDGES: dict[str, tuple[Sequence[Outcome], list[str]]] = {  # theirs: 1 ms, 501 ms, then 1001 and 1501 ms
    "the second goes out at the delay, success stops the other": (
        [(9, OK), (0.25, OK)],
        ["0 a", "0.5 hedge b", "0.75 abandon 1 (hedge)", "0.75 answered by 2"],
    ),
    "a failure that is not fatal lets the next go out at once": (
        [(9, OK), (0.25, CUT), (0.25, OK)],
        ["0 a", "0.5 hedge b", "0.75 hedge c", "1 abandon 1 (hedge)", "1 answered by 3"],
    ),
    "a fatal one stops all": (
        [(9, OK), (0.25, BAD_REQUEST)],
        ["0 a", "0.5 hedge b", "0.75 abandon 1 (request)", "0.75 stopped by bad_request"],
    ),
    "all fail: the last error is told": (
        [(9, CUT), (0.25, CUT), (0.25, CUT), (9, E429)],
        ["0 a", "0.5 hedge b", "0.75 hedge c", "1 hedge d", "10 stopped by rate_limited"],
    ),
}


@pytest.mark.parametrize("name", HEDGES)
def test_grpc_hedge_timeline(name: str) -> None:
    outcomes, expected = HEDGES[name]
    world = World()
    for _ in range(20):
        world.call([A], [Ends(0.125, OK, 0.125)])
    world.health.hedges.tokens = 9
    timeline = world.call([A, B, C, D], outcomes, HEDGE).timeline
    assert timeline[: len(expected) - 1] == expected[:-1]
    assert timeline[-1] == expected[-1]


# -- Envoy's outlier detection -----------------------------------------------------------------------------------------


def test_envoy_an_ejection_ends_at_its_instant_and_grows_with_each() -> None:
    breaker, now = Breaker(), 0.0
    for _ in range(3):
        breaker.failed(now, 0.5)
    for seconds in (5.0, 10.0, 20.0, 20.0):  # theirs: 30 s times the number of ejections
        assert not breaker.admits(now + seconds - 0.001)
        now += seconds
        assert breaker.admits(now)
        breaker.failed(now, 0.5, probe=True)


@pytest.mark.parametrize(
    ("outcomes", "ejected"),  # theirs: 250 of 300 stay, 300 of 350 go
    [("-+" * 5, False), ("-+" * 5 + "-", True), ("--+" * 3, False), ("+-" * 50, False), ("", False)],
)
def test_envoy_the_share_of_failures_needs_a_volume_and_a_majority(outcomes: str, ejected: bool) -> None:
    breaker = Breaker()
    for outcome in outcomes:
        if outcome == "+":
            breaker.succeeded(0.0, probe=False)
        else:
            breaker.failed(0.0, 0.5)
    assert breaker.is_open is ejected


def test_envoy_failures_of_the_line_and_answers_of_the_upstream_are_counted_apart() -> None:
    world = World()
    for _ in range(2):
        world.call([A], [(0, CUT)], ONE)
        world.call([A], [(0, REFUSED)], ONE)
    assert world.opened == []
    world.call([A], [(0, CUT)], ONE)
    assert world.opened == [("org/m:a", 5.0)]


def test_envoy_with_everybody_ejected_somebody_is_asked() -> None:
    world = World()
    for target in (A, B):
        for _ in range(3):
            world.call([target], [(0, CUT)], ONE)
    assert world.call([A, B], [(0, OK)]).brief == "a ok"


# -- Polly and resilience4j -------------------------------------------------------------------------------------------


def test_polly_each_change_of_state_is_told_once() -> None:
    world = World()
    for _ in range(10):
        world.call([A], [(0, CUT)], ONE)
    assert [name for name, _ in world.opened] == ["org/m:a"]  # then each call is a probe that failed


def test_polly_what_an_open_breaker_tells_does_not_grow() -> None:
    world = World()
    sizes = set[int]()
    for _ in range(50):
        played = world.call([A], [(0, CUT)], ONE)
        assert played.stopped is not None
        sizes.add(len(played.launches[0].why))
    assert len(sizes) == 2


def test_resilience4j_a_closed_breaker_has_no_probe_to_give_back() -> None:
    breaker = Breaker()
    breaker.released()
    assert breaker.admits(0.0)
    assert not breaker.is_open
    assert not breaker.succeeded(0.0, probe=True)

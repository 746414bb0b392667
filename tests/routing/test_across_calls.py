"""What one call teaches the next, as stories on one clock: calls, pauses between them, and who is asked."""

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
    CERTIFICATE,
    COLD,
    COLD_20,
    CONNECT_TIMEOUT,
    CUT,
    E429,
    E429_IN_3,
    E500,
    EMPTY,
    GONE,
    IDLE,
    MALFORMED,
    NO_CREDITS,
    NO_FIRST,
    NOT_ENABLED,
    NOT_FOUND,
    OK,
    OVER_BUDGET,
    OVERFLOW,
    REFUSED,
    UNAUTHORIZED,
    UNSUPPORTED,
    Ends,
    Outcome,
    World,
    http,
)

A, B, C, D = (Target("org/m", provider, context_length=8_000) for provider in "abcd")
A2, B2 = (Target("org/other", provider, context_length=8_000) for provider in "ab")
NAMELESS = Target("org/m", "")  # as without a catalogue
OWN = Target("org/m", "own", url="http://own")
OWN2 = replace(OWN, provider="own2")


class Call:
    """A call of a story: whom it may ask, what they say, and the call in a line that must come of it."""

    def __init__(
        self,
        targets: Sequence[Target],
        outcomes: Sequence[Outcome],
        expected: str,
        policy: Policy | None = None,
        **how: Any,
    ) -> None:
        self.targets, self.outcomes, self.expected, self.policy, self.how = targets, outcomes, expected, policy, how


ONE, TWO = Policy(attempts=1), Policy(attempts=2)
BREAKS_A = [Call([A], [(2, CUT)], "a cut", ONE)] * 3  # three failures, 2 s apart
BREAKS_B = [Call([B], [(2, CUT)], "b cut", ONE)] * 3
ANSWERS = [(0, OK)]
Story = Sequence[Call | float]

BREAKERS: dict[str, Story] = {
    "a target that failed three times is left alone for 5 s": [
        *BREAKS_A,
        *(Call([A, B], ANSWERS, "b ok"), 4.75, Call([A, B], ANSWERS, "b ok"), 0.25, Call([A, B], ANSWERS, "a ok")),
        Call([A, B], ANSWERS, "a ok"),
    ],
    "a probe that fails goes on elsewhere at once, and is not asked twice": [
        *(*BREAKS_A, 5.0, Call([A, B], [(0, E500), (0, OK)], "a b ok")),
        *(9.75, Call([A, B], ANSWERS, "b ok"), 0.25, Call([A, B], ANSWERS, "a ok")),
    ],
    "a probe that the caller's deadline ends gives its permit back": [
        *(*BREAKS_A, 5.0, Call([A], [(9, OK)], "a abandon 1 deadline", Policy(deadline=1))),
        Call([A, B], ANSWERS, "a ok"),
    ],
    "a probe of which the request is to blame says nothing": [
        *(*BREAKS_A, 5.0, Call([A, B], [(0, BAD_REQUEST)], "a bad_request"), Call([A, B], ANSWERS, "a ok")),
    ],
    "with all open the one that is free first is asked, once": [
        *(*BREAKS_A, *BREAKS_B, Call([B, A], [(0, E500)], "a server_error")),
        Call([A, B], [(0, OK)], "b ok"),
        Call([A, B], [(0, OK)], "b ok"),
    ],
    "with all open an answer closes": [
        *(*BREAKS_A, *BREAKS_B, Call([A, B], ANSWERS, "a ok"), Call([B, A], ANSWERS, "a ok")),
    ],
    "a lone target is asked by every call, however often it failed": [
        *BREAKS_A,
        *[Call([A], [(0, E500)], "a server_error")] * 20,
        Call([A], ANSWERS, "a ok"),
    ],
    "after the last that was free failed, one that is held back is asked": [
        *(*BREAKS_A, Call([A, B], [(2, GONE), (0, OK)], "b a ok")),
    ],
    "and once only": [
        *(*BREAKS_A, Call([A, B], [(2, GONE), (0, E500)], "b a server_error")),
    ],
    "loading is no failure": [*[Call([A], [(0, COLD)], "a cold", ONE)] * 9, 5.0, Call([A, B], ANSWERS, "a ok")],
    "silence of a lone target may be a cold start": [
        *[Call([A], [(12, NO_FIRST)], "a first_content_timeout", ONE)] * 9,
        Call([A, B], ANSWERS, "a ok"),
    ],
    "silence while others are left is a failure": [
        *[Call([A, B], [(12, NO_FIRST), (0, OK)], "a b ok")] * 3,
        Call([A, B], ANSWERS, "b ok"),
    ],
    "what the caller's own deadline cut short is nobody's failure": [
        *[Call([A], [(0.95, IDLE)], "a idle_timeout", Policy(deadline=1, attempts=1))] * 9,
        *[Call([A], [(9, OK)], "a abandon 1 deadline", Policy(deadline=1))] * 9,
        Call([A, B], ANSWERS, "a ok"),
    ],
    "so is silence for less than 5 s, when that deadline gives no more": [
        *[Call([A, B], [(4.875, NO_FIRST), (0, OK)], "a b ok", Policy(deadline=9.75))] * 9,
        Call([A, B], ANSWERS, "a ok"),
    ],
    "silence for 5 s is the target's, though the deadline gives no more": [
        *[Call([A, B], [(5, NO_FIRST), (0, OK)], "a b ok", Policy(deadline=10))] * 3,
        Call([A, B], ANSWERS, "b ok"),
    ],
    "so is silence for less, when the policy gives no more": [
        *[Call([A, B], [(3, NO_FIRST), (0, OK)], "a b ok", Policy(first_content=3))] * 3,
        Call([A, B], ANSWERS, "b ok"),
    ],
    "so is an idle stream with time left": [
        *[Call([A], [(0.75, IDLE)], "a idle_timeout", Policy(deadline=1, attempts=1))] * 3,
        Call([A, B], ANSWERS, "b ok"),
    ],
    "so is a failure near the deadline that is no time-out": [
        *[Call([A], [(0.95, CUT)], "a cut", Policy(deadline=1, attempts=1))] * 3,
        Call([A, B], ANSWERS, "b ok"),
    ],
}

RATE_LIMITS: dict[str, Story] = {
    "a pause holds for the calls that follow": [
        Call([A, B], [(0, E429), (0, OK)], "a b ok"),
        *(0.875, Call([A, B], ANSWERS, "b ok"), 0.125, Call([A, B], ANSWERS, "a ok")),
    ],
    "it grows": [
        *(Call([A], [(0, E429)], "a rate_limited", ONE), 1.0, Call([A], [(0, E429)], "a rate_limited", ONE)),
        *(1.875, Call([A, B], ANSWERS, "b ok"), 0.125, Call([A, B], ANSWERS, "a ok")),
    ],
    "without an alternative it is waited out before the first attempt": [
        *(Call([A], [(0, E429_IN_3)], "a rate_limited", ONE), 1.0, Call([A], ANSWERS, "~2 a ok")),
    ],
    "the one that ends first": [
        *(Call([A], [(0, E429_IN_3)], "a rate_limited", ONE), Call([B], [(0, E429)], "b rate_limited", ONE)),
        Call([A, B], ANSWERS, "~1 b ok"),
    ],
    "not when it is longer than 5 s: then it is asked at once": [
        *(Call([A], [(0, http(429, retry_after=5.5))], "a rate_limited", ONE), Call([A], ANSWERS, "a ok")),
    ],
    "but when it is 5 s": [
        *(Call([A], [(0, http(429, retry_after=5.0))], "a rate_limited", ONE), Call([A], ANSWERS, "~5 a ok")),
    ],
    "nor when the deadline comes first": [
        Call([A], [(0, E429_IN_3)], "a rate_limited", ONE),
        Call([A], ANSWERS, "a ok", Policy(deadline=3)),
    ],
    "one that is asked during its pause, and refuses, is not asked twice": [
        *(
            Call([A], [(0, http(429, retry_after=30.0))], "a rate_limited", ONE),
            Call([A], [(0, E429)], "a rate_limited"),
        ),
    ],
    "a pause that the others have seen is waited out after they failed": [
        Call([A], [(0, E429_IN_3)], "a rate_limited", ONE),
        Call([A, B], [(0, GONE), (0, OK)], "b ~3 a ok"),
    ],
    "a breaker is not waited for, a rate limit is": [
        *(*BREAKS_A, Call([B], [(0, E429_IN_3)], "b rate_limited", ONE), Call([A, B], ANSWERS, "~3 b ok")),
    ],
}

SAMPLED = Needs(parameters=frozenset({"max_tokens", "temperature"}))
NO_PICTURES = http(400, "image input is not supported by this model")
SCOPES: dict[str, Story] = {
    "account: only the user's own endpoint may serve, for 5 min": [
        Call([A, B, OWN], [(0, NO_CREDITS), (0, OK)], "a own ok"),
        *(299.0, Call([A, B, OWN], ANSWERS, "own ok"), 1.0, Call([A, B, OWN], ANSWERS, "a ok")),
    ],
    "account: the next call still asks, since credits may have come": [
        Call([A, B], [(0, NO_CREDITS)], "a out_of_credits"),
        Call([A, B], [(0, NO_CREDITS)], "a out_of_credits"),
        Call([A, B], ANSWERS, "a ok"),
    ],
    "account: one that pays again is no longer shut": [
        *(Call([A, B], [(0, NO_CREDITS)], "a out_of_credits"), 1.0, Call([A, B], ANSWERS, "a ok")),
        Call([A, B], [(0, CUT), (0, OK)], "a b ok"),
    ],
    "credential: likewise": [
        Call([A, B, OWN], [(0, UNAUTHORIZED), (0, OK)], "a own ok"),
        *(299.0, Call([A, B, OWN], ANSWERS, "own ok"), 1.0, Call([A, B, OWN], ANSWERS, "a ok")),
    ],
    "credential: of an own endpoint, the router may serve": [
        Call([OWN, OWN2, A], [(0, UNAUTHORIZED), (0, OK)], "own a ok"),
        Call([OWN, OWN2, A], ANSWERS, "a ok"),
    ],
    "account: the endpoint that is left is asked as always": [
        Call([A, OWN], [(0, NO_CREDITS), (0, E500), (0, OK)], "a own ~0.5 own ok"),
    ],
    "provider: all its models, for 10 min": [
        Call([A, A2, B2], [(0, NOT_ENABLED), (0, OK)], "a b ok"),
        *(599.0, Call([A2, B2], ANSWERS, "b ok"), 1.0, Call([A2, B2], ANSWERS, "a ok")),
    ],
    "provider: without a name it is not remembered": [
        Call([NAMELESS, B], [(0, NOT_ENABLED), (0, OK)], " b ok"),
        Call([NAMELESS, B], ANSWERS, " ok"),
    ],
    "target: not served, for 10 min, its other models are": [
        Call([A, B], [(0, NOT_FOUND), (0, OK)], "a b ok"),
        *(599.0, Call([A, B], ANSWERS, "b ok"), Call([A2, B2], ANSWERS, "a ok"), 1.0, Call([A, B], ANSWERS, "a ok")),
    ],
    "endpoint: three lost lines leave the router alone": [
        Call([A, OWN], [(0, REFUSED), (0, REFUSED), (0, OK)], "a ~0.5 a own ok"),
        Call([A, OWN], [(0, CONNECT_TIMEOUT)], "a connect_timeout", ONE),
        *(
            Call([B, OWN], ANSWERS, "own ok"),
            4.875,
            Call([B, OWN], ANSWERS, "own ok"),
            0.125,
            Call([B, OWN], ANSWERS, "b ok"),
            Call([A, OWN], ANSWERS, "a ok"),
        ),
    ],
    "endpoint: a probe that reaches it opens it to all": [
        *[Call([A], [(0, REFUSED)], "a connect_failed", ONE)] * 3,
        *(5.0, Call([A, OWN], [(2, E500), (0, OK)], "a own ok"), Call([B, OWN], ANSWERS, "b ok")),
    ],
    "endpoint: known to be out of reach, and with none but the router, it is asked once and that is it": [
        *[Call([A], [(0, REFUSED)], "a connect_failed", ONE)] * 3,
        Call([A, B], [(0, REFUSED)], "a connect_failed"),
        Call([A, B], ANSWERS, "a ok"),
    ],
    "endpoint: a certificate speaks for its own server only, be it the user's": [
        Call([OWN, A], [(0, CERTIFICATE), (0, OK)], "own a ok"),
    ],
    "endpoint: or the router's": [Call([A, OWN], [(0, CERTIFICATE), (0, OK)], "a own ok")],
    "model: an overflow is remembered for requests as long": [
        Call([A, D], [(0, OVERFLOW)], "a context_overflow", needs=Needs(input_bytes=10_000)),
        Call([A, B], ANSWERS, "b ok", needs=Needs(input_bytes=10_000)),
        Call([A, B], ANSWERS, "a ok", needs=Needs(input_bytes=9_999)),
    ],
    "model: an overflow by a long answer says nothing of requests that ask for less": [
        Call([A], [(0, OVERFLOW)], "a context_overflow", needs=Needs(input_bytes=100, max_tokens=100_000)),
        Call([A, B], ANSWERS, "a ok", needs=Needs(input_bytes=2_000, max_tokens=100)),
        Call([A, B], ANSWERS, "b ok", needs=Needs(input_bytes=100, max_tokens=100_000)),
    ],
    "model: an overflow by a picture says nothing of text": [
        Call([A], [(0, OVERFLOW)], "a context_overflow", needs=Needs(input_bytes=5_100, image_bytes=5_000)),
        Call([A, B], ANSWERS, "a ok", needs=Needs(input_bytes=6_000)),
    ],
    "an endpoint of the user's own has the last attempt, however many providers there are": [
        Call([A, B, C, D, OWN], [(0, GONE), (0, GONE), (0, GONE), (0, OK)], "a b c own ok"),
    ],
    "request: an unsupported parameter is remembered for requests that have it": [
        Call([A, B], [(0, UNSUPPORTED), (0, OK)], "a b ok", needs=Needs(parameters=frozenset({"seed", "n"}))),
        Call([A, B], ANSWERS, "b ok", needs=Needs(parameters=frozenset({"seed"}))),
        Call([A, B], ANSWERS, "a ok", needs=Needs(parameters=frozenset({"n"}))),
    ],
    "request: what is not supported in one without parameters is none": [
        Call([A, B], [(0, http(400, "assistant message prefill is not supported")), (0, OK)], "a b ok"),
        Call([A, B], ANSWERS, "a ok"),
    ],
    "request: messages that are not supported say nothing of others with the same parameters": [
        Call([A, B], [(0, NO_PICTURES), (0, OK)], "a b ok", needs=replace(SAMPLED, images=True)),
        Call([A, B], ANSWERS, "a ok", needs=SAMPLED),
    ],
    "request: an empty answer is remembered by nobody": [
        *[Call([A, B], [(0, EMPTY), (0, OK)], "a b ok")] * 9,
    ],
    "target: one that is said to be gone is asked when there is none else, and not repeated": [
        *(Call([A], [(0, GONE)], "a gone"), Call([A], [(0, E500)], "a server_error"), Call([A], ANSWERS, "a ok")),
    ],
    "cold: one that others have seen loading is waited for after they failed": [
        *(Call([A], [(0, COLD_20)], "a cold", ONE), Call([A, B], [(0, GONE), (0, OK)], "b ~20 a ok")),
    ],
    "cold: left alone while it loads": [
        Call([A, B], [(0, COLD_20), (0, OK)], "a b ok"),
        *(19.0, Call([A, B], ANSWERS, "b ok"), 1.0, Call([A, B], ANSWERS, "a ok")),
    ],
    "cold: with none but cold ones the one that is ready first is asked, and waited for when it still loads": [
        *(Call([A], [(0, COLD_20)], "a cold", ONE), Call([B], [(0, COLD)], "b cold", ONE)),
        Call([A, B], [(0, COLD), (0, OK)], "b ~5 b ok"),
    ],
    "cold: a patient call waits for one that others have seen loading": [
        *(Call([A, B], [(0, COLD_20)], "a cold", ONE, patient=True), 5.0),
        Call([A, B], ANSWERS, "~15 a ok", patient=True),
    ],
}

TOOLS = Needs(tools=True)
TOOL_CALLS: dict[str, Story] = {
    "a malformed tool call is asked once more in one piece, and always so from then on": [
        Call([A, B], [(1, MALFORMED), (1, OK)], "a unary a ok", needs=TOOLS),
        *(Call([A, B], ANSWERS, "unary a ok", needs=TOOLS), Call([A, B], ANSWERS, "a ok")),
        Call([B, A], ANSWERS, "b ok", needs=TOOLS),
    ],
    "whether or not tools were offered": [Call([A], [(1, MALFORMED), (1, OK)], "a unary a ok")],
    "one that is asked in one piece from the start is not asked twice": [
        *(Call([A], [(1, MALFORMED), (1, OK)], "a unary a ok", needs=TOOLS),),
        Call([A], [(1, MALFORMED)], "unary a malformed_tool_call", needs=TOOLS),
    ],
    "malformed in one piece too, the next one is asked": [
        Call([A, B], [(1, MALFORMED), (1, MALFORMED), (1, OK)], "a unary a b ok", needs=TOOLS),
    ],
    "with the last attempt there is no once more": [
        Call([A, B], [(1, MALFORMED)], "a malformed_tool_call", ONE, needs=TOOLS),
    ],
    "nor while more targets are untried than attempts are left": [
        Call([A, B, C], [(1, MALFORMED), (1, MALFORMED), (1, MALFORMED), (1, OK)], "a unary a b c ok", needs=TOOLS),
        Call(
            [A, B, C, D],
            [(1, MALFORMED), (1, MALFORMED), (1, MALFORMED), (1, OK)],
            "unary a unary b c d ok",
            needs=TOOLS,
        ),
    ],
    "each target once": [
        Call(
            [A, B],
            [(1, MALFORMED), (1, E429), (1, MALFORMED), (1, OK)],
            "a unary a b unary b ok",
            needs=TOOLS,
        ),
    ],
}

SAME_PROVIDER = [Target(f"org/m{n}", "a") for n in range(9)]
PROBATION: dict[str, Story] = {
    "a call that has failed once prefers one that has not been rate limited": [
        *(Call([B], [(0, E429)], "b rate_limited", ONE), 1.0),
        Call([A, B, C], [(0, GONE), (0, OK)], "a c ok", ranked=True),
        Call([A, B, C], ANSWERS, "b ok", ranked=True),
    ],
}
THROTTLED: dict[str, Story] = {
    "a provider that mostly fails is not asked again at once": [
        *[Call([target], [(2, CUT)], "a cut", ONE) for target in SAME_PROVIDER[:4]],
        Call([A, B], [(0, E500), (0, OK)], "a b ok"),
    ],
    "nor one that failed as often long ago": [
        *[Call([target], [(2, CUT)], "a cut", ONE) for target in SAME_PROVIDER[:4]],
        *(1e6, Call([A, B], [(0, E500), (0, OK)], "a b ok")),
    ],
    "one that failed less is": [
        *[Call([target], [(2, CUT)], "a cut", ONE) for target in SAME_PROVIDER[:3]],
        Call([A, B], [(0, E500), (0, OK)], "a ~0.5 a ok"),
    ],
    "another provider is": [
        *[Call([target], [(2, CUT)], "a cut", ONE) for target in SAME_PROVIDER[:4]],
        Call([B, A], [(0, E500), (0, OK)], "b ~0.5 b ok"),
    ],
    "a lone one is": [
        *[Call([target], [(2, CUT)], "a cut", ONE) for target in SAME_PROVIDER[:9]],
        Call([A], [(0, E500), (0, OK)], "a ~0.5 a ok"),
    ],
    "answers earn it back": [
        *[Call([target], [(2, CUT)], "a cut", ONE) for target in SAME_PROVIDER[:4]],
        *[Call([A2], ANSWERS, "a ok")] * 2,
        Call([A, B], [(0, E500), (0, OK)], "a ~0.5 a ok"),
    ],
}


def crowd(n: int) -> list[Target]:
    """Three targets nobody has heard of."""
    return [Target("org/m", f"{place}{n}") for place in "xyz"]


def dear(n: int, end: str = "ok") -> Call:
    """A call that falls back twice: the first move is free, the second is not."""
    answered = end == "ok"
    last = f" z{n}" if answered else ""
    return Call(crowd(n), [(0, GONE), (0, GONE), (0, OK)][: 3 if answered else 2], f"x{n} y{n}{last} {end}")


BUDGET: dict[str, Story] = {
    "ten fallbacks beyond the first of a call, and one more for five calls": [
        *[dear(n) for n in range(13)],
        *(dear(13, "gone"), dear(14, "gone"), dear(15), dear(16, "gone")),
    ],
    "they come back after 10 s": [
        *[dear(n) for n in range(13)],
        *(9.875, dear(13, "gone"), 0.125, dear(14)),
    ],
    "the first move of a call is free": [
        *[dear(n) for n in range(13)],
        *[Call([A, B], [(0, EMPTY), (0, OK)], "a b ok")] * 9,
    ],
    "and so is every move to one that is known to be well, even past others": [
        *[dear(n) for n in range(13)],
        Call([D], ANSWERS, "d ok"),
        Call([A, B, C, D], [(0, GONE), (0, GONE), (0, OK)], "a b d ok"),
        *(Call([A, B, C, D], [(0, OK)], "c ok"),),
    ],
    "an endpoint of the user's own is nobody's storm": [
        *[dear(n) for n in range(13)],
        Call([A, B, C, OWN], [(0, GONE), (0, GONE), (0, OK)], "a b own ok"),
    ],
    "one that answered more than a minute ago is not known to be well": [
        Call([D], ANSWERS, "d ok"),
        *(60.5, *[dear(n) for n in range(13)]),
        Call([A, B, D], [(0, GONE), (0, GONE)], "a b gone"),
    ],
    "while there is budget the ranking decides": [
        Call([D], ANSWERS, "d ok"),
        Call([A, B, D], [(0, GONE), (0, OK)], "a b ok"),
    ],
}

PRICED = [
    replace(target, input_price=Decimal(price), output_price=Decimal(price))
    for target, price in ((A, "3"), (B, "5"), (C, "2"), (D, "1"))
]
FREE = Target("org/m", "free", is_free=True)
UNKNOWN = Target("org/m", "unknown")
REFUSALS: dict[str, Story] = {
    "a budget that refuses one may pay a cheaper one": [
        Call(PRICED, [(0, OVER_BUDGET), (0, OK)], "a c ok"),
    ],
    "and a cheaper one still": [
        Call(PRICED, [(0, OVER_BUDGET), (0, OVER_BUDGET), (0, OK)], "a c d ok"),
    ],
    "nothing is cheaper than the cheapest": [
        Call(PRICED[::-1], [(0, OVER_BUDGET)], "d over_budget"),
    ],
    "an unknown price is dearer than any": [
        Call([UNKNOWN, PRICED[0]], [(0, OVER_BUDGET), (0, OK)], "unknown a ok"),
        Call([PRICED[0], UNKNOWN], [(0, OVER_BUDGET)], "a over_budget"),
    ],
    "free is cheaper": [Call([PRICED[0], FREE], [(0, OVER_BUDGET), (0, OK)], "a free ok")],
    "a refusal is no attempt": [
        Call(PRICED, [(0, OVER_BUDGET), (0, OVER_BUDGET), (0, CUT)], "a c d cut", ONE),
    ],
    "nor a failure": [
        *[Call(PRICED[:1], [(0, OVER_BUDGET)], "a over_budget")] * 9,
        Call(PRICED, ANSWERS, "a ok"),
    ],
    "a cheaper one that is held back is asked all the same": [
        *[Call(PRICED[3:], [(2, CUT)], "d cut", ONE)] * 3,
        Call([PRICED[0], PRICED[3]], [(0, OVER_BUDGET), (0, OK)], "a d ok"),
    ],
    "a refused probe gives its permit back": [
        *[Call(PRICED[:1], [(2, CUT)], "a cut", ONE)] * 3,
        *(5.0, Call(PRICED[:1], [(0, OVER_BUDGET)], "a over_budget"), Call(PRICED, ANSWERS, "a ok")),
    ],
}

STORIES = BREAKERS | RATE_LIMITS | SCOPES | PROBATION | TOOL_CALLS | THROTTLED | BUDGET | REFUSALS


@pytest.mark.parametrize("name", STORIES)
def test_what_calls_teach_each_other(name: str) -> None:
    world = World()
    for place, part in enumerate(STORIES[name]):
        if isinstance(part, Call):
            played = world.call(part.targets, part.outcomes, part.policy, **part.how)
            assert (place, played.brief) == (place, part.expected)
            assert all(world.health.of(target).running == 0 for target in part.targets)
        else:
            world.sleep(part)


def test_a_stream_that_garbles_tool_calls_after_its_commit_is_asked_in_one_piece_from_then_on() -> None:
    world = World()
    world.call([A], [Ends(1, OK, 1, flowing=True)], needs=TOOLS)
    world.health.ended(A, world.now, seconds=1.0, output_tokens=9, broken=True, how=(MALFORMED, TOOLS))
    assert world.call([A], ANSWERS, needs=TOOLS).launches[0].unary
    assert world.health.of(A).speed.failing(world.now) == 0


def test_the_reason_of_a_call_that_a_budget_stops_is_told() -> None:
    world = World()
    for n in range(13):
        world.call(crowd(n), [(0, GONE), (0, GONE), (0, OK)])
    stopped = world.call(crowd(13), [(0, GONE), (0, GONE)]).stopped
    assert stopped is not None
    assert (stopped.why, stopped.last) == ("too many fallbacks in the last 10 s", GONE)


WHYS: dict[str, tuple[Sequence[Call], Sequence[Target], Sequence[Outcome], list[str]]] = {
    "the only one": ([], [A], [(0, OK)], ["the only one"]),
    "one of several": ([], [A, B], [(0, OK)], ["best of 2"]),
    "the next": ([], [A, B], [(0, GONE), (0, OK)], ["best of 2", "next"]),
    "once more": ([], [A, B], [(0, E500), (0, OK)], ["best of 2", "once more"]),
    "in one piece": ([], [A], [(0, MALFORMED), (0, OK)], ["the only one", "once more, in one piece"]),
    "soonest": ([], [A], [(0, E429), (0, OK)], ["the only one", "the one that may answer soonest"]),
    "own": (
        [],
        [A, B, C, D, OWN],
        [(0, GONE), (0, GONE), (0, GONE), (0, OK)],
        ["best of 5", "next", "next", "your own, with the last attempt"],
    ),
    "cheaper": ([], PRICED[2:], [(0, OVER_BUDGET), (0, OK)], ["best of 2", "cheaper"]),
    "a rate limit": (
        [Call([A], [(0, E429_IN_3)], "a rate_limited", ONE)],
        [A],
        [(0, OK)],
        ["the rate limit that ends first"],
    ),
    "held back": (
        BREAKS_A,
        [A],
        [(0, OK)],
        ["all are held back, and this one is free first (breaker open)"],
    ),
}


@pytest.mark.parametrize("name", WHYS)
def test_each_launch_says_why(name: str) -> None:
    before, targets, outcomes, expected = WHYS[name]
    world = World()
    for call in before:
        world.call(call.targets, call.outcomes, call.policy)
    assert [launch.why for launch in world.call(targets, outcomes).launches] == expected


def test_a_launch_shows_the_ranking_as_it_stood() -> None:
    world = World()
    first, second = world.call([A, B], [(0, E429_IN_3), (0, OK)]).launches
    assert [c.held is None for c in first.ranking] == [True, True]
    assert [c.held is None for c in second.ranking] == [False, True]
    assert [c.target for c in second.ranking] == [A, B]
    first, second = world.call([C], [(0, E429_IN_3), (0, OK)]).launches
    assert [c.held for c in second.ranking] == [None]  # as it is after the pause


PROBE_LIMITS: dict[str, tuple[list[Target], Policy, float]] = {
    "a probe gets 5 s while another is left": ([A, B], Policy(), 5),
    "or what the policy gives, when that is less": ([A, B], Policy(first_content=3), 3),
    "a lone probe has all the time there is": ([A], Policy(), 120),
    "and so has the last attempt": ([A, B], Policy(attempts=1), 120),
}


@pytest.mark.parametrize("name", PROBE_LIMITS)
def test_how_long_a_probe_may_be_silent(name: str) -> None:
    targets, policy, limit = PROBE_LIMITS[name]
    world = World()
    for call in BREAKS_A:
        world.call(call.targets, call.outcomes, call.policy)
    world.sleep(5)
    (launch,) = world.call(targets, [(0, OK)], policy).launches
    assert (launch.target, launch.first_content) == (A, limit)


WATCHED: dict[
    str, tuple[Sequence[Call], float]
] = {  # what B is known for, and how long A may be silent before B is asked
    "well": ([], 12),
    "rate limited for so long that it is free when A has been silent": (
        [Call([B], [(0, http(429, retry_after=17.0))], "b rate_limited", ONE)],
        12,
    ),
    "rate limited for longer": ([Call([B], [(0, http(429, retry_after=17.5))], "b rate_limited", ONE)], 120),
    "loading, and ready before the deadline": ([Call([B], [(0, COLD_20)], "b cold", ONE)], 12),
    "an open breaker": (BREAKS_B, 120),
    "gone": ([Call([B], [(0, GONE)], "b gone", ONE)], 120),
}


@pytest.mark.parametrize("name", WATCHED)
def test_how_long_an_attempt_may_be_silent_depends_on_whether_another_target_is_left(name: str) -> None:
    before, limit = WATCHED[name]
    world = World()
    for call in before:
        world.call(call.targets, call.outcomes, call.policy)
    (launch,) = world.call([A, B], [(0, OK)]).launches
    assert (launch.target, launch.first_content) == (A, limit)

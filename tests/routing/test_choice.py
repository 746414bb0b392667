"""The order in which eligible targets are asked, and what a score is made of."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest

from hfrouter.routing.choice import Choice, wishes
from hfrouter.routing.eligible import Needs
from hfrouter.routing.policy import Policy
from hfrouter.routing.strategy import Score, score, token_prices
from hfrouter.routing.target import ModelId, Target
from tests.routing.player import COLD_20, E429_IN_3, GONE, NO_FIRST, OK, Ends, World


def row(provider: str, input_price: str, output_price: str, latency: float, throughput: float) -> Target:
    return Target(
        "org/m",
        provider,
        input_price=Decimal(input_price),
        output_price=Decimal(output_price),
        supports_tools=True,
        first_token_latency=latency,
        throughput=throughput,
    )


READER = row("reader", "0.1", "5", 0.3, 100)  # cheap to read, dear to write
WRITER = row("writer", "1", "1", 2.0, 900)  # dear to read, cheap to write; slow to start, fast to run
BARE = Target("org/m", "bare")
ROWS = [BARE, WRITER, READER]
OWN = replace(BARE, provider="own", url="http://own")

SHORT_ANSWER = Needs(input_bytes=100_000, max_tokens=10)
LONG_ANSWER = Needs(input_bytes=100, max_tokens=1_000)
# Priced for 1,000 tokens out and next to nothing in: $ per million / 1000, and seconds at once.
SLOW, FAST = row("slow", "0", "1", 10, 1e9), row("fast", "0", "1", 5, 1e9)
DEAR, DEARER = row("dear", "0", "1.9", 5, 1e9), row("dearer", "0", "2.1", 5, 1e9)
M = ["org/m"]


def ranking(
    rows: list[Target], wanted: list[str], policy: Policy, needs: Needs, world: World | None = None, session: str = ""
) -> list[str]:
    world = world or World()
    choice = Choice(
        wishes(rows, [ModelId.parse(text) for text in wanted], policy, needs), needs, world.health, session or None
    )
    return [candidate.target.provider for candidate in choice.ranked(world.now)]


IN_ORDER, CHEAPEST, FASTEST = (Policy(strategy=name) for name in ("in_order", "cheapest", "fastest"))

ORDERS: dict[str, tuple[list[Target], list[str], Policy, Needs, list[str]]] = {
    "in order, as listed": (ROWS, M, IN_ORDER, Needs(), ["bare", "writer", "reader"]),
    "cheapest by this request's mix, reading": (ROWS, M, CHEAPEST, SHORT_ANSWER, ["reader", "writer", "bare"]),
    "cheapest by this request's mix, writing": (ROWS, M, CHEAPEST, LONG_ANSWER, ["writer", "reader", "bare"]),
    "fastest, a short answer": (ROWS, M, FASTEST, SHORT_ANSWER, ["reader", "writer", "bare"]),
    "fastest, a long answer": (ROWS, M, FASTEST, LONG_ANSWER, ["writer", "reader", "bare"]),
    "balanced is what is taken when nothing is said": (
        [SLOW, DEAR, DEARER],
        M,
        Policy(),
        LONG_ANSWER,
        ["dear", "slow", "dearer"],
    ),
    "balanced: 5 s are worth 0.1 cent, at 2e-4 USD a second": (
        [DEARER, SLOW, DEAR],
        M,
        Policy(strategy="balanced"),
        LONG_ANSWER,
        ["dear", "slow", "dearer"],
    ),
    "balanced: at the same speed the cheaper, at the same price the faster": (
        [DEAR, SLOW, FAST],
        M,
        Policy(),
        LONG_ANSWER,
        ["fast", "dear", "slow"],
    ),
    "cheapest does not pay for time": ([DEAR, SLOW], M, CHEAPEST, LONG_ANSWER, ["slow", "dear"]),
    "fastest pays 1 cent a second": (
        [SLOW, replace(FAST, output_price=Decimal("49"))],
        M,
        FASTEST,
        LONG_ANSWER,
        ["fast", "slow"],
    ),
    "fastest does not pay more than that": (
        [replace(FAST, output_price=Decimal("53")), SLOW],
        M,
        FASTEST,
        LONG_ANSWER,
        ["slow", "fast"],
    ),
    "fastest takes the cheaper of two as fast": ([DEAR, FAST], M, FASTEST, LONG_ANSWER, ["fast", "dear"]),
    "balanced: an unknown price counts as the dearest known": (
        [DEAR, replace(DEAR, provider="unknown", output_price=None, first_token_latency=4.9), FAST],
        M,
        Policy(),
        LONG_ANSWER,
        ["fast", "unknown", "dear"],
    ),
    "balanced: and as nothing where none is known": (
        [replace(SLOW, input_price=None), replace(FAST, input_price=None)],
        M,
        Policy(),
        LONG_ANSWER,
        ["fast", "slow"],
    ),
    "cheapest: an unknown price comes last": (
        [BARE, DEARER],
        M,
        CHEAPEST,
        LONG_ANSWER,
        ["dearer", "bare"],
    ),
    "cheapest: free comes first": (
        [SLOW, replace(BARE, is_free=True)],
        M,
        CHEAPEST,
        LONG_ANSWER,
        ["bare", "slow"],
    ),
    "the user's order first": (
        ROWS,
        M,
        Policy(order=["bare", "writer"]),
        SHORT_ANSWER,
        ["bare", "writer", "reader"],
    ),
    "the user's order, one named twice": (
        ROWS,
        M,
        Policy(order=["bare", "writer", "bare"]),
        SHORT_ANSWER,
        ["bare", "writer", "reader"],
    ),
    "doubts after all that is known": (
        ROWS,
        M,
        Policy(order=["bare"]),
        replace(SHORT_ANSWER, tools=True),
        ["reader", "writer", "bare"],
    ),
    "a size that is tight is a doubt": (
        [replace(FAST, context_length=1_000), SLOW],
        M,
        Policy(),
        LONG_ANSWER,
        ["slow", "fast"],
    ),
    "the model's suffix": (ROWS, ["org/m:cheapest"], IN_ORDER, SHORT_ANSWER, ["reader", "writer", "bare"]),
    "the other suffix": ([SLOW, DEARER], ["org/m:fastest"], CHEAPEST, LONG_ANSWER, ["dearer", "slow"]),
    "a suffix that only the router knows": (
        ROWS,
        ["org/m:preferred"],
        IN_ORDER,
        SHORT_ANSWER,
        ["bare", "writer", "reader"],
    ),
    "a row left to the router stands for what the user chose there": (
        [READER, WRITER, replace(BARE, provider="preferred")],
        M,
        Policy(order=["reader"]),
        replace(SHORT_ANSWER, tools=True),
        ["preferred", "reader", "writer"],
    ),
    **{
        f"{name} likewise": (
            [READER, replace(BARE, provider=name)],
            M,
            Policy(order=["reader"]),
            replace(SHORT_ANSWER, tools=True),
            [name, "reader"],
        )
        for name in ("", "fastest", "cheapest")
    },
    "an endpoint under a name nobody asked for answers whatever is asked": (
        [READER, replace(OWN, model="local")],
        M,
        Policy(order=["own"]),
        SHORT_ANSWER,
        ["own", "reader"],
    ),
    "one under a name that was asked for answers that": (
        [replace(OWN, model="org/n"), READER],
        ["org/m", "org/n"],
        Policy(order=["own"]),
        SHORT_ANSWER,
        ["reader", "own"],
    ),
    "a model of the router's answers to its own name alone": (
        [replace(READER, model="org/stranger"), BARE],
        M,
        Policy(order=["reader"]),
        SHORT_ANSWER,
        ["bare", "reader"],
    ),
    "a pin before the rest of its model": (
        ROWS,
        ["org/m:bare", "org/m"],
        CHEAPEST,
        SHORT_ANSWER,
        ["bare", "reader", "writer"],
    ),
    "pins in the order of the user": (
        ROWS,
        ["org/m:bare", "org/m:writer", "org/m:reader"],
        CHEAPEST,
        SHORT_ANSWER,
        ["bare", "writer", "reader"],
    ),
    "an own endpoint is the last resort, however good": (
        [replace(OWN, is_free=True, supports_tools=True), READER, BARE],
        M,
        CHEAPEST,
        replace(SHORT_ANSWER, tools=True),
        ["reader", "bare", "own"],
    ),
    "unless it is in the user's order": (
        [READER, OWN],
        M,
        Policy(order=["own"]),
        SHORT_ANSWER,
        ["own", "reader"],
    ),
    "or pinned": ([READER, OWN], ["org/m:own", "org/m"], Policy(), SHORT_ANSWER, ["own", "reader"]),
    "in the user's order it has its place": (
        [READER, OWN, WRITER],
        M,
        Policy(order=["writer", "own"]),
        SHORT_ANSWER,
        ["writer", "own", "reader"],
    ),
}


@pytest.mark.parametrize("name", ORDERS)
def test_the_order_of_providers(name: str) -> None:
    rows, wanted, policy, needs, expected = ORDERS[name]
    assert ranking(rows, wanted, policy, needs) == expected


def test_models_come_in_the_users_order_each_by_its_own_suffix() -> None:
    other = [replace(target, model="org/n") for target in ROWS]
    wanted = [ModelId.parse("org/n:cheapest"), ModelId.parse("org/m")]
    stranger, own = Target("org/stranger", "x"), replace(OWN, model="org/n")
    rows = [own, stranger, *ROWS, *other]
    choice = Choice(wishes(rows, wanted, IN_ORDER, SHORT_ANSWER), SHORT_ANSWER, World().health)
    assert choice.targets == tuple(rows)
    assert [str(candidate.target) for candidate in choice.ranked(0.0)] == [
        *("org/n:reader", "org/n:writer", "org/n:bare"),
        *("org/m:bare", "org/m:writer", "org/m:reader"),
        *("org/stranger:x", "org/n:own"),
    ]


def test_a_settled_order_is_kept() -> None:
    world = World()
    choice = Choice.listed(ROWS, world.health)
    assert [c.target for c in choice.ranked(world.now)] == ROWS
    assert choice.needs == Needs()
    assert Choice.listed(ROWS, world.health, LONG_ANSWER).needs == LONG_ANSWER


# -- what was seen -----------------------------------------------------------------------------------------------------

TWIN_A, TWIN_B = (replace(FAST, provider=name) for name in ("a", "b"))
LIMITED = Policy(attempts=2)


def test_of_two_alike_the_one_that_failed_comes_later_and_is_forgiven_within_minutes() -> None:
    world = World()
    assert ranking([TWIN_A, TWIN_B], M, Policy(), LONG_ANSWER, world) == ["a", "b"]
    dearer = replace(TWIN_B, output_price=Decimal("1.01"))
    world.call([TWIN_A, dearer], {"a": [(0.1, NO_FIRST)], "b": [(0.1, OK)]}, LIMITED)
    assert ranking([TWIN_A, dearer], M, CHEAPEST, LONG_ANSWER, world) == ["b", "a"]
    world.sleep(600)
    assert ranking([TWIN_A, dearer], M, CHEAPEST, LONG_ANSWER, world) == ["a", "b"]


def test_one_slow_answer_does_not_put_a_quick_target_behind_a_slow_one_however_long_ago_it_was() -> None:
    world = World()
    quick, slow = row("quick", "1", "1", 0.5, 100), row("slow", "1", "1", 3, 100)
    world.call([quick], [Ends(9, OK, 9)])
    for pause in (0, 600, 3_600, 1e6):
        world.sleep(pause)
        assert ranking([quick, slow], M, Policy(), Needs(), world) == ["quick", "slow"]


def test_of_two_alike_the_one_with_fewer_attempts_under_way_comes_first() -> None:
    world = World()
    world.health.launched(TWIN_A, world.now)
    assert ranking([TWIN_A, TWIN_B], M, Policy(), LONG_ANSWER, world) == ["b", "a"]
    world.health.launched(TWIN_B, world.now)
    assert ranking([TWIN_A, TWIN_B], M, Policy(), LONG_ANSWER, world) == ["a", "b"]


def test_sixteen_attempts_under_way_double_the_time_to_the_first_content() -> None:
    world = World()
    before = score("fastest", TWIN_A, 0.0, 0.0, 1_000, world.health.of(TWIN_A), world.now)
    for _ in range(16):
        world.health.launched(TWIN_A, world.now)
    after = score("fastest", TWIN_A, 0.0, 0.0, 1_000, world.health.of(TWIN_A), world.now)
    assert (after.value, after.running) == (pytest.approx(2 * before.value), 16)


SILENCES: dict[
    str, tuple[float | None, float, list[str]]
] = {  # probe of the silent one, seconds of silence, and who is first
    "two seconds are nothing": (0.5, 2.0, ["a", "b"]),
    "more come later": (0.5, 2.125, ["b", "a"]),
    "nor are three times its usual": (1.0, 3.0, ["a", "b"]),
    "but more": (1.0, 3.125, ["b", "a"]),
    "nothing known is 5 s": (None, 15.0, ["a", "b"]),
    "and more than that": (None, 15.125, ["b", "a"]),
}


@pytest.mark.parametrize("name", SILENCES)
def test_a_target_whose_attempts_are_silent_for_unusually_long_comes_later(name: str) -> None:
    probe, seconds, expected = SILENCES[name]
    world, rows = World(), [replace(TWIN_A, first_token_latency=probe), replace(TWIN_B, output_price=Decimal(2))]
    world.health.launched(TWIN_A, world.now)
    world.sleep(0.125)
    world.health.launched(TWIN_A, world.now)  # the oldest counts
    world.sleep(seconds - 0.125)
    assert ranking(rows, M, CHEAPEST, LONG_ANSWER, world) == expected
    assert ranking(rows, M, Policy(order=["a"]), LONG_ANSWER, world) == ["a", "b"]  # the user's wishes come first
    world.health.began(TWIN_A)  # any content shows that it is alive
    assert ranking(rows, M, CHEAPEST, LONG_ANSWER, world) == ["a", "b"]


def test_a_session_lets_go_of_a_target_that_is_silent() -> None:
    world, rows = World(), [WRITER, READER]
    world.call(rows, [(0, OK)], CHEAPEST, needs=LONG_ANSWER, session="s")
    world.health.launched(WRITER, world.now)
    world.sleep(20)
    assert ranking(rows, M, CHEAPEST, SHORT_ANSWER, world, "s") == ["reader", "writer"]


@pytest.mark.parametrize(("seconds", "latency"), [(4.0, 5.0), (6.0, 6.0), (8.0, 8.0), (100.0, 8.0)])
def test_silence_under_way_is_how_long_the_first_content_takes_at_least(seconds: float, latency: float) -> None:
    world = World()
    world.health.launched(TWIN_A, world.now)
    points = score("balanced", TWIN_A, 0.0, 0.0, 100, world.health.of(TWIN_A), world.now + seconds)
    assert points.latency == latency
    world.health.launched(TWIN_B, world.now, streamed=False)  # whose first content is not seen
    points = score("balanced", TWIN_B, 0.0, 0.0, 100, world.health.of(TWIN_B), world.now + seconds)
    assert points.latency == 5.0


def test_the_score_is_price_and_time_and_failures_paid_for() -> None:
    world = World()
    vitals = world.health.of(READER)
    vitals.running = 4
    for _ in range(3):
        vitals.speed.failed(3.0, world.now)
    failing, lost = vitals.speed.failing(world.now), vitals.speed.lost
    assert failing == pytest.approx(1 - 0.9**3)
    assert lost == pytest.approx(3 - 2 * 0.8**3)
    points = score("balanced", READER, 0.001, 5.0, 200, vitals, world.now)
    time = 0.3 * (1 + 4 / 16) + 200 / 100
    assert points.value == pytest.approx((0.001 + 2e-4 * (time + failing * lost)) / (1 - failing))
    assert (points.usd, points.failing, points.running) == (0.001, failing, 4)
    assert (points.latency, points.throughput) == (0.3, 100)
    for _ in range(40):
        vitals.speed.failed(3.0, world.now)
    dead = score("balanced", READER, 0.001, 5.0, 200, vitals, world.now)
    assert dead.value == pytest.approx((0.001 + 2e-4 * (time + dead.failing * vitals.speed.lost)) / 0.1)
    assert score("in_order", READER, 0.001, 5.0, 200, vitals, world.now).value == 0
    unknown = score("balanced", READER, math.inf, 0.001, 200, vitals, world.now)
    assert (unknown.value, unknown.usd) == (dead.value, math.inf)
    assert score("cheapest", READER, math.inf, 0.001, 200, vitals, world.now).value == math.inf


# -- held back, sessions -----------------------------------------------------------------------------------------------


def test_those_held_back_keep_their_place_and_say_why() -> None:
    world = World()
    assert world.call([TWIN_A, TWIN_B], [(0, E429_IN_3), (0, OK)]).asked == "a b"
    world.sleep(0.5)
    choice = world.choice([TWIN_A, TWIN_B], CHEAPEST, Needs(max_tokens=1_000), ranked=True)
    first, second = choice.ranked(world.now)
    assert first.explain(world.now) == (
        "org/m:a: 0.001, $0.001000, 5.00 s to the first content, 1000000000 tokens/s; "
        "rate limited, 1 in a row for 2.5 s"
    )
    assert first.held is not None
    assert (first.probe, second.held, second.probe) == (False, None, False)
    assert second.explain(world.now) == "org/m:b: 0.001, $0.001000, 5.00 s to the first content, 1000000000 tokens/s"


SCORES: dict[str, tuple[Score, str]] = {
    "all of it": (
        Score(0.0123456, 0.0000125, 0.456, 99.6, 0.25, 3),
        "0.0123, $0.000013, 0.46 s to the first content, 100 tokens/s, 25% failing, 3 running",
    ),
    "nothing out of the ordinary": (
        Score(0.5, math.inf, 5.0, 20.0, 0.0, 0),
        "0.5, price not known, 5.00 s to the first content, 20 tokens/s",
    ),
    "half a percent is told": (
        Score(0.5, 0.0, 5.0, 20.0, 0.005, 1),
        "0.5, $0.000000, 5.00 s to the first content, 20 tokens/s, 0% failing, 1 running",
    ),
    "less is not": (
        Score(0.5, 0.0, 5.0, 20.0, 0.0049, 0),
        "0.5, $0.000000, 5.00 s to the first content, 20 tokens/s",
    ),
}


@pytest.mark.parametrize("name", SCORES)
def test_a_score_reads_as_what_it_is_made_of(name: str) -> None:
    points, expected = SCORES[name]
    assert str(points) == expected


def test_a_session_keeps_its_provider_while_it_is_used() -> None:
    world, rows = World(), [WRITER, READER]
    served = world.call(rows, [(0, OK)], CHEAPEST, needs=LONG_ANSWER, session="s")
    assert served.asked == "writer"
    for idle, expected in ((600, "writer"), (0, "writer"), (600, "writer"), (600.1, "reader")):
        world.sleep(idle)
        assert ranking(rows, M, CHEAPEST, SHORT_ANSWER, world, "s")[0] == expected
        assert ranking(rows, M, CHEAPEST, SHORT_ANSWER, world, "another")[0] == "reader"
        assert ranking(rows, M, CHEAPEST, SHORT_ANSWER, world)[0] == "reader"
        if expected == "writer":
            world.call(rows, [(0, OK)], CHEAPEST, needs=SHORT_ANSWER, session="s")


def test_a_session_moves_on_when_its_provider_is_held_back_and_stays_there() -> None:
    world, rows = World(), [WRITER, READER]
    world.call(rows, [(0, OK)], CHEAPEST, needs=LONG_ANSWER, session="s")
    moved = world.call(rows, [(0, E429_IN_3), (0, OK)], CHEAPEST, needs=LONG_ANSWER, session="s")
    assert moved.asked == "writer reader"
    assert world.call(rows, [(0, OK)], CHEAPEST, needs=LONG_ANSWER, session="s").asked == "reader"
    world.sleep(60)
    assert world.call(rows, [(0, OK)], CHEAPEST, needs=LONG_ANSWER, session="s").asked == "reader"
    assert world.call(rows, [(0, OK)], CHEAPEST, needs=LONG_ANSWER, session="new").asked == "writer"


def test_a_session_is_kept_for_each_model_and_never_beats_the_users_order() -> None:
    world, other = World(), replace(WRITER, model="org/n")
    world.call([WRITER, READER], [(0, OK)], CHEAPEST, needs=LONG_ANSWER, session="s")
    rows = [READER, WRITER, other, replace(READER, model="org/n")]
    assert ranking(rows, ["org/n", "org/m"], CHEAPEST, SHORT_ANSWER, world, "s") == [
        *("reader", "writer"),
        *("writer", "reader"),
    ]
    assert ranking(rows[:2], M, Policy(order=["reader"]), SHORT_ANSWER, world, "s") == ["reader", "writer"]


def test_a_failure_does_not_bind_a_session() -> None:
    world = World()
    world.call([WRITER, READER], [(0, GONE), (0, COLD_20)], LIMITED, needs=LONG_ANSWER, session="s")
    assert world.health.kept("s", "org/m", world.now) is None


# -- prices ------------------------------------------------------------------------------------------------------------


def test_the_price_of_a_token_is_free_known_or_infinite() -> None:
    assert token_prices(READER) == pytest.approx((1e-7, 5e-6))
    assert token_prices(replace(BARE, is_free=True)) == (0, 0)
    assert token_prices(BARE) == (math.inf, math.inf)
    assert token_prices(replace(READER, output_price=None)) == (math.inf, math.inf)
    assert token_prices(replace(READER, input_price=None)) == (math.inf, math.inf)

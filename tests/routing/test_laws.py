"""Laws of the engine: whatever happens, in one call and in hundreds on one clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from hfrouter.routing.commands import Abandon, Begun, Done, Launch, Stopped, Wait
from hfrouter.routing.eligible import Needs
from hfrouter.routing.flow import route
from hfrouter.routing.policy import Policy
from hfrouter.routing.target import Target
from hfrouter.routing.verdict import FAILURES, Judgement, Scope, Verdict
from tests.routing.player import (
    COLD,
    COLD_20,
    MODEL_NOT_FOUND,
    NOT_ENABLED,
    OK,
    OVERFLOW,
    QUOTA,
    UNSUPPORTED,
    Ends,
    Played,
    World,
    http,
)

MODEL = [
    Target("org/m", provider, context_length=8_000, input_price=Decimal(1), output_price=Decimal(1))
    for provider in "abcd"
]
OTHERS = [
    Target("org/m", "bare"),
    Target("org/m", "free", is_free=True, first_token_latency=0.2, throughput=90.0),
    Target("org/other", "a", context_length=100_000),
    Target("org/m", "own", url="http://own"),
    Target("org/m", "own2", url="http://own"),
]
JUDGEMENTS: list[Judgement | None] = [
    *FAILURES.values(),
    *(http(s, retry_after=r) for s in (400, 401, 402, 403, 404, 408, 410, 413, 429, 500, 503) for r in (None, 4.0)),
    *(COLD_20, COLD, MODEL_NOT_FOUND, OVERFLOW, UNSUPPORTED, NOT_ENABLED, QUOTA, None),
    *[OK] * 12,
]
ends = st.builds(
    Ends,
    after=st.one_of(st.sampled_from([0.0, 0.5, 2.0, 3.0, 12.0]), st.floats(0, 60)),
    judgement=st.sampled_from(JUDGEMENTS),
    begins=st.one_of(st.none(), st.floats(0, 20)),
    usd=st.sampled_from([0.0, 0.01]),
    tokens=st.sampled_from([None, 100]),
)
policies = st.builds(
    Policy,
    strategy=st.sampled_from(["balanced", "cheapest", "fastest", "in_order"]),
    attempts=st.integers(1, 4),
    deadline=st.sampled_from([0.05, 1.0, 10.0, 120.0]),
    first_content=st.sampled_from([0.5, 12.0, 200.0]),
    hedge=st.booleans(),
)
targets = st.lists(st.sampled_from(MODEL + OTHERS), min_size=1, max_size=6, unique=True)
needs = st.builds(
    Needs, tools=st.booleans(), input_bytes=st.sampled_from([0, 10_000]), parameters=st.just(frozenset({"seed", "n"}))
)
CallOf = tuple[list[Target], list[Ends], Policy, Needs, float, bool, float]
calls: st.SearchStrategy[CallOf] = st.tuples(
    targets,
    st.lists(ends, min_size=8, max_size=8),  # more than four attempts where a budget refuses some
    policies,
    needs,
    st.floats(0, 1),
    st.booleans(),
    st.sampled_from([0.0, 0.1, 5.0, 20.0, 700.0]),
)
stories = st.lists(calls, min_size=1, max_size=8)


def tell(world: World, story: Sequence[CallOf]) -> list[Played]:
    played = []
    for rows, outcomes, policy, asked, jitter, whole, pause in story:
        # a budget refuses the eighth at the latest, so that scripts do not run out
        script = [*outcomes, *[Ends(0.0, OK)] * 12]
        played.append(
            world.call(
                rows, script, policy, needs=asked, jitter=jitter, whole=whole, ranked=True, session=f"s{len(rows) % 2}"
            )
        )
        world.sleep(pause)
    return played


@settings(max_examples=60)
@given(stories)
def test_every_call_of_a_story_ends_within_its_attempts_and_its_deadline_and_leaves_nothing_running(
    story: list[CallOf],
) -> None:
    world = World(seed=1)
    for call, (rows, outcomes, policy, *_) in zip(tell(world, story), story, strict=True):
        refused = sum(e.judgement is FAILURES["over_budget"] for e in outcomes[: len(call.launches)])
        assert 1 <= len(call.launches) <= policy.attempts + refused
        assert call.seconds <= policy.deadline + 1e-6
        assert all(launch.remaining > 0 for launch in call.launches)
        assert {launch.target for launch in call.launches} <= set(rows)
    for target in MODEL + OTHERS:
        vitals = world.health.of(target)
        assert (vitals.running, vitals.silent) == (0, [])


@settings(max_examples=30)
@given(stories)
def test_the_same_seed_and_the_same_inputs_give_the_same_traces(story: list[CallOf]) -> None:
    first, second = World(seed=7), World(seed=7)
    assert [c.trace for c in tell(first, story)] == [c.trace for c in tell(second, story)]
    assert first.opened == second.opened


@settings(max_examples=40)
@given(stories, st.sampled_from(MODEL), st.sampled_from([0.0, 1.0, 30.0, 4_000.0]))
def test_no_target_is_ever_locked_out(story: list[CallOf], lone: Target, pause: float) -> None:
    world = World(seed=3)
    tell(world, story)
    world.sleep(pause)
    played = world.call([lone], [Ends(0.0, OK)])
    assert (played.asked, played.end) == (lone.provider, "answered by 1")


@settings(max_examples=40)
@given(stories)
def test_an_hour_later_all_is_forgiven(story: list[CallOf]) -> None:
    world = World(seed=3)
    tell(world, story)
    world.sleep(3_700)
    for target in MODEL + OTHERS:
        assert world.health.held(target, world.health.of(target), Needs(input_bytes=10**6), world.now) is None


@settings(max_examples=30)
@given(stories)
def test_ranking_is_a_permutation_of_the_targets(story: list[CallOf]) -> None:
    world = World(seed=5)
    tell(world, story)
    rows, _, policy, asked, *_ = story[-1]
    choice = world.choice(rows, policy, asked, "s1")
    ranked = choice.ranked(world.now)
    assert sorted(c.target.id for c in ranked) == sorted(t.id for t in rows)
    assert [c.target for c in ranked] == [c.target for c in choice.ranked(world.now)]
    assert all(c.explain(world.now).startswith(c.target.id) for c in ranked)


def for_good(failed: Target, judgement: Judgement, other: Target) -> bool:
    """What a failure says about another target of the call, told independently of the engine."""
    match judgement.scope:
        case Scope.REQUEST:
            return True
        case Scope.ACCOUNT | Scope.CREDENTIAL:
            return failed.url == other.url
        case Scope.PROVIDER:
            return failed.provider == other.provider
        case Scope.MODEL if judgement.kind == "context_overflow":
            return failed == other
        case Scope.MODEL:
            return (failed.model, failed.url) == (other.model, other.url)
        case _:
            return failed == other and judgement.kind in {"gone", "not_found", "too_large", "empty_answer"}


@settings(max_examples=60)
@given(stories)
def test_what_was_ruled_out_for_good_is_not_asked_again_in_the_call(story: list[CallOf]) -> None:
    world = World(seed=9)
    for call in tell(world, story):
        for failed, judgement, seconds in call.failures:
            later = [x.target for x, at in zip(call.launches, call.times, strict=True) if at > seconds]
            assert not [target for target in later if for_good(failed, judgement, target)]


@settings(max_examples=120)
@given(
    st.lists(st.sampled_from(MODEL), min_size=2, max_size=4, unique=True),
    st.data(),
    st.booleans(),
    st.lists(st.sampled_from([j for j in JUDGEMENTS if j and j.scope is Scope.TARGET and j.verdict is not Verdict.OK])),
)
def test_with_a_healthy_target_and_enough_attempts_a_call_succeeds(
    rows: list[Target], data: st.DataObject, hedge: bool, failures: list[Judgement]
) -> None:
    healthy = data.draw(st.sampled_from(rows))
    # believed the second time, for then the request is to blame; and refusals of the user's own budget
    believed = {"empty_answer", "unsupported_parameter", "over_budget"}
    pool = [j for j in failures if j.kind not in believed] or [http(500)]
    script = {t.provider: [Ends(0.5, pool[n % len(pool)]) for _ in range(4)] for n, t in enumerate(rows)}
    script[healthy.provider] = [Ends(1.0, OK)] * 4
    played = World().call(rows, script, Policy(hedge=hedge))
    assert played.stopped is None
    assert played.launches[-1].target == healthy


@settings(max_examples=60)
@given(st.lists(st.floats(0, 20), min_size=1, max_size=60), st.sampled_from([0.0, 0.0001, 0.01]))
def test_hedges_stay_within_both_budgets(silences: list[float], usd: float) -> None:
    world, asked = World(seed=2), Needs(input_bytes=3_499)  # 1,000 tokens: a loser costs $0.001
    hedges, paid = 0, 0.0
    for silence in silences:
        played = world.call(MODEL, [Ends(silence, OK, usd=usd)] * 4, Policy(hedge=True), needs=asked)
        hedges += sum(launch.hedge for launch in played.launches)
        paid += usd
    calls = len(silences)
    assert hedges <= 2 + 0.1 * calls + 1e-9
    assert 0.001 * max(0, hedges - 3) <= 0.03 * paid + 1e-9  # the first ten calls hedge for nothing: three at most


# -- one call, of a listed order, as embeddings have it ----------------------------------------------------------------

SINGLE = st.tuples(
    st.lists(st.sampled_from(MODEL + OTHERS), min_size=1, max_size=6),  # the same target may be listed twice
    st.lists(st.tuples(st.floats(0, 150), st.sampled_from(JUDGEMENTS)), min_size=4, max_size=4),
    st.builds(Policy, attempts=st.integers(1, 4), deadline=st.floats(0.01, 200), first_content=st.floats(0.01, 200)),
    st.floats(0, 1),
    st.booleans(),
)
Single = tuple[list[Target], list[tuple[float, Judgement | None]], Policy, float, bool]


@settings(max_examples=200)
@given(SINGLE)
def test_a_listed_call_ends_within_its_attempts_and_its_deadline(single: Single) -> None:
    rows, outcomes, policy, jitter, patient = single
    script = [*outcomes, *[(0.0, OK)] * 12]
    played = World().call(rows, script, policy, jitter=jitter, patient=patient)
    refused = sum(judgement is FAILURES["over_budget"] for _, judgement in outcomes[: len(played.launches)])
    assert 1 <= len(played.launches) <= policy.attempts + refused
    assert played.seconds <= policy.deadline + 1e-6
    assert sum(played.pauses) < policy.deadline
    assert played.trace == World().call(rows, script, policy, jitter=jitter, patient=patient).trace


@settings(max_examples=100)
@given(SINGLE)
def test_time_outs_never_go_to_the_same_target_while_another_is_untried(single: Single) -> None:
    rows, _, policy, jitter, _ = single
    silence = [(0.001, FAILURES["first_content_timeout"])] * 4
    asked = [launch.target for launch in World().call(rows, silence, policy, jitter=jitter).launches]
    distinct = min(len(set(rows)), len(asked))
    assert len(set(asked[:distinct])) == distinct


steps = st.lists(st.one_of(st.none(), st.sampled_from(JUDGEMENTS), st.just("begun"), st.just("late")), max_size=30)


@settings(max_examples=200)
@given(steps, st.integers(0, 30), targets, policies)
def test_a_call_that_is_closed_at_any_command_leaves_nothing_running(
    answers: list[Judgement | str | None], closed_after: int, rows: list[Target], policy: Policy
) -> None:
    world, now = World(), [1000.0]
    choice = world.choice(rows, policy, ranked=True)
    flow = route(choice, policy, lambda: now[0], lambda: 0.5)
    out: dict[int, float] = {}
    waiting = iter(answers)
    answer: Done | Begun | None = None
    try:
        for _ in range(closed_after):
            command = flow.send(answer)
            answer = None
            match command:
                case Launch(number):
                    out[number] = now[0]
                case Abandon(number):
                    del out[number]
                case Wait(seconds) if out:
                    what = next(waiting, None)
                    number = max(out)
                    if what == "begun":
                        answer = Begun(number)
                    elif what == "late":
                        answer = Begun(99)  # of an attempt that was stopped meanwhile
                    elif isinstance(what, Judgement):
                        now[0] += seconds / 2
                        answer = Done(number, what, now[0] - out.pop(number))
                    else:
                        now[0] += seconds
                case Wait(seconds):
                    now[0] += seconds
    except (StopIteration, Stopped):
        pass
    flow.close()
    for target in rows:
        vitals = world.health.of(target)
        assert (vitals.running, vitals.silent) == (0, [])
        assert not vitals.breaker.probing


def test_targets_that_differ_in_facts_alone_are_one_to_health_and_many_to_a_call() -> None:
    world, chance = World(), Random(4)
    rows = [replace(MODEL[0], context_length=length) for length in (1_000, 2_000, 4_000)]
    chance.shuffle(rows)
    played = world.call(rows, [Ends(0.0, OVERFLOW)] * 4)
    assert played.stopped is not None
    assert world.health.of(rows[0]).running == 0

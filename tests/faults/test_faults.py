"""Every fault, at one provider and at all of them, by all four ways to call.

No fault is ever taken for a success, and nothing but errors of our tree reaches the caller: each test asserts both for
its fault, with the requests the server counted, one settled row of the ledger for each, and no secret anywhere.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hfrouter import HFRouterError, Policy, StreamInterrupted
from hfrouter.wire import reader, sse
from tests.faults.calling import CALLERS, SLACK, Outcome, call, secrets_in
from tests.faults.cases import CASES, Case
from tests.faults.server import RIGHT, FaultServer, Run

# Silence is judged by a timer; every other fault shows itself, and may take as long as a busy machine needs.
SILENCE = 0.4
STRICT: dict[str, Any] = {"order": ["first", "second"], "deadline": 20.0}


@pytest.fixture(autouse=True)
def smaller_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no end meets a cap sooner; the real ones, 8 MB an event and 32 MB an answer, only take longer."""
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1_000_000)
    monkeypatch.setattr(reader, "MAX_BODY_BYTES", 4_000_000)


def policy_for(case: Case, *, everywhere: bool) -> Policy:
    limits = STRICT | {"upstream": "stream" if case.streamed else "unary"}
    if case.slow:
        limits["idle" if case.follows == "interrupted" else "first_content"] = SILENCE
    if everywhere:
        limits |= {"attempts": 2} | ({"deadline": 1.2} if case.slow else {})
    return Policy(**limits)


def test_every_place_of_the_catalogue_has_a_fault() -> None:
    """Those that no answer shows (C1, C2, C9, C10, S10, S11 and what the environment does) are in their own file."""
    places = [*(f"C{n}" for n in range(3, 9)), *(f"S{n}" for n in range(1, 10))]
    places += [*(f"B{n}" for n in range(1, 17)), *(f"T{n}" for n in range(1, 21))]
    assert list(dict.fromkeys(case.number for case in CASES)) == places
    assert len({case.name for case in CASES}) == len(CASES) >= 105


@pytest.mark.parametrize("number", dict.fromkeys(case.number for case in CASES))
async def test_a_fault_has_the_consequence_that_is_written_down(
    number: str, faults: FaultServer, logged: list[str]
) -> None:
    strays = len(faults.strays)
    calls = [
        met(case, caller, faults, everywhere=everywhere)
        for case in CASES
        for caller in CALLERS
        for everywhere in (False, True)
        # What ends at the first provider ends there whatever the next one is like.
        if case.number == number and not (everywhere and case.follows in {"answered", "stopped"})
    ]
    wrong = [error for error in await asyncio.gather(*calls) if error is not None]
    if wrong:
        raise ExceptionGroup(f"{len(wrong)} of {len(calls)} calls", wrong)
    assert len(faults.strays) == strays  # no redirect was followed
    assert any(line.startswith("hfrouter") for line in logged)
    assert not secrets_in(logged)


async def met(case: Case, caller: str, faults: FaultServer, *, everywhere: bool) -> AssertionError | None:
    """Meet a fault, at one provider or everywhere; what was wrong about its consequence, or None."""
    run = faults.run(case.script, ("first", "second") if everywhere else ("first",))
    policy = policy_for(case, everywhere=everywhere)
    outcome = await call(caller, run, policy)
    try:
        check_any(case, run, outcome, policy)
        if case.follows == "answered":
            check_answered(case, run, outcome)
        elif case.follows == "interrupted" and "stream" in caller:
            check_broken(case, run, outcome)
        elif everywhere or case.follows == "stopped":
            check_failed(case, run, outcome)
        else:
            check_rescued(case, run, outcome)
    except AssertionError as wrong:
        who = "every provider" if everywhere else "one provider"
        wrong.add_note(f"{case.name}, {caller}, {who}: {outcome.error!r} after asking {run.asked}")
        return wrong
    return None


def check_any(case: Case, run: Run, outcome: Outcome, policy: Policy) -> None:
    """What holds for every fault and every way to call."""
    assert outcome.seconds < policy.deadline + SLACK
    assert outcome.error is None or isinstance(outcome.error, HFRouterError)
    assert len(run.asked) <= policy.attempts
    rows = outcome.entries
    # An attempt may be stopped by the deadline after its row was written and before the server saw it.
    # A request on a connection that the server has just closed is written, has its row, and is never read.
    unread = sum(row.outcome == "connection_lost" for row in rows)
    assert 0 <= len(rows) - len(run.asked) <= unread or (case.slow and len(rows) > len(run.asked))
    assert all(row.outcome != "pending" and row.duration_ms is not None for row in rows)
    assert all(0 <= row.cost.lower <= (row.cost.upper or row.cost.lower) for row in rows)
    told = outcome.answer or outcome.error
    assert [a.outcome for a in told.attempts] == [row.outcome for row in rows]  # type: ignore[union-attr]
    assert not secrets_in(told, *rows)
    assert str(told).encode()  # printable anywhere


def check_answered(case: Case, run: Run, outcome: Outcome) -> None:
    """The first provider's answer stands."""
    answer = outcome.answer
    assert answer is not None
    assert run.asked == ["first"]
    assert answer.text == case.text
    assert tuple((c["function"]["name"], c["function"]["arguments"]) for c in answer.tool_calls) == case.calls
    usage = answer.usage
    assert (usage and (usage.input_tokens, usage.output_tokens)) == case.usage
    assert answer.cost.exact is (case.usage is not None)
    assert not outcome.shown or "".join(outcome.shown) == case.text


def check_rescued(case: Case, run: Run, outcome: Outcome) -> None:
    """The second provider's answer came, whole and unmixed."""
    answer = outcome.answer
    assert answer is not None
    assert answer.text == RIGHT
    assert answer.provider == "second"
    assert not outcome.shown or "".join(outcome.shown) == RIGHT
    assert outcome.entries[0].outcome in case.outcome.split(" or ")
    assert run.asked[0] == "first"
    assert run.asked[-1] == "second"
    if not case.slow:
        assert len(run.asked) in ({2, 3} if case.again else {2})


def check_failed(case: Case, run: Run, outcome: Outcome) -> None:
    """No answer, and the error that fits."""
    assert outcome.answer is None
    assert isinstance(outcome.error, case.error)
    assert not outcome.shown
    words = case.outcome.split(" or ") + ["abandoned"] * case.slow  # the deadline may come before the timer
    assert outcome.entries[0].outcome in words
    assert case.follows != "stopped" or run.asked == ["first"]


def check_broken(case: Case, run: Run, outcome: Outcome) -> None:
    """A stream that had shown content ended in an error: nothing was replayed, what came is kept."""
    assert outcome.answer is None
    assert isinstance(outcome.error, StreamInterrupted)
    assert outcome.error.partial.startswith("".join(outcome.shown))
    assert outcome.shown
    assert run.asked == ["first"]
    assert outcome.entries[0].outcome in case.outcome.split(" or ")
    assert outcome.error.cost is not None
    assert not outcome.error.cost.exact

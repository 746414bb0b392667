"""Hugging Face's own bill beside the ledger: read where it can be, said where it cannot, never on a call's way."""

from __future__ import annotations

import json
import logging
import pickle
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfrouter import BillUnavailable, ConfigurationError, Credits, CreditsWarning, HFRouterError, Policy, Router
from hfrouter.cost.price import Cost
from hfrouter.cost.reconciliation import Billed, Difference, OtherShape, Reconciliation, read_sessions
from hfrouter.simulator import Fault, Simulator
from hfrouter.wire import billing
from tests.cost.entries import pending, settled

MODEL = "openai/gpt-oss-20b:groq"
ONE = Decimal("0.000007")  # asking it for 2 + 3
ASK: dict[str, Any] = {"model": MODEL, "messages": "What is 2 + 3?"}
Make = Callable[..., Router]


@pytest.fixture
def make(sim: Simulator) -> Iterator[Make]:
    made: list[Router] = []

    def one(at: Simulator = sim, **options: Any) -> Router:
        options = {"token": at.token, "ledger": "memory", "seed": 0} | options
        made.append(Router(base_url=at.base_url, **options))
        return made[-1]

    yield one
    for router in made:
        router.close()


def billing_requests(sim: Simulator) -> list[Any]:
    return [exchange for exchange in sim.exchanges if "/billing/" in exchange.path]


# --- credits ----------------------------------------------------------------------------------------------------------


def test_credits_are_what_the_bill_says(sim: Simulator, make: Make) -> None:
    router = make()
    for _ in range(3):
        router.chat(**ASK)
    found = router.credits()
    assert (found.used, found.included, found.limit) == (3 * ONE, Decimal("0.1"), None)
    assert found.left == Decimal("0.1") - 3 * ONE
    assert (found.requests, found.reason, found.warning) == (3, "", None)
    assert found.period_start is not None
    assert found.period_start.day == 1
    assert found.period_end is not None
    assert found.period_start <= datetime.now(UTC) < found.period_end
    assert str(found) == f"$0.000021 used, $0.099979 left, until {found.period_end:%Y-%m-%d}"


async def test_the_asynchronous_twins_say_the_same(sim: Simulator, make: Make) -> None:
    router = make(session="s")
    await router.achat(**ASK)
    assert (await router.acredits()).used == ONE
    report = await router.areconcile()
    assert report.agrees
    assert report.total.difference == 0


def test_the_bill_is_asked_for_with_the_token_in_seconds_and_without_the_organisation(
    sim: Simulator, make: Make
) -> None:
    make(session="s").credits()
    (asked,) = billing_requests(sim)
    assert asked.headers["authorization"] == "Bearer ***"
    assert {"x-hf-bill-to", "x-hf-session-id"}.isdisjoint(asked.headers)
    start, end = (int(part.partition("=")[2]) for part in asked.query.split("&"))
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    assert start == int(first.timestamp())
    assert start < end <= time.time() + 2


def usage(**told: Any) -> Fault:
    return Fault.status(200, body={"usage": {"inferenceProviders": told}})


NO_CREDITS: dict[str, tuple[Fault, str]] = {
    "401": (Fault.status(401), "the token was refused"),
    "403": (Fault.forbidden(), "may not read the bill"),
    "404": (Fault.status(404, body="Not Found"), "no such endpoint"),
    "429": (Fault.rate_limited(55), "too many requests"),
    "500": (Fault.status(500), "status 500"),
    "502 in HTML": (Fault.status(502, html=True), "status 502"),
    "a redirect": (Fault.status(307, headers={"location": "https://example.com/"}), "status 307"),
    "HTML": (Fault.html_200(), "not JSON"),
    "an empty body": (Fault.status(200, body=""), "not JSON"),
    "half a body": (Fault.status(200, body='{"usage": {'), "not JSON"),
    "NaN": (Fault.status(200, body='{"usage": NaN}'), "not JSON"),
    "nested without end": (Fault.status(200, body="[" * 100_000), "not JSON"),
    "a list": (Fault.status(200, body=[1]), "another shape"),
    "nothing of it": (Fault.status(200, body={}), "another shape"),
    "null": (Fault.status(200, body={"usage": None}), "another shape"),
    "another depth": (Fault.status(200, body={"inferenceProviders": {"usedNanoUsd": 1}}), "another shape"),
    "another name": (usage(used=5), "another shape"),
    "a text": (usage(usedNanoUsd="lots", includedNanoUsd=1), "another shape"),
    "negative": (usage(usedNanoUsd=-1, includedNanoUsd=1), "another shape"),
    "a fraction": (usage(usedNanoUsd=1.5, includedNanoUsd=1), "another shape"),
    "absurd": (usage(usedNanoUsd=10**30, includedNanoUsd=1), "another shape"),
    "true": (usage(usedNanoUsd=True, includedNanoUsd=1), "another shape"),
    "cut": (Fault.reset(), "connection_lost"),
}


@pytest.mark.parametrize("name", NO_CREDITS)
def test_credits_that_cannot_be_read_are_unknown_with_a_reason(sim: Simulator, make: Make, name: str) -> None:
    fault, reason = NO_CREDITS[name]
    sim.fail(Simulator.HUB, fault, times=None)  # what may be repeated is, over a connection that was kept
    found = make().credits()
    assert reason in found.reason
    assert (found.used, found.left, found.warning) == (None, None, None)
    assert str(found) == f"credits are not known: {found.reason}"


def test_an_endpoint_that_hangs_is_left(sim: Simulator, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(billing, "_PATIENCE", 0.2)
    sim.fail(Simulator.HUB, Fault.hang(3))
    assert "no answer within 0.2 s" in make().credits().reason


def test_a_fine_grained_token_is_told_what_it_lacks(sim: Simulator, make: Make) -> None:
    found = make(token=Simulator.FINE_GRAINED_TOKEN).credits()
    assert "a fine-grained one needs the permission" in found.reason


def test_without_a_token_the_bill_is_not_asked_for(sim: Simulator, make: Make) -> None:
    tokenless: Router = pickle.loads(pickle.dumps(make()))
    for ask in (tokenless.credits, tokenless.reconcile):
        with pytest.raises(ConfigurationError, match="no Hugging Face token"):
            ask()
    assert not billing_requests(sim)


# (told, used, left, warned): the limit counts where there is one; 0 is none.
TOLD: dict[str, tuple[dict[str, Any], str | None, str | None, bool]] = {
    "fresh": ({"usedNanoUsd": 0, "includedNanoUsd": 10**8, "limitNanoUsd": 10**8}, "0", "0.1", False),
    "a tenth left": ({"usedNanoUsd": 9 * 10**7, "includedNanoUsd": 10**8}, "0.09", "0.01", False),
    "less than a tenth": ({"usedNanoUsd": 91 * 10**6, "includedNanoUsd": 10**8}, "0.091", "0.009", True),
    "gone": ({"usedNanoUsd": 10**8, "includedNanoUsd": 10**8}, "0.1", "0", True),
    "more than all": ({"usedNanoUsd": 245 * 10**7, "includedNanoUsd": 2 * 10**9, "limitNanoUsd": 0}, "2.45", "0", True),
    "up to a limit": (
        {"usedNanoUsd": 5 * 10**9, "includedNanoUsd": 2 * 10**9, "limitNanoUsd": 20 * 10**9},
        "5",
        "15",
        False,
    ),
    "near the limit": ({"usedNanoUsd": 19 * 10**9, "limitNanoUsd": 20 * 10**9}, "19", "1", True),
    "used alone": ({"usedNanoUsd": 5}, "0.000000005", None, False),
    "included alone": ({"includedNanoUsd": 5}, None, None, False),
    "nothing included": ({"usedNanoUsd": 0, "includedNanoUsd": 0}, "0", "0", False),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_is_told_is_kept_and_the_rest_is_unknown(name: str) -> None:
    told, used, left, warned = TOLD[name]
    found = Credits.read({"usage": {"inferenceProviders": told}})
    assert found.used == (None if used is None else Decimal(used))
    assert found.left == (None if left is None else Decimal(left))
    assert bool(found.warning) == warned
    assert (found.reason == "") == (left is not None)


@pytest.mark.parametrize("end", [None, 1_790_000_000, "soon", "", "2026-13-01", ["2026-12-01"]])
def test_a_period_that_is_none_is_unknown_and_the_rest_is_kept(end: Any) -> None:
    told = {"usedNanoUsd": 10**8, "includedNanoUsd": 10**9, "periodEnd": end, "numRequests": Decimal("NaN")}
    found = Credits.read({"usage": {"inferenceProviders": told}})
    assert (found.period_end, found.requests) == (None, None)
    assert str(found) == "$0.10 used, $0.90 left"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=5),
    lambda inner: (
        st.dictionaries(
            st.sampled_from(["usage", "inferenceProviders", "usedNanoUsd", "limitNanoUsd", "periodEnd", "sessions"])
            | st.sampled_from(["periods", "id", "costCents", "requestCount", "currency"]),
            inner,
            max_size=4,
        )
        | st.lists(inner, max_size=3)
    ),
    max_leaves=12,
)


@given(anything)
def test_no_answer_breaks_the_reading(answer: Any) -> None:
    found = Credits.read({"usage": {"inferenceProviders": answer}})
    assert found.left is None or found.left >= 0
    str(found)
    try:
        sessions = read_sessions({"periods": answer})
    except OtherShape:
        return
    assert all(session.nano_usd >= 0 and session.rounding >= 0 for session in sessions.values())


# --- the warning before the 402 ---------------------------------------------------------------------------------------


@pytest.fixture
def poor() -> Iterator[Simulator]:
    with Simulator(seed=0, credits=ONE * 11) as simulator:
        yield simulator


def test_there_is_a_warning_before_calls_are_refused(
    poor: Simulator, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[object] = []
    router = make(poor, on_event=events.append, policy=Policy(attempts=1))
    for _ in range(9):
        router.chat(**ASK)
    assert router.credits().warning is None  # 2 of 11 are left
    router.chat(**ASK)
    with caplog.at_level(logging.WARNING, "hfrouter"):
        warning = router.credits().warning
    assert warning == CreditsWarning(left=ONE, used=10 * ONE, limit=11 * ONE, share=Decimal("0.09091"))
    assert [event for event in events if isinstance(event, CreditsWarning)] == [warning]
    assert caplog.messages == ["$0.000007 of $0.000077 left at Hugging Face (9%)"]
    router.chat(**ASK)
    with pytest.raises(HFRouterError):
        router.chat(**ASK)


def test_credits_are_watched_off_the_way_of_calls_and_not_at_every_one(poor: Simulator, make: Make) -> None:
    router = make(poor, watch_credits=True)
    poor.fail(Simulator.HUB, Fault.slow_headers(0.3))
    for _ in range(10):
        router.chat(**ASK)
    assert len(billing_requests(poor)) <= 1


def test_a_watch_tells_the_hooks(poor: Simulator, make: Make) -> None:
    events: list[object] = []
    make(poor).chat(**ASK)
    for _ in range(9):
        make(poor).chat(**ASK)
    router = make(poor, watch_credits=True, on_event=events.append)
    router.chat(**ASK)
    until = time.monotonic() + 5
    while not any(isinstance(event, CreditsWarning) for event in events) and time.monotonic() < until:
        time.sleep(0.02)
        router._outbox.flush()
    assert sum(isinstance(event, CreditsWarning) for event in events) == 1


def test_a_watch_that_fails_costs_no_call(poor: Simulator, make: Make) -> None:
    poor.fail(Simulator.HUB, Fault.status(500), times=None)
    router = make(poor, watch_credits=True)
    assert router.chat(**ASK).text


def test_no_call_asks_for_the_bill_by_itself(sim: Simulator, make: Make) -> None:
    make().chat(**ASK)
    assert not billing_requests(sim)


# --- reconciliation ---------------------------------------------------------------------------------------------------


def test_the_ledger_agrees_with_the_bill_session_by_session(sim: Simulator, make: Make) -> None:
    router = make()
    for session in ("s1", "s2", "s1", None):
        router.chat(**ASK, session=session)
    report = router.reconcile()
    assert report.agrees
    assert [(s.session, s.billed, s.difference, s.requests, s.attempts) for s in report.sessions] == [
        ("s1", 2 * ONE, 0, 2, 2),
        ("s2", ONE, 0, 1, 1),
    ]
    total = report.total
    assert (total.billed, total.difference, total.requests, total.attempts) == (4 * ONE, 0, 4, 4)
    assert (report.exact, report.unknown, report.recent, report.reason) == (4, 0, 4, "")
    assert sim.bill().total == total.billed


def test_what_only_one_of_the_two_knows_is_named_first(sim: Simulator, make: Make) -> None:
    make().chat(**ASK, session="another machine")
    router = make()
    router.chat(**ASK, session="both")
    sim.fail("groq", Fault.status(500))
    with pytest.raises(HFRouterError):
        router.chat(**ASK, session="here alone", policy=Policy(attempts=1))
    report = router.reconcile()
    assert not report.agrees
    assert [(s.session, s.remark) for s in report.sessions] == [
        ("here alone", "not on the bill"),
        ("another machine", "only on the bill"),
        ("both", "agrees"),
    ]
    assert (report.total.billed, report.total.difference) == (2 * ONE, ONE)
    assert report.total.remark == "the bill has more"


def test_costs_that_are_not_exact_are_compared_within_their_bounds(sim: Simulator, make: Make) -> None:
    router = make()
    sim.fail("groq", Fault.no_usage())
    router.chat(**ASK, session="bounded")
    router.chat(model="openai/gpt-oss-20b:together", messages="Hi", session="no price")
    report = router.reconcile()
    assert report.agrees
    assert (report.exact, report.unknown) == (0, 2)
    assert [s.difference for s in report.sessions] == [0, 0]


def test_a_report_prints_as_a_table(sim: Simulator, make: Make) -> None:
    make().chat(**ASK, session="elsewhere")
    router = make()
    router.chat(**ASK, session="s1")
    lines = str(router.reconcile()).splitlines()
    assert lines[0].endswith("1 attempts in the ledger, 1 of known cost")
    assert lines[1].split() == ["session", "bill", "ledger", "difference"]
    assert lines[2].split() == ["elsewhere", "$0.000007", "none", "only", "on", "the", "bill"]
    assert lines[3].split() == ["s1", "$0.000007", "$0.000007", "$0.00", "agrees"]
    assert lines[4].split() == ["everything", "$0.000014", "$0.000007", "$0.000007", "the", "bill", "has", "more"]
    assert "younger than half an hour" in lines[5]


def test_the_name_of_a_session_moves_no_cursor() -> None:
    billed = {"evil\x1b[2J\r\nname": Billed(1000, 1, 1)}
    report = Reconciliation.of([], billed, Credits(), since=0, until=10)
    assert "\x1b" not in str(report)
    assert "evil?[2J??name" in str(report)


def test_only_rows_of_the_span_count(sim: Simulator, make: Make) -> None:
    router = make(session="s")
    router.chat(**ASK)
    for row in router.entries():  # as if it had been last year
        router._writer.ledger._settled[row.id] = settled(row, started_ms=row.started_ms - 400 * 86_400_000)  # type: ignore[attr-defined]
    assert router.reconcile().sessions[0].remark == "only on the bill"
    assert router.reconcile(datetime.now(UTC) - timedelta(days=500)).sessions[0].ledger is not None
    assert router.reconcile(0).since == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("since", [-1, True, "yesterday", 1.5, 10**12, datetime(2026, 1, 1)])
def test_since_is_a_moment_of_the_past(make: Make, since: Any) -> None:
    with pytest.raises(ConfigurationError, match="since"):
        make().reconcile(since)


def test_an_organisations_sessions_are_on_its_own_bill(sim: Simulator, make: Make) -> None:
    make().chat(**ASK, session="mine")
    router = make(bill_to="acme")
    router.chat(**ASK, session="ours")
    report = router.reconcile()
    assert report.agrees
    assert [s.session for s in report.sessions] == ["ours"]
    assert (report.total.billed, report.total.difference) == (None, None)
    assert "settings page only" in report.reason
    assert "acme" not in str(report) + repr(report)
    assert [exchange.path for exchange in billing_requests(sim)] == [
        "/api/organizations/acme/billing/usage-by-inference-session"
    ]
    found = router.credits()
    assert (found.used, found.left) == (None, None)
    assert "bill_to" in found.reason
    assert "acme" not in str(found) + repr(found)


def test_rows_billed_to_others_are_left_out(sim: Simulator, make: Make, tmp_path: Any) -> None:
    path = tmp_path / "ledger.sqlite3"
    make(bill_to="acme", ledger=path).chat(**ASK, session="s")
    mine = make(ledger=path)
    mine.chat(**ASK, session="s")
    assert mine.reconcile().total.attempts == 1
    assert make(bill_to="acme", ledger=path).reconcile().sessions[0].attempts == 1


@pytest.mark.parametrize("name", NO_CREDITS)
def test_a_bill_of_which_nothing_can_be_read_is_an_error(sim: Simulator, make: Make, name: str) -> None:
    fault, _ = NO_CREDITS[name]
    router = make(session="s")
    router.chat(**ASK)
    sim.fail(Simulator.HUB, fault, times=None)
    with pytest.raises(BillUnavailable) as caught:
        router.reconcile()
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert sim.token not in str(caught.value)
    assert router.chat(**ASK).text  # no call depends on it


def test_half_a_bill_is_half_a_report(sim: Simulator, make: Make) -> None:
    router = make(session="s")
    router.chat(**ASK)
    sim.fail(Simulator.HUB, Fault.status(404))  # the sessions, which are asked for first
    report = router.reconcile()
    assert (report.sessions, report.total.difference) == ((), 0)
    assert "no such endpoint" in report.reason
    sim.fail(Simulator.HUB, usage(usedNanoUsd=0))
    report = router.reconcile()
    assert "sessions of Hugging Face's bill have another shape" in report.reason


SESSIONS: dict[str, tuple[Any, int, int]] = {
    "whole cents": (123, 1_230_000_000, 5_000_000),
    "a tenth of a cent": (Decimal("123.4"), 1_234_000_000, 500_000),
    "as many digits as a float has": (Decimal("0.0007000000000000001"), 7_000, 1),
    "an exponent": (Decimal("7E-7"), 7, 1),
    "nothing": (0, 0, 5_000_000),
}


@pytest.mark.parametrize("name", SESSIONS)
def test_cents_are_read_with_the_rounding_they_show(name: str) -> None:
    cents, nano, rounding = SESSIONS[name]
    answer = {"periods": [{"sessions": [{"id": "s", "requestCount": 2, "costCents": cents}]}]}
    assert read_sessions(answer) == {"s": Billed(nano, rounding, 2)}


def test_a_session_is_added_up_over_its_periods() -> None:
    part = {"sessions": [{"id": "s", "requestCount": 2, "costCents": Decimal("0.5")}]}
    assert read_sessions({"currency": "USD", "periods": [part, part]}) == {"s": Billed(10_000_000, 1_000_000, 4)}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        {"periods": {}},
        {"periods": [1]},
        {"periods": [{}]},
        {"periods": [{"sessions": [{"id": 1, "costCents": 1}]}]},
        {"periods": [{"sessions": [{"id": "s"}]}]},
        {"periods": [{"sessions": [{"id": "s", "costCents": -1}]}]},
        {"periods": [{"sessions": [{"id": "s", "costCents": "1"}]}]},
        {"periods": [{"sessions": [{"id": "s", "costCents": Decimal("NaN")}]}]},
        {"periods": [{"sessions": [{"id": "s", "costCents": 1, "requestCount": -1}]}]},
        {"periods": [], "currency": "EUR"},
    ],
    ids=lambda answer: json.dumps(answer, default=str)[:60],
)
def test_sessions_of_another_shape_are_not_guessed_at(answer: Any) -> None:
    with pytest.raises(OtherShape):
        read_sessions(answer)


# (bill in nano-USD, its rounding, our bounds, the difference beyond both): two rows round by a nano-dollar each.
COMPARED = [
    (1_000, 1, (1_000, 1_000), 0),
    (1_003, 1, (1_000, 1_000), 0),
    (1_004, 1, (1_000, 1_000), 4),
    (996, 1, (1_000, 1_000), -4),
    (5_000_000, 5_000_000, (1_000, 1_000), 0),
    (10**9, 1, (0, None), 0),
    (1_500, 1, (1_000, 2_000), 0),
    (2_500, 1, (1_000, 2_000), 500),
    (500, 1, (1_000, 2_000), -500),
]


@pytest.mark.parametrize(("billed", "rounding", "bounds", "nano"), COMPARED)
def test_a_difference_is_what_bounds_and_rounding_do_not_explain(
    billed: int, rounding: int, bounds: tuple[int, int | None], nano: int
) -> None:
    lower, upper = bounds
    rows = [settled(pending(), cost=Cost(lower, upper, "x")), settled(pending(), cost=Cost(0, 0))]
    found = Difference.of("s", Billed(billed, rounding, 1), rows)
    assert found.difference == Decimal(nano) / 10**9

"""Credits, spending limits, and what the Hub's billing endpoints say about the bill."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from hfrouter.simulator import Simulator

ONE = Decimal("0.000007")  # what asking gpt-oss-20b at groq for 2 + 3 costs
BODY = {"model": "openai/gpt-oss-20b:groq", "messages": [{"role": "user", "content": "What is 2 + 3?"}]}
USAGE, SESSIONS = "/api/settings/billing/usage-v2", "/api/settings/billing/usage-by-inference-session"


def ask(send, **headers: str) -> int:
    return int(send("POST", "/v1/chat/completions", BODY, **headers).status)


def test_credits_run_out_and_can_be_bought(made):
    sim, send = made(credits=ONE * 2)
    assert [ask(send) for _ in range(3)] == [200, 200, 402]
    refused = send("POST", "/v1/chat/completions", BODY)
    assert "depleted your monthly included credits" in refused.json["error"]
    assert "x-inference-provider" not in refused.headers
    assert sim.bill().total == ONE * 2
    assert send("GET", "/v1/models").status == 200
    embed = "/hf-inference/models/BAAI/bge-small-en-v1.5/pipeline/feature-extraction"
    assert send("POST", embed, {"inputs": "a"}).status == 402
    assert ask(send, x_hf_bill_to="acme") == 200
    sim.top_up(ONE)
    assert [ask(send) for _ in range(2)] == [200, 402]
    with pytest.raises(ValueError):
        sim.top_up(-1)
    sim.reset()
    assert [ask(send) for _ in range(3)] == [200, 200, 402]


def test_a_spending_limit_is_a_403_for_the_user_and_for_each_organisation(made):
    _, send = made(spending_limit="0.000007")
    for headers in ({}, {"x_hf_bill_to": "acme"}, {"x_hf_bill_to": "other"}):
        assert [ask(send, **headers) for _ in range(2)] == [200, 403]
    error = send("POST", "/v1/chat/completions", BODY).json["error"]
    assert error == "You have exceeded your monthly spending limit for Inference Providers."


def test_usage_is_the_bill(made):
    _, send = made(credits=1, spending_limit=5)
    for _ in range(3):
        ask(send)
    ask(send, x_hf_bill_to="acme")
    send("POST", "/v1/chat/completions", {**BODY, "model": "openai/gpt-oss-20b:together"})  # of unknown cost
    usage = send("GET", USAGE).json["usage"]
    mine = usage["inferenceProviders"]
    assert (mine["usedNanoUsd"], mine["numRequests"]) == (21_000, 4)
    assert (mine["includedNanoUsd"], mine["limitNanoUsd"]) == (10**9, 5 * 10**9)
    start, end = (datetime.fromisoformat(mine[key]) for key in ("periodStart", "periodEnd"))
    assert start.day == end.day == 1
    assert start <= datetime.now(UTC) < end < start + timedelta(days=32)
    assert usage["jobs"] == {"usedMicroUsd": 0, "totalMinutes": 0}


def test_usage_is_asked_for_in_seconds(send, sim):
    ask(send)
    now = int(datetime.now(UTC).timestamp())

    def requests(query: str) -> int:
        return int(send("GET", f"{USAGE}?{query}").json["usage"]["inferenceProviders"]["numRequests"])

    assert requests(f"startDate={now - 60}&endDate={now + 60}") == 1
    assert requests(f"startDate={now + 60}&endDate={now + 90}") == 0
    assert requests(f"startDate={now - 90}&endDate={now - 60}") == 0
    assert send("GET", f"{USAGE}?startDate={now}000").status == 500  # milliseconds
    assert send("GET", f"{USAGE}?startDate=yesterday").status == 400
    assert send("GET", USAGE).headers["ratelimit"].startswith('"api";r=')


def test_sessions_are_grouped(send, sim):
    for session in ("s1", "s2", "s1"):
        ask(send, x_hf_session_id=session)
    ask(send)
    ask(send, x_hf_session_id="s1", x_hf_bill_to="acme")
    answer = send("GET", SESSIONS).json
    assert answer["currency"] == "USD"
    (period,) = answer["periods"]
    assert period["period"] == datetime.now(UTC).strftime("%Y-%m-01T00:00:00.000Z")
    assert period["sessions"] == [
        {"id": "s1", "requestCount": 2, "costCents": float(ONE * 200)},
        {"id": "s2", "requestCount": 1, "costCents": float(ONE * 100)},
    ]
    ((theirs,),) = (
        p["sessions"] for p in send("GET", SESSIONS.replace("settings", "organizations/acme")).json["periods"]
    )
    assert theirs == {"id": "s1", "requestCount": 1, "costCents": float(ONE * 100)}
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert send("GET", f"{SESSIONS}?startDate={tomorrow}").json["periods"] == []
    assert len(send("GET", f"{SESSIONS}?startDate=2026-01-01&endDate={tomorrow}").json["periods"]) == 1
    assert send("GET", f"{SESSIONS}?startDate=noon").status == 400


def test_a_cost_is_a_placeholder_until_it_is_settled(made):
    _, send = made(settlement=60)
    ask(send, x_hf_session_id="s1")
    assert send("GET", USAGE).json["usage"]["inferenceProviders"]["usedNanoUsd"] == 10_000_000
    assert send("GET", SESSIONS).json["periods"] == []


def test_who_may_ask(send):
    assert send("GET", USAGE, token=None).status == 401
    fine = send("GET", USAGE, token=Simulator.FINE_GRAINED_TOKEN)
    assert (fine.status, "sufficient permissions" in fine.json["error"]) == (403, True)
    assert send("POST", "/v1/chat/completions", BODY, token=Simulator.FINE_GRAINED_TOKEN).status == 200


def test_whoami_in_both_forms(send, sim):
    user = send("GET", "/api/whoami-v2").json
    assert {"email", "canPay", "periodEnd", "billingMode"} < set(user)
    assert user["auth"]["accessToken"]["role"] == "read"
    assert user["orgs"][0]["name"] == "acme"
    fine = send("GET", "/api/whoami-v2", token=Simulator.FINE_GRAINED_TOKEN).json
    assert list(fine) == ["type", "id", "name", "fullname", "isPro", "avatarUrl", "orgs", "auth"]
    assert fine["auth"]["accessToken"]["role"] == "fineGrained"
    assert list(fine["auth"]["accessToken"]["fineGrained"]) == ["canReadGatedRepos", "global", "scoped"]

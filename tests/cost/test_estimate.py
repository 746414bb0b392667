"""What calls and workloads would cost: nothing is sent, nothing is guessed where a price is missing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hfrouter import ConfigurationError, Endpoint, Estimate, NoTargetAvailable, Policy, Projection, Router, Target
from hfrouter.cost.estimate import TEMPLATE_TOKENS
from hfrouter.cost.projection import Projections, Workload
from hfrouter.simulator import Fault, Simulator

M20B, M120B = "openai/gpt-oss-20b", "openai/gpt-oss-120b"
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}]}]


def row(input_price: str | None, output_price: str | None = None) -> Target:
    prices = [None if price is None else Decimal(price) for price in (input_price, output_price or input_price)]
    return Target("a/b", "p", input_price=prices[0], output_price=prices[1])


def chat_requests(sim: Simulator) -> int:
    return sum(exchange.method == "POST" for exchange in sim.exchanges)


def test_an_estimate_names_each_provider_in_order_of_the_likely_cost_and_sends_nothing(
    sim: Simulator, router: Router
) -> None:
    found = router.estimate(model=M20B, messages="x" * 1000, max_tokens=100)
    assert [e.target.provider for e in found] == ["novita", "groq", "together"]
    assert chat_requests(sim) == 0
    size = len(b'{"messages":[{"role":"user","content":""}],"max_tokens":100}') + 1000
    novita, groq, together = found
    assert groq.input_tokens == int(size / 3.5) + 1
    assert groq.output_tokens == 100
    # groq: $0.1 and $0.5 per million tokens are 100 and 500 nano-USD per token.
    assert groq.likely == Decimal(groq.input_tokens * 100 + 100 * 500) / 10**9
    assert groq.upper == Decimal((size + TEMPLATE_TOKENS) * 100 + 100 * 500) / 10**9
    assert novita.likely == Decimal(groq.input_tokens * 40 + 100 * 150) / 10**9
    assert (together.likely, together.upper, together.reason) == (None, None, "no price in the catalogue")


def test_the_upper_end_is_what_the_ledger_holds_back_before_the_call(router: Router) -> None:
    asked: dict[str, Any] = {"model": f"{M20B}:groq", "messages": "What is 2 + 3?", "max_tokens": 50}
    (estimate,) = router.estimate(**asked)
    cost = router.chat(**asked).cost
    assert cost.usd is not None
    assert estimate.upper is not None
    assert cost.usd <= estimate.upper
    assert str(estimate).startswith(f"{M20B}:groq likely $0.")


async def test_the_asynchronous_twins_say_the_same(router: Router) -> None:
    asked: dict[str, Any] = {"model": M120B, "messages": "Hi", "n": 2, "provider": {"ignore": ["cerebras"]}}
    found = await router.aestimate(**asked)
    assert [e.target.provider for e in found] == ["novita", "together", "groq"]
    assert {e.output_tokens for e in found} == {1000}  # 500 for each of two choices
    projected = await router.aproject(model=M120B, input_tokens=1_000_000)
    assert [p.target.provider for p in projected] == ["novita", "groq", "together", "cerebras"]


def test_an_estimate_keeps_to_the_policy_and_to_what_the_request_needs(router: Router) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    assert "novita" not in {e.target.provider for e in router.estimate(model=M20B, messages="Hi", tools=tools)}
    only = router.estimate(model=M20B, messages="Hi", policy=Policy(only=["groq"]))
    assert [e.target.provider for e in only] == ["groq"]
    with pytest.raises(NoTargetAvailable, match="over the cap"):
        router.estimate(model=f"{M20B}:groq", messages="Hi", policy=Policy(max_price="0.01"))
    with pytest.raises(ConfigurationError, match="not in the catalogue"):
        router.estimate(model="openai/gpt-oss-21b", messages="Hi")
    with pytest.raises(ConfigurationError, match="messages is empty"):
        router.estimate(model=M20B, messages=[])


def test_images_have_neither_a_likely_cost_nor_a_bound(router: Router) -> None:
    (estimate, *_) = router.estimate(model="meta-llama/Llama-4-Scout-17B-16E-Instruct", messages=IMAGE)
    assert (estimate.input_tokens, estimate.likely, estimate.upper) == (None, None, None)
    assert "image" in estimate.reason


def test_without_a_catalogue_there_is_no_estimate(sim: Simulator, router: Router) -> None:
    sim.fail(Simulator.CATALOGUE, Fault.status(500), times=None)
    with pytest.raises(ConfigurationError, match="catalogue is not to be had"):
        router.estimate(model=M20B, messages="Hi")


def test_estimates_need_no_token(sim: Simulator) -> None:
    import pickle

    with Router(base_url=sim.base_url, token=sim.token, ledger="memory") as made:
        tokenless: Router = pickle.loads(pickle.dumps(made))  # a pickle leaves the token out
    assert tokenless.estimate(model=M20B, messages="Hi")[0].likely


def test_estimates_and_projections_print_as_tables(router: Router) -> None:
    text = str(router.estimate(model=M20B, messages="Hi", max_tokens=10))
    assert [line.split()[0] for line in text.splitlines()] == [
        "target",
        *(f"{M20B}:{p}" for p in ("novita", "groq", "together")),
    ]
    assert text.splitlines()[3].endswith("no price in the catalogue")
    assert [len(line.split()) for line in text.splitlines()[:3]] == [6, 5, 5]  # "at most" is two words
    table = str(router.project(model=M20B, input_tokens=1_000_000))
    assert table.splitlines()[0].split() == ["target", "30", "days"]
    assert str(Projections()) == "target"


def test_a_million_input_tokens_a_day_of_a_90_cent_model_are_27_dollars_in_30_days() -> None:
    projection = Projection.of(row("0.90"), Workload(input_tokens=1_000_000))
    assert projection.usd == Decimal("27.00") == Decimal("0.90") * 1 * 30
    assert str(projection) == "a/b:p $27.00 in 30 days"


# (price in, price out, workload, USD by hand)
WORKLOADS: list[tuple[str | None, str | None, Workload, str | None]] = [
    ("0.90", "0.90", Workload(1_000_000), "27"),
    ("0.90", "0.90", Workload(1_000_000, days=1), "0.9"),
    ("0.90", "0.90", Workload(1_000, requests=1_000), "27"),  # the same million, asked in pieces
    ("0.90", "2", Workload(700, 300, requests=1000, per="day", days=30), str(30 * (Decimal("0.63") + Decimal("0.6")))),
    ("1", "1", Workload(1_000_000, per="hour", days=1), "24"),
    ("1", "1", Workload(1_000_000, per="minute", days=1), "1440"),
    ("7", "1", Workload(1_000_000, per="week", days=1), "1"),
    ("1", "1", Workload(1_000_000, per="week", days=30), "4.285714286"),  # 30 / 7, rounded once
    ("0.0005", "0", Workload(1, days=1), "0"),  # half a nano-dollar, to even
    ("0.0015", "0", Workload(1, days=1), "2E-9"),
    ("0.1", "0.5", Workload(0, 0), "0"),
    (None, None, Workload(1_000_000), None),
]


@pytest.mark.parametrize(("input_price", "output_price", "workload", "usd"), WORKLOADS)
def test_a_workload_costs_tokens_times_price_times_periods(
    input_price: str | None, output_price: str | None, workload: Workload, usd: str | None
) -> None:
    projection = Projection.of(row(input_price, output_price), workload)
    assert projection.usd == (None if usd is None else Decimal(usd))
    assert bool(projection.reason) == (usd is None)


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(1, 10**6), st.integers(1, 3650))
def test_a_projection_is_exact(given_tokens: int, made: int, requests: int, days: int) -> None:
    projection = Projection.of(row("0.123456", "7.654321"), Workload(given_tokens, made, requests, "hour", days))
    nano = (123_456 * given_tokens + 7_654_321 * made) * requests * days * 24  # thousandths of a nano-dollar
    assert projection.usd is not None
    assert abs(projection.usd * 10**12 - nano) <= 500


def test_unknown_prices_come_last_and_the_cheapest_first(router: Router) -> None:
    found = router.project(model=M20B, input_tokens=1_000_000, output_tokens=100_000, requests=2, per="week", days=7)
    assert [(p.target.provider, p.usd) for p in found] == [
        ("novita", 2 * (Decimal("0.04") + Decimal("0.015"))),
        ("groq", 2 * (Decimal("0.1") + Decimal("0.05"))),
        ("together", None),
    ]


def test_a_model_that_only_own_prices_name_can_be_projected(sim: Simulator) -> None:
    prices: Any = {"intfloat/e5": ("0.01", 0), "intfloat/e5:together": ("0.02", 0)}
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory", prices=prices) as router:
        found = router.project(model="intfloat/e5", input_tokens=10**6, days=1)
    assert [(p.target.id, p.usd) for p in found] == [
        ("intfloat/e5", Decimal("0.01")),
        ("intfloat/e5:together", Decimal("0.02")),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_tokens": -1},
        {"input_tokens": 1.5},
        {"input_tokens": True},
        {"input_tokens": "1000"},
        {"input_tokens": 10**16},
        {"output_tokens": -1},
        {"requests": 0},
        {"days": 0},
        {"days": 40_000},
        {"per": "month"},
        {"per": None},
    ],
)
def test_a_workload_that_is_none_is_refused(router: Router, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        router.project(**{"model": M20B, "input_tokens": 1} | wrong)


def test_an_estimate_is_a_value() -> None:
    one, two = (Estimate.of(row("1"), (10, 10), (20, 20)) for _ in range(2))
    assert one == two
    assert one.likely == Decimal("0.00002")
    assert one.upper == Decimal("0.00004")


def test_endpoints_of_ones_own_are_estimated_too(sim: Simulator) -> None:
    own = Endpoint("http://127.0.0.1:9/v1", name="mine", input_price="0.01", output_price="0.02")
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory", endpoints=[own]) as router:
        found = router.estimate(model=M20B, messages="Hi", max_tokens=10)
        assert [e.target.provider for e in found] == ["mine", "novita", "groq", "together"]
        asked = len(sim.exchanges)
        (alone,) = router.estimate(model=f"{M20B}:mine", messages="Hi", max_tokens=10)
        assert alone == found[0]
        (projected,) = router.project(model=f"{M20B}:mine", input_tokens=10**6, days=1)
        assert projected.usd == Decimal("0.01")
        assert len(sim.exchanges) == asked  # no catalogue is needed for it


def test_a_projection_of_a_model_that_nobody_knows_names_the_nearest(router: Router) -> None:
    with pytest.raises(ConfigurationError, match=M20B):
        router.project(model="openai/gpt-oss-21b", input_tokens=1)

"""Budgets of a Router: refused before anything is sent, with what it needs to know, and cheaper targets instead."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from hfrouter import Budget, BudgetExceeded, BudgetWarning, ConfigurationError, Policy, Router, StreamInterrupted
from hfrouter.cost.budget import Standing, limits_for
from hfrouter.simulator import Fault, Simulator

MODEL = "openai/gpt-oss-120b"
EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"
ORDER = Policy(order=["groq", "novita"])


def routed(sim: Simulator, *budgets: Budget, **options: Any) -> Router:
    return Router(
        **{"base_url": sim.base_url, "token": sim.token, "ledger": "memory", "policy": ORDER, "budgets": budgets}
        | options
    )


def asked(sim: Simulator) -> int:
    return sum(exchange.method == "POST" for exchange in sim.exchanges)


def stands(router: Router, budget: Budget) -> Standing:
    (limit,) = limits_for([budget], router.entries()[0], router._writer.keeper.run)
    return router._writer.keeper.standing(limit)


def test_a_call_that_could_pass_the_limit_is_not_sent_and_says_by_how_much(sim: Simulator) -> None:
    with routed(sim, Budget("0.0001", "day", tags={"user": "ann"})) as router:
        with pytest.raises(BudgetExceeded) as caught:
            router.chat(model=f"{MODEL}:groq", messages="hi", max_tokens=1000, tags={"user": "ann"})
        assert asked(sim) == 0
        assert router.entries() == []
        error = caught.value
        # 1,024 tokens and the bytes of the request at $0.15 a million, 1,000 at $0.75
        assert error.needed is not None
        assert Decimal("0.0009") < error.needed < Decimal("0.001")
        assert (error.limit, error.spent, error.held, error.unsettled) == (Decimal("0.0001"), 0, 0, 0)
        assert error.budget == "$0.0001 a day for user=ann"
        assert error.resets_at is not None
        assert error.resets_at.tzinfo is UTC
        assert datetime.now(UTC) < error.resets_at
        assert f"or wait until {error.resets_at:%Y-%m-%d} 00:00 UTC" in str(error)
        assert error.attempts == ()
        assert "over_budget" in error.explain() or "budget" in error.explain()
        twin = pickle.loads(pickle.dumps(error))
        assert (str(twin), twin.__dict__.keys()) == (str(error), error.__dict__.keys())
        assert (twin.needed, twin.resets_at) == (error.needed, error.resets_at)
        router.chat(model=f"{MODEL}:groq", messages="hi", max_tokens=1000)


def test_a_cheaper_target_answers_when_the_dear_one_is_over_the_budget(sim: Simulator) -> None:
    with routed(sim, Budget("0.0006")) as router:
        answer = router.chat(model=MODEL, messages="hi", max_tokens=1000)
        assert [attempt.provider for attempt in answer.attempts] == ["novita"]
        assert [entry.provider for entry in router.entries()] == ["novita"]


def test_an_attempt_after_a_failure_needs_room_as_well(sim: Simulator) -> None:
    sim.fail("groq", Fault.cut_after(2))
    with routed(sim, Budget("0.001"), policy=Policy(only=["groq", "novita"], order=["groq", "novita"])) as router:
        with pytest.raises(BudgetExceeded) as caught:
            router.chat(model=MODEL, messages="What is 17 * 23?", max_tokens=1000)
        assert [attempt.provider for attempt in caught.value.attempts] == ["groq"]
        assert caught.value.unsettled > 0
        assert asked(sim) == 1


def test_a_stream_holds_until_it_ends_and_what_was_cut_off_stays_counted(sim: Simulator) -> None:
    budget = Budget(1)
    sim.fail("groq", Fault.stall_after(2, 0.5, resume=True))
    with routed(sim, budget) as router:
        with router.stream(model=f"{MODEL}:groq", messages="What is 17 * 23?", max_tokens=100) as stream:
            next(stream)
            assert stands(router, budget).held > 0
            for _ in stream:
                pass
        settled = stands(router, budget)
        assert settled == Standing(spent=router.entries()[0].cost.lower)
        sim.fail("groq", Fault.cut_after(2))
        with pytest.raises(StreamInterrupted):
            list(router.stream(model=f"{MODEL}:groq", messages="What is 17 * 23?", max_tokens=100))
        cut = stands(router, budget)
        assert (cut.spent, cut.held) == (settled.spent, 0)
        assert cut.unsettled == router.entries()[1].cost.upper


async def test_many_calls_at_once_never_spend_more_than_the_budget(sim: Simulator) -> None:
    budget = Budget("0.002")
    async with routed(sim, budget, policy=Policy(only=["groq"])) as router:
        calls = [router.achat(model=MODEL, messages=f"What is {n} * 23?", max_tokens=200) for n in range(30)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, BudgetExceeded)]
        assert 0 < len(refused) < 30
        assert len(refused) + asked(sim) == 30
        assert stands(router, budget) == Standing(spent=int(sim.bill().total * 10**9))


def test_a_model_without_a_price_is_refused_and_passes_with_a_price_of_the_users(sim: Simulator) -> None:
    model = "openai/gpt-oss-20b:together"
    with routed(sim, Budget(1)) as router, pytest.raises(BudgetExceeded, match=r"no price here; give Router\(prices="):
        router.chat(model=model, messages="hi")
    with routed(sim, Budget(1), prices={model: ("0.1", "0.5")}) as router:
        router.chat(model=model, messages="hi")


def test_a_free_model_passes_a_budget_of_nothing(sim: Simulator) -> None:
    with routed(sim, Budget(0)) as router:
        router.chat(model="zai-org/GLM-4.6:cerebras", messages="hi")


def test_images_need_a_ceiling(sim: Simulator) -> None:
    model = "meta-llama/Llama-4-Scout-17B-16E-Instruct:novita"
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, image, image]}]
    with routed(sim, Budget(1)) as router, pytest.raises(BudgetExceeded, match=r"Budget\(image_tokens=...\)"):
        router.chat(model=model, messages=messages)
    assert asked(sim) == 0
    with routed(sim, Budget("0.01", image_tokens=60_000)) as router:
        with pytest.raises(BudgetExceeded) as caught:
            router.chat(model=model, messages=messages, max_tokens=10)
        assert caught.value.needed is not None
        assert caught.value.needed > Decimal("0.012")  # 120,000 tokens at $0.10 a million
    with routed(sim, Budget(1, image_tokens=60_000)) as router:
        router.chat(model=model, messages=messages, max_tokens=10)
        assert router.entries()[0].cost.exact


def test_embeddings_without_a_price_are_refused(sim: Simulator) -> None:
    with routed(sim, Budget(1)) as router, pytest.raises(BudgetExceeded, match="no price"):
        router.embed(["hello"], model=EMBEDDER)
    with routed(sim, Budget(1, tags={"user": "ann"})) as router:
        router.embed(["hello"], model=EMBEDDER)


class Greedy(BaseHTTPRequestHandler):
    """A provider that reports four times the tokens a request of this size can have."""

    def do_GET(self) -> None:
        self.send_error(404)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        answer = {
            "choices": [{"message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5000, "completion_tokens": 10, "total_tokens": 5010},
        }
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def greedy() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Greedy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def test_an_answer_over_its_bound_is_booked_and_told_and_raises_the_bound_of_its_model(greedy: str) -> None:
    told: list[BudgetWarning] = []
    budget, prices = Budget("0.01", warn=()), {"org/m": ("1", "1")}
    with Router(base_url=greedy, token="hf_x", ledger="memory", budgets=[budget], prices=prices) as router:
        router._writer.on_warning = told.append
        answer = router.chat(model="org/m:p", messages="hi", max_tokens=20)
        assert str(answer.cost) == "$0.00501"
        assert "exceed the bound" in answer.explain()
        assert [(warning.kind, warning.model, str(warning.share)) for warning in told] == [
            ("over_bound", "org/m", "0.50")
        ]
        with pytest.raises(BudgetExceeded) as caught:
            router.chat(model="org/m:p", messages="hi", max_tokens=20)
        assert caught.value.needed is not None
        assert Decimal("0.00502") <= caught.value.needed < Decimal("0.0051")
        assert caught.value.spent == Decimal("0.00501")


def test_a_threshold_that_is_crossed_is_told(sim: Simulator) -> None:
    told: list[BudgetWarning] = []
    with routed(sim, Budget("0.002", warn=("0.001", "0.002"))) as router:
        router._writer.on_warning = told.append
        for _ in range(3):
            router.chat(model=f"{MODEL}:groq", messages="hi", max_tokens=100)
    assert [str(warning.share) for warning in told] == ["0.001", "0.002"]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Budget(-1), "Budget.limit must be a number from 0"),
        (lambda: Budget("a dollar"), "not 'a dollar'"),
        (lambda: Budget(float("nan")), "Budget.limit must be"),
        (lambda: Budget(float("inf")), "Budget.limit must be"),
        (lambda: Budget(True), "Budget.limit must be"),
        (lambda: Budget(10**10), "Budget.limit must be"),
        (lambda: Budget("0.0000000001"), "9 decimals"),
        (lambda: Budget(1, "week"), "'run', 'day', 'month'"),
        (lambda: Budget(1, tags="ann"), "tags are a str"),
        (lambda: Budget(1, tags={"user": ""}), "tag"),
        (lambda: Budget(1, each="no tag"), "tag"),
        (lambda: Budget(1, warn="0.8"), "Budget.warn"),
        (lambda: Budget(1, warn=(2,)), "Budget.warn"),
        (lambda: Budget(1, image_tokens=-1), "image_tokens"),
        (lambda: Budget(1, image_tokens=1.5), "image_tokens"),
        (lambda: Budget(1, name="x" * 65), "Budget.name"),
        (lambda: Router(budgets="5.00"), "budgets is a str"),
        (lambda: Router(budgets=["5.00"]), "holds a str"),
        (lambda: Router(budgets=[Budget(1), Budget(2)]), "same calls"),
    ],
)
def test_what_is_no_budget_is_refused_when_it_is_made(make: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        make()


def test_a_budget_is_a_value() -> None:
    budget = Budget(0.1, "month", tags={"b": "2", "a": "1"}, each="user", warn=[1, 0.5], name="app")
    assert budget.limit == Decimal("0.1")
    assert budget.tags == (("a", "1"), ("b", "2"))
    assert budget.warn == (Decimal("0.5"), Decimal(1))
    assert pickle.loads(pickle.dumps(budget)) == budget
    assert len({budget, Budget("0.1")}) == 2
    assert repr(budget) == "Budget('0.1', window='month', tags={'a': '1', 'b': '2'}, each='user', name='app')"
    with pytest.raises(AttributeError):
        budget.limit = Decimal(9)  # type: ignore[misc]  # frozen


def test_a_hedge_the_budget_has_no_room_for_is_left_out_and_the_call_goes_on(sim: Simulator) -> None:
    hedging = Policy(order=["groq", "novita"], only=["groq", "novita"], hedge=True)
    asking: dict[str, Any] = {"model": MODEL, "messages": "What is 17 * 23?", "max_tokens": 500}
    with routed(sim, Budget("0.0006", tags={"case": "hedge"}), policy=hedging) as router:
        for _ in range(21):  # so that half a second is long, and a hedge is allowed
            router.chat(**asking)
        sim.fail("groq", Fault.slow_first_token(1.2))
        answer = router.chat(**asking, tags={"case": "hedge"})
        assert [attempt.provider for attempt in answer.attempts] == ["groq"]
        assert "the budget of $0.0006 for this run for case=hedge has" in answer.explain()
        assert len(router.entries()) == 22

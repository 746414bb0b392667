"""`make mixed-run`: thousands of calls of every kind against a simulator that fails in every way, then the accounts.

Everything that was told about money must agree: the rows of the ledger, what answers and LangChain's
`response_metadata` say, hfrouter's events and LlamaIndex's, the simulator's bill, and the bill that Hugging Face's
endpoints would show. An exact cost is the bill's to the nano-dollar; any other holds it within its bounds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import logging
import os
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from hfrouter import CallEvent, Entry, HFRouterError, Policy, Router, Total
from hfrouter.simulator import Exchange, Fault, Simulator

MODELS = ("openai/gpt-oss-120b", "openai/gpt-oss-20b", "moonshotai/Kimi-K2-Instruct-0905", "zai-org/GLM-4.7")
EMBEDDERS = ("intfloat/multilingual-e5-large", "BAAI/bge-small-en-v1.5", "Qwen/Qwen3-Embedding-8B")
SHORT, LONG = "What is 2 + 3?", "Count from 1 to 30."
# A router learns who is broken; one that is new now and then keeps calls going where everything is.
CALLS_PER_ROUTER = 250
FAULTS: tuple[tuple[Fault, float], ...] = (
    (Fault.rate_limited(), 0.02),
    (Fault.status(500), 0.02),
    (Fault.status(502, html=True), 0.01),
    (Fault.status(503), 0.01),
    (Fault.status(404), 0.002),
    (Fault.gone(), 0.002),
    (Fault.model_not_supported(), 0.002),
    (Fault.payment_required(), 0.0001),
    (Fault.content_policy(), 0.002),
    (Fault.error_body_200(), 0.01),
    (Fault.html_200(), 0.005),
    (Fault.reset(), 0.01),
    (Fault.hang(2.0), 0.003),
    (Fault.slow_first_token(0.15), 0.02),
    (Fault.slow_first_token(1.0), 0.01),
    (Fault.slow_first_token(4.0), 0.01),
    (Fault.cut_before_content(), 0.01),
    (Fault.cut_after(3), 0.02),
    (Fault.stall_after(3, 1.0), 0.003),
    (Fault.error_event(0), 0.01),
    (Fault.error_event(2), 0.01),
    (Fault.no_done(), 0.01),
    (Fault.no_finish(), 0.01),
    (Fault.malformed_event(2), 0.01),
    (Fault.empty_answer(), 0.01),
    (Fault.no_usage(), 0.03),
    (Fault.running_usage(), 0.02),
)
POLICY = Policy(first_content=0.6, idle=0.6, deadline=6.0)
HEDGED = POLICY.with_(hedge=True, upstream="stream", first_content=6.0, deadline=8.0)
KINDS = {
    "chat": 18,
    "hedged": 20,
    "stream": 18,
    "stream left": 10,
    "cancelled": 10,
    "sync chat": 6,
    "sync stream left": 4,
    "embeddings": 6,
    "langchain": 4,
    "llamaindex": 4,
}


@dataclass
class Figures:
    """What came of a run.

    Attributes:
        kinds: Calls by kind.
        endings: Calls by how they ended for their caller.
        outcomes: Rows of the ledger by outcome.
        exact: Rows of known cost.
        bounded: Rows with two bounds.
        unbounded: Rows without an upper bound.
        billed: USD on the simulator's bill.
        known: USD of the exact rows.
        told: Costs that were told elsewhere and compared, by where.
        wrong: What does not agree, in words.
        seconds: Of the calls.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    exact: int = 0
    bounded: int = 0
    unbounded: int = 0
    billed: Decimal = Decimal(0)
    known: Decimal = Decimal(0)
    told: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        rows = sum(self.outcomes.values())
        return "\n".join(
            (
                f"{sum(self.kinds.values())} calls in {self.seconds:.0f} s: {_listed(self.kinds)}",
                f"ended: {_listed(self.endings)}",
                f"{rows} rows: {_listed(self.outcomes)}",
                f"cost exact {self.exact}, within bounds {self.bounded}, without an upper bound {self.unbounded}",
                f"billed ${self.billed:f}, of it exact ${self.known:f}",
                f"compared beside the ledger: {_listed(self.told)}",
                f"{len(self.wrong)} do not agree",
                *self.wrong[:20],
            )
        )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


class Run:
    """A run of so many calls, so many at once."""

    def __init__(self, sim: Simulator, path: Path, calls: int, seed: int) -> None:
        self.sim, self.path, self.calls, self.seed = sim, path, calls, seed
        self.figures = Figures()
        self.told: dict[str, list[tuple[str, Total]]] = defaultdict(list)
        self.batches: list[tuple[tuple[str, ...], Total]] = []
        self.threads = ThreadPoolExecutor(8)
        kinds = dict(KINDS)
        for framework, package in (("langchain", "langchain_core"), ("llamaindex", "llama_index")):
            if importlib.util.find_spec(package) is None:
                del kinds[framework]
        self.kinds = kinds

    def router(self) -> Router:
        return Router(
            base_url=self.sim.base_url,
            token=self.sim.token,
            ledger=self.path,
            policy=POLICY,
            seed=self.seed,
            on_event=self.hear,
        )

    def hear(self, event: Any) -> None:
        """Take down what hfrouter's own events tell of a call."""
        if isinstance(event, CallEvent) and event.call and event.operation == "chat":
            self.told[event.call].append(("event", event.total))

    async def all(self, concurrency: int) -> None:
        began = time.monotonic()
        for start in range(0, self.calls, CALLS_PER_ROUTER):
            with self.router() as router, listening(self.hear_llamaindex):
                slots = asyncio.Semaphore(concurrency)
                numbers = range(start, min(start + CALLS_PER_ROUTER, self.calls))
                await asyncio.gather(*(self.one(router, number, slots) for number in numbers))
        self.figures.seconds = time.monotonic() - began

    async def one(self, router: Router, number: int, slots: asyncio.Semaphore) -> None:
        chance = random.Random(f"{self.seed}:{number}")
        kind = chance.choices([*self.kinds], [*self.kinds.values()])[0]
        self.figures.kinds[kind] += 1
        async with slots:
            try:
                ending = await self.act(kind, router, f"call-{number}", chance)
            except HFRouterError as error:
                ending = type(error).__name__
            except Exception as error:
                if "hfrouter" not in type(error).__module__:
                    raise
                ending = type(error).__name__  # a framework's own class of it
        self.figures.endings[ending] += 1

    async def act(self, kind: str, router: Router, session: str, chance: random.Random) -> str:
        asked: dict[str, Any] = {"model": chance.choice(MODELS), "messages": chance.choice((SHORT, LONG))}
        asked |= {"session": session, **({"max_tokens": 100} if chance.random() < 0.3 else {})}
        match kind:
            case "chat":
                return self.answered(await router.achat(**asked))
            case "hedged":
                return self.answered(await router.achat(**asked, policy=HEDGED))
            case "stream":
                async with await router.astream(**asked) as stream:
                    async for _ in stream:
                        pass
                return self.answered(stream.completion())
            case "stream left":
                async with await router.astream(**asked) as stream:
                    await _left(stream, chance.randrange(8))
                return "left"
            case "cancelled":
                return await _cancelled(router.achat(**asked), chance.uniform(0, 0.03))
            case "sync chat":
                return self.answered(await self.threaded(lambda: router.chat(**asked)))
            case "sync stream left":
                return await self.threaded(lambda: _left_at(router.stream(**asked), chance.randrange(8)))
            case "embeddings":
                texts = [f"text {n}" for n in range(chance.choice((1, 5, 70)))]
                found = await router.aembed(texts, model=chance.choice(EMBEDDERS), session=session)
                self.batches.append((found.calls, found.total))
                return "answered"
            case "langchain":
                return await self.langchain(router, asked)
            case _:
                return await self.llamaindex(router, asked)

    def answered(self, completion: Any) -> str:
        self.told[completion.id].append(("answer", completion.total))
        return "answered"

    async def threaded(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)

    async def langchain(self, router: Router, asked: dict[str, Any]) -> str:
        from langchain_hfrouter import ChatHFRouter

        llm = ChatHFRouter(model=asked["model"], router=router, session=asked["session"])
        metadata = (await llm.ainvoke(asked["messages"])).response_metadata
        details = metadata["cost_details"]
        total = _total(*(details[f"total_{name}"] for name in ("usd", "lower_usd", "upper_usd")))
        self.told[metadata["call_id"]].append(("response_metadata", total))
        return "answered"

    async def llamaindex(self, router: Router, asked: dict[str, Any]) -> str:
        from llamaindex_hfrouter import HFRouter

        await HFRouter(model=asked["model"], router=router, session=asked["session"]).acomplete(asked["messages"])
        return "answered"

    def hear_llamaindex(self, event: Any) -> None:
        """Take down what LlamaIndex's instrumentation was told."""
        if event.call_id is not None:
            total = _total(event.cost, event.cost_lower, event.cost_upper)
            self.told[event.call_id].append(("LlamaIndex event", total))

    # --- the accounts -------------------------------------------------------------------------------------------------

    def settle_accounts(self) -> Figures:
        """Compare everything that was told."""
        with self.router() as router:
            rows = router.entries()
            self.count(rows)
            self.against_the_bill(rows)
            self.against_what_was_told(rows)
            report = router.reconcile()
        for session in report.sessions:
            if session.difference or session.ledger is None:
                self.figures.wrong.append(f"{session.session}: {session.remark} in Hugging Face's form")
        self.figures.told["sessions on the bill"] = sum(s.billed is not None for s in report.sessions)
        if report.total.difference:
            self.figures.wrong.append(f"the bill differs by {report.total.difference} in all")
        self.threads.shutdown()
        return self.figures

    def count(self, rows: list[Entry]) -> None:
        figures = self.figures
        figures.outcomes = Counter(row.outcome for row in rows)
        figures.exact = sum(row.cost.exact for row in rows)
        figures.unbounded = sum(row.cost.upper is None for row in rows)
        figures.bounded = len(rows) - figures.exact - figures.unbounded
        figures.billed = self.sim.bill().total
        figures.known = sum((row.cost.usd for row in rows if row.cost.usd is not None), Decimal(0))
        figures.wrong += [f"{row.id} is still pending" for row in rows if row.outcome == "pending"]
        if len({row.id for row in rows}) != len(rows):
            figures.wrong.append("an id is there twice")

    def against_the_bill(self, rows: list[Entry]) -> None:
        """Each exchange has its row, and each row's cost is the bill's, or holds it within its bounds."""
        mine: dict[tuple[Any, ...], list[Entry]] = defaultdict(list)
        theirs: dict[tuple[Any, ...], list[Exchange]] = defaultdict(list)
        for row in rows:
            mine[row.session, row.model, row.provider].append(row)
        for exchange in self.sim.exchanges:
            if exchange.method == "POST" and (exchange.provider or exchange.billed):  # else it never was one
                session = exchange.headers.get("x-hf-session-id")
                theirs[session, exchange.model, exchange.provider].append(exchange)
        for key in mine.keys() | theirs.keys():
            problem = _disagreement(mine[key], theirs[key])
            if problem:
                self.figures.wrong.append(f"{key}: {problem}")

    def against_what_was_told(self, rows: list[Entry]) -> None:
        by_call: dict[str, list[Entry]] = defaultdict(list)
        for row in rows:
            by_call[row.call].append(row)
        told = [((call,), where, total) for call, totals in self.told.items() for where, total in totals]
        told += [(calls, "embeddings", total) for calls, total in self.batches]
        for calls, where, total in told:
            self.figures.told[where] += 1
            mine = [row for call in calls for row in by_call[call]]
            ledger = Total.of(row.cost for row in mine)
            if (total.usd, total.lower, total.upper) != (ledger.usd, ledger.lower, ledger.upper):
                outcomes = [f"{row.provider} {row.outcome} {row.cost}" for row in mine]
                self.figures.wrong.append(f"{calls}: {where} says {total}, the ledger {ledger} ({outcomes})")


def _disagreement(rows: list[Entry], exchanges: list[Exchange]) -> str:
    """Attempts of one call at one target beside the requests it received, in order."""
    rows, exchanges = sorted(rows, key=lambda row: row.id), sorted(exchanges, key=lambda exchange: exchange.number)
    if len(exchanges) > len(rows):
        return f"{len(exchanges)} requests arrived and {len(rows)} have a row"
    costs = [_cost(exchange) for exchange in exchanges]
    if len(rows) == len(exchanges) and rows[0].streamed | (len(rows) == 1):
        for row, cost in zip(rows, costs, strict=True):
            if not _holds(Total.of([row.cost]), cost):
                return f"{row.outcome} costs {cost} nano-USD and {row.cost} in the ledger"
        return ""
    # Batches at once, or a request that never arrived: which is whose is not known, the sum is.
    total, known = Total.of(row.cost for row in rows), [cost for cost in costs if cost is not None]
    fits = _holds(total, sum(known) if len(known) == len(costs) else None)
    return "" if fits else f"{len(rows)} attempts cost {sum(known)} nano-USD and {total} in the ledger"


def _cost(exchange: Exchange) -> int | None:
    """Nano-USD that a request cost, rounded as one; None when nobody knows."""
    if not exchange.billed:
        return 0
    return None if exchange.cost is None else round(exchange.cost * 10**9)


def _holds(total: Total, cost: int | None) -> bool:
    if cost is None:
        return total.upper is None
    return total.lower <= cost and (total.upper is None or cost <= total.upper)


def _total(amount: str | None, lower: str, upper: str | None) -> Total:
    """A total as the frameworks are told it, in USD as text."""
    least, most = (None if text is None else int(Decimal(text) * 10**9) for text in (lower, upper))
    assert least is not None
    return Total(least, 0 if amount is not None else 1, least, most)


async def _left(stream: Any, after: int) -> None:
    async for _ in stream:
        after -= 1
        if after < 0:
            return


def _left_at(stream: Any, after: int) -> str:
    with stream:
        for _ in stream:
            after -= 1
            if after < 0:
                return "left"
    return "answered"


async def _cancelled(work: Awaitable[Any], after: float) -> str:
    task = asyncio.ensure_future(work)
    await asyncio.sleep(after)
    task.cancel()
    await asyncio.wait([task])
    if task.cancelled():
        return "cancelled"
    task.result()
    return "answered"


@contextlib.contextmanager
def listening(hear: Callable[[Any], None]) -> Iterator[None]:
    """Hear hfrouter's events in LlamaIndex's instrumentation, where that is installed."""
    if importlib.util.find_spec("llama_index") is None:
        yield
        return
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.event_handlers import BaseEventHandler

    class Recorder(BaseEventHandler):
        @classmethod
        def class_name(cls) -> str:
            return "Recorder"

        def handle(self, event: Any, **_: Any) -> None:
            if type(event).__name__ == "HFRouterCallEvent":
                hear(event)

    root, recorder = get_dispatcher(), Recorder()
    root.add_event_handler(recorder)
    try:
        yield
    finally:
        root.event_handlers.remove(recorder)


async def run(calls: int, seed: int, path: Path, concurrency: int = 24, *, patient: bool = True) -> Figures:
    """Make the calls, and settle the accounts; without the faults that only wait, unless it is patient."""
    with Simulator(seed=seed, latency=0.002, rate=4000.0) as sim:
        for fault, probability in FAULTS:
            if not patient and fault.options.get("seconds", 0) >= 1:
                continue
            sim.fail(Simulator.ANY, fault, times=None, probability=probability)
        made = Run(sim, path, calls, seed)
        await made.all(concurrency)
        sim.heal()
        return await asyncio.to_thread(made.settle_accounts)


def main() -> int:
    """Run, print the figures, and say by the exit code whether everything agrees."""
    parser = argparse.ArgumentParser(prog="python -m tests.cost.mixed_run", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.getLogger("hfrouter").setLevel(logging.ERROR)  # that providers fail is no news here
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_CACHE_HOME"] = home
        figures = asyncio.run(run(options.calls, options.seed, Path(home) / "ledger.sqlite3"))
    print(figures)
    return int(bool(figures.wrong))


if __name__ == "__main__":
    sys.exit(main())

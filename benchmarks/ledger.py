"""The ledger's share: CPU that writing rows and keeping budgets adds to a lone call, as a part of a ChatOpenAI call.

    python benchmarks/ledger.py --calls 300 --rounds 7

All threads are counted, the stub's process is not. Contestants take turns within each round and the least counts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from overhead import MODEL, SHORT, Work, cpu_per_call, stub


def contestants(base_url: str, directory: str) -> dict[str, Work]:
    """ChatOpenAI, a call without any ledger, and the same call with each."""
    from langchain_openai import ChatOpenAI

    from hfrouter import Budget, Router

    chat_openai = ChatOpenAI(model=MODEL, base_url=base_url, api_key="x", max_retries=0, stream_usage=True)

    def call(name: str, *budgets: Budget) -> Work:
        ledger = str(Path(directory) / f"{name}{len(budgets)}.sqlite3") if name == "sqlite" else name
        router = Router(base_url=base_url, token="hf_x", ledger=ledger, budgets=budgets)
        return lambda: router.chat(model=MODEL, messages=SHORT)

    day, user = Budget(1_000_000, "day"), Budget(1_000_000, "month", each="user")
    return {
        "ChatOpenAI": lambda: chat_openai.invoke(SHORT),
        "off": call("off"),
        "memory": call("memory"),
        "memory, 2 budgets": call("memory", day, user),
        "sqlite": call("sqlite"),
        "sqlite, 1 budget": call("sqlite", day),
        "sqlite, 2 budgets": call("sqlite", day, user),
    }


def store_alone(directory: str, calls: int) -> float:
    """Microseconds of CPU for a row's two writes, without writer, thread or loop."""
    from hfrouter.cost.ledger import Entry, new_id
    from hfrouter.cost.price import Cost
    from hfrouter.cost.sqlite import SQLiteLedger

    ledger = SQLiteLedger(Path(directory) / "alone.sqlite3")

    def write() -> None:
        entry = Entry(new_id(), "call", 1, 0, MODEL, "groq", True, cost=Cost(0, 1, "pending"))
        ledger.begin(entry)
        ledger.settle(Entry(entry.id, "call", 1, 0, MODEL, "groq", True, outcome="ok", cost=Cost(1, 1)))

    write()
    return min(cpu_per_call(write, calls) for _ in range(5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100, help="calls per contestant and round (default 100)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds, of which the least counts (default 7)")
    options = parser.parse_args()
    with stub() as base_url, tempfile.TemporaryDirectory() as directory:
        os.environ["XDG_CACHE_HOME"] = directory
        entrants = contestants(base_url, directory)
        for work in entrants.values():
            cpu_per_call(work, 20)
        least = dict.fromkeys(entrants, float("inf"))
        for _ in range(options.rounds):
            for name, work in entrants.items():
                least[name] = min(least[name], cpu_per_call(work, options.calls))
        print(f"{'':20}{'CPU us':>8}  {'x ChatOpenAI':>12}  {'the ledger, of a ChatOpenAI call':>32}")
        for name, cpu in least.items():
            share = "" if name in ("ChatOpenAI", "off") else f"{(cpu - least['off']) / least['ChatOpenAI']:.1%}"
            print(f"{name:20}{cpu:8.0f}  {cpu / least['ChatOpenAI']:12.2f}  {share:>32}")
        print(f"\nthe two writes of a row alone, on the caller's thread: {store_alone(directory, 300):.0f} us of CPU")


if __name__ == "__main__":
    main()

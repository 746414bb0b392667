"""CPU per call as a ratio to the bare openai SDK and to ChatOpenAI, all on one local stub.

    make bench
    python benchmarks/overhead.py --calls 300 --rounds 5

The stub is a process of its own, so the CPU counted is the client's alone, all its threads included. Contestants take
turns within each round and the least of the rounds counts: the machine is noisy, the ratios are less so.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MODEL = "openai/gpt-oss-20b"
HISTORY = [
    {"role": ("user", "assistant")[turn % 2], "content": f"Message {turn}: some words about nothing much. " * 4}
    for turn in range(99)
] + [{"role": "user", "content": "And now?"}]
SHORT = [{"role": "user", "content": "Hello"}]
LONG = [{"role": "user", "content": "long"}]

Work = Callable[[], Any]


@contextlib.contextmanager
def stub() -> Iterator[str]:
    """The stub's base URL."""
    path = Path(__file__).with_name("stub.py")
    process = subprocess.Popen([sys.executable, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.stdin.close()
        process.wait(10)


def contestants(base_url: str, directory: str) -> dict[str, dict[str, Work]]:
    """Every scenario's contestants; the first of each is what the ratios are taken to."""
    import openai
    from langchain_openai import ChatOpenAI

    from hfrouter import Policy, Router
    from langchain_hfrouter import ChatHFRouter

    sdk = openai.OpenAI(base_url=base_url, api_key="x", max_retries=0)
    chat_openai = ChatOpenAI(model=MODEL, base_url=base_url, api_key="x", max_retries=0, stream_usage=True)
    kept = Router(base_url=base_url, token="hf_x", ledger=str(Path(directory) / "ledger.sqlite3"))
    unkept = Router(base_url=base_url, token="hf_x", ledger="off")
    unary = Policy(upstream="unary")
    ours = ChatHFRouter(model=MODEL, router=kept)

    def both(messages: list[dict[str, str]]) -> dict[str, Work]:
        return {
            "openai SDK": lambda: sdk.chat.completions.create(model=MODEL, messages=messages),  # type: ignore[arg-type]
            "ChatOpenAI": lambda: chat_openai.invoke(messages),
            "Router, no ledger, unary": lambda: unkept.chat(model=MODEL, messages=messages, policy=unary),
            "Router, no ledger": lambda: unkept.chat(model=MODEL, messages=messages),
            "Router": lambda: kept.chat(model=MODEL, messages=messages),
            "ChatHFRouter": lambda: ours.invoke(messages),
        }

    return {
        "invoke (1 message)": both(SHORT),
        "stream (200 chunks)": {
            "openai SDK": lambda: list(
                sdk.chat.completions.create(
                    model=MODEL,
                    messages=LONG,  # type: ignore[arg-type]
                    stream=True,
                    stream_options={"include_usage": True},
                )
            ),
            "ChatOpenAI": lambda: list(chat_openai.stream(LONG)),
            "Router, no ledger": lambda: list(unkept.stream(model=MODEL, messages=LONG)),
            "Router": lambda: list(kept.stream(model=MODEL, messages=LONG)),
            "ChatHFRouter": lambda: list(ours.stream(LONG)),
        },
        "invoke (100 messages)": both(HISTORY),
    }


def cpu_per_call(work: Work, calls: int) -> float:
    """Microseconds of CPU of this process, all threads, per call."""
    before = time.process_time()
    for _ in range(calls):
        work()
    return (time.process_time() - before) / calls * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100, help="calls per contestant and round (default 100)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the least counts (default 5)")
    options = parser.parse_args()
    with stub() as base_url, tempfile.TemporaryDirectory() as directory:
        os.environ["XDG_CACHE_HOME"] = directory
        for scenario, entrants in contestants(base_url, directory).items():
            for work in entrants.values():
                cpu_per_call(work, 10)
            least = dict.fromkeys(entrants, float("inf"))
            for _ in range(options.rounds):
                for name, work in entrants.items():
                    least[name] = min(least[name], cpu_per_call(work, options.calls))
            print(f"\n{scenario}\n{'':26}{'CPU us':>8}  {'x SDK':>6}  {'x ChatOpenAI':>12}")
            for name, cpu in least.items():
                print(f"{name:26}{cpu:8.0f}  {cpu / least['openai SDK']:6.2f}  {cpu / least['ChatOpenAI']:12.2f}")


if __name__ == "__main__":
    main()

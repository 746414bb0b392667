"""What deciding costs: calls that choose among 20 candidates against the same sender told where to go.

    make bench
    python benchmarks/deciding.py --calls 300 --rounds 7

Both sides check and encode the request, keep an account of the attempt and read the answer alike. One goes through
catalogue, eligibility, ranking, engine and driver; the other starts its only attempt. The stub is a process of its own,
so the CPU counted is the client's alone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable

from overhead import HISTORY, LONG, SHORT, stub

from hfrouter import Router
from hfrouter.routing.choice import Choice
from hfrouter.routing.commands import Launch
from hfrouter.routing.target import Target
from hfrouter.stream import completed
from hfrouter.wire.attempt import Chat, Opened
from hfrouter.wire.call import Call
from hfrouter.wire.request import Request

MODEL = "openai/gpt-oss-120b"
Messages = list[dict[str, str]]
Work = Callable[[], Awaitable[object]]


def told(router: Router, target: Target, messages: Messages) -> Work:
    """The same sender without routing: one attempt at a target that is given."""

    async def call() -> object:
        request = Request.make(messages, {})
        call = Call(
            request=request,
            policy=router.policy,
            shared=router._shared,
            headers=lambda url: router._planner._heading.of(url, None),
            find=lambda _model, _provider: None,
            priced_at=0,
            writer=router._writer,
            clock=router._clock,
            began=router._clock.monotonic(),
        )
        call.choice = Choice.listed([target], router._shared.health)
        done = await Chat(request, f"{router.base_url}/chat/completions").whole(call, Launch(1, target, 12.0, 120.0))
        assert isinstance(done.value, Opened)
        return completed(call, done.value)

    return call


async def cpu_per_call(work: Work, calls: int) -> float:
    """Microseconds of CPU of this process per call."""
    before = time.process_time()
    for _ in range(calls):
        await work()
    return (time.process_time() - before) / calls * 1e6


async def measure(base_url: str, calls: int, rounds: int) -> None:
    router = Router(base_url=base_url, token="hf_x", ledger="off")
    target = (await router.atargets(MODEL))[0]
    for name, messages in {"1 message": SHORT, "200 chunks": LONG, "100 messages": HISTORY}.items():
        without = told(router, target, messages)

        async def routed(messages: Messages = messages) -> object:
            return await router.achat(model=MODEL, messages=messages)

        least = {"without": float("inf"), "with": float("inf")}
        for round_ in range(rounds + 1):
            for key, work in (("without", without), ("with", routed)):
                cpu = await cpu_per_call(work, calls)
                least[key] = min(least[key], cpu) if round_ else least[key]  # the first round warms up
        ratio = least["with"] / least["without"]
        print(
            f"{name:14} without {least['without']:6.0f} us   with 20 candidates {least['with']:6.0f} us   {ratio:.2f}x"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100, help="calls per side and round (default 100)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, of which the least counts (default 5)")
    options = parser.parse_args()
    with stub() as base_url, tempfile.TemporaryDirectory() as directory:
        os.environ["XDG_CACHE_HOME"] = directory
        asyncio.run(measure(base_url, options.calls, options.rounds))


if __name__ == "__main__":
    main()

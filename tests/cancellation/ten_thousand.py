"""`make abandon`: ten thousand streams left half-way, of the core and both adapters, sync and async, in every way.

Each must be closed at the other side, leave exactly one row, and nothing else: no descriptor, task, thread or memory.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from itertools import cycle, islice, product
from pathlib import Path

from hfrouter import Policy, Router
from hfrouter.wire import bridge
from tests.cancellation.leaving import ALEAVING, LEAVING, alone, descriptors, under_way
from tests.cancellation.other_side import SETTLING, other_side
from tests.cancellation.ways import ASYNC, SYNC
from tests.scenarios.upstream import FALLBACK, PRIMARY

# What Python and the frameworks fill once: caches, pools, the allocator's arenas.
WARM_UP = 0.2
AT_ONCE = 16
# Bytes that the process may grow by for each stream after the warm-up, and all in all on top: the allocator's noise.
GROWTH, NOISE = 512, 4 * 1024 * 1024


@dataclass(frozen=True)
class Held:
    """What the process holds.

    Attributes:
        descriptors: Open files and sockets.
        tasks: On the event loop of the synchronous callers.
        threads: Of Python.
        bytes: Resident memory.
    """

    descriptors: int
    tasks: int
    threads: int
    bytes: int

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        return cls(descriptors(), len(asyncio.all_tasks(bridge._bridge.loop())), threading.active_count(), _resident())

    def __str__(self) -> str:
        return (
            f"{self.descriptors} descriptors, {self.tasks} tasks, {self.threads} threads, {self.bytes / 2**20:.1f} MiB"
        )

    def leaks(self, before: Held, streams: int) -> list[str]:
        """What has grown since, as sentences."""
        grown = self.bytes - before.bytes
        return [
            *(
                [f"{self.descriptors - before.descriptors} descriptors"]
                if self.descriptors > before.descriptors
                else []
            ),
            *([f"{self.tasks} tasks"] if self.tasks else []),
            *([f"{self.threads - before.threads} threads"] if self.threads > before.threads else []),
            *([f"{grown / streams:.0f} bytes for each stream"] if grown > streams * GROWTH + NOISE else []),
        ]


def _resident() -> int:
    """Bytes of memory in use; 0 where nobody says."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


def leave_sync(router: Router, streams: int) -> None:
    """Open and leave so many, one after the other."""
    for way, leave in islice(cycle(product(SYNC.values(), LEAVING)), streams):
        leave(lambda way=way: way(router))


async def leave_async(router: Router, streams: int) -> None:
    """Open and leave so many, `AT_ONCE` side by side, and wait until no task is left."""
    left = islice(cycle(product(ASYNC.values(), ALEAVING)), streams)

    async def work() -> None:
        for way, leave in left:
            await leave(lambda way=way: way(router))

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
    await alone(SETTLING)


def leave_all(router: Router, streams: int) -> None:
    """Half of them synchronously."""
    leave_sync(router, streams // 2)
    asyncio.run(leave_async(router, streams - streams // 2))


def settle() -> None:
    """Wait for the closing, which the bridge does behind our back: its tasks, and the descriptors one tick later."""
    end = time.monotonic() + SETTLING
    while asyncio.all_tasks(bridge._bridge.loop()) and time.monotonic() < end:
        time.sleep(0.002)
    time.sleep(0.2)


def abandon(streams: int, ledger: Path) -> list[str]:
    """Leave so many streams, print what is held before and after, and give back what is wrong."""
    with other_side() as server:
        policy = Policy(order=[target.partition(":")[2] for target in (PRIMARY, FALLBACK)])
        with Router(base_url=server.base_url, token="hf_leave", ledger=ledger, policy=policy) as router:
            first = int(streams * WARM_UP)
            leave_all(router, first)
            settle()
            before, began = Held.now(), time.monotonic()
            print(f"after {first} streams: {before}")
            leave_all(router, streams - first)
            seconds = time.monotonic() - began
            settle()
            wrong = under_way(router)
            after, rows = Held.now(), Counter(row.outcome for row in router.entries())
            print(f"after {streams} streams: {after}; {(streams - first) / seconds:.0f} streams a second")
        ends = server.ends()
    print(f"rows: {dict(rows)}; requests at the other side: {dict(ends)}")
    return [
        *wrong,
        *after.leaks(before, streams - first),
        *([f"rows {dict(rows)}"] if rows != {"abandoned": streams} else []),
        *([f"requests {dict(ends)}"] if ends != {"left": streams} else []),
    ]


def main() -> int:
    """Run, and say by the exit code whether anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.cancellation.ten_thousand", description=__doc__)
    parser.add_argument("--streams", type=int, default=10_000)
    streams = parser.parse_args().streams
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_CACHE_HOME"] = home
        wrong = abandon(streams, Path(home) / "ledger.sqlite3")
    print(*(f"LEAKED: {what}" for what in wrong), sep="\n") if wrong else print("nothing leaked")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

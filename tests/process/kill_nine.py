"""Writers under one budget are killed (-9) at random moments: is anything lost, doubled, or held for ever?

    make kill-nine
    python -m tests.process.kill_nine --kills 200 --acknowledged 100000

Each writer tells by a pipe what the ledger has acknowledged to it: that an attempt is begun, that it is settled and at
what cost. Afterwards the file must agree with everything that was told, to the nano-dollar.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import selectors
import signal
import sqlite3
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from hfrouter import Budget
from hfrouter.cost.budget import Limit, Standing, limits_for
from hfrouter.cost.ledger import Entry
from hfrouter.cost.price import Cost
from hfrouter.cost.sqlite import SQLiteLedger
from tests.cost.entries import pending, settled
from tests.cost.stores import check_sums, hurried

TTL_MS = 2000
BOUND = 1000
BUDGET = Budget(1_000_000, "month")


def attempt(**facts: object) -> Entry:
    """An attempt that begins now."""
    return pending(started_ms=time.time_ns() // 1_000_000, cost=Cost(0, BOUND, "pending"), **facts)


def limits(entry: Entry) -> tuple[Limit, ...]:
    """What it falls under."""
    return limits_for([BUDGET], entry, "")


def write(path: Path, pipe: int, seed: int) -> None:
    """Begin and settle until killed; each line is written after the ledger has returned, in one piece."""
    rng, ledger = random.Random(seed), SQLiteLedger(path)
    while True:
        entry, cost = attempt(call=f"writer-{seed}"), rng.randint(0, BOUND)
        held, end = limits(entry), settled(entry, cost=Cost(cost, cost))
        hurried(ledger, lambda: ledger.begin_within(entry, held, entry.started_ms + TTL_MS))  # noqa: B023 (called now)
        os.write(pipe, f"begun {entry.id}\n".encode())
        hurried(ledger, lambda: ledger.settle_within(end, held))  # noqa: B023
        os.write(pipe, f"ended {entry.id} {cost}\n".encode())


@dataclass
class Told:
    """What the writers were told by the ledger."""

    begun: set[str] = field(default_factory=set)
    ended: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    rest: dict[int, bytes] = field(default_factory=dict)

    def hear(self, pipe: int, data: bytes) -> None:
        """Take down whole lines."""
        *lines, self.rest[pipe] = (self.rest.get(pipe, b"") + data).split(b"\n")
        for line in lines:
            match line.decode().split(maxsplit=2):
                case ["begun", attempt]:
                    self.begun.add(attempt)
                case ["ended", attempt, cost]:
                    self.ended[attempt] = int(cost)
                case _:
                    self.failed.append(line.decode())


def start(path: Path, seed: int) -> tuple[int, int]:
    """A writer's process id, and the pipe by which it tells."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            write(path, writing, seed)
        except BaseException as error:
            os.write(writing, f"failed {error!r}\n".encode())
        os._exit(1)
    os.close(writing)
    return child, reading


def rampage(path: Path, options: argparse.Namespace) -> tuple[Told, int]:
    """Let writers write and kill them, until both numbers are reached or the time is over."""
    told, rng, killed, begun = Told(), random.Random(options.seed), 0, time.monotonic()
    selector = selectors.DefaultSelector()
    running: dict[int, int] = {}
    numbers = iter(range(10**9))

    def launch() -> None:
        child, pipe = start(path, next(numbers))
        running[pipe] = child
        selector.register(pipe, selectors.EVENT_READ)

    def listen(timeout: float) -> None:
        for key, _ in selector.select(timeout):
            if data := os.read(key.fd, 1 << 16):
                told.hear(key.fd, data)
            else:  # its writer is gone, and all that it had said has been heard
                selector.unregister(key.fd)
                told.rest.pop(key.fd, None)
                os.close(key.fd)
                os.waitpid(running.pop(key.fd), 0)

    def enough() -> bool:
        return killed >= options.kills and len(told.ended) >= options.acknowledged

    for _ in range(options.writers):
        launch()
    while not enough() and time.monotonic() - begun < options.seconds:
        until = time.monotonic() + rng.uniform(0, 2 * options.pace)
        while (left := until - time.monotonic()) > 0:
            listen(left)
        if len(running) < options.writers:
            launch()
        else:
            os.kill(rng.choice(list(running.values())), signal.SIGKILL)
            killed += 1
    for child in running.values():
        os.kill(child, signal.SIGKILL)
        killed += 1
    while running:
        listen(1)
    return told, killed


@dataclass(frozen=True)
class Verdict:
    """What the file says of it."""

    lost: int
    doubled: int
    integrity: str
    before: int
    after: int
    expired: int
    standing: Standing


def judge(path: Path, told: Told) -> Verdict:
    """Compare the file with what was told, let the dead writers' time pass, and look for what they still hold."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        integrity = db.execute("PRAGMA integrity_check").fetchone()[0]
        rows = {row[0]: row[1:] for row in db.execute("SELECT id, outcome, cost_lower_nano_usd FROM attempts")}
        orphans = db.execute("SELECT count(*) FROM budget_bookings WHERE state = 'held'").fetchone()[0]
    lost = len(told.begun - rows.keys())
    lost += sum(rows.get(attempt) != ("ok", cost) for attempt, cost in told.ended.items())
    with contextlib.closing(SQLiteLedger(path)) as ledger:
        last = attempt()
        late = pending(started_ms=last.started_ms + TTL_MS + 1, cost=Cost(0, 0, "pending"))
        ledger.begin_within(late, limits(late), late.started_ms + TTL_MS)
        ledger.settle_within(settled(late, cost=Cost(0, 0)), limits(late))
        standing = ledger.standing(limits(late)[0])
    with contextlib.closing(sqlite3.connect(path)) as db:
        after = db.execute("SELECT count(*) FROM budget_bookings WHERE state = 'held'").fetchone()[0]
        expired = db.execute("SELECT count(*) FROM attempts WHERE outcome = 'expired'").fetchone()[0]
        spent = db.execute("SELECT sum(cost_lower_nano_usd) FROM attempts WHERE outcome = 'ok'").fetchone()[0]
    check_sums(path)
    # A settled attempt counted twice would make the counter greater than its rows.
    doubled = abs(standing.spent - spent) + abs(standing.unsettled - expired * BOUND)
    return Verdict(lost, doubled, integrity, orphans, after, expired, standing)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--kills", type=int, default=200, help="at least (default 200)")
    parser.add_argument("--acknowledged", type=int, default=100_000, help="attempts at least (default 100,000)")
    parser.add_argument("--seconds", type=float, default=300, help="at most (default 300)")
    parser.add_argument("--pace", type=float, default=0.1, help="between kills and starts, on average (default 0.1 s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, begun = Path(folder) / "ledger.sqlite3", time.monotonic()
        told, killed = rampage(path, options)
        found, took = judge(path, told), time.monotonic() - begun
        standing = found.standing
        print(f"{killed} kills of {options.writers} writers in {took:.0f} s")
        print(f"acknowledged: {len(told.begun)} begun, {len(told.ended)} settled; failed: {len(told.failed)}")
        print(f"lost {found.lost}, doubled {found.doubled}, integrity {found.integrity}")
        print(f"held by the dead {found.before}, after their time {found.after} ({found.expired} expired)")
        print(f"nano-USD spent {standing.spent}, unsettled {standing.unsettled}: the sums of the rows")
        for line in told.failed[:3]:
            print(line)
    enough = killed >= options.kills and len(told.ended) >= options.acknowledged
    sound = not (found.lost or found.doubled or found.after or told.failed) and found.integrity == "ok"
    return 0 if sound and enough else 1


if __name__ == "__main__":
    sys.exit(main())

"""Many processes share one budget: none may pass it, none may be told that the file is locked, and the sums must agree.

python -m tests.process.one_budget --processes 16 --limit 2000000
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from hfrouter import Budget
from hfrouter.cost.budget import Limit, Refused, limits_for
from hfrouter.cost.ledger import Entry
from hfrouter.cost.price import Cost, usd
from hfrouter.cost.sqlite import SQLiteLedger
from tests.cost.entries import pending, settled
from tests.cost.stores import check_sums, hurried

BOUND = 1000


def limits(entry: Entry, nano: int) -> tuple[Limit, ...]:
    """What an attempt falls under."""
    return limits_for([Budget(usd(nano), "month")], entry, "")


def spend(path: Path, nano: int, seed: int, start: float) -> dict[str, int]:
    """Begin and settle, at times several at once, until twenty in a row are refused."""
    rng, ledger, said = random.Random(seed), SQLiteLedger(path), dict.fromkeys(("spent", "passed", "over", "locked"), 0)
    refused, open_ = 0, []
    time.sleep(max(0.0, start - time.time()))
    while refused < 20:
        entry = pending(call=f"process-{seed}", cost=Cost(0, BOUND, "pending"))
        try:
            held = limits(entry, nano)
            hurried(ledger, lambda: ledger.begin_within(entry, held, entry.started_ms + 3_600_000))  # noqa: B023
            said["passed"] += 1
            refused = 0
            open_.append(entry)
        except Refused:
            refused += 1
        except Exception as error:
            said["locked"] += 1
            print(repr(error), file=sys.stderr)
        said["over"] = max(said["over"], ledger.standing(limits(entry, nano)[0]).used - nano)
        while open_ and (refused or rng.random() < 0.6):
            ended, cost = open_.pop(rng.randrange(len(open_))), rng.randint(0, BOUND)
            ledger.settle_within(settled(ended, cost=Cost(cost, cost)), limits(ended, nano))
            said["spent"] += cost
    ledger.close()
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--limit", type=int, default=2_000_000, help="nano-USD; an attempt holds 1,000")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, start, pipes = Path(folder) / "ledger.sqlite3", time.time() + 0.2, []
        for seed in range(options.processes):
            reading, writing = os.pipe()
            if os.fork() == 0:
                os.write(writing, json.dumps(spend(path, options.limit, seed, start)).encode())
                os._exit(0)
            os.close(writing)
            pipes.append(reading)
        told = [json.loads(os.read(pipe, 1 << 16)) for pipe in pipes]
        for _ in pipes:
            os.wait()
        took = time.time() - start
        total = {key: sum(said[key] for said in told) for key in told[0]}
        over = max(said["over"] for said in told)
        entry = pending()
        standing = SQLiteLedger(path).standing(limits(entry, options.limit)[0])
        check_sums(path)
    overshoot, held = max(0, over), standing.held
    print(
        f"{options.processes} processes, {total['passed']} attempts in {took:.1f} s: overshoot {overshoot}, "
        f"locked {total['locked']}, left {options.limit - standing.used}, held {held}, "
        f"counter equals what was spent: {standing.spent == total['spent']}"
    )
    sound = not (overshoot or held or total["locked"]) and standing.spent == total["spent"]
    return 0 if sound and options.limit - standing.used < BOUND else 1


if __name__ == "__main__":
    sys.exit(main())

"""`make scenarios`: the sixteen scenarios on four surfaces in real time, as a table."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.scenarios.judging import Result, expected, run_all
from tests.scenarios.outage import FAULT
from tests.scenarios.rows import SCENARIOS
from tests.scenarios.surfaces import SURFACES, Surface


def summary(surface: Surface, results: list[Result]) -> str:
    """One line: `LangChain invoke: 16 pass of 16, as owed`."""
    counts = Counter(result.verdict for result in results)
    said = ", ".join(
        f"{counts[verdict]} {verdict}" for verdict in ("pass", "partial", "safe", "fail") if counts[verdict]
    )
    owed = all(result.verdict == expected(result.id, surface) for result in results)
    return f"{surface.name}: {said} of {len(results)}, {'as owed' if owed else 'NOT AS OWED'}"


def main() -> int:
    """Run, print, and say by the exit code whether the product keeps what it owes."""
    parser = argparse.ArgumentParser(prog="python -m tests.scenarios", description=__doc__)
    parser.add_argument("--pace", type=float, default=1.0, help="real seconds for a second of a scenario")
    pace = parser.parse_args().pace
    logging.getLogger("hfrouter").setLevel(logging.ERROR)  # its warnings of open breakers would run through the table
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_CACHE_HOME"] = home
        with ThreadPoolExecutor(len(SURFACES)) as pool:
            found = list(pool.map(partial(run_all, pace=pace), SURFACES))
    faults = {scenario.id: scenario.fault for scenario in SCENARIOS} | {"S15": FAULT}
    print(*(f"{number}  {faults[number]}" for number in sorted(faults)), "", sep="\n")
    for results in found:
        print(*results, "", sep="\n")
    lines = [summary(surface, results) for surface, results in zip(SURFACES, found, strict=True)]
    print(*lines, sep="\n")
    return int(any("NOT" in line for line in lines))


if __name__ == "__main__":
    sys.exit(main())

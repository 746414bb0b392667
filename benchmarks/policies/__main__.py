"""Routing policies side by side, in virtual time.

    make simulate-policies
    python -m benchmarks.policies --quick
    python -m benchmarks.policies --scenario mixed --seeds 1,2,3
    python -m benchmarks.policies --write          # into the README beside this file

The same seeds give the same report to the byte.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.policies.report import measure, report, report_variants, vary
from benchmarks.policies.scenarios import REPORT_SEEDS, SCENARIOS, TUNE_SEEDS

_README = Path(__file__).with_name("README.md")
# Where softened choice, exploration and learned concurrency would have something to gain.
_VARIED = ("healthy", "mixed", "capacity", "stale")
_TEXT = """Seeds {seeds}.

{policies}
## Put on top of it: chance between the two best, 2 % exploration, learned concurrency

{variants}"""
_BEGIN, _END = "<!-- report -->\n", "<!-- end of report -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed instead of ten")
    parser.add_argument("--tune", action="store_true", help="the seeds for tuning, without what is held out")
    parser.add_argument("--seeds", help="other seeds, such as 1,2,3")
    parser.add_argument("--scenario", action="append", choices=[s.name for s in SCENARIOS], help="only this one")
    parser.add_argument("--write", action="store_true", help="write the report into README.md as well")
    options = parser.parse_args()
    seeds = TUNE_SEEDS if options.tune else REPORT_SEEDS
    if options.seeds:
        seeds = tuple(int(seed) for seed in options.seeds.split(","))
    if options.quick:
        seeds = seeds[:1]
    names = [
        scenario.name
        for scenario in SCENARIOS
        if (not options.scenario or scenario.name in options.scenario) and not (options.tune and scenario.held_out)
    ]
    varied = [name for name in names if name in _VARIED]
    with ProcessPoolExecutor(2) as pool:
        measured = pool.map(partial(measure, seeds=seeds), names)
        variants = pool.map(partial(vary, seeds=seeds), varied)
        text = _TEXT.format(
            seeds=", ".join(map(str, seeds)),
            policies=report(dict(zip(names, measured, strict=True))),
            variants=report_variants(dict(zip(varied, variants, strict=True))),
        )
    print(text)
    if options.write:
        before, _, rest = _README.read_text(encoding="utf-8").partition(_BEGIN)
        _README.write_text(f"{before}{_BEGIN}{text}\n{_END}{rest.partition(_END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The report: every policy in every scenario, and the aims beside what was reached."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.policies.aims import aims
from benchmarks.policies.client import Record, simulate
from benchmarks.policies.contestants import ALL, VARIANTS, Make
from benchmarks.policies.metrics import Result, Results, figures
from benchmarks.policies.scenarios import BY_NAME, SCENARIOS, Scenario
from benchmarks.policies.world import World


def measure(name: str, seeds: Sequence[int], policies: Mapping[str, Make] = ALL) -> dict[str, Result]:
    """Run a scenario for each policy and seed."""
    scenario = BY_NAME[name]
    settings = [scenario.setting(seed) for seed in seeds]
    results: dict[str, Result] = {}
    for policy, make in policies.items():
        records: list[list[Record]] = []
        for seed, setting in zip(seeds, settings, strict=True):
            world = World(setting)
            records.append(simulate(make(world, seed), world)[0])
        results[policy] = Result(
            figures(scenario, [record for one in records for record in one]),
            tuple(figures(scenario, one) for one in records),
        )
    return results


def vary(name: str, seeds: Sequence[int]) -> dict[str, Result]:
    """Run a scenario for ours and what might be put on top of it."""
    return measure(name, seeds, VARIANTS)


def report(results: Results) -> str:
    """The policies, as Markdown that is readable as it is."""
    return "\n".join([*_aims(results), *_tables(results)])


def report_variants(results: Results) -> str:
    """What might be put on top of ours, likewise."""
    return "\n".join(_tables(results))


def _aims(results: Results) -> Iterator[str]:
    """The aims, each with its worst cases."""
    yield "| aim | asked | met in | at worst |"
    yield "|---|---|---|---|"
    for aim in (aim for aim in aims(results) if aim.found):
        yield f"| {' | '.join(aim.row)} |"
    yield ""


_HEAD = (
    "policy", "answered %", "able %", "attempts", "warm",
    "first p50", "p95", "p99 s", "p99 by seed", "end p50", "p95 s", "$/1000", "+-", "hedges", "shares %",
)  # fmt: skip


def _tables(results: Results) -> Iterator[str]:
    for scenario in SCENARIOS:
        if scenario.name not in results:
            continue
        held_out = " *Never tuned on.*" if scenario.held_out else ""
        yield f"**{scenario.name}**: {scenario.about}.{held_out}"
        yield ""
        window = "in it" if scenario.focus else "warm"
        rows = [tuple(window if cell == "warm" else cell for cell in _HEAD)]
        rows += [_row(name, result, scenario) for name, result in results[scenario.name].items()]
        yield from _aligned(rows)
        yield ""


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """A table whose columns line up; the first and the last are words, the others numbers."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    words = (0, len(widths) - 1)
    rule = tuple("-" * (width + 1) + ("-" if i in words else ":") for i, width in enumerate(widths))
    for number, row in enumerate(rows):
        cells = [cell.ljust(widths[i]) if i in words else cell.rjust(widths[i]) for i, cell in enumerate(row)]
        yield f"| {' | '.join(cells)} |"
        if number == 0:
            yield f"|{'|'.join(rule)}|"


def _row(name: str, result: Result, scenario: Scenario) -> tuple[str, ...]:
    found = result.all
    late = [one.first[2] for one in result.seeds]
    prices = [one.price for one in result.seeds]
    shares = " ".join(f"{provider[:1]}{share * 100:.0f}" for provider, share in found.shares.items() if share >= 0.005)
    return (
        name,
        f"{found.success * 100:.2f}",
        f"{found.servable * 100:.2f}",
        f"{found.attempts:.3f}",
        f"{found.focus if scenario.focus else found.warm:.3f}",
        *(f"{seconds:.2f}" for seconds in found.first),
        f"{min(late):.1f}-{max(late):.1f}",
        *(f"{seconds:.2f}" for seconds in found.finish[:2]),
        f"{found.price * 1000:.3f}",
        f"{statistics.stdev(prices) * 1000:.3f}" if len(prices) > 1 else "",
        f"{found.hedges:.3f}",
        shares,
    )

"""Runs a scenario on a surface and judges it: pass, partial, safe or fail, with the reasons."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from hfrouter import HFRouterError, Policy, Router, StreamInterrupted
from hfrouter.wire.clock import Clock
from tests.scenarios.rows import SCENARIOS, Run, Scenario
from tests.scenarios.surfaces import Call, Surface
from tests.scenarios.upstream import ANSWER, FALLBACK, PRIMARY, Upstream

PROVIDERS = [target.partition(":")[2] for target in (PRIMARY, FALLBACK)]


@dataclass(frozen=True)
class Result:
    """A line of the table.

    Attributes:
        id: S01 to S16.
        surface: Where it ran.
        verdict: `pass`, `partial`, `safe` or `fail`.
        reasons: Checks that did not hold; else notes.
        seconds: Real seconds of the call.
        route: What was asked of whom, in order: `alpha 429, beta ok`.
    """

    id: str
    surface: str
    verdict: str
    reasons: tuple[str, ...]
    seconds: float
    route: str

    def __str__(self) -> str:
        why = f"  ({'; '.join(self.reasons)})" if self.reasons else ""
        return f"{self.id}  {self.surface:23}{self.verdict:8}{self.seconds:6.2f} s  {self.route}{why}"


@contextmanager
def routed(upstream: Upstream, pace: float, seed: int = 0, clock: Clock | None = None) -> Iterator[Router]:
    """A router with every default limit in scenario seconds, which has read the catalogue."""
    policy = Policy(order=PROVIDERS, first_content=12 * pace, idle=20 * pace, deadline=120 * pace)
    with Router(
        base_url=upstream.base_url, token="hf_scenarios", ledger="memory", seed=seed, policy=policy, clock=clock
    ) as router:
        router.targets()
        yield router


def run(scenario: Scenario, surface: Surface, pace: float) -> Result:
    """Play a scenario once, with a server and a router of its own."""
    with Upstream(scenario.scripts, pace=pace) as upstream, routed(upstream, pace) as router:
        call = surface.call(router, scenario.model, scenario.models)
        seen = Run(call, tuple(upstream.asked), tuple(router.entries()), pace)
        if scenario.again:
            seen.after = surface.call(router, scenario.model, scenario.models)
    return judged(scenario, surface, seen)


def judged(scenario: Scenario, surface: Surface, seen: Run) -> Result:
    """The verdict, and why."""
    required = {
        "truncated text is no success": seen.told_truly,
        f"ends within {scenario.limit:g} s": seen.within(scenario.limit),
        "one row for each attempt, all settled": _accounted(seen),
        "a healthy call afterwards": not scenario.again or (seen.after is not None and _whole(seen.after)),
        **{name: check(seen) for name, check in scenario.required.items()},
    }
    broken = [name for name, held in required.items() if not held]
    missed = [name for name, check in scenario.advisory.items() if not check(seen)]
    error = seen.call.error
    if broken:
        verdict, why = "fail", broken
    elif scenario.clean_error is not None:
        verdict, why = ("pass", missed) if isinstance(error, scenario.clean_error) else ("fail", ["another end"])
    elif error is None:
        verdict, why = "partial" if missed else "pass", missed
    elif _honest(seen.call, surface):
        verdict, why = "safe", missed
    else:
        verdict, why = "fail", []
    if verdict == "fail" and error is not None:
        why = [*why, f"{type(error).__name__}: {error.args[0]}"]
    notes = [] if verdict == "fail" else [name for name, check in scenario.notes.items() if check(seen)]
    route = ", ".join(f"{row.provider} {row.outcome if row.status in (None, 200) else row.status}" for row in seen.rows)
    return Result(scenario.id, surface.name, verdict, (*why, *notes), seen.call.seconds, route)


def _whole(call: Call) -> bool:
    return call.error is None and call.text == ANSWER


def _accounted(seen: Run) -> bool:
    numbers = [row.number for row in seen.rows]
    return numbers == list(range(1, len(seen.asked) + 1)) and all(row.outcome != "pending" for row in seen.rows)


def _honest(call: Call, surface: Surface) -> bool:
    """A clean error; on a raw stream one that has exactly what was shown, and what it cost."""
    error = call.error
    if not surface.raw:
        return isinstance(error, HFRouterError)
    return (
        isinstance(error, StreamInterrupted)
        and error.partial == call.text != ""
        and ANSWER.startswith(call.text)
        and error.cost is not None
    )


def expected(scenario: str, surface: Surface) -> str:
    """What the product owes: all sixteen on whole answers; a raw stream cannot take back what it has shown."""
    return "safe" if surface.raw and scenario in {row.id for row in SCENARIOS if row.safe} else "pass"


def run_all(surface: Surface, pace: float) -> list[Result]:
    """All sixteen on one surface, side by side: they spend their time waiting."""
    from tests.scenarios.outage import run as run_outage

    with ThreadPoolExecutor(len(SCENARIOS) + 1) as pool:
        running = [pool.submit(run, scenario, surface, pace) for scenario in SCENARIOS]
        running.append(pool.submit(run_outage, surface, pace))
        return sorted((each.result() for each in running), key=lambda result: result.id)

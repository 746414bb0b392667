"""S15, the scenario that is a minute and a half of life: 503 for 60 s, then health, and a request every 4 s."""

from __future__ import annotations

import time
from itertools import count

from hfrouter import Router
from tests.scenarios.judging import Result, routed
from tests.scenarios.rows import ALLOWANCE, UNAVAILABLE
from tests.scenarios.surfaces import SURFACES, Call, Surface
from tests.scenarios.upstream import ANSWER, MODEL, PRIMARY, Upstream, until

FAULT = "503 for the first 60 s, then healthy; a request every 4 s"
OUTAGE, EVERY, REQUESTS = 60.0, 4.0, 20
# Seconds after the recovery by which the primary must be in use again; the requests go on until then, if need be.
RETURN = 30.0
# Without a breaker the primary would be asked fifteen times and more during the outage.
FEW = 8


class Skipping:
    """The computer's clocks, which a test can set forward over time in which nothing happens."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped

    def wall(self) -> float:
        return time.time() + self._skipped

    def skip_to(self, moment: float) -> None:
        self._skipped += max(0.0, moment - self.monotonic())


class Waiting(Skipping):
    """The same in real time."""

    def skip_to(self, moment: float) -> None:
        time.sleep(max(0.0, moment - self.monotonic()))


def run(surface: Surface, pace: float) -> Result:
    """Play the outage: in real time at pace 1, else with the pauses between requests skipped."""
    clock = Waiting() if pace == 1 else Skipping()
    with (
        Upstream({PRIMARY: until(OUTAGE, UNAVAILABLE)}, now=clock.monotonic) as upstream,
        routed(upstream, 1.0, SURFACES.index(surface), clock) as router,
    ):
        calls = _calls(surface, router, upstream, clock)
        return _judged(surface, calls, upstream)


def _calls(surface: Surface, router: Router, upstream: Upstream, clock: Skipping) -> list[Call]:
    began = clock.monotonic()
    calls: list[Call] = []
    for number in count():
        clock.skip_to(began + number * EVERY)
        if number >= REQUESTS and (_back_at(upstream) is not None or number * EVERY > OUTAGE + RETURN):
            return calls
        calls.append(surface.call(router, MODEL))
    raise AssertionError


def _back_at(upstream: Upstream) -> float | None:
    """Seconds after the recovery at which the primary was first used again."""
    return next((asked.at - OUTAGE for asked in upstream.of(PRIMARY) if asked.at >= OUTAGE), None)


def _judged(surface: Surface, calls: list[Call], upstream: Upstream) -> Result:
    back = _back_at(upstream)
    asked = sum(asked.at < OUTAGE for asked in upstream.of(PRIMARY))
    slowest = max(call.seconds for call in calls)
    required = {
        "every request answered": all(call.error is None and call.text == ANSWER for call in calls),
        "each within 20 s": slowest <= 20 + ALLOWANCE,
        "the primary is used again within 30 s": back is not None and back <= RETURN,
    }
    broken = [name for name, held in required.items() if not held]
    missed = [] if asked <= FEW else ["its probes are many"]
    verdict = "fail" if broken else "partial" if missed else "pass"
    said = f"{len(calls)} requests, {asked} of them at the primary while it was down"
    again = "never again" if back is None else f"again {back:.0f} s after its recovery"
    return Result("S15", surface.name, verdict, (*broken, *missed), slowest, f"{said}, {again}")

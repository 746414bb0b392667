"""What is measured of a policy in a scenario, over several seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.policies.client import DEADLINE, Record
from benchmarks.policies.scenarios import WARM, Scenario


@dataclass(frozen=True, slots=True)
class Figures:
    """One policy in one scenario: over all calls of all seeds, or of one seed.

    A call that failed while a provider would have answered counts in the times as if it took the whole deadline; one
    that nobody could have served does not count there.

    Attributes:
        calls: How many.
        success: Share answered to their end.
        servable: Share answered of those that one and the same provider could have served at any time.
        attempts: Sent per call.
        warm: The same after the warm-up.
        focus: The same within the scenario's window.
        first: Median, 95th and 99th percentile of the seconds to the first content.
        finish: The same to the end of the answer.
        price: USD per answered call, whatever was billed for all attempts of all calls.
        hedges: Per call.
        shares: Of the answers, by provider.
    """

    calls: int
    success: float
    servable: float
    attempts: float
    warm: float
    focus: float
    first: tuple[float, float, float]
    finish: tuple[float, float, float]
    price: float
    hedges: float
    shares: dict[str, float]


@dataclass(frozen=True, slots=True)
class Result:
    """One policy in one scenario.

    Attributes:
        all: Over all calls of all seeds.
        seeds: Of each seed.
    """

    all: Figures
    seeds: tuple[Figures, ...]


# By scenario and policy.
Results = Mapping[str, Mapping[str, Result]]


def figures(scenario: Scenario, records: Sequence[Record]) -> Figures:
    """Measure."""
    answered = [record for record in records if record.answered]
    begun = [min(record.first, DEADLINE) for record in records if record.provider or record.servable]
    ended = [
        min(record.finish, DEADLINE)
        for record in records
        if record.answered or (record.servable and not _taken_back(record))
    ]
    start, end = scenario.focus or (0.0, math.inf)
    providers = Counter(record.provider for record in answered)
    return Figures(
        calls=len(records),
        success=_share(record.answered for record in records),
        servable=_share(record.answered for record in records if record.servable and not _taken_back(record)),
        attempts=_mean(record.attempts for record in records),
        warm=_mean(record.attempts for record in records if record.call.arrival >= WARM),
        focus=_mean(record.attempts for record in records if start <= record.call.arrival < end),
        first=_percentiles(begun),
        finish=_percentiles(ended),
        price=sum(record.price for record in records) / max(1, len(answered)),
        hedges=_mean(record.hedges for record in records),
        shares={name: count / max(1, len(answered)) for name, count in sorted(providers.items())},
    )


def _taken_back(record: Record) -> bool:
    """Whether it broke off after its reader had begun to read, which no policy can mend."""
    return bool(record.provider) and not record.answered


def _share(values: Iterable[bool]) -> float:
    return _mean(float(value) for value in values)


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else math.nan


def _percentiles(values: list[float]) -> tuple[float, float, float]:
    values.sort()
    if not values:
        return math.nan, math.nan, math.nan
    p50, p95, p99 = (values[min(len(values) - 1, int(len(values) * share))] for share in (0.5, 0.95, 0.99))
    return p50, p95, p99

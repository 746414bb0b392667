"""The aims, and how far each is reached at worst."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from benchmarks.policies.contestants import OURS, PEERS
from benchmarks.policies.metrics import Figures, Result, Results

# "At the same price": what a peer may cost, by ours, to be compared by its times.
_SAME_PRICE = 1.05
_HEDGED = tuple(name for name in OURS if "hedge" in name)
_UNHEDGED = tuple(name for name in OURS if "hedge" not in name)
# The worst, and so many more that miss the aim.
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure that should stay at or under a limit.

    Attributes:
        name: Of what.
        limit: At most.
        found: The figure of each case, and which case.
        shown: How a figure is written.
    """

    name: str
    limit: float
    found: list[tuple[float, str]]
    shown: Callable[[float], str] = "{:.3f}".format

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Aim, limit, whether it is met, and the worst cases."""
        worst = sorted(self.found, reverse=True)
        missed = [case for case in worst if case[0] > self.limit]
        cases = missed[:_MOST_NAMED] or worst[: self.limit > 0]  # where nothing is missing, nobody is worst
        more = f", and {len(missed) - len(cases)} more" if len(missed) > len(cases) else ""
        reached = ", ".join(f"{self.shown(value)} ({case})" for value, case in cases) + more
        asked = self.shown(self.limit) if self.limit == 0 else f"<= {self.limit:.2f}"
        return self.name, asked, f"{len(worst) - len(missed)} of {len(worst)}", reached or self.shown(0.0)


def aims(results: Results) -> Iterator[Aim]:
    """The aims for the scenarios that were run."""
    dead = [name for name in results if name.startswith("dead-")]
    yield Aim("answered while a provider was able to", 0.0, _cases(results, results, OURS, _lost), _answered)
    yield Aim("attempts a call, one of four dead, no hedge", 1.05, _cases(results, dead, _UNHEDGED, _attempts))
    yield Aim("the same, three of four dead, warm", 1.10, _cases(results, ["three-dead"], _UNHEDGED, _warm))
    yield Aim("the same, in a total outage", 1.20, _cases(results, ["outage"], _UNHEDGED, _focus))
    yield Aim("price of `cheapest`, by the oracle's", 1.10, [(_dearer(r), s) for s, r in results.items()])
    for place in ("mixed", "hold-out"):
        if place in results:
            found = [_quicker(results[place], name) for name in _HEDGED]
            yield Aim(f"p99 first token with hedge, by the best peer's that costs no more, {place}", 0.25, found)


def _lost(found: Figures) -> float:
    return 1 - found.servable


def _answered(lost: float) -> str:
    return f"{(1 - lost) * 100:.2f} %" if lost else "100 %"


def _attempts(found: Figures) -> float:
    return found.attempts


def _warm(found: Figures) -> float:
    return found.warm


def _focus(found: Figures) -> float:
    return found.focus


def _cases(
    results: Results, scenarios: Iterable[str], names: Iterable[str], measured: Callable[[Figures], float]
) -> list[tuple[float, str]]:
    names = tuple(names)
    return [(measured(results[s][n].all), f"{n}, {s}") for s in scenarios if s in results for n in names]


def _dearer(results: Mapping[str, Result]) -> float:
    return results["cheapest"].all.price / results["oracle, cheapest"].all.price


def _quicker(results: Mapping[str, Result], name: str) -> tuple[float, str]:
    """The 99th percentile of ours by the best one of the peers that cost no more, or by the cheapest peer's."""
    ours = results[name].all
    peers = {peer: results[peer].all for peer in PEERS}
    as_cheap = [peer for peer in peers if peers[peer].price <= ours.price * _SAME_PRICE]
    best = min(as_cheap or [min(peers, key=lambda peer: peers[peer].price)], key=lambda peer: peers[peer].first[2])
    there = peers[best].first[2]
    return ours.first[2] / there, f"{name}: {ours.first[2]:.2f} s; {best}: {there:.2f} s"

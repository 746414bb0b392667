"""The choice of a call: its eligible targets, ranked anew at each launch by the user's wishes and by health."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hfrouter.routing.eligible import Needs, doubtful
from hfrouter.routing.health import Health
from hfrouter.routing.policy import Policy, StrategyName
from hfrouter.routing.strategy import Score, score, token_prices
from hfrouter.routing.target import ModelId, Target
from hfrouter.routing.vitals import Held, Vitals

# A target that is silent for longer than this, and for three times its usual, comes after those that are not.
_SILENT, _UNUSUAL = 2.0, 3.0


@dataclass(slots=True)
class Candidate:
    """A target as it stands at one moment.

    Attributes:
        target: Who.
        vitals: What was seen of it.
        score: What it is worth to the request.
        held: Why it should be left alone now, or None.
        rank: Its place; lower comes first.
    """

    target: Target
    vitals: Vitals
    score: Score
    held: Held | None
    rank: tuple[float, ...]

    @property
    def probe(self) -> bool:
        """Whether an attempt would probe an open breaker."""
        return self.vitals.breaker.is_open

    def explain(self, now: float) -> str:
        """The candidate in a line, with its score and what the score is made of."""
        held = f"; {self.held.why} for {max(0.0, self.held.until - now):.1f} s" if self.held else ""
        return f"{self.target.id}: {self.score}{held}"


@dataclass(frozen=True, slots=True)
class Wish:
    """Where the user's wishes put a target, whatever its health.

    Attributes:
        target: Who.
        place: From 0; lower comes first, and equals are left to the strategy.
        strategy: How it is scored.
        input_usd: Per input token; infinite when it is not known.
        output_usd: Per output token.
    """

    target: Target
    place: int
    strategy: StrategyName
    input_usd: float
    output_usd: float


def wishes(targets: Sequence[Target], wanted: Sequence[ModelId], policy: Policy, needs: Needs) -> tuple[Wish, ...]:
    """The targets with the places of the user's wishes.

    They come by the user's list of models, own endpoints last unless they are named, then doubts, then the user's order
    of providers.
    """
    preferred = {provider: place for place, provider in reversed(list(enumerate(policy.order)))}
    found: list[tuple[tuple[int, ...], StrategyName]] = []
    for target in targets:
        place, strategy = _first_wish(target, wanted)
        named = target.provider in preferred or any(model.provider == target.provider for model in wanted)
        last_resort = bool(target.url) and not named
        wish = (
            len(wanted) if last_resort else place,
            last_resort,
            target.provider not in _LEFT_TO_THE_ROUTER,
            doubtful(target, needs),
            preferred.get(target.provider, len(preferred)),
        )
        found.append((wish, strategy or policy.strategy))
    places = {wish: place for place, wish in enumerate(sorted({wish for wish, _ in found}))}
    return tuple(
        Wish(target, places[wish], strategy, *token_prices(target))
        for target, (wish, strategy) in zip(targets, found, strict=True)
    )


class Choice:
    """The eligible targets of one call, ranked.

    First come the user's wishes; of equals those that hang at this moment come last, the one that has served the
    session comes first, and the score of the strategy decides the rest. The sort is stable, so `in_order` keeps the
    catalogue's order.

    Args:
        wishes: The eligible targets and their places.
        needs: What the request asks for.
        health: Of all targets.
        session: The session id, or None.
    """

    def __init__(self, wishes: Sequence[Wish], needs: Needs, health: Health, session: str | None = None) -> None:
        self.needs, self.health, self.session = needs, health, session
        self._wishes = wishes
        self._vitals = [health.of(wish.target) for wish in wishes]
        self._output_tokens = needs.output_tokens
        tokens = needs.input_tokens, needs.output_tokens
        self._usd = [wish.input_usd * tokens[0] + wish.output_usd * tokens[1] for wish in wishes]
        self._dearest = max((usd for usd in self._usd if usd != math.inf), default=0.0)

    @classmethod
    def listed(cls, targets: Sequence[Target], health: Health, needs: Needs | None = None) -> Choice:
        """Targets in an order that is settled already, as for embeddings."""
        settled = [Wish(target, place, "in_order", *token_prices(target)) for place, target in enumerate(targets)]
        return cls(settled, needs or Needs(), health)

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets, in no particular order."""
        return tuple(wish.target for wish in self._wishes)

    def ranked(self, now: float) -> list[Candidate]:
        """All targets as they stand, best first; those held back are marked, not left out."""
        needs, health, tokens, dearest = self.needs, self.health, self._output_tokens, self._dearest
        kept = self._kept(now)
        candidates: list[Candidate] = []
        for wish, vitals, usd in zip(self._wishes, self._vitals, self._usd, strict=True):
            target = wish.target
            points = score(wish.strategy, target, usd, dearest, tokens, vitals, now)
            silent = bool(vitals.silent) and _is_silent(target, vitals, now)
            rank = (wish.place, silent, target.id not in kept if kept else True, points.value)
            candidates.append(Candidate(target, vitals, points, health.held(target, vitals, needs, now), rank))
        candidates.sort(key=_rank)
        return candidates

    def _kept(self, now: float) -> set[str | None]:
        """The targets that serve the session, one for each model."""
        if self.session is None:
            return set()
        return {self.health.kept(self.session, model, now) for model in {wish.target.model for wish in self._wishes}}


# Targets without a provider of their own: the user has left the choice to Hugging Face.
_LEFT_TO_THE_ROUTER = frozenset({"", "preferred", "fastest", "cheapest"})


def _is_silent(target: Target, vitals: Vitals, now: float) -> bool:
    """Whether its attempts under way have been silent for so long that others should go first."""
    usual = vitals.speed.latency(target.first_token_latency, now)
    return vitals.silence(now) > max(_SILENT, _UNUSUAL * usual)


def _rank(candidate: Candidate) -> tuple[float, ...]:
    return candidate.rank


def _first_wish(target: Target, wanted: Sequence[ModelId]) -> tuple[int, StrategyName | None]:
    """The place of the first wish that a target fulfils, and the strategy it names."""
    # An endpoint under a name nobody asked for answers whatever is asked.
    any_model = bool(target.url) and all(model.model != target.model for model in wanted)
    for place, model in enumerate(wanted):
        if (any_model or model.model == target.model) and model.provider in (None, target.provider):
            return place, model.suffix if model.suffix in ("cheapest", "fastest") else None
    return len(wanted), None

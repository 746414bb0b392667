"""Where a call goes next: to which target, after which pause, or nowhere. Time and commands are `flow.py`'s."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from hfrouter.routing.choice import Candidate, Choice
from hfrouter.routing.commands import Done, Stopped
from hfrouter.routing.policy import Policy
from hfrouter.routing.target import Target
from hfrouter.routing.verdict import Judgement, Scope, Verdict
from hfrouter.routing.vitals import Hold

# A server error that came within a second is worth one more try at once (design: fast 5xx).
_FAST = 1.0
_PAUSE = (0.25, 0.75)
# With no alternative, a rate limit or a pause of at most 5 s is waited out; longer ones are the caller's to decide.
_LONGEST_WAIT = 5.0
# A model that is loading without saying for how long.
_COLD_WAIT = 5.0
# What a wait for a cold model leaves of the deadline, at most half of it: asking with no time to answer is vain.
_TIME_TO_ANSWER = 5.0


@dataclass(frozen=True, slots=True)
class Step:
    """A target to ask.

    Attributes:
        target: Whom.
        why: In a few words.
        pause: Seconds to wait first.
        unary: Ask for the answer in one piece.
    """

    target: Target
    why: str
    pause: float = 0.0
    unary: bool = False


@dataclass(frozen=True, slots=True)
class _Rest:
    """A target that failed in passing is left alone for a while.

    Attributes:
        until: When it may be asked again, in monotonic seconds.
        cold: It is loading, and worth waiting for as long as the deadline allows.
    """

    until: float
    cold: bool


class Steps:
    """What failed in this call, what is ruled out, and what is left.

    Attributes:
        launched: Attempts sent so far.
        cautious: The call went to a target that was held back, or probed one: it is not pressed further.
        ranking: The candidates as they stood at the latest choice.
    """

    def __init__(
        self,
        choice: Choice,
        policy: Policy,
        now: Callable[[], float],
        jitter: Callable[[], float],
        patient: bool,
        deadline: float,
    ) -> None:
        self.choice, self.policy, self.now, self.jitter, self.patient = choice, policy, now, jitter, patient
        self.health = choice.health
        self.deadline = now() + deadline
        self.launched = self._moves = 0
        self.cautious = False
        self.ranking: tuple[Candidate, ...] = ()
        self._failed: list[tuple[Target, Judgement]] = []
        self._resting: dict[Target, _Rest] = {}  # in the order of their latest failures
        self._excluded: set[Target] = set()
        self._too_dear_beside: set[Target] = set()  # no budget pays them while another attempt is out
        self._asked_unary: set[Target] = set()

    @property
    def remaining(self) -> float:
        """Seconds left of the deadline."""
        return self.deadline - self.now()

    def first(self) -> Step:
        """The first target: the best that is not held back, else the one that is free first."""
        left = self.left()
        if self.patient and left and (held := left[0].held) is not None and held.kind is Hold.COLD:
            return Step(left[0].target, "waited for", self._in_time(self._wait_for(_Rest(held.until, cold=True))))
        if ready := [c for c in left if c.held is None]:
            return Step(ready[0].target, f"best of {len(left)}" if len(left) > 1 else "the only one")
        return self._held_back(left, None)

    def note(self, target: Target, judgement: Judgement) -> None:
        """Take down a failure, rule out what it speaks about and let the target rest."""
        self._failed.append((target, judgement))
        self._resting.pop(target, None)
        self._resting[target] = _Rest(self.now() + self._pause(target, judgement), judgement.cold)
        targets, scope = self.choice.targets, judgement.scope
        match scope:
            case Scope.PROVIDER:
                self._excluded |= {t for t in targets if t.provider == target.provider}
            case Scope.MODEL if judgement.kind == "context_overflow":
                self._excluded |= {t for t in targets if not _larger(t, target)}
            case Scope.MODEL:
                self._excluded |= {t for t in targets if (t.model, t.url) == (target.model, target.url)}
            case Scope.ACCOUNT | Scope.CREDENTIAL:
                self._excluded |= {t for t in targets if t.url == target.url}
            case Scope.ENDPOINT if (
                judgement.verdict is Verdict.FATAL
                or self._count(lambda t, j: j.scope is scope and t.url == target.url) > 1
            ):
                self._excluded |= {t for t in targets if t.url == target.url}
            case Scope.REQUEST:
                self._excluded.update(targets)
            case Scope.TARGET if judgement.kind in _FOR_GOOD:
                self._excluded.add(target)

    def outrun(self, target: Target) -> None:
        """An attempt there lost to its hedge: in this call others come before it."""
        self._resting[target] = _Rest(self.now() + _PAUSE[1], cold=False)

    def untried(self) -> list[Candidate]:
        """Candidates that are free and have not failed in this call, best first."""
        tried = self._resting.keys() | self._too_dear_beside
        return [c for c in self.left() if c.held is None and c.target not in tried]

    def refused(self, target: Target, number: int, *, beside: bool) -> None:
        """A budget refused an attempt there, and nothing was sent: whoever costs as much is ruled out.

        A rival is refused `beside` an attempt that holds money of its own: once that has failed, it may be affordable.
        """
        price = {c.target: c.score.usd for c in self.choice.ranked(self.now())}
        dear = {t for t, usd in price.items() if usd >= price[target]}
        if beside:
            self._too_dear_beside |= dear
        else:
            self._excluded |= dear
        if number == self.launched:
            self.launched -= 1  # its number is free again, unless a hedge has been launched since

    def after(self, done: Done, target: Target, *, unary: bool) -> Step:
        """The next target and the pause before it.

        Raises:
            Stopped: when no attempt may follow.
        """
        judgement, spare = done.judgement, self.policy.attempts - self.launched
        left = self.left()
        fresh = [c for c in left if c.held is None and c.target not in self._resting]
        elsewhere = judgement.scope in _ELSEWHERE and bool(left)
        if spare < 1 or self._twice(judgement) or (judgement.verdict is Verdict.FATAL and not elsewhere):
            raise Stopped(judgement)
        if judgement.kind == "over_budget":
            return self._move(fresh, judgement, "cheaper") if fresh else self._held_back(left, judgement)
        if spare == 1 and (own := next((c for c in fresh if c.target.url), None)) is not None:
            return Step(own.target, "your own, with the last attempt")  # however many providers there are
        again = not unary and target not in self._asked_unary and (spare > len(fresh) or not fresh)
        if judgement.kind == "malformed_tool_call" and again:
            self._asked_unary.add(target)
            return Step(target, "once more, in one piece", unary=True)
        pause = max(0.0, self._resting[target].until - self.now())
        if judgement.scope is Scope.ENDPOINT and target not in self._excluded and not self.cautious:
            return Step(target, "once more", self._in_time(pause))
        if self.patient and judgement.cold and target not in self._excluded:
            return Step(target, "waited for", self._in_time(self._wait_for(self._resting[target])))
        if self._worth_repeating(done, target, pause, fresh):
            return Step(target, "once more", pause)
        if fresh:
            return self._move(fresh, judgement, "next")
        return self._once_more(left, judgement)

    def left(self) -> list[Candidate]:
        """Candidates not ruled out, best first."""
        self.ranking = tuple(self.choice.ranked(self.now()))
        return [c for c in self.ranking if c.target not in self._excluded]

    def alternatives(self, target: Target, within: float) -> bool:
        """Whether another target may be asked once this one was silent for so many seconds, by the latest ranking."""
        now = self.now()
        ends = {Hold.PAUSED: now + within + _LONGEST_WAIT, Hold.COLD: self.deadline}
        return any(
            c.held is None or c.held.until <= ends.get(c.held.kind, 0.0)
            for c in self.ranking
            if c.target != target and c.target not in self._excluded
        )

    def _worth_repeating(self, done: Done, target: Target, pause: float, fresh: list[Candidate]) -> bool:
        """Whether the same target is asked once more at once: its error came fast, and it mostly answers.

        Only while attempts are left for all the others: with three of four dead, four different ones must be asked.
        """
        judgement, spare = done.judgement, self.policy.attempts - self.launched
        mostly = self.health.throttle(target.provider).allows and not self.health.of(target).breaker.is_open
        return (
            judgement.verdict is Verdict.RETRY
            and done.seconds < _FAST
            and (judgement.retry_after or 0.0) <= _PAUSE[1]
            and pause < self.remaining
            and self._count(lambda t, _: t == target) == 1
            and not self.cautious
            and target not in self._excluded
            and (not fresh or (spare > len(fresh) and mostly))
        )

    def _move(self, fresh: list[Candidate], judgement: Judgement, why: str) -> Step:
        """Go to another target; beyond a call's first such move, from the budget that all calls share.

        A target that answered within the last minute is free: going there helps, and adds no load to an outage. So is
        an endpoint of the user's own, once the budget is used up.
        """
        self._moves += 1
        now, first = self.now(), fresh[0].target
        alike = [c for c in fresh if (c.target.model, c.target.url) == (first.model, first.url)]
        best = min(alike, key=lambda c: (c.probe, c.vitals.limits > 0))  # a call that has failed takes no risk
        if self._moves == 1 or best.vitals.proven(now):
            return Step(best.target, why)
        if (proven := next((c for c in fresh if c.vitals.proven(now)), None)) is not None:
            return Step(proven.target, f"{why} that is known to be well")
        if self.health.fallbacks.take(now):
            return Step(best.target, why)
        if (own := next((c for c in fresh if c.target.url), None)) is not None:
            return Step(own.target, "too many fallbacks in the last 10 s, but this endpoint is your own")
        raise Stopped(judgement, "too many fallbacks in the last 10 s")

    def _once_more(self, left: list[Candidate], last: Judgement) -> Step:
        """Every target left has failed in this call or is held back: the one that may answer soonest, if it is soon."""
        waits: dict[Target, float] = {}
        if not self.cautious:
            breakers = {c.target: c.vitals.breaker for c in left}
            for target, rest in self._resting.items():
                if target in breakers and (len(left) == 1 or not breakers[target].is_open):
                    waits[target] = self._wait_for(rest)
        now = self.now()
        for c in left:
            if c.target not in self._resting and c.held is not None and c.held.kind in _PASSING:
                waits[c.target] = self._wait_for(_Rest(c.held.until, c.held.kind is Hold.COLD))
        soonest = min(waits, key=waits.__getitem__, default=None)  # of equals the one that failed longest ago
        if soonest is not None and waits[soonest] != math.inf:
            return Step(soonest, "the one that may answer soonest", self._in_time(waits[soonest]))
        untried = [c for c in left if c.target not in self._resting and c.held is not None and c.held.until > now]
        if self.cautious or not untried:
            raise Stopped(last)
        return self._held_back(untried, last)

    def _held_back(self, left: list[Candidate], last: Judgement | None) -> Step:
        """Nobody is free: wait a little for a rate limit to pass, else ask the one that is free first, once.

        So a call is never refused unsent for what others have seen, and no target is locked out for ever.
        """
        held = [(c, c.held) for c in left if c.held is not None and c.target not in self._resting]
        if not held:
            raise Stopped(last)
        paused = [(c, h.until - self.now()) for c, h in held if h.kind is Hold.PAUSED]
        candidate, wait = min(paused, key=lambda pair: pair[1], default=(None, math.inf))
        if candidate is not None and wait <= _LONGEST_WAIT and wait < self.remaining:
            return Step(candidate.target, "the rate limit that ends first", max(0.0, wait))
        candidate, first = min(held, key=lambda pair: pair[1].until)
        self.cautious |= first.kind is not Hold.COLD
        return Step(candidate.target, f"all are held back, and this one is free first ({first.why})")

    def _count(self, fits: Callable[[Target, Judgement], bool]) -> int:
        return sum(fits(target, judgement) for target, judgement in self._failed)

    def _twice(self, last: Judgement) -> bool:
        """Whether the latest failure is one that is believed the second time, and this is the second."""
        if last.scope is Scope.ENDPOINT and not self.left():
            return True
        return last.kind in _ONCE_IS_CHANCE and self._count(lambda _, j: j.kind == last.kind) > 1

    def _in_time(self, pause: float) -> float:
        """The pause, unless the deadline would pass meanwhile."""
        if pause >= self.remaining:
            raise Stopped(None)
        return pause

    def _wait_for(self, rest: _Rest) -> float:
        """Seconds until a target may be asked again; infinite when that is beyond our patience."""
        pause, remaining = max(0.0, rest.until - self.now()), self.remaining
        if rest.cold:
            return min(pause, max(remaining - _TIME_TO_ANSWER, remaining / 2))
        return pause if pause <= _LONGEST_WAIT else math.inf

    def _pause(self, target: Target, judgement: Judgement) -> float:
        """Seconds a target is left alone in this call after its latest failure."""
        asked = judgement.retry_after or 0.0
        if judgement.status == 429:
            mine = [j for t, j in self._failed if t == target]
            in_a_row = len(list(takewhile(lambda j: j.status == 429, reversed(mine))))
            return max(asked, 2.0 ** (in_a_row - 1), self.health.of(target).paused - self.now())
        if judgement.cold and judgement.retry_after is None:
            asked = _COLD_WAIT
        low, high = _PAUSE
        earlier = self._count(lambda t, _: t == target) - 1
        return max(asked, (low + (high - low) * self.jitter()) * 2.0**earlier)


# Holds that end by waiting.
_PASSING = frozenset({Hold.PAUSED, Hold.COLD})
# Failures that end a call unless a target behind another URL is left, with a credential of its own.
_ELSEWHERE = frozenset({Scope.ACCOUNT, Scope.CREDENTIAL, Scope.ENDPOINT})
# Failures that may be chance, and are believed when a second target says the same.
_ONCE_IS_CHANCE: frozenset[str] = frozenset({"empty_answer", "unsupported_parameter"})
# Failures of a target that asking again within the same call cannot mend.
_FOR_GOOD: frozenset[str] = frozenset(
    {
        "model_not_supported",
        "gone",
        "not_found",
        "too_large",
        "unsupported_parameter",
        "redirected",
        "unusual_status",
        "malformed_tool_call",
        "answer_too_large",
        "compressed_answer",
        "not_an_answer",
        "empty_answer",
        "dimension_differs",
    }
)


def _larger(other: Target, target: Target) -> bool:
    """Whether a request too long for `target` may fit `other`; where a length is not known, another model may."""
    if other.context_length is None or target.context_length is None:
        return other.model != target.model
    return other.context_length > target.context_length

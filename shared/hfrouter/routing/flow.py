"""The decision engine: which target next, when, and when to stop.

A call is a conversation between two parties. The *engine* in this module decides and touches nothing: no socket, no
clock, no randomness of its own. The *driver* (`wire/driver.py`) obeys and decides nothing. They speak through a
generator:

    engine yields    Launch(...)      start this attempt
                     Wait(seconds)    tell me when an attempt ends, at the latest after this long
                     Abandon(n)       stop attempt n, its answer is no longer wanted
    driver sends     Done(...)        attempt n has ended so; the answer to Wait
                     None             the time of a Wait ran out; also the answer to the other commands
    engine ends      return Done      this attempt answers the call
                     raise            an error of the tree, which says why no attempt could

`Wait` alone is back-off, deadline and (with two attempts in flight) hedging. Since every command passes through the
journal, the list of commands is the explanation of the call, and since every input is a value, the rules are tested as
tables on a fake clock.

The rules, each a method of `_Call`:

* The next target is chosen at each launch, anew, from those not ruled out by scope: a failure of a target rules out
  the target, of a provider all its targets, of a model all its providers; an account, a credential or the request
  rule out everything.
* A fast server error is asked once more after a short pause: it is often one bad worker. Not when the server names a
  later time, nor with the last attempt while another target is untried. Anything slow is not asked again: time-outs
  move on while another target is left.
* With nothing left but targets that failed in passing, the one that may answer soonest is asked again: each rests,
  from its failure on, for the time it asked or a pause that doubles; a cold model is given the time it asks for. So a
  lone provider is waited for, not given up.
* Some failures are chance once and a fact twice: an empty answer, a parameter not supported, an endpoint out of reach.
* Four attempts and one deadline bound it all: nothing is launched when the deadline has passed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TypeAlias

from hfrouter.routing.policy import Policy
from hfrouter.routing.target import Target
from hfrouter.routing.verdict import Judgement, Scope, Verdict

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
class Launch:
    """Start an attempt.

    Attributes:
        number: From 1.
        target: Where to.
        first_content: Seconds it may take to its first meaningful content.
        remaining: Seconds left of the call's deadline.
    """

    number: int
    target: Target
    first_content: float
    remaining: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for an attempt to end, at most so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Abandon:
    """Stop an attempt: close its connection, account for it, send nothing."""

    number: int


@dataclass(frozen=True, slots=True)
class Done:
    """An attempt has ended."""

    number: int
    judgement: Judgement
    seconds: float
    value: object = None


Command: TypeAlias = Launch | Wait | Abandon
Flow: TypeAlias = Generator[Command, Done | None, Done]


class Stopped(Exception):  # a signal between engine and driver, not an error of the tree
    """The engine gave up. The driver turns it into the error of the tree that fits, with the attempts it has recorded.

    Attributes:
        last: The failure that decided, or None when the deadline did.
    """

    def __init__(self, last: Judgement | None) -> None:
        super().__init__(last.kind if last else "deadline")
        self.last = last


def route(
    targets: Sequence[Target],
    policy: Policy,
    now: Callable[[], float],
    jitter: Callable[[], float],
    *,
    patient: bool = False,
) -> Flow:
    """Decide a call.

    Args:
        targets: Eligible targets, best first; not empty.
        policy: Attempts, deadline and timers.
        now: Monotonic seconds.
        jitter: Random numbers from 0 to 1.
        patient: Wait for a target that is loading instead of asking the next one; for embeddings, where vectors of one
            index should come from one provider.

    Returns:
        The `Done` that answers (as the generator's value).

    Raises:
        Stopped: when no attempt may follow.
    """
    return _Call(targets, policy, now, jitter, patient).flow()


@dataclass(frozen=True, slots=True)
class _Rest:
    """A target that failed in passing is left alone for a while.

    Attributes:
        until: When it may be asked again, in monotonic seconds.
        cold: It is loading, and worth waiting for as long as the deadline allows.
    """

    until: float
    cold: bool


class _Call:
    """The state of one call: what failed, what is ruled out, what is left."""

    def __init__(
        self,
        targets: Sequence[Target],
        policy: Policy,
        now: Callable[[], float],
        jitter: Callable[[], float],
        patient: bool,
    ) -> None:
        self.targets, self.policy, self.now, self.jitter = tuple(targets), policy, now, jitter
        self.patient = patient
        self.deadline = now() + policy.deadline
        self.launched = 0
        self.running: dict[int, Target] = {}
        self.failed: list[tuple[Target, Judgement]] = []
        self.resting: dict[Target, _Rest] = {}  # in the order of their latest failures
        self.excluded: set[Target] = set()

    def flow(self) -> Flow:
        target = self.targets[0]
        while True:
            yield self.launch(target)
            done = yield from self.outcome()
            if done.judgement.verdict is Verdict.OK:
                return done
            self.note(done)
            target, pause = self.next_step(done)
            if pause > 0:
                yield Wait(pause)

    def launch(self, target: Target) -> Launch:
        remaining = self.remaining
        if remaining <= 0:
            raise Stopped(None)
        self.launched += 1
        self.running[self.launched] = target
        others = any(t != target for t in self.left())
        watched = others and not self.patient and self.launched < self.policy.attempts
        first_content = min(self.policy.first_content, remaining) if watched else remaining
        return Launch(self.launched, target, first_content, remaining)

    def outcome(self) -> Generator[Command, Done | None, Done]:
        """Wait for the running attempt; at the deadline stop it and give up."""
        done = yield Wait(max(0.0, self.remaining))
        if done is None:
            for number in self.running:
                yield Abandon(number)
            raise Stopped(None)
        return done

    def note(self, done: Done) -> None:
        """Remember a failure, rule out what it speaks about and let the target rest."""
        target, judgement = self.running.pop(done.number), done.judgement
        self.failed.append((target, judgement))
        self.resting.pop(target, None)
        self.resting[target] = _Rest(self.now() + self._pause(target, judgement), judgement.cold)
        match judgement.scope:
            case Scope.PROVIDER:
                self.excluded |= {t for t in self.targets if t.provider == target.provider}
            case Scope.MODEL if judgement.kind == "context_overflow":
                self.excluded |= {t for t in self.targets if not _larger(t, target)}
            case Scope.MODEL:
                self.excluded |= {t for t in self.targets if t.model == target.model}
            case Scope.ACCOUNT | Scope.CREDENTIAL | Scope.REQUEST:
                self.excluded.update(self.targets)
            case Scope.TARGET if judgement.kind in _FOR_GOOD:
                self.excluded.add(target)

    def next_step(self, done: Done) -> tuple[Target, float]:
        """The next target and the pause before it, or the end of the call."""
        judgement, spare = done.judgement, self.policy.attempts - self.launched
        if judgement.verdict is Verdict.FATAL or spare < 1 or self._twice(judgement):
            raise Stopped(judgement)
        here = self.failed[-1][0]
        fresh = [t for t in self.left() if t not in self.resting]
        pause = max(0.0, self.resting[here].until - self.now())
        if judgement.scope is Scope.ENDPOINT:
            return here, self._in_time(pause)
        if self.patient and judgement.cold and here not in self.excluded:
            return here, self._in_time(self._wait_for(self.resting[here]))
        quick = judgement.verdict is Verdict.RETRY and done.seconds < _FAST and pause < self.remaining
        worth = (judgement.retry_after or 0.0) <= _PAUSE[1] and (spare > 1 or not fresh)
        if quick and worth and self._failures_of(here) == 1:
            return here, pause
        if fresh:
            return fresh[0], 0.0
        return self._once_more(judgement)

    @property
    def remaining(self) -> float:
        """Seconds left of the deadline."""
        return self.deadline - self.now()

    def left(self) -> list[Target]:
        """Targets not ruled out, best first."""
        return [t for t in self.targets if t not in self.excluded]

    def _failures_of(self, target: Target) -> int:
        return sum(t == target for t, _ in self.failed)

    def _twice(self, last: Judgement) -> bool:
        """Whether the latest failure is one that is believed the second time, and this is the second."""
        if last.scope is Scope.ENDPOINT:  # the same for every target
            return sum(j.scope is Scope.ENDPOINT for _, j in self.failed) > 1
        return last.kind in _ONCE_IS_CHANCE and sum(j.kind == last.kind for _, j in self.failed) > 1

    def _once_more(self, last: Judgement) -> tuple[Target, float]:
        """Every target left has failed in passing: ask the one that may answer soonest, if that is soon enough."""
        waits = {t: self._wait_for(rest) for t, rest in self.resting.items() if t not in self.excluded}
        target = min(waits, key=waits.__getitem__, default=None)  # of equals the one that failed longest ago
        if target is None or waits[target] == math.inf:
            raise Stopped(last)
        return target, self._in_time(waits[target])

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
        """Seconds a target is left alone after its latest failure."""
        asked = judgement.retry_after or 0.0
        if judgement.status == 429:
            mine = [j for t, j in self.failed if t == target]
            in_a_row = list(takewhile(lambda j: j.status == 429, reversed(mine)))
            return max(asked, 2.0 ** (len(in_a_row) - 1))
        if judgement.cold and judgement.retry_after is None:
            asked = _COLD_WAIT
        low, high = _PAUSE
        return max(asked, (low + (high - low) * self.jitter()) * 2.0 ** (self._failures_of(target) - 1))


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

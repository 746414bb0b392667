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
* A fast server error is asked once more after a short pause: it is often one bad worker. Anything slow is not:
  time-outs move on while another target is left.
* With nothing left but targets that failed in passing, the one that failed longest ago is asked again after a pause
  that doubles; a cold model is given the time it asks for. So a lone provider is waited for, not given up.
* Four attempts and one deadline bound it all.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
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


def route(targets: Sequence[Target], policy: Policy, now: Callable[[], float], jitter: Callable[[], float]) -> Flow:
    """Decide a call.

    Args:
        targets: Eligible targets, best first; not empty.
        policy: Attempts, deadline and timers.
        now: Monotonic seconds.
        jitter: Random numbers from 0 to 1.

    Returns:
        The `Done` that answers (as the generator's value).

    Raises:
        Stopped: when no attempt may follow.
    """
    return _Call(targets, policy, now, jitter).flow()


class _Call:
    """The state of one call: what failed, what is ruled out, what is left."""

    def __init__(
        self, targets: Sequence[Target], policy: Policy, now: Callable[[], float], jitter: Callable[[], float]
    ) -> None:
        self.targets, self.policy, self.now, self.jitter = tuple(targets), policy, now, jitter
        self.deadline = now() + policy.deadline
        self.launched: list[Launch] = []
        self.running: dict[int, Launch] = {}
        self.failed: list[tuple[Target, Done]] = []
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
        remaining = self.deadline - self.now()
        last = len(self.launched) + 1 >= self.policy.attempts
        others = any(t != target for t in self.left())
        first_content = min(self.policy.first_content, remaining) if others and not last else remaining
        launch = Launch(len(self.launched) + 1, target, first_content, remaining)
        self.launched.append(launch)
        self.running[launch.number] = launch
        return launch

    def outcome(self) -> Generator[Command, Done | None, Done]:
        """Wait for the running attempt; at the deadline stop it and give up."""
        done = yield Wait(max(0.0, self.deadline - self.now()))
        if done is None:
            for number in list(self.running):
                yield Abandon(number)
            raise Stopped(None)
        return done

    def note(self, done: Done) -> None:
        """Remember a failure and rule out what it speaks about."""
        target = self.running.pop(done.number).target
        self.failed.append((target, done))
        judgement = done.judgement
        match judgement.scope:
            case Scope.PROVIDER:
                self.excluded |= {t for t in self.targets if t.provider == target.provider}
            case Scope.MODEL if judgement.kind == "context_overflow":
                self.excluded |= {t for t in self.targets if not _larger(t, target)}
            case Scope.MODEL:
                self.excluded |= {t for t in self.targets if t.model == target.model}
            case Scope.TARGET if judgement.kind in _FOR_GOOD:
                self.excluded.add(target)

    def next_step(self, done: Done) -> tuple[Target, float]:
        """The next target and the pause before it, or the end of the call."""
        judgement = done.judgement
        if judgement.verdict is Verdict.FATAL or len(self.launched) >= self.policy.attempts or self._twice(done):
            raise Stopped(judgement)
        here = self.failed[-1][0]
        again = judgement.verdict is Verdict.RETRY and done.seconds < _FAST and self.failures_of(here) == 1
        fresh = [t for t in self.left() if t not in self._tried()]
        if again or (judgement.scope is Scope.ENDPOINT and here in self.left()):
            return here, self._affordable(self._back_off(1), judgement)
        if fresh:
            return fresh[0], 0.0
        return self._once_more(judgement)

    def left(self) -> list[Target]:
        """Targets not ruled out, best first."""
        return [t for t in self.targets if t not in self.excluded]

    def failures_of(self, target: Target) -> int:
        return sum(t == target for t, _ in self.failed)

    def _tried(self) -> set[Target]:
        return {t for t, _ in self.failed}

    def _twice(self, done: Done) -> bool:
        """An empty answer is believed the second time; an unreachable endpoint is the same for every target."""
        once_is_chance = done.judgement.kind == "empty_answer" or done.judgement.scope is Scope.ENDPOINT
        return once_is_chance and sum(d.judgement.kind == done.judgement.kind for _, d in self.failed) > 1

    def _once_more(self, last: Judgement) -> tuple[Target, float]:
        """Every target left has failed in passing: ask the one that failed longest ago, when it may answer again."""
        waits: list[tuple[float, int, Target]] = []
        for target in self.left():
            position, done = next((i, d) for i, (t, d) in reversed(list(enumerate(self.failed))) if t == target)
            waits.append((self._pause_for(target, done), position, target))
        if not waits:
            raise Stopped(last)
        pause, _, target = min(waits, key=lambda wait: wait[:2])
        return target, self._affordable(pause, last)

    def _pause_for(self, target: Target, done: Done) -> float:
        judgement, times = done.judgement, self.failures_of(target)
        if judgement.cold:
            return _COLD_WAIT if judgement.retry_after is None else judgement.retry_after
        if judgement.status == 429:
            return max(judgement.retry_after or 0.0, 2.0 ** (times - 1))
        return max(judgement.retry_after or 0.0, self._back_off(times))

    def _back_off(self, times: int) -> float:
        low, high = _PAUSE
        return (low + (high - low) * self.jitter()) * 2.0 ** (times - 1)

    def _affordable(self, pause: float, last: Judgement) -> float:
        """A pause the deadline and our patience can pay; a cold model may use what remains."""
        remaining = self.deadline - self.now()
        if last.cold:
            pause = min(pause, max(0.0, remaining - _LONGEST_WAIT))
        elif pause > _LONGEST_WAIT:
            raise Stopped(last)
        if pause >= remaining:
            raise Stopped(None)
        return pause


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
    }
)


def _larger(other: Target, target: Target) -> bool:
    """Whether a request too long for `target` may fit `other`; where a length is not known, another model may."""
    if other.context_length is None or target.context_length is None:
        return other.model != target.model
    return other.context_length > target.context_length

"""The decision engine: which target next, when, and when to stop.

A call is a conversation between two parties. The *engine* decides and touches nothing: no socket, no clock, no
randomness of its own. The *driver* (`wire/driver.py`) obeys and decides nothing. They speak through a generator, in the
words of `commands.py`:

    engine yields    Launch(...)      start this attempt
                     Wait(seconds)    tell me when an attempt ends, at the latest after this long
                     Abandon(n)       stop attempt n, its answer is no longer wanted
    driver sends     Done(...)        attempt n has ended so; the answer to Wait
                     Begun(n)         attempt n has shown its first content, of an answer that is wanted whole
                     None             the time of a Wait ran out; also the answer to the other commands
    engine ends      return Done      this attempt answers the call
                     raise Stopped    no attempt may follow; the driver raises the error of the tree that fits

`Wait` alone is back-off, deadline and the delay of a hedge. Since every command passes through the journal, the list of
commands is the explanation of the call, and since every input is a value, the rules are tested as tables on a fake
clock.

The engine is four rooms, each readable alone:

* `choice.py` ranks the targets of the call, anew at each launch, by the user's wishes and by what is known of them;
* `health.py` is what is known: speed, breakers, pauses, all that outlasts a call;
* `steps.py` holds the rules of what may follow a failure;
* this module keeps the time: deadline, first content, hedge.

The rules in short:

* The best target that is not held back goes first. A failure of a target rules out the target, of a provider all its
  targets, of a model all its providers, of an account or a credential all that share it; the request rules out all.
* A fast server error is asked once more after a short pause: it is often one bad worker. Not when the server names a
  later time, nor while that provider mostly fails, nor with an attempt that an untried target would then lack. Anything
  slow is not asked again: time-outs move on while another target is left.
* The first move to another target is free, and so is every move to one that is known to be well; others come from a
  budget that all calls share, so that an outage is not answered with a storm.
* With nothing left but targets that failed in passing, the one that may answer soonest is asked again: each rests for
  the time it asked or a pause that doubles; a cold model is given the time it asks for. So a lone provider is waited
  for.
* When everybody is held back, the one that is free first is asked, once. So no target is ever locked out.
* Some failures are chance once and a fact twice: an empty answer, a parameter not supported, an endpoint gone.
* A hedge is a second attempt at another provider while the first is silent for longer than it usually is. Whoever shows
  content first goes on, the other is stopped. Two budgets bound it: a share of the calls, and a share of the money.
* Four attempts and one deadline bound it all: nothing is launched when the deadline has passed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass

from hfrouter.routing.choice import Candidate, Choice
from hfrouter.routing.commands import Abandon, Answer, Begun, Command, Done, Flow, Launch, Stopped, Wait
from hfrouter.routing.policy import Policy
from hfrouter.routing.steps import Step, Steps
from hfrouter.routing.strategy import token_prices
from hfrouter.routing.target import Target
from hfrouter.routing.verdict import Verdict
from hfrouter.routing.vitals import Vitals

# A probe of an open breaker is a call of somebody who waits: it gets less time while another target is left.
_PROBE_FIRST_CONTENT = 5.0
# A hedge comes after one and a half times the 95th percentile of the latest times to the first content, or after 3 s
# while fewer than 20 were seen. The percentile is from The Tail at Scale (Dean and Barroso); the half more keeps hedges
# for silence, where ordinary slowness would use them up (benchmarks/policies).
_HEDGE_LEAST, _HEDGE_BLIND, _TELLING = 0.5, 3.0, 20
_HEDGE_PATIENCE = 1.5
_HEDGE_DEARER = 2.0
# Silence that the caller's own deadline cut short is nobody's failure: at its end, or after less than 5 s.
_OWN_LIMIT, _SHORT = 0.1, 5.0


def route(
    choice: Choice,
    policy: Policy,
    now: Callable[[], float],
    jitter: Callable[[], float],
    *,
    deadline: float | None = None,
    streamed: bool = True,
    patient: bool = False,
) -> Flow:
    """Decide a call.

    Args:
        choice: Of eligible targets; not empty.
        policy: Attempts, deadline, timers, hedging.
        now: Monotonic seconds.
        jitter: Random numbers from 0 to 1.
        deadline: Seconds left of the policy's; None for all of it.
        streamed: Attempts ask for streams, so that the first content can be seen and a hedge makes sense.
        patient: Wait for a target that is loading instead of asking the next one; for embeddings, where vectors of one
            index should come from one provider.

    Returns:
        The `Done` that answers (as the generator's value).

    Raises:
        Stopped: when no attempt may follow.
    """
    steps = Steps(choice, policy, now, jitter, patient, policy.deadline if deadline is None else deadline)
    return _Call(steps, streamed).flow()


@dataclass(slots=True)
class _Running:
    """An attempt under way."""

    target: Target
    vitals: Vitals
    probe: bool
    lonely: bool
    unary: bool
    at: float
    hurried: bool  # the caller's own deadline leaves it too little time to be blamed for


class _Call:
    """A call under way: its clock, and the attempts that are out."""

    def __init__(self, steps: Steps, streamed: bool) -> None:
        self.steps, self.choice, self.policy = steps, steps.choice, steps.policy
        self.now, self.patient, self.health = steps.now, steps.patient, steps.health
        self.streamed, self.may_hedge = streamed, self.policy.hedge and streamed
        self.running: dict[int, _Running] = {}
        self.last: _Running  # the attempt that ended last

    def flow(self) -> Flow:
        self.health.fallbacks.called(self.now())
        if self.may_hedge:
            self.health.hedges.called()
        try:
            step = self.steps.first()
            while True:
                if step.pause > 0:
                    yield Wait(step.pause)
                    self.steps.left()
                yield self.launch(step)
                done = yield from self.outcome()
                if done.judgement.verdict is Verdict.OK:
                    return done
                step = self.steps.after(done, self.last.target, unary=self.last.unary)
        finally:  # also when the caller cancels: what is still out says nothing of its target
            for running in self.running.values():
                self.health.released(running.target, running.at, probe=running.probe)

    def launch(self, step: Step, *, hedge: bool = False) -> Launch:
        remaining, target = self.steps.remaining, step.target
        if remaining <= 0:
            raise Stopped(None)
        limit = self.policy.first_content
        others = not self.patient and self.steps.launched + 1 < self.policy.attempts
        watched = others and self.steps.alternatives(target, limit)
        at = self.now()
        vitals = self.health.of(target)
        unary = step.unary or (self.choice.needs.tools and vitals.streams_badly)
        probe = self.health.launched(target, at, streamed=self.streamed and not unary)
        if probe:
            limit = min(limit, _PROBE_FIRST_CONTENT)
            self.steps.cautious |= not watched
        self.steps.launched += 1
        number = self.steps.launched
        first_content = min(limit, remaining / 2) if watched else remaining  # half: the next one needs time, too
        hurried = first_content < min(limit, _SHORT)
        self.running[number] = _Running(target, vitals, probe, not watched, unary, at, hurried)
        return Launch(number, target, first_content, remaining, unary, hedge, step.why, self.steps.ranking)

    def outcome(self) -> Generator[Command, Answer, Done]:
        """Wait until an attempt answers or all that are out have failed; at the deadline stop them and give up."""
        hedge_at = self.hedge_at()
        while True:
            answer = yield Wait(max(0.0, min(self.steps.remaining, hedge_at - self.now())))
            match answer:
                case Begun(number) if number in self.running:  # not of one that was stopped meanwhile
                    self.health.began(self.running[number].target)
                    hedge_at = math.inf
                    yield from self.abandon_others(number)
                case Done():
                    if self.ended(answer):
                        ok = answer.judgement.verdict is Verdict.OK
                        yield from self.abandon_others(answer.number, "hedge" if ok else "request")
                        return answer
                    if not self.running:
                        return answer
                    hedge_at = self.now() if self.hedgeable else math.inf  # the silent one gets another rival at once
                case None if self.steps.remaining <= 0:
                    yield from self.abandon_others(0, "deadline")
                    raise Stopped(None)
                case None if self.now() >= hedge_at:
                    hedge_at = math.inf
                    if (other := self.hedge()) is not None:
                        yield self.launch(other, hedge=True)

    def ended(self, done: Done) -> bool:
        """Take down how an attempt ended.

        Returns:
            Whether that ends the waiting for others too: it answered, or the request is to blame.
        """
        running = self.last = self.running.pop(done.number)
        judgement, target, now = done.judgement, running.target, self.now()
        if judgement.kind == "over_budget":
            self.health.released(target, running.at, probe=running.probe)
            self.steps.refused(target, done.number, beside=bool(self.running))
            return False
        if judgement.verdict is Verdict.OK:
            self.health.answered(
                target,
                running.at,
                now,
                probe=running.probe,
                first_content=done.first_content,
                seconds=done.seconds,
                output_tokens=done.output_tokens,
                open_=done.flowing,
            )
            self.health.hedges.spent(done.usd)
            if self.choice.session is not None:
                self.health.keep(self.choice.session, target, now)
            return True
        self.health.failed(
            target,
            judgement,
            running.at,
            now,
            probe=running.probe,
            seconds=done.seconds,
            needs=self.choice.needs,
            only=running.lonely,
            own_limit=(judgement.kind == "first_content_timeout" and running.hurried)
            or (judgement.kind.endswith("timeout") and self.steps.remaining <= _OWN_LIMIT),
        )
        self.steps.note(target, judgement)
        return judgement.verdict is Verdict.FATAL

    def abandon_others(self, number: int, why: str = "hedge") -> Generator[Command, Answer, None]:
        """Stop all attempts but one."""
        for other in [n for n in self.running if n != number]:
            running = self.running.pop(other)
            if why == "hedge" and self.now() - running.at >= _usual(running.vitals):
                self.health.outrun(running.target, running.at, self.now(), probe=running.probe)
                self.steps.outrun(running.target)
            else:
                self.health.released(running.target, running.at, probe=running.probe)
            yield Abandon(other, why)

    @property
    def hedgeable(self) -> bool:
        """Whether what is out may have a rival, if the budgets allow one."""
        return self.may_hedge and not self.steps.cautious and self.steps.launched < self.policy.attempts

    def hedge_at(self) -> float:
        """When the attempt that is out has been silent for too long; infinite when it may not be hedged."""
        running = self.running[self.steps.launched]
        if not self.hedgeable or running.unary:
            return math.inf
        return running.at + _usual(running.vitals)

    def hedge(self) -> Step | None:
        """The target of a hedge: another provider of the model, free and well, not much dearer, within the budgets."""
        (first,) = self.running.values()
        untried = self.steps.untried()
        price = next((c.score.usd for c in self.steps.ranking if c.target == first.target), math.inf)
        for candidate in untried:
            if self.suits(candidate, first, price):
                usd = token_prices(candidate.target)[0] * self.choice.needs.input_tokens  # a loser bills its prompt
                if not self.health.hedges.allows(usd):
                    return None
                self.health.hedges.take(usd)
                return Step(candidate.target, f"hedge after {self.now() - first.at:.1f} s")
        return None

    @staticmethod
    def suits(candidate: Candidate, first: _Running, price: float) -> bool:
        """Whether a candidate may hedge an attempt that costs so much."""
        target, usd = candidate.target, candidate.score.usd
        return (
            target.model == first.target.model
            and target.url == first.target.url
            and target.provider != first.target.provider
            and not candidate.probe
            and usd != math.inf
            and (price == math.inf or usd <= _HEDGE_DEARER * price)
        )


def _usual(vitals: Vitals) -> float:
    """Seconds within which a target has usually shown its first content."""
    seen = sorted(vitals.ring)
    if len(seen) < _TELLING:
        return _HEDGE_BLIND
    return max(_HEDGE_LEAST, _HEDGE_PATIENCE * seen[int(len(seen) * 0.95)])

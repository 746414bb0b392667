"""The player of the engine's tables: it obeys the engine on a fake clock and plays scripted outcomes to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hfrouter.routing.choice import Choice, wishes
from hfrouter.routing.commands import Abandon, Answer, Begun, Done, Launch, Stopped, Wait
from hfrouter.routing.eligible import Needs
from hfrouter.routing.flow import route
from hfrouter.routing.health import Health
from hfrouter.routing.policy import Policy
from hfrouter.routing.target import ModelId, Target
from hfrouter.routing.verdict import ANSWERED, FAILURES, Judgement, Problem, judge

# -- what an attempt may come to -------------------------------------------------------------------------------------


def http(status: int, message: str = "", **facts: Any) -> Judgement:
    return judge(Problem(status, message, **facts))


OK = ANSWERED
SILENT = None  # nothing ever comes
E500, E503 = http(500), http(503)
E503_IN_2, E503_IN_30 = http(503, retry_after=2.0), http(503, retry_after=30.0)
E429, E429_IN_3, E429_IN_5, E429_IN_6 = http(429), *(http(429, retry_after=s) for s in (3.0, 5.0, 6.0))
QUOTA = http(429, "insufficient balance (1113)")
COLD_20 = http(503, "Model is currently loading", estimated_time=20.0)
COLD_300 = http(503, "Model is currently loading", estimated_time=300.0)
COLD = http(503, "the model is loading")
GONE, NOT_SUPPORTED, NOT_FOUND = http(410), http(400, "model_not_supported"), http(404)
MODEL_NOT_FOUND = http(400, "The requested model 'org/m' does not exist.")
OVERFLOW = http(400, "maximum context length is 8000 tokens")
UNSUPPORTED = http(422, "parameter 'seed' is unsupported")
BAD_REQUEST, UNAUTHORIZED, NO_CREDITS = http(400, "bad"), http(401), http(402, "credits")
NOT_ENABLED = http(403, "Pay-as-you-go is not enabled for provider a")
BLOCKED = http(403, html=True)
LOST, CUT, EMPTY = FAILURES["connection_lost"], FAILURES["cut"], FAILURES["empty_answer"]
NO_FIRST, IDLE = FAILURES["first_content_timeout"], FAILURES["idle_timeout"]
REFUSED, CONNECT_TIMEOUT = FAILURES["connect_failed"], FAILURES["connect_timeout"]
CERTIFICATE, MALFORMED = FAILURES["certificate_refused"], FAILURES["malformed_tool_call"]
OVER_BUDGET = FAILURES["over_budget"]


@dataclass(frozen=True)
class Ends:
    """How an attempt goes: it ends so after so many seconds, and shows its first content before that, or not."""

    after: float
    judgement: Judgement | None
    begins: float | None = None
    usd: float = 0.0
    tokens: int | None = None
    flowing: bool = False


Outcome = tuple[float, Judgement | None] | Ends


@dataclass
class Played:
    """What became of a call: its commands as text, and what a property may ask about.

    Attributes:
        trace: Each launch with its limit for the first content, each pause, each stop and the end.
        timeline: The same with the seconds since the call began instead of the limits, hedges marked.
        launches: The commands themselves.
        times: When they were given, in seconds since the call began.
        failures: Who failed, how, and when.
        pauses: Waits while nothing was out.
        waits: Waits while something was out.
        seconds: From the call to its end.
        end: The end alone.
        stopped: What was raised, or None.
    """

    trace: list[str] = field(default_factory=list)
    timeline: list[str] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    failures: list[tuple[Target, Judgement, float]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    seconds: float = 0.0
    end: str = ""
    stopped: Stopped | None = None

    @property
    def asked(self) -> str:
        """The providers asked, in order."""
        return " ".join(launch.target.provider for launch in self.launches)

    @property
    def brief(self) -> str:
        """The call in a line: who was asked, `~` pauses, and `ok` or what stopped it."""
        words = [step.partition(" ")[2] for step in self.timeline]
        ended = "ok" if self.stopped is None else words.pop().rpartition(" ")[2]
        words = [word.replace("wait ", "~") for word in words if not word.startswith("answered")]
        return " ".join([*words, ended])


class World:
    """What outlasts a call: a clock and the health of all targets. Calls are played one after another.

    Args:
        seed: Of the chance in the health; None takes the middle of every range, so that instants are round.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.now = 1000.0
        self.opened: list[tuple[str, float]] = []
        chance = Middle() if seed is None else Random(seed)
        self.health = Health(chance, lambda name, seconds: self.opened.append((name, round(seconds, 3))))

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def call(
        self,
        targets: Sequence[Target],
        outcomes: Sequence[Outcome] | Mapping[str, Sequence[Outcome]],
        policy: Policy | None = None,
        *,
        needs: Needs | None = None,
        jitter: float = 0.5,
        patient: bool = False,
        streamed: bool = True,
        session: str | None = None,
        ranked: bool = False,
        whole: bool = False,
    ) -> Played:
        """Play a call.

        Args:
            targets: In the order they are listed, which is their ranking unless `ranked`.
            outcomes: Attempt n ends as `outcomes[n - 1]` says; or the outcomes of each provider, in order.
            policy: Of the call.
            needs: Of the request.
            jitter: What every draw gives.
            patient: As for embeddings.
            streamed: See `route`.
            session: For sticky calls; needs `ranked`.
            ranked: Rank by the policy's strategy instead of by place.
            whole: The caller wants the whole answer, so first contents are told as `Begun`.
        """
        return self.play(
            self.choice(targets, policy, needs, session, ranked),
            outcomes,
            policy or Policy(),
            jitter,
            patient=patient,
            streamed=streamed,
            whole=whole,
        )

    def choice(
        self,
        targets: Sequence[Target],
        policy: Policy | None = None,
        needs: Needs | None = None,
        session: str | None = None,
        ranked: bool = False,
    ) -> Choice:
        if not ranked and session is None:
            return Choice.listed(targets, self.health, needs)
        models = tuple(dict.fromkeys(target.model for target in targets))
        wanted = [ModelId(model) for model in models]
        needs = needs or Needs()
        return Choice(wishes(targets, wanted, policy or Policy(), needs), needs, self.health, session)

    def play(
        self,
        choice: Choice,
        outcomes: Sequence[Outcome] | Mapping[str, Sequence[Outcome]],
        policy: Policy,
        jitter: float,
        *,
        patient: bool,
        streamed: bool,
        whole: bool,
    ) -> Played:
        began, played, running = self.now, Played(), dict[int, tuple[float, Ends]]()
        script = {name: list(rows) for name, rows in outcomes.items()} if isinstance(outcomes, Mapping) else None
        listed = [] if isinstance(outcomes, Mapping) else list(outcomes)
        told, targets = set[int](), dict[int, Target]()
        flow = route(choice, policy, lambda: self.now, lambda: jitter, streamed=streamed, patient=patient)
        answer: Answer = None
        try:
            for _ in range(200):  # no call has more to say; one that never ends should fail soon
                command = flow.send(answer)
                answer = None
                at = f"{self.now - began:g}"
                match command:
                    case Launch(number, target, first_content, remaining):
                        assert number not in running
                        assert 0 < first_content <= remaining
                        outcome = script[target.provider].pop(0) if script is not None else listed[len(played.launches)]
                        ends = outcome if isinstance(outcome, Ends) else Ends(*outcome)
                        running[number] = self.now, ends
                        played.launches.append(command)
                        played.times.append(self.now - began)
                        targets[number] = target
                        marks = ("hedge " if command.hedge else "") + ("unary " if command.unary else "")
                        played.trace.append(f"{marks}{target} {first_content:g}")
                        played.timeline.append(f"{at} {marks}{target.provider}")
                    case Wait(seconds) if running:
                        played.waits.append(seconds)
                        answer = self._next(running, told, seconds, whole)
                        if isinstance(answer, Done):
                            played.failures.append((targets[answer.number], answer.judgement, self.now - began))
                    case Wait(seconds):
                        assert seconds > 0
                        self.now += seconds
                        played.pauses.append(seconds)
                        played.trace.append(f"wait {seconds:g}")
                        played.timeline.append(f"{at} wait {seconds:g}")
                    case Abandon(number, why):
                        del running[number]
                        because = "" if why == "deadline" else f" ({why})"
                        played.trace.append(f"abandon {number}{because}")
                        played.timeline.append(f"{at} abandon {number}{because}")
            raise AssertionError(f"the call never ends: {played.timeline[:20]}")
        except StopIteration as stop:
            played.end = f"answered by {stop.value.number}"
        except Stopped as stopped:
            played.stopped, played.end = stopped, f"stopped by {stopped.last.kind if stopped.last else 'deadline'}"
        assert not running
        assert next(flow, "over") == "over"  # no command after the end
        played.seconds = self.now - began
        played.trace.append(played.end)
        played.timeline.append(f"{played.seconds:g} {played.end}")
        return played

    def _next(
        self, running: dict[int, tuple[float, Ends]], told: set[int], seconds: float, whole: bool
    ) -> Done | Begun | None:
        """What happens next among the attempts that are out, and advance the clock to it."""
        events = [(at + e.after, number, "ends") for number, (at, e) in running.items() if e.judgement is not None]
        if whole:
            events += [
                (at + e.begins, number, "begins")
                for number, (at, e) in running.items()
                if e.begins is not None and number not in told
            ]
        when, number, what = min(events, default=(float("inf"), 0, ""))
        # not the sum of the two: 1000 s and a deadline must meet in the same float
        if when - self.now > seconds + 1e-9:
            self.now += seconds
            return None
        self.now = max(self.now, when)
        if what == "begins":
            told.add(number)
            return Begun(number)
        _, ends = running.pop(number)
        assert ends.judgement is not None
        return Done(
            number,
            ends.judgement,
            ends.after,
            first_content=ends.begins,
            usd=ends.usd,
            output_tokens=ends.tokens,
            flowing=ends.flowing,
        )


class Middle:
    """No chance at all: what is drawn is the middle."""

    def random(self) -> float:
        return 0.5


def play(
    targets: Sequence[Target],
    outcomes: Sequence[Outcome],
    policy: Policy | None = None,
    jitter: float = 0.5,
    *,
    patient: bool = False,
) -> Played:
    """Play a call of a router that has seen nothing yet."""
    return World(seed=0).call(targets, outcomes, policy, jitter=jitter, patient=patient)

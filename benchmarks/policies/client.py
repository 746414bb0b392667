"""The client: carries out a call as its policy commands, the same way for every policy.

It speaks the language of the routing engine (`hfrouter/routing/flow.py`): a policy is a generator that yields `Launch`,
`Wait` and `Abandon`, is sent `Done`, and returns the one that answers. So the engine runs here as it is, and its peers
are short generators beside it.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.policies.clock import Clock
from benchmarks.policies.world import Call, Fate, World
from hfrouter.routing.commands import Abandon, Begun, Done, Flow, Launch, Stopped, Wait
from hfrouter.routing.target import Target
from hfrouter.routing.verdict import ANSWERED, FAILURES, Judgement, Verdict

# The same for every policy.
ATTEMPTS, DEADLINE, FIRST_CONTENT = 4, 120.0, 12.0


class Contestant(Protocol):
    """A policy."""

    def flow(self, call: Call, now: Callable[[], float]) -> Flow:
        """Decide a call."""
        ...

    def ended(
        self, target: Target, now: float, seconds: float, output_tokens: int, usd: float, *, broken: bool
    ) -> None:
        """A stream that was given to its reader has ended, so many seconds after its first content."""
        ...


@dataclass(slots=True)
class Record:
    """What became of a call.

    Attributes:
        call: Which.
        answered: Whether it was, to its end.
        servable: Whether one and the same provider would have answered at any time while it was under way.
        attempts: How many were sent.
        hedges: How many of these while another was under way.
        first: Seconds from the arrival to the first content of the answer.
        finish: Seconds from the arrival to the end of the answer.
        price: USD, all attempts.
        provider: Who answered.
    """

    call: Call
    answered: bool = False
    servable: bool = True
    attempts: int = 0
    hedges: int = 0
    first: float = math.inf
    finish: float = math.inf
    price: float = 0.0
    provider: str = ""


@dataclass(slots=True)
class _Attempt:
    number: int
    target: Target
    index: int
    sent: float
    fate: Fate
    over: bool = False


@dataclass(slots=True)
class Trace:
    """What happened, line by line; the same seed gives the same lines."""

    lines: list[str] = field(default_factory=list)

    def add(self, now: float, call: Call, what: str) -> None:
        """Write down a line."""
        self.lines.append(f"{now:.6f} {call.number} {what}")

    @property
    def digest(self) -> str:
        """All lines in a few letters, to compare runs of different processes."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()


class Client:
    """One call.

    Args:
        call: Which.
        contestant: Who decides.
        world: Where.
        clock: When.
        trace: What happened.
    """

    def __init__(self, call: Call, contestant: Contestant, world: World, clock: Clock, trace: Trace) -> None:
        self.call, self.contestant, self.world, self.clock, self.trace = call, contestant, world, clock, trace
        self.record = Record(call)
        self._running: dict[int, _Attempt] = {}
        self._heard: deque[Done | Begun] = deque()
        self._waiting = False
        self._waits = 0

    def start(self) -> None:
        """The call arrives."""
        self._flow = self.contestant.flow(self.call, self.clock.read)
        self._go_on(None)

    # -- the commands --------------------------------------------------------------------------------------------------

    def _go_on(self, answer: Done | Begun | None) -> None:
        """Obey until the policy waits or ends."""
        try:
            while True:
                command = self._flow.send(answer)
                answer = None
                if isinstance(command, Launch):
                    self._launch(command)
                elif isinstance(command, Abandon):
                    self._stop(self._running[command.number])
                elif self._heard:
                    answer = self._heard.popleft()
                else:
                    self._wait(command)
                    return
        except StopIteration as end:
            self._answered(end.value)
        except Stopped as stopped:
            self._say(f"stopped {stopped}")
            self._over()

    def _wait(self, command: Wait) -> None:
        self._waiting, self._waits = True, self._waits + 1
        if command.seconds < math.inf:
            self.clock.at(self.clock.now + command.seconds, self._time_ran_out, self._waits)

    def _time_ran_out(self, wait: int) -> None:
        if self._waiting and wait == self._waits:
            self._waiting = False
            self._go_on(None)

    def _hear(self, news: Done | Begun) -> None:
        if self._waiting:
            self._waiting = False
            self._go_on(news)
        else:
            self._heard.append(news)

    # -- the attempts --------------------------------------------------------------------------------------------------

    def _launch(self, command: Launch) -> None:
        now, index = self.clock.now, self.world.index[command.target.provider]
        fate = self.world.fate(self.call, index, self.record.attempts, now)
        attempt = _Attempt(command.number, command.target, index, now, fate)
        self.record.hedges += bool(self._running)
        self.record.attempts += 1
        self._running[command.number] = attempt
        self.world.running[index] += 1
        self._say(f"launch {command.number} {command.target.provider}")
        limit = min(command.first_content, command.remaining)
        if fate.fails <= limit:
            self.clock.at(now + fate.fails, self._failed, attempt, fate.failure)
        elif fate.first <= limit:
            self.clock.at(now + fate.first, self._first_content, attempt)
        else:
            self.clock.at(now + limit, self._failed, attempt, FAILURES["first_content_timeout"])

    def _first_content(self, attempt: _Attempt) -> None:
        if attempt.over:
            return
        self.clock.at(attempt.sent + attempt.fate.ends, self._ended, attempt)
        if self.call.streamed:
            self._hear(self._done(attempt, ANSWERED))
        else:
            self._hear(Begun(attempt.number))

    def _ended(self, attempt: _Attempt) -> None:
        if attempt.over:
            return
        broken = attempt.fate.broken
        if not self.call.streamed:
            if broken:
                self._failed(attempt, broken)
            else:
                self._close(attempt)
                self._hear(self._done(attempt, ANSWERED))
            return
        self._close(attempt)
        tokens, seconds = self._tokens(attempt), attempt.fate.ends - attempt.fate.first
        usd = self.world.price(self.call, attempt.index, tokens)
        self.contestant.ended(attempt.target, self.clock.now, seconds, tokens, usd, broken=broken is not None)
        if not broken:
            self._finished()
        else:
            self._say(f"broke {attempt.number}")

    def _failed(self, attempt: _Attempt, failure: Judgement) -> None:
        if attempt.over:
            return
        self._close(attempt)
        del self._running[attempt.number]
        self._say(f"failed {attempt.number} {failure.kind}")
        self._hear(self._done(attempt, failure))

    def _stop(self, attempt: _Attempt) -> None:
        """Close the connection of an attempt that is no longer wanted."""
        self._close(attempt)
        del self._running[attempt.number]
        self._say(f"abandon {attempt.number}")

    def _close(self, attempt: _Attempt) -> None:
        """An attempt is over: it is under way no longer, and it bills what it has worked."""
        attempt.over = True
        self.world.running[attempt.index] -= 1
        if attempt.fate.working:
            self.record.price += self.world.price(self.call, attempt.index, self._tokens(attempt))

    def _tokens(self, attempt: _Attempt) -> int:
        """How many output tokens it has sent so far."""
        fate, elapsed = attempt.fate, self.clock.now - attempt.sent
        if elapsed <= fate.first:
            return 0
        return min(self.call.output_tokens, round((elapsed - fate.first) * fate.throughput))

    def _done(self, attempt: _Attempt, judgement: Judgement) -> Done:
        seconds = self.clock.now - attempt.sent
        begun = attempt.fate.first <= seconds
        whole = judgement.verdict is Verdict.OK and attempt.over
        tokens = self._tokens(attempt) if whole else None
        return Done(
            attempt.number,
            judgement,
            seconds,
            first_content=attempt.fate.first if begun else None,
            output_tokens=tokens,
            usd=self.world.price(self.call, attempt.index, tokens) if tokens else 0.0,
            flowing=judgement.verdict is Verdict.OK and not attempt.over,
        )

    # -- the end -------------------------------------------------------------------------------------------------------

    def _answered(self, done: Done) -> None:
        winner = self._running.pop(done.number)
        for loser in list(self._running.values()):
            self._stop(loser)
        self.record.provider = winner.target.provider
        self.record.first = winner.sent + winner.fate.first - self.call.arrival
        self._say(f"answer {done.number} {winner.target.provider}")
        if winner.over:
            self._finished()

    def _finished(self) -> None:
        self.record.answered, self.record.finish = True, self.clock.now - self.call.arrival
        self._over()

    def _over(self) -> None:
        self.record.servable = self.world.servable(self.call.arrival, self.clock.now)
        for attempt in list(self._running.values()):
            self._stop(attempt)

    def _say(self, what: str) -> None:
        self.trace.add(self.clock.now, self.call, what)


def simulate(contestant: Contestant, world: World) -> tuple[list[Record], Trace]:
    """All calls of a setting under one policy."""
    clock, trace = Clock(), Trace()
    clients = [Client(call, contestant, world, clock, trace) for call in world.setting.calls]
    for client in clients:
        clock.at(client.call.arrival, client.start)
    clock.run()
    return [client.record for client in clients], trace

"""The words in which engine and driver speak: commands one way, outcomes the other."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TypeAlias

from hfrouter.routing.choice import Candidate
from hfrouter.routing.target import Target
from hfrouter.routing.verdict import Judgement


@dataclass(frozen=True, slots=True)
class Launch:
    """Start an attempt.

    Attributes:
        number: From 1.
        target: Where to.
        first_content: Seconds it may take to its first meaningful content.
        remaining: Seconds left of the call's deadline.
        unary: Ask for the answer in one piece: in streams this target garbles tool calls.
        hedge: It is a second attempt while the first has not committed.
        why: In a few words, for readers.
        ranking: The candidates as they stood, best first, for `explain()`.
    """

    number: int
    target: Target
    first_content: float
    remaining: float
    unary: bool = False
    hedge: bool = False
    why: str = ""
    ranking: tuple[Candidate, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Wait:
    """Tell me when an attempt ends or begins to answer, at the latest after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Abandon:
    """Stop an attempt: close its connection, account for it, send nothing.

    Attributes:
        number: Which.
        why: `deadline`; `hedge` when another attempt was faster; `request` when another showed the request to be wrong.
    """

    number: int
    why: str = "deadline"


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt of a call that wants the whole answer has shown its first content."""

    number: int


@dataclass(frozen=True, slots=True)
class Done:
    """An attempt has ended, or has committed a stream.

    Attributes:
        number: Which.
        judgement: How.
        seconds: From its launch.
        value: The answer.
        first_content: Seconds from its launch to the first content, where it was seen.
        output_tokens: Of a whole answer, as reported.
        usd: What it is known to have cost, approximately; for the budget of hedges alone.
        flowing: A stream was committed; its end is reported to `Health.ended`.
    """

    number: int
    judgement: Judgement
    seconds: float
    value: object = None
    first_content: float | None = None
    output_tokens: int | None = None
    usd: float = 0.0
    flowing: bool = False


Command: TypeAlias = Launch | Wait | Abandon
Answer: TypeAlias = Done | Begun | None
Flow: TypeAlias = Generator[Command, Answer, Done]


class Stopped(Exception):  # a signal between engine and driver, not an error of the tree
    """The engine gave up. The driver turns it into the error of the tree that fits, with the attempts it has recorded.

    Attributes:
        last: The failure that decided, or None when the deadline did.
        why: In a few words, where there is more to say than the failure.
    """

    def __init__(self, last: Judgement | None, why: str = "") -> None:
        super().__init__(last.kind if last else "deadline")
        self.last, self.why = last, why

"""The sixteen scenarios S01-S16 as rows: the fault at the primary, and what is asked of a router that meets it.

A row's times are those of the scenario. `Run` has them scaled by a pace; what the product does of itself (the pause
before a second try, the open time of a breaker) keeps its real length, and so does the allowance for a busy machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hfrouter import Entry, RequestRejected
from tests.scenarios.surfaces import Call
from tests.scenarios.upstream import (
    ANSWER,
    FALLBACK,
    HEALTHY,
    MODEL,
    PRIMARY,
    SPARE,
    Act,
    Asked,
    Script,
    always,
    once,
    refusing,
)

# Real seconds allowed beyond a limit: threads, imports and two busy cores.
ALLOWANCE = 2.0

LIMITED = refusing(429, "Rate limit reached.")
UNAVAILABLE = refusing(503, "Service unavailable.")
TOO_LONG = refusing(400, "This request holds too many tokens.", "context_length_exceeded")
REASON = "Blocked for violence by the safety system."
BLOCKED = refusing(400, REASON, "content_policy_violation")
PREFILL = refusing(400, "The last message must not be of the assistant.")


@dataclass
class Run:
    """What was seen of one scenario.

    Attributes:
        call: What came of the call.
        asked: The call's chat requests, as the server saw them.
        rows: Its rows of the ledger.
        pace: Real seconds for a second of the scenario.
        after: What came of a second call, where the row asks for one.
    """

    call: Call
    asked: Sequence[Asked]
    rows: Sequence[Entry]
    pace: float
    after: Call | None = None

    def of(self, *targets: str) -> list[Asked]:
        """Requests to these targets."""
        return [asked for asked in self.asked if asked.target in targets]

    def within(self, seconds: float) -> bool:
        """Whether the call ended within so many scenario seconds."""
        return self.call.seconds <= seconds * self.pace + ALLOWANCE

    def outcome(self, target: str) -> str:
        """How the first attempt at a target was judged."""
        return next((row.outcome for row in self.rows if f"{row.model}:{row.provider}" == target), "")

    @property
    def whole(self) -> bool:
        """The caller has the whole canonical answer, and no error."""
        return self.call.error is None and self.call.text == ANSWER

    @property
    def told_truly(self) -> bool:
        """Text that is not the whole answer came with an error."""
        return self.call.error is not None or self.call.text == ANSWER


Check = Callable[[Run], bool]


@dataclass(frozen=True)
class Scenario:
    """A row.

    Attributes:
        id: S01 to S16.
        fault: In a few words.
        scripts: By target.
        limit: Scenario seconds within which the call ends.
        required: By name; one that does not hold is a failure.
        advisory: One that does not hold makes a pass partial.
        notes: What is worth a word in the table.
        model: What is asked for.
        models: Fallback models.
        again: A second call follows, which must be answered.
        safe: On a raw stream an honest break is the best there is.
        clean_error: The ideal outcome is this error.
    """

    id: str
    fault: str
    scripts: Mapping[str, Script]
    limit: float
    required: Mapping[str, Check] = field(default_factory=dict)
    advisory: Mapping[str, Check] = field(default_factory=dict)
    notes: Mapping[str, Check] = field(default_factory=dict)
    model: str = MODEL
    models: list[str] | None = None
    again: bool = False
    safe: bool = False
    clean_error: type[Exception] | None = None


def _primary(act: Act, play: Callable[[Act], Script] = always) -> dict[str, Script]:
    return {PRIMARY: play(act)}


def _both(act: Act) -> dict[str, Script]:
    """Two providers of one model say the same: it is the request that does not fit."""
    return {PRIMARY: always(act), FALLBACK: always(act)}


def _at_most(most: int, *targets: str, within: float = float("inf")) -> Check:
    """Requests to some targets, or to all, within so many seconds of the first."""

    def check(run: Run) -> bool:
        found = run.of(*targets) if targets else list(run.asked)
        return sum(asked.at - found[0].at <= within for asked in found) <= most

    return check


def _exactly_once(model: str) -> Check:
    return lambda run: sum(asked.target.startswith(f"{model}:") for asked in run.asked) == 1


def _patient(run: Run) -> bool:
    """A second try at the primary comes no sooner than it asked; the header has real seconds."""
    tries = run.of(PRIMARY)
    return len(tries) < 2 or (tries[1].at - tries[0].at) * run.pace >= 1.8


def _no_prefill(_number: int, asked: Asked) -> Act:
    """A provider that does not go on where another one stopped."""
    return PREFILL if asked.body["messages"][-1]["role"] == "assistant" else HEALTHY


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "S01",
        "one 429 with Retry-After: 2, then healthy",
        _primary(refusing(429, "Rate limit reached.", retry_after="2"), once),
        limit=20,
        required={"at most 2 attempts on it within 1.5 s": _at_most(2, PRIMARY, within=1.5)},
        advisory={"a second try only when its time is over": _patient},
        notes={"failed over at once": lambda run: len(run.of(PRIMARY)) == 1 and bool(run.of(FALLBACK))},
    ),
    Scenario(
        "S02",
        "429 for ever",
        _primary(LIMITED),
        limit=40,
        required={"at most 4 attempts within 3 s": _at_most(4, within=3), "at most 6 in all": _at_most(6)},
    ),
    Scenario(
        "S03",
        "one 500, then healthy",
        _primary(refusing(500, "Internal server error."), once),
        limit=20,
        advisory={"tried once more on the same provider": lambda run: len(run.of(PRIMARY)) == 2},
    ),
    Scenario("S04", "503 for ever", _primary(UNAVAILABLE), limit=40, required={"at most 6 attempts": _at_most(6)}),
    Scenario("S05", "one reset before any byte, then healthy", _primary(Act(reset=True), once), limit=20),
    Scenario(
        "S06",
        "accepts and never answers",
        _primary(Act(silent=120)),
        limit=100,
        required={"given up before it gave up": lambda run: run.outcome(PRIMARY) == "first_content_timeout"},
        advisory={"not tried a second time": _at_most(1, PRIMARY)},
    ),
    Scenario(
        "S07",
        "headers at once, first token after 20 s",
        _primary(Act(late=20)),
        limit=60,
        advisory={"answered within 15 s, by another": lambda run: run.within(15) and bool(run.of(FALLBACK))},
    ),
    Scenario("S08", "dies after 40 of 60 tokens", _primary(Act(tokens=40)), limit=40, safe=True),
    Scenario(
        "S09",
        "20 tokens, 30 s of silence, then closed",
        _primary(Act(tokens=20, hold=30), once),
        limit=45,
        required={"the silence is noticed": lambda run: run.outcome(PRIMARY) == "idle_timeout"},
        again=True,
        safe=True,
    ),
    Scenario(
        "S10",
        "a tenth event that is no JSON, the rest is fine",
        _primary(Act(broken=10), once),
        limit=40,
        notes={
            "recovered in place": lambda run: len(run.asked) == 1,
            "failed over": lambda run: bool(run.of(FALLBACK)),
        },
        again=True,
    ),
    Scenario(
        "S11",
        "a complete stream without [DONE]",
        _primary(Act(done=False)),
        limit=8,
        required={"one attempt is enough": _at_most(1)},
        advisory={"usage reported": lambda run: run.call.about.get("output_tokens") == 60},
    ),
    Scenario(
        "S12",
        "400 context_length_exceeded each time",
        _both(TOO_LONG),
        limit=20,
        required={
            "the same model is tried exactly once": _exactly_once(MODEL),
            "the larger model answers": lambda run: run.call.about.get("model_name") == SPARE,
        },
        models=[SPARE],
    ),
    Scenario(
        "S13",
        "400 content_policy_violation each time",
        _both(BLOCKED),
        limit=20,
        required={
            "tried exactly once": _exactly_once(MODEL),
            "the provider's reason reaches the caller": lambda run: REASON in str(run.call.error),
        },
        clean_error=RequestRejected,
    ),
    Scenario(
        "S14",
        "dies after 40 tokens; the fallback rejects prefill",
        {PRIMARY: always(Act(tokens=40)), FALLBACK: _no_prefill},
        limit=40,
        required={"no rejected prefill": lambda run: all(row.status != 400 for row in run.rows)},
        safe=True,
    ),
    Scenario(
        "S16",
        "503 for ever at the model's only provider",
        _primary(UNAVAILABLE),
        limit=40,
        required={
            "at most 6 attempts": _at_most(6),
            "the answer names the fallback's model": lambda run: run.call.about.get("model_name") == SPARE,
        },
        advisory={
            "usage reported": lambda run: run.call.about.get("output_tokens") == 60,
            "failed attempts cost nothing": lambda run: all(
                row.cost.upper == 0 for row in run.rows if row.status == 503
            ),
        },
        model=PRIMARY,
        models=[SPARE],
    ),
)

# Noise is one thing; half an object may have held a word, and an answer that lacks one must not be taken for whole.
HALF_AN_OBJECT = replace(
    next(row for row in SCENARIOS if row.id == "S10"),
    fault="a tenth event that is half an object",
    scripts=_primary(Act(broken=10, noise='{"choices": [{"index": 0, "delta": {"con'), once),
)

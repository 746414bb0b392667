"""What a call gives back: `Completion`, `Delta`, `Attempt` and the JSON mapping `Body`. Streams are in `stream.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hfrouter.cost.price import Cost, Total
    from hfrouter.cost.usage import Usage
    from hfrouter.routing.journal import Journal
    from hfrouter.routing.target import Target


class Body(dict[str, Any]):
    """A JSON object whose keys also read as attributes, all the way down.

    >>> Body({"choices": [{"message": {"content": "hi"}}]}).choices[0].message.content
    'hi'
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return _readable(self[name])
        except KeyError:
            raise AttributeError(name) from None


def _readable(value: Any) -> Any:
    if isinstance(value, dict) and not isinstance(value, Body):
        return Body(value)
    if isinstance(value, list):
        return [_readable(item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that was sent to one target, and what came of it.

    Attributes:
        number: From 1, in the order of launch.
        model: Hub repo id asked for.
        provider: Who served it: `x-inference-provider` where given, else the one asked for.
        outcome: `ok`, or what went wrong in one word: `rate_limited`, `server_error`, `cut`, ...
        status: HTTP status, or None when there was none.
        seconds: From the launch to the end of the attempt.
        first_content: Seconds from the launch to the first meaningful content, or None.
        usage: Tokens the provider reported, or None.
        cost: What it cost: exact, or bounds with a reason.
        request_id: The answer's `x-request-id`, for support tickets.
        streamed: Whether the upstream was asked for a stream.
    """

    number: int
    model: str
    provider: str
    outcome: str
    status: int | None
    seconds: float
    first_content: float | None
    usage: Usage | None
    cost: Cost
    request_id: str | None = None
    streamed: bool = True

    @property
    def ok(self) -> bool:
        """Whether it answered."""
        return self.outcome == "ok"

    def __str__(self) -> str:
        target = f"{self.model}:{self.provider}" if self.provider else self.model
        what = self.outcome if self.status is None or self.status < 400 else f"{self.status} {self.outcome}"
        return f"attempt {self.number} {target} {what} after {self.seconds:.2f} s"


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer, who gave it and what it cost.

    Its `repr` shows no text of the answer.

    Attributes:
        body: The OpenAI chat completion, normalised: reasoning is in `message.reasoning_content` whoever served it.
        target: The catalogue row that served it.
        attempts: Every attempt of the call in order of launch.
        cost: What the answering attempt cost. `total` adds the attempts that failed.
        journal: The decisions of the call.
        id: The call's id in the ledger.
        answer: The attempt that answered; a rival that lost to it may come after.
    """

    body: Body = field(repr=False)
    target: Target
    attempts: tuple[Attempt, ...]
    cost: Cost
    total: Total
    journal: Journal = field(repr=False)
    id: str
    answer: Attempt = field(repr=False)

    @property
    def message(self) -> Mapping[str, Any]:
        """The first choice's message."""
        message: Mapping[str, Any] = self.body["choices"][0]["message"]
        return message

    @property
    def text(self) -> str:
        """The answer's text; empty when it only calls tools."""
        return self.message.get("content") or ""

    @property
    def reasoning(self) -> str:
        """The model's reasoning where the provider shows it, else empty."""
        return self.message.get("reasoning_content") or ""

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """Tool calls in OpenAI form, arguments as JSON text."""
        return self.message.get("tool_calls") or []

    @property
    def finish_reason(self) -> str | None:
        """`stop`, `length`, `tool_calls` or `content_filter`; None when the provider gave none."""
        reason: str | None = self.body["choices"][0].get("finish_reason")
        return reason

    @property
    def usage(self) -> Usage | None:
        """Tokens of the answering attempt, or None when the provider reported none."""
        return self.answer.usage

    @property
    def provider(self) -> str:
        """Who served the answer."""
        return self.answer.provider

    @property
    def model(self) -> str:
        """The Hub repo id that answered, which differs from the first one asked when a fallback model served."""
        return self.target.model

    def explain(self) -> str:
        """The decisions of the call as text: candidates, reasons, attempts, waits."""
        return self.journal.explain()


@dataclass(frozen=True, slots=True)
class Delta:
    """One step of a stream. Its `repr` shows no text.

    Attributes:
        index: Which choice (0 unless `n > 1`).
        text: Piece of the answer.
        reasoning: Piece of the reasoning.
        tool_calls: Fragments in OpenAI form; every fragment has an `index`, the first of a call has `id` and `name`.
        finish_reason: On the last step of a choice.
        usage: On one step near the end, once per stream.
        body: The provider's event as sent, for readers who need more.
    """

    index: int = 0
    text: str = field(default="", repr=False)
    reasoning: str = field(default="", repr=False)
    tool_calls: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    finish_reason: str | None = None
    usage: Usage | None = None
    body: Body = field(default_factory=Body, repr=False)

    @property
    def meaningful(self) -> bool:
        """Whether it carries content of any kind, so that delivering it commits the stream."""
        return bool(self.text or self.reasoning or self.tool_calls)


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors, one for each text in the order of the texts. Its `repr` shows none.

    Attributes:
        vectors: Lists of floats, all of one length.
        model: Hub repo id.
        provider: Who embedded the last batch; one and the same for all unless it failed on the way.
        attempts: Every attempt of every batch.
        cost: What the answers cost together; embeddings have no listed price, so it is mostly not exact.
        total: The same with the attempts that failed.
        calls: The ids of the batches in the ledger.
        journals: The decisions, one journal for each batch.
    """

    vectors: list[list[float]] = field(repr=False)
    model: str
    provider: str
    attempts: tuple[Attempt, ...]
    cost: Total
    total: Total
    calls: tuple[str, ...]
    journals: tuple[Journal, ...] = field(repr=False)

    @property
    def dimension(self) -> int:
        """Length of the vectors; 0 when there is none."""
        return len(self.vectors[0]) if self.vectors else 0

    def explain(self) -> str:
        """The decisions as text, batch by batch."""
        return "\n\n".join(journal.explain() for journal in self.journals)

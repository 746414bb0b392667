"""What happened in a call, in order: the one list of events that `explain()`, tests and logs read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hfrouter.routing.target import Target


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. No event holds a prompt, an answer or a key.

    Attributes:
        at: Seconds since the call began.
        kind: `plan`, `reject`, `launch`, `wait`, `abandon`, `done`, `commit`, `answer`, `note` or `end`.
        text: The event as a reader wants it.
        attempt: The attempt it belongs to, or 0.
    """

    at: float
    kind: str
    text: str
    attempt: int = 0


@dataclass(slots=True)
class Journal:
    """The events of one call."""

    events: list[Event] = field(default_factory=list)

    def add(self, at: float, kind: str, text: str, attempt: int = 0) -> None:
        """Write down an event.

        Args:
            at: Seconds since the call began.
            kind: See `Event`.
            text: One line, without prompt, answer or key.
            attempt: Its number, or 0.
        """
        self.events.append(Event(at, kind, text, attempt))

    def plan(self, eligible: tuple[Target, ...], rejected: dict[str, str]) -> None:
        """Write down which targets may be tried, in order, and why others may not."""
        self.add(0.0, "plan", ", ".join(target.id for target in eligible) or "nothing is eligible")
        for target, reason in rejected.items():
            self.add(0.0, "reject", f"{target}: {reason}")

    def explain(self) -> str:
        """The events, a line each.

        >>> journal = Journal()
        >>> journal.add(0.0, "launch", "openai/gpt-oss-20b:groq", 1)
        >>> print(journal.explain())
          0.000 s  launch 1  openai/gpt-oss-20b:groq
        """
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for event in self.events:
            name = f"{event.kind} {event.attempt}" if event.attempt else event.kind
            yield f"{event.at:7.3f} s  {name:9} {event.text}"

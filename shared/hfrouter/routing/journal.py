"""What happened in a call, in order: the one list of events that `explain()`, tests and logs read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from hfrouter.routing.target import Target


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. No event holds a prompt, an answer or a key.

    Attributes:
        at: Seconds since the call began.
        kind: `plan`, `reject`, `rank`, `launch`, `wait`, `abandon`, `begun`, `done`, `note` or `end`.
        text: The event as a reader wants it.
        attempt: The attempt it belongs to, or 0.
    """

    at: float
    kind: str
    text: str
    attempt: int = 0


Later: TypeAlias = Callable[[], Iterable[Event]]


@dataclass(slots=True)
class Journal:
    """The events of one call. What is costly to put into words is put so when somebody reads it."""

    _events: list[Event | Later] = field(default_factory=list)
    _told: int = 0

    def __reduce__(self) -> tuple[type[Journal], tuple[list[Event], int]]:
        return Journal, (self.events, self._told)  # what is made later cannot be pickled

    @property
    def events(self) -> list[Event]:
        """The events in order."""
        if any(callable(each) for each in self._events):
            self._events = [event for each in self._events for event in (each() if callable(each) else (each,))]
        return cast("list[Event]", self._events)

    def add(self, at: float, kind: str, text: str, attempt: int = 0) -> None:
        """Write down an event.

        Args:
            at: Seconds since the call began.
            kind: See `Event`.
            text: One line, without prompt, answer or key.
            attempt: Its number, or 0.
        """
        self._events.append(Event(at, kind, text, attempt))

    def add_later(self, events: Later) -> None:
        """Write down events that are made when somebody reads them."""
        self._events.append(events)

    def plan(self, eligible: Sequence[Target], rejected: Mapping[str, str]) -> None:
        """Write down which targets may be tried, and why others may not."""

        def events() -> Iterator[Event]:
            yield Event(0.0, "plan", ", ".join(target.id for target in eligible) or "nothing is eligible")
            for target, reason in rejected.items():
                yield Event(0.0, "reject", f"{target}: {reason}")

        self.add_later(events)

    def explain(self) -> str:
        """The events, a line each.

        >>> journal = Journal()
        >>> journal.add(0.0, "launch", "openai/gpt-oss-20b:groq", 1)
        >>> print(journal.explain())
          0.000 s  launch 1  openai/gpt-oss-20b:groq
        """
        return "\n".join(_lines(self.events))

    def news(self) -> str:
        """The events since this was asked last: what led to the attempt that is about to be written down."""
        events = self.events
        told, self._told = self._told, len(events)
        return "\n".join(_lines(events[told:]))


def _lines(events: Iterable[Event]) -> Iterator[str]:
    for event in events:
        name = f"{event.kind} {event.attempt}" if event.attempt else event.kind
        yield f"{event.at:7.3f} s  {name:9} {event.text}"

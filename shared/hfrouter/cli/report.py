"""A table of calls: who served each, what failed on the way, tokens, cost, and what fallback saved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from hfrouter import Entry, Total


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the demo.

    Attributes:
        name: What was asked.
        rows: The ledger's rows of the call, in order.
        right: Whether the answer said what it had to.
    """

    name: str
    rows: tuple[Entry, ...]
    right: bool

    @property
    def served(self) -> tuple[Entry, ...]:
        """The rows that answered: one for each question and each batch of texts to embed."""
        return tuple(row for row in self.rows if row.outcome == "ok")

    @property
    def failed(self) -> tuple[Entry, ...]:
        """The rows that did not."""
        return tuple(row for row in self.rows if row.outcome != "ok")


def print_report(console: Console, calls: Sequence[Call], *, live: bool) -> None:
    """Print the table, the totals, and what fallback saved.

    Args:
        console: Where to.
        calls: In order.
        live: Whether real providers answered.
    """
    table = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
    for heading in ("call", "what failed on the way", "served by"):
        table.add_column(heading, overflow="fold")
    for heading in ("attempts", "tokens in/out", "cost", "answer"):
        table.add_column(heading, justify="right", no_wrap=True)
    for call in calls:
        table.add_row(*_cells(call))
    console.print(table)
    console.print(_totals(calls), highlight=False)
    console.print(_saved(calls, live=live), highlight=False)


def _cells(call: Call) -> tuple[str, ...]:
    usages = [row.usage for row in call.served if row.usage]
    return (
        call.name,
        _failures(call.failed) or "-",
        ", ".join(dict.fromkeys(row.provider for row in call.served)) or "nobody",
        str(len(call.rows)),
        f"{sum(u.input_tokens for u in usages)}/{sum(u.output_tokens for u in usages)}" if usages else "n/a",
        _short(Total.of(row.cost for row in call.served)),
        "right" if call.right else "[red]WRONG[/red]",
    )


def _failures(rows: Sequence[Entry]) -> str:
    """Who failed and how, equal failures counted."""
    counted = Counter(f"{row.provider} {_what(row)}" for row in rows)
    return ", ".join(f"{failure} x{times}" if times > 1 else failure for failure, times in counted.items())


def _short(total: Total) -> str:
    """A cost for a narrow column: exact, a range, or what is not known."""
    if total.unknown and total.upper is None and not total.lower:
        return "n/a"
    return str(total).partition(" (")[0]


def _what(row: Entry) -> str:
    status = f"{row.status} " if row.status is not None and row.status >= 400 else ""
    return f"{status}{row.outcome}"


def _totals(calls: Sequence[Call]) -> str:
    answers = [row for call in calls for row in call.served]
    usages = [row.usage for row in answers if row.usage]
    spent = Total.of(row.cost for row in answers)
    lost = Total.of(row.cost for call in calls for row in call.failed)
    tokens = f"{sum(u.input_tokens for u in usages)}/{sum(u.output_tokens for u in usages)} tokens"
    return (
        f"\n{len(calls)} calls, {sum(len(call.rows) for call in calls)} attempts, {tokens}. "
        f"Answers cost {spent}; attempts that failed: {lost}."
    )


def _saved(calls: Sequence[Call], *, live: bool) -> str:
    saved = sum(1 for call in calls if call.served and call.failed)
    right = sum(call.right for call in calls)
    story = f"{right} of {len(calls)} answers right. "
    if saved:
        return story + f"Fallback saved {saved} calls: they were answered after an attempt had failed."
    return story + ("Every first attempt answered." if live else "Nothing failed.")

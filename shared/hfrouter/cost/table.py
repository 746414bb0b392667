"""Figures in columns, for printing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lines of columns two blanks apart: the first to the left, numbers to the right, the last as it is.

    >>> print(table(("target", "USD", "why"), [("a/b:p", "$1.00", ""), ("a/b:q", "n/a", "no price")]))
    target    USD  why
    a/b:p   $1.00
    a/b:q     n/a  no price
    """
    cells = [[_plain(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for first, *middle, last in cells:
        numbers = (cell.rjust(width) for cell, width in zip(middle, widths[1:-1], strict=True))
        lines.append("  ".join((first.ljust(widths[0]), *numbers, last)).rstrip())
    return "\n".join(lines)


def _plain(cell: str) -> str:
    """A cell that moves no cursor: names of sessions and providers come from elsewhere."""
    return "".join(character if character.isprintable() else "?" for character in cell)

"""Real documents for the demo: this project's own documentation, as it is installed."""

from __future__ import annotations

import re
from importlib import metadata


def passages() -> list[str]:
    """The README in passages of a few sentences, each under the headings it stands below.

    It is part of the installed distribution, so that the demo needs no checkout. Code and tables' rules are left out.
    """
    text = metadata.metadata("hfrouter")["Description"] or ""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    found: list[str] = []
    heading = ""
    for block in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in block.strip().splitlines()]
        if lines and lines[0].startswith("#"):
            heading = lines.pop(0).lstrip("# ")
        found += _pieces(heading, lines)
    return found


def _pieces(heading: str, lines: list[str]) -> list[str]:
    """A paragraph as one passage, a table as one for each row."""
    if not lines:
        return []
    if not lines[0].startswith("|"):
        return [_plain(f"{heading}: {' '.join(lines)}")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return [_plain(f"{heading}: {': '.join(row)}.") for row in rows]


def _plain(text: str) -> str:
    """Without Markdown's marks."""
    return re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", text)

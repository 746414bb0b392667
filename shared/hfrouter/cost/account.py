"""The account of a call, read back from its rows."""

from __future__ import annotations

from collections.abc import Iterable

from hfrouter.cost.ledger import Entry


def explained(rows: Iterable[Entry]) -> str:
    """The decisions of a call and what came of each, as text.

    >>> row = Entry("1", "c", 1, 0, "openai/gpt-oss-20b", "groq", True, decision="  0.000 s  launch 1  ...")
    >>> print(explained([row]))
      0.000 s  launch 1  ...
    attempt 1 openai/gpt-oss-20b:groq pending, cost n/a
    """
    return "\n".join(line for row in rows for line in (row.decision, _outcome(row)) if line)


def _outcome(row: Entry) -> str:
    after = "" if row.duration_ms is None else f" after {row.duration_ms} ms"
    status = f"{row.status} " if row.status is not None and row.status >= 400 else ""
    return f"attempt {row.number} {row.model}:{row.provider} {status}{row.outcome}{after}, cost {row.cost}"

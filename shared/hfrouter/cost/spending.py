"""What was spent, added up from the ledger's rows: whatever has happened since to the process that wrote them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from hfrouter.cost.ledger import Entry
from hfrouter.cost.price import Cost, Total
from hfrouter.errors import ConfigurationError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = ("provider", "model", "session", "call", "outcome", "billed")


def spending(
    entries: Iterable[Entry],
    since: datetime | None = None,
    until: datetime | None = None,
    tags: Mapping[str, str] | None = None,
    by: str = "provider",
) -> dict[str, Total]:
    """Add up rows in groups, in the order of their names.

    Args:
        entries: Rows; one that is still pending counts with its bounds.
        since: Only attempts that started then or later; without a time zone it is local time.
        until: Only attempts that started before.
        tags: Only rows that have all of these.
        by: `provider`, `model`, `session`, `call`, `outcome`, `billed`, `day` (of UTC), or the name of a tag, also of
            one that is called as a column that is empty. Rows without it are under an empty name.

    Raises:
        ConfigurationError: `since` or `until` is no `datetime`.
    """
    first, last = _ms("since", since), _ms("until", until)
    wanted = set((tags or {}).items())
    groups: dict[str, list[Cost]] = {}
    for entry in entries:
        began = (first is None or entry.started_ms >= first) and (last is None or entry.started_ms < last)
        if began and wanted <= set(entry.tags):
            groups.setdefault(_group(entry, by), []).append(entry.cost)
    return {name: Total.of(groups[name]) for name in sorted(groups)}


def _group(entry: Entry, by: str) -> str:
    if by == "day":
        return (_EPOCH + timedelta(milliseconds=entry.started_ms)).date().isoformat()
    column: str | None = getattr(entry, by) if by in _COLUMNS else None
    return column or dict(entry.tags).get(by, "")


def _ms(name: str, moment: datetime | None) -> int | None:
    """Milliseconds since 1970, rounded up: a moment within a millisecond begins with the next one."""
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        raise ConfigurationError(f"{name} is a {type(moment).__name__}; give a datetime.")
    return -((_EPOCH - moment.astimezone()) // timedelta(milliseconds=1))

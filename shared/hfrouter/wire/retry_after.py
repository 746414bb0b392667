"""How long the other side asks to be left alone: `Retry-After` and its relatives, in every form met in the wild."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_LIMIT_LEFT = re.compile(r";\s*r=([0-9]{1,9})\b", re.ASCII)
_LIMIT_ENDS = re.compile(r";\s*t=([0-9]{1,9})\b", re.ASCII)
_LONGEST = 3600.0


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, at most an hour; None when nothing usable was said.

    Reads `retry-after-ms`, `Retry-After` (RFC 9110: whole seconds or any HTTP date; decimals are met too) and the
    Hub's `RateLimit: "api";r=0;t=55`. A malformed header never hides a good one. 0 and past dates say nothing.

    Args:
        headers: Of the answer, by lower-case name.
        now: Wall-clock seconds since 1970, used for dates when the answer has no `Date` of its own.

    >>> retry_after({"retry-after": "2"}, 0.0)
    2.0
    """
    milliseconds = _decimal(headers.get("retry-after-ms", ""))
    if milliseconds:
        return min(milliseconds / 1000, _LONGEST)
    said = headers.get("retry-after", "")
    found = [seconds for part in said.split(",") if (seconds := _decimal(part)) is not None]
    if not found and (moment := _date(said)) is not None:
        sent = _date(headers.get("date", ""))
        found = [moment - (now if sent is None else sent)]
    if not found:
        found = [_window(limit) for limit in headers.get("ratelimit", "").split(",")]
    longest = max(found, default=0.0)
    return min(longest, _LONGEST) if longest > 0 else None


def _window(limit: str) -> float:
    """Seconds until a rate limit's window ends, when nothing of the limit is left; else 0."""
    left, ends = _LIMIT_LEFT.search(limit), _LIMIT_ENDS.search(limit)
    return float(ends[1]) if ends and left and int(left[1]) == 0 else 0.0


def _decimal(text: str) -> float | None:
    return float(text) if _SECONDS.fullmatch(text.strip()) else None


def _date(text: str) -> float | None:
    """An IMF-fixdate, RFC 850 or asctime date as seconds since 1970."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        pass
    try:
        return datetime.strptime(text, "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None

"""Error bodies of every family the router and its providers send, read into a `Problem`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hfrouter.routing.verdict import Problem
from hfrouter.wire.retry_after import retry_after

_SHOWN = 300
_ECHO = 24
WITHHELD = "(the provider's words repeat the request and are withheld)"


def read_problem(status: int, headers: Mapping[str, str], body: bytes, now: float, sent: Sequence[str] = ()) -> Problem:
    """Read an error answer; never raises.

    Args:
        status: HTTP status.
        headers: Of the answer, by lower-case name.
        body: As far as it was read.
        now: Wall-clock seconds since 1970.
        sent: Texts of the request; a message that repeats one is withheld.
    """
    html = "html" in headers.get("content-type", "") or body.lstrip()[:1] == b"<"
    try:
        parsed = json.loads(body) if body and not html else None
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, Mapping):
        problem = problem_of(parsed, status, sent)
    else:
        text = "" if html else body[:_SHOWN].decode("utf-8", "replace")
        problem = Problem(status, _shown(text, sent), html=html)
    wait = retry_after(headers, now) if status in {408, 425, 429} or status >= 500 else None
    return Problem(status, problem.message, problem.code, wait, problem.estimated_time, html)


def problem_of(body: Mapping[str, Any], status: int | None = None, sent: Sequence[str] = ()) -> Problem:
    """Read an error object, from an error answer or from inside a 200; its own code is the status of the latter.

    The families: `{"error": "..."}`, `{"error": {"message", "type", "param", "code"}}`, `{"message": "..."}` and
    `{"detail": "..." | [{"loc", "msg"}]}`.
    """
    error = body.get("error")
    inner: Mapping[str, Any] = error if isinstance(error, Mapping) else body
    message = error if isinstance(error, str) else inner.get("message") or _detail(body.get("detail"))
    codes = (inner.get("code"), inner.get("type"), body.get("error_type"), inner.get("status"))
    if status is None:
        numbers = (code for code in map(_number, (*codes, body.get("status"))) if code is not None)
        status = next((n for n in numbers if 400 <= n < 600), _status_of(codes))
    estimated = body.get("estimated_time")
    usable = isinstance(estimated, (int, float)) and not isinstance(estimated, bool) and 0 <= estimated < 3600
    return Problem(
        status,
        _shown(message if isinstance(message, str) else "", sent),
        " ".join(str(code)[:80] for code in codes if isinstance(code, (str, int)) and not isinstance(code, bool)),
        estimated_time=float(estimated) if usable and estimated is not None else None,
    )


def texts_of(messages: object) -> tuple[str, ...]:
    """Every text in the messages of a request, so that an error can be kept from repeating one."""
    return tuple(_texts(messages))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) >= 4:
            yield value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            if name not in {"role", "type", "id", "tool_call_id", "name"}:
                yield from _texts(part)
    elif isinstance(value, Sequence):
        for part in value:
            yield from _texts(part)


def _shown(message: str, sent: Sequence[str]) -> str:
    """The message on one line, short, and withheld when it repeats a text of the request."""
    line = " ".join(message.split())
    if len(line) > _SHOWN:
        line = line[: _SHOWN - 1] + "…"
    return WITHHELD if any(_echoes(line, text) for text in sent) else line


def _echoes(line: str, text: str) -> bool:
    if len(text) < _ECHO:
        return text in line
    return any(line[i : i + _ECHO] in text for i in range(max(1, len(line) - _ECHO + 1)) if len(line) >= _ECHO)


def _detail(detail: object) -> str:
    if isinstance(detail, str):
        return detail
    first = detail[0] if isinstance(detail, list) and detail else None
    if not isinstance(first, Mapping):
        return ""
    where = ".".join(str(part) for part in first.get("loc") or ())
    return f"{where}: {first.get('msg', '')}".strip(": ")


def _number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3 else None


def _status_of(codes: Sequence[object]) -> int:
    """The status an error inside a 200 would have had, by its words."""
    words = " ".join(code for code in codes if isinstance(code, str)).lower()
    for sign, status in (("validation", 422), ("invalid_request", 400), ("rate_limit", 429), ("overloaded", 503)):
        if sign in words:
            return status
    return 500

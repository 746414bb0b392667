"""Error bodies of every family the router and its providers send, read into a `Problem`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hfrouter.routing.verdict import Problem
from hfrouter.wire.retry_after import retry_after

_SHOWN = 300
_JUDGED = 16_384
_ECHO = 16
_LONG = 12
_TOKEN = re.compile(r"\bhf_\w{4,}")
PAYER = "x-hf-bill-to"
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
        text = "" if html else body[:_JUDGED].decode("utf-8", "replace")
        problem = Problem(status, text, shown=_shown(text, sent))
    wait = retry_after(headers, now) if status in {408, 425, 429} or status >= 500 else None
    return replace(problem, retry_after=wait, html=html)


def problem_of(body: Mapping[str, Any], status: int | None = None, sent: Sequence[str] = ()) -> Problem:
    """Read an error object, from an error answer or from inside a 200; its own code is the status of the latter.

    The families: `{"error": "..."}`, `{"error": {"message", "type", "param", "code"}}`, `{"message": "..."}` and
    `{"detail": "..." | [{"loc", "msg"}]}`.
    """
    error = body.get("error")
    inner: Mapping[str, Any] = error if isinstance(error, Mapping) else body
    found = (error, inner.get("message"), body.get("message"), _detail(body.get("detail")))
    message = next((words[:_JUDGED] for words in found if isinstance(words, str) and words), "")
    codes = (inner.get("code"), inner.get("type"), body.get("error_type"), inner.get("status"))
    if status is None:
        numbers = (code for code in map(_number, (*codes, body.get("status"))) if code is not None)
        status = next((n for n in numbers if 400 <= n < 600), _status_of(codes))
    estimated = body.get("estimated_time")
    usable = isinstance(estimated, (int, float)) and not isinstance(estimated, bool) and 0 <= estimated < 3600
    return Problem(
        status,
        message,
        " ".join(str(code)[:80] for code in codes if isinstance(code, (str, int)) and not isinstance(code, bool)),
        estimated_time=float(estimated) if usable and estimated is not None else None,
        shown=_shown(message, sent),
    )


def texts_of(sent: object) -> tuple[str, ...]:
    """Every text of what was sent that an error must not repeat.

    Args:
        sent: Messages, or a request with its `messages` and everything else it holds, the credential included. Of the
            messages every text counts; of the rest only long ones, since an error must be able to name a parameter.
    """
    if not isinstance(sent, Mapping):
        return tuple(_texts(sent))
    rest = {name: part for name, part in sent.items() if name not in ("messages", PAYER)}
    payer = [sent[PAYER]] if sent.get(PAYER) else []  # however short its name
    return (*_texts(sent.get("messages")), *(text for text in _texts(rest) if len(text) >= _LONG), *payer)


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
    line = _one_line(message.encode("utf-8", "replace").decode())  # half a surrogate pair could not be printed
    if len(line) > _SHOWN:
        line = line[: _SHOWN - 1] + "…"
    if any(_echoes(line, _one_line(text)) for text in sent):
        return WITHHELD
    plain = "".join(c if c.isprintable() else "?" for c in line)  # the rest moves the cursor of whoever prints it
    return _TOKEN.sub("hf_***", plain)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _echoes(line: str, text: str) -> bool:
    """Whether the line holds the text, or 16 characters of it in a row.

    Any 16 in a row hold one of the line's blocks of 8, so only around a block that the text has is looked closer.
    """
    if len(text) < _ECHO:
        return bool(text) and text in line
    half = _ECHO // 2
    for block in range(0, len(line) - half + 1, half):
        if line[block : block + half] in text:
            first, last = max(0, block - half), min(block, len(line) - _ECHO)
            if any(line[i : i + _ECHO] in text for i in range(first, last + 1)):
                return True
    return False


def _detail(detail: object) -> str:
    if isinstance(detail, str):
        return detail
    first = detail[0] if isinstance(detail, list) and detail else None
    if not isinstance(first, Mapping):
        return ""
    places, said = first.get("loc"), first.get("msg")
    where = [str(p) for p in places if isinstance(p, (str, int))] if isinstance(places, list) else []
    return ": ".join(words for words in (".".join(where), said if isinstance(said, str) else "") if words)


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

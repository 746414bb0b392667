"""What a recorded answer says, by the most naive reading there is, and what its failure means.

Nothing of hfrouter is used here: these are the expectations that the library's own reading is held against.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.recordings.cassettes import Exchange

_ENDS = {"eos": "stop", "eos_token": "stop"}


@dataclass
class Reading:
    """What an answer says.

    Attributes:
        text: The answer.
        reasoning: Beside it, or in a `<think>` block before it.
        calls: (id, name, arguments as JSON values) in the order of their index.
        finish: The last finish reason, in the words of OpenAI.
        usage: (input, output, cached, reasoning) of the last report, or None.
        model: As the provider named it.
        identity: The body's own id.
        whole: It ended as an answer ends.
        broken: An error came in the middle.
    """

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    finish: str | None = None
    usage: tuple[int, int, int | None, int | None] | None = None
    model: str = ""
    identity: str = ""
    whole: bool = False
    broken: bool = False

    @property
    def empty(self) -> bool:
        """It ended well and says nothing."""
        return not self.text.strip() and not self.calls and self.finish not in {"length", "content_filter"}


def read(exchange: Exchange) -> Reading:
    """Read a recorded chat answer."""
    unary = exchange.kind == "unary"
    events = [exchange.json] if unary else list(_events(exchange.body))
    text, reasoning, reading = "", "", Reading(whole=unary or b"[DONE]" in exchange.body)
    calls: dict[Any, dict[str, str]] = {}
    for event in events:
        reading.model = reading.model or event.get("model") or ""
        reading.identity = reading.identity or event.get("id") or ""
        reading.broken = reading.broken or bool(event.get("error"))
        if event.get("usage"):
            reading.usage = _usage(event["usage"])
        for choice in event.get("choices") or ():
            if choice.get("index", 0) != 0:
                continue
            part = (choice.get("message") if unary else choice.get("delta")) or {}
            text += part.get("content") or ""
            reasoning += part.get("reasoning") or part.get("reasoning_content") or ""
            for position, call in enumerate(part.get("tool_calls") or ()):
                index = call.get("index")
                kept = calls.setdefault(position if index is None else index, {"id": "", "name": "", "arguments": ""})
                kept["id"] = kept["id"] or call.get("id") or ""
                kept["name"] = kept["name"] or call["function"].get("name") or ""
                kept["arguments"] += call["function"].get("arguments") or ""
            if choice.get("finish_reason"):
                reading.finish, reading.whole = choice["finish_reason"], True
    if thought := re.match(r"\s*<think>\n*(.*?)(</think>\s*|\Z)", text, re.DOTALL):
        reasoning, text = reasoning + thought[1], text[thought.end() :]
    reading.text, reading.reasoning = text, reasoning
    reading.calls = [(c["id"], c["name"], json.loads(c["arguments"] or "{}")) for _, c in sorted(calls.items())]
    reading.finish = _ENDS.get(reading.finish or "", reading.finish)
    return reading


def _events(body: bytes) -> Iterator[Any]:
    for line in body.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line.startswith("data:") and line[5:].strip() != "[DONE]":
            yield json.loads(line[5:])


def _usage(report: Mapping[str, Any]) -> tuple[int, int, int | None, int | None]:
    cached = (report.get("prompt_tokens_details") or {}).get("cached_tokens")
    if cached is None:
        cached = report.get("cached_tokens", report.get("prompt_cache_hit_tokens"))
    reasoning = (report.get("completion_tokens_details") or {}).get("reasoning_tokens")
    return report["prompt_tokens"], report["completion_tokens"], cached, reasoning


# Status, words of the body, what it is, whom it speaks about, what to do, what the caller gets when it was the only
# attempt. From the table of errors in the contract; the first row that fits.
_MEANINGS: tuple[tuple[range | int, str, str, str, str, str], ...] = (
    (400, "model_not_found", "model_not_found", "MODEL", "FALLBACK", "RequestRejected"),
    (400, "model_not_supported", "model_not_supported", "TARGET", "FALLBACK", "RouteExhausted"),
    (400, "not supported by provider", "model_not_supported", "TARGET", "FALLBACK", "RouteExhausted"),
    (400, "Unknown Model", "model_not_supported", "TARGET", "FALLBACK", "RouteExhausted"),
    (400, "is unsupported", "unsupported_parameter", "TARGET", "FALLBACK", "RequestRejected"),
    (range(400, 423), "max_new_tokens` must be", "context_overflow", "MODEL", "FALLBACK", "ContextOverflow"),
    (range(400, 423), "maximum context length", "context_overflow", "MODEL", "FALLBACK", "ContextOverflow"),
    (400, "cold", "cold", "TARGET", "FALLBACK", "RouteExhausted"),
    (401, "", "unauthorized", "CREDENTIAL", "FATAL", "RequestRejected"),
    (402, "", "out_of_credits", "ACCOUNT", "FATAL", "OutOfCredits"),
    (403, "spending limit", "spending_limit", "ACCOUNT", "FATAL", "OutOfCredits"),
    (403, "permission", "token_lacks_permission", "CREDENTIAL", "FATAL", "RequestRejected"),
    (403, "", "forbidden", "PROVIDER", "FALLBACK", "RouteExhausted"),
    (404, "", "not_found", "TARGET", "FALLBACK", "RouteExhausted"),
    (410, "", "gone", "TARGET", "FALLBACK", "RouteExhausted"),
    (422, "template_error", "unsupported_parameter", "TARGET", "FALLBACK", "RequestRejected"),
    (429, "", "rate_limited", "TARGET", "FALLBACK", "RouteExhausted"),
    (503, "loading", "cold", "TARGET", "FALLBACK", "RouteExhausted"),
    (range(500, 600), "", "server_error", "TARGET", "RETRY", "RouteExhausted"),
    (range(400, 500), "", "bad_request", "REQUEST", "FATAL", "RequestRejected"),
)


def meaning(exchange: Exchange) -> tuple[str, str, str, str]:
    """(kind, scope, verdict, error class) of a recorded error."""
    words, status = exchange.body.decode("utf-8", "replace"), exchange.status
    if status < 400:
        status = 422 if "validation" in words else 500
    for statuses, sign, *means in _MEANINGS:
        if (status == statuses if isinstance(statuses, int) else status in statuses) and sign in words:
            return means[0], means[1], means[2], means[3]
    raise AssertionError(f"no row for {status} {words[:200]}")

"""What an outcome means: the rules of which failure belongs to whom, and what to do about it.

Errors are judged by scope, not by number alone. The statuses and texts are those of the Hugging Face router and of the
providers behind it, recorded or logged between 2025-03 and 2026-10.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum


class Verdict(Enum):
    """What to do next."""

    OK = "answered"
    RETRY = "ask the same target again"
    FALLBACK = "ask the next target"
    FATAL = "no target can serve this"


class Scope(Enum):
    """Whom a failure speaks about: what must not be asked again in this call."""

    TARGET = "target"
    PROVIDER = "provider"
    MODEL = "model"
    ENDPOINT = "endpoint"
    CREDENTIAL = "credential"
    ACCOUNT = "account"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reasons.

    Attributes:
        verdict: What to do.
        kind: What went wrong in one word, `ok` when nothing did.
        scope: Whom it speaks about.
        status: HTTP status, or None when there was none.
        retry_after: Seconds the other side asked to be left alone, or None.
        cold: The model is still loading: waiting helps, another request at once does not.
        text: The provider's own words, short, without an echo of the request.
        kept: It met a connection kept from an earlier request, perhaps of another provider, so that it may say nothing
            of this target.
    """

    verdict: Verdict
    kind: str = "ok"
    scope: Scope = Scope.TARGET
    status: int | None = None
    retry_after: float | None = None
    cold: bool = False
    text: str = ""
    kept: bool = False


ANSWERED = Judgement(Verdict.OK, status=200)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error answer as read from its body: words and codes.

    Attributes:
        status: HTTP status; the code inside when the error came in a 200.
        message: What it says, for the rules. It may repeat the request, so it is kept out of every `repr`.
        code: Machine-readable code such as `model_not_found`, or empty.
        retry_after: Seconds from `Retry-After` or the like, or None.
        estimated_time: Seconds until a cold model is loaded, or None.
        html: The body was a web page: a gateway or a firewall answered, not a provider.
        shown: What of the message may be shown; None for all of it.
    """

    status: int
    message: str = field(default="", repr=False)
    code: str = ""
    retry_after: float | None = None
    estimated_time: float | None = None
    html: bool = False
    shown: str | None = None


@dataclass(frozen=True, slots=True)
class _Rule:
    """A row of the table: the first one that fits decides."""

    kind: str
    verdict: Verdict
    scope: Scope
    status: frozenset[int]
    text: re.Pattern[str] | None = None
    cold: bool = False

    def fits(self, problem: Problem) -> bool:
        return problem.status in self.status and (
            self.text is None or bool(self.text.search(f"{problem.code} {problem.message}"))
        )


def _rule(
    kind: str, verdict: Verdict, scope: Scope, status: set[int] | range, text: str = "", cold: bool = False
) -> _Rule:
    return _Rule(kind, verdict, scope, frozenset(status), re.compile(text, re.IGNORECASE) if text else None, cold)


_CLIENT = range(400, 500)
_SERVER = range(500, 600)
_OVERFLOW = (
    r"context[ _-]?(length|window)|maximum context|context_length_exceeded|too many (input )?tokens in"
    r"|prompt is too long|reduce the length|input is too long|exceeds? the (model'?s )?(maximum )?(context|token)"
    r"|`inputs` (tokens \+ `max_new_tokens` must be|must have less than)"  # TGI
)
_UNSUPPORTED = (
    r"unsupported|not supported|is not allowed|unrecognized|unknown (field|parameter|argument)|unexpected keyword"
    r"|extra (fields|inputs)|extra_forbidden"
    r"|template_error"  # TGI: this target has no chat template, another may
)
_POLICY = r"content[ _-]?(policy|filter)|moderation"

RULES: tuple[_Rule, ...] = (
    # The account: one bill for all providers, so no other provider can help.
    _rule("provider_not_enabled", Verdict.FALLBACK, Scope.PROVIDER, {402, 403}, r"not enabled for provider"),
    _rule("out_of_credits", Verdict.FATAL, Scope.ACCOUNT, {402}),
    _rule("spending_limit", Verdict.FATAL, Scope.ACCOUNT, {403}, r"spending limit|credits"),
    # The credential.
    _rule("unauthorized", Verdict.FATAL, Scope.CREDENTIAL, {401}),
    _rule("token_lacks_permission", Verdict.FATAL, Scope.CREDENTIAL, {403}, r"permission"),
    _rule("content_policy", Verdict.FATAL, Scope.REQUEST, {403}, _POLICY),
    _rule("forbidden", Verdict.FALLBACK, Scope.PROVIDER, {403}),
    # The model, or the model at this provider.
    _rule(
        "model_not_found",
        Verdict.FALLBACK,
        Scope.MODEL,
        _CLIENT,
        r"model_not_found|requested model '[^']*' does not exist",
    ),
    _rule(
        "model_not_supported",
        Verdict.FALLBACK,
        Scope.TARGET,
        _CLIENT,
        r"model_not_supported|not supported by (any )?provider|unknown model",
    ),
    _rule("gone", Verdict.FALLBACK, Scope.TARGET, {410}),
    _rule("not_found", Verdict.FALLBACK, Scope.TARGET, {404}),
    _rule(
        "cold",
        Verdict.FALLBACK,
        Scope.TARGET,
        {400, 503},
        r"\bcold\b|\bloading\b(?! (the |an? |your )?(image|audio|video|file|url))|warming up",
        cold=True,
    ),
    # Capacity.
    _rule("quota_exceeded", Verdict.FALLBACK, Scope.PROVIDER, {429}, r"\b(1113|1308)\b"),  # z.ai: no balance, no quota
    _rule("rate_limited", Verdict.FALLBACK, Scope.TARGET, {429}),
    # The request.
    _rule("context_overflow", Verdict.FALLBACK, Scope.MODEL, {400, 413, 422, 500}, _OVERFLOW),
    _rule("content_policy", Verdict.FATAL, Scope.REQUEST, {400, 422}, _POLICY),
    _rule("too_large", Verdict.FALLBACK, Scope.TARGET, {413}),
    _rule("unsupported_parameter", Verdict.FALLBACK, Scope.TARGET, {400, 422}, _UNSUPPORTED),
    _rule("bad_request", Verdict.FATAL, Scope.REQUEST, {400, 405, 406, 411, 414, 415, 422, 431}),
    _rule("try_later", Verdict.FALLBACK, Scope.TARGET, {408, 409, 423, 424, 425, 499}),
    _rule("client_error", Verdict.FATAL, Scope.REQUEST, _CLIENT),
    # The other side.
    _rule("server_error", Verdict.RETRY, Scope.TARGET, _SERVER),
    _rule("redirected", Verdict.FALLBACK, Scope.TARGET, range(300, 400)),
    _rule("unusual_status", Verdict.FALLBACK, Scope.TARGET, range(100, 1000)),
)


def judge(problem: Problem) -> Judgement:
    """The verdict on an error answer.

    >>> judge(Problem(402, "You have depleted your monthly included credits.")).kind
    'out_of_credits'
    """
    if problem.estimated_time is not None and problem.status >= 500:
        rule = next(rule for rule in RULES if rule.cold)
    elif problem.html and problem.status in _CLIENT and problem.status not in {402, 408, 413, 429}:
        # A firewall or a gateway speaks for one provider, never for the request: 403 "error code: 1010".
        rule = _rule("blocked", Verdict.FALLBACK, Scope.PROVIDER, {problem.status})
    else:
        rule = next(rule for rule in RULES if rule.fits(problem))
    return Judgement(
        rule.verdict,
        rule.kind,
        rule.scope,
        problem.status,
        problem.retry_after if problem.estimated_time is None else problem.estimated_time,
        rule.cold,
        problem.message if problem.shown is None else problem.shown,
    )


# Failures that have no error answer: what the wire saw, and what it means.
FAILURES: dict[str, Judgement] = {
    failure.kind: failure
    for failure in (
        Judgement(Verdict.FALLBACK, "connect_failed", Scope.ENDPOINT),
        Judgement(Verdict.FALLBACK, "connect_timeout", Scope.ENDPOINT),
        Judgement(Verdict.FATAL, "certificate_refused", Scope.ENDPOINT),
        Judgement(Verdict.RETRY, "connection_lost", Scope.TARGET),
        Judgement(Verdict.FALLBACK, "first_content_timeout", Scope.TARGET, cold=True),
        Judgement(Verdict.FALLBACK, "idle_timeout", Scope.TARGET),
        Judgement(Verdict.FALLBACK, "answer_timeout", Scope.TARGET),
        Judgement(Verdict.FALLBACK, "cut", Scope.TARGET, 200),
        Judgement(Verdict.FALLBACK, "empty_answer", Scope.TARGET, 200),
        Judgement(Verdict.FALLBACK, "not_an_answer", Scope.TARGET, 200),
        Judgement(Verdict.FALLBACK, "malformed_event", Scope.TARGET, 200),
        Judgement(Verdict.FALLBACK, "malformed_tool_call", Scope.TARGET, 200),
        Judgement(Verdict.FALLBACK, "answer_too_large", Scope.TARGET, 200),
        Judgement(Verdict.FALLBACK, "compressed_answer", Scope.TARGET, 200),
        Judgement(Verdict.FALLBACK, "dimension_differs", Scope.TARGET, 200),
        Judgement(Verdict.FALLBACK, "abandoned", Scope.TARGET),
        Judgement(Verdict.FALLBACK, "hedge_lost", Scope.TARGET),
        Judgement(Verdict.FALLBACK, "over_budget", Scope.TARGET),
    )
}

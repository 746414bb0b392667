"""What each error means: rows of status and words, and what must come of them."""

from __future__ import annotations

import pytest

from hfrouter.routing.verdict import FAILURES, RULES, Problem, Scope, Verdict, judge

ROWS = [
    # account and credential
    (402, "You have depleted your monthly included credits.", "out_of_credits", "ACCOUNT", "FATAL"),
    (402, "", "out_of_credits", "ACCOUNT", "FATAL"),
    (403, "You have exceeded your monthly spending limit", "spending_limit", "ACCOUNT", "FATAL"),
    (402, "Pay-as-you go is not enabled for provider fal-ai yet", "provider_not_enabled", "PROVIDER", "FALLBACK"),
    (403, "x is not enabled for provider y", "provider_not_enabled", "PROVIDER", "FALLBACK"),
    (401, "Invalid username or password.", "unauthorized", "CREDENTIAL", "FATAL"),
    (403, "does not have sufficient permissions to call", "token_lacks_permission", "CREDENTIAL", "FATAL"),
    (403, "error code: 1010", "forbidden", "PROVIDER", "FALLBACK"),
    (403, "", "forbidden", "PROVIDER", "FALLBACK"),
    # the model
    (400, "The requested model 'x/y' does not exist.", "model_not_found", "MODEL", "FALLBACK"),
    (404, "model_not_found", "model_not_found", "MODEL", "FALLBACK"),
    (400, "not supported by any provider you have enabled", "model_not_supported", "TARGET", "FALLBACK"),
    (400, "Model not supported by provider groq", "model_not_supported", "TARGET", "FALLBACK"),
    (400, "Unknown Model, please check the model code.", "model_not_supported", "TARGET", "FALLBACK"),
    (410, "deprecated and no longer supported by provider x", "gone", "TARGET", "FALLBACK"),
    (404, "Not Found", "not_found", "TARGET", "FALLBACK"),
    # cold
    (503, "Model x is currently loading", "cold", "TARGET", "FALLBACK"),
    (400, "the model is cold, try again", "cold", "TARGET", "FALLBACK"),
    (503, "warming up", "cold", "TARGET", "FALLBACK"),
    # capacity
    (429, "Too many tokens, please wait before trying again.", "rate_limited", "TARGET", "FALLBACK"),
    (429, "1113 insufficient balance", "quota_exceeded", "PROVIDER", "FALLBACK"),
    (429, "1308 usage limit reached", "quota_exceeded", "PROVIDER", "FALLBACK"),
    (429, "21113 requests", "rate_limited", "TARGET", "FALLBACK"),
    # length
    (400, "This model's maximum context length is 8192 tokens.", "context_overflow", "MODEL", "FALLBACK"),
    (400, "model maximum context length: 262143", "context_overflow", "MODEL", "FALLBACK"),
    (422, "`inputs` tokens + `max_new_tokens` must be <= 1512.", "context_overflow", "MODEL", "FALLBACK"),
    (422, "`inputs` must have less than 1024 tokens.", "context_overflow", "MODEL", "FALLBACK"),
    (413, "Prompt is too long", "context_overflow", "MODEL", "FALLBACK"),
    (400, "context_length_exceeded", "context_overflow", "MODEL", "FALLBACK"),
    (500, "input is too long for requested model", "context_overflow", "MODEL", "FALLBACK"),
    (413, "", "too_large", "TARGET", "FALLBACK"),
    # the request
    (400, "property 'chat_template_kwargs' is unsupported", "unsupported_parameter", "TARGET", "FALLBACK"),
    (422, "Extra inputs are not permitted: extra_forbidden", "unsupported_parameter", "TARGET", "FALLBACK"),
    (422, "template_error Template error: template not found", "unsupported_parameter", "TARGET", "FALLBACK"),
    (400, "messages is empty", "bad_request", "REQUEST", "FATAL"),
    (422, "Field required", "bad_request", "REQUEST", "FATAL"),
    (400, "blocked by our content policy", "content_policy", "REQUEST", "FATAL"),
    (403, "flagged by moderation", "content_policy", "REQUEST", "FATAL"),
    (418, "", "client_error", "REQUEST", "FATAL"),
    # in passing
    (408, "", "try_later", "TARGET", "FALLBACK"),
    (409, "", "try_later", "TARGET", "FALLBACK"),
    (425, "", "try_later", "TARGET", "FALLBACK"),
    (500, "Internal server error", "server_error", "TARGET", "RETRY"),
    (502, "", "server_error", "TARGET", "RETRY"),
    (503, "", "server_error", "TARGET", "RETRY"),
    (504, "", "server_error", "TARGET", "RETRY"),
    (529, "overloaded", "server_error", "TARGET", "RETRY"),
    (307, "", "redirected", "TARGET", "FALLBACK"),
    (600, "", "unusual_status", "TARGET", "FALLBACK"),
]


@pytest.mark.parametrize(("status", "words", "kind", "scope", "verdict"), ROWS)
def test_an_error_is_judged_by_its_status_and_words(
    status: int, words: str, kind: str, scope: str, verdict: str
) -> None:
    for problem in (Problem(status, words), Problem(status, code=words), Problem(status, words.upper())):
        judgement = judge(problem)
        assert (judgement.kind, judgement.scope, judgement.verdict) == (kind, Scope[scope], Verdict[verdict])
        assert judgement.status == status
        assert judgement.cold is (kind == "cold")


def test_every_rule_is_reached_by_a_row() -> None:
    assert {rule.kind for rule in RULES} == {kind for _, _, kind, _, _ in ROWS}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
def test_no_status_of_a_rule_is_hidden_by_an_earlier_rule_without_words(rule: object) -> None:
    before = RULES[: RULES.index(rule)]  # type: ignore[arg-type]
    covered = {status for earlier in before if earlier.text is None for status in earlier.status}
    hidden = sorted(rule.status & covered)  # type: ignore[attr-defined]
    assert not hidden or rule.text is None or len(rule.status) > 50, hidden  # type: ignore[attr-defined]


def test_every_status_has_a_verdict_and_none_is_ok() -> None:
    assert all(judge(Problem(status)).verdict is not Verdict.OK for status in range(100, 1000))


def test_an_estimated_time_makes_a_server_error_cold_for_so_long() -> None:
    judgement = judge(Problem(503, "unavailable", estimated_time=22.3, retry_after=1.0))
    assert (judgement.kind, judgement.cold, judgement.retry_after) == ("cold", True, 22.3)
    assert judge(Problem(400, "bad", estimated_time=22.3)).kind == "bad_request"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "blocked"),
        (403, "blocked"),
        (404, "blocked"),
        (413, "too_large"),
        (429, "rate_limited"),
        (502, "server_error"),
    ],
)
def test_a_web_page_is_a_gateway_speaking_and_never_a_verdict_on_the_request(status: int, kind: str) -> None:
    judgement = judge(Problem(status, html=True))
    assert judgement.kind == kind
    assert judgement.verdict is not Verdict.FATAL


def test_the_words_of_the_provider_are_kept() -> None:
    assert judge(Problem(500, "boom")).text == "boom"
    assert judge(Problem(500, "boom", shown="(withheld)")).text == "(withheld)"


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_without_an_answer_is_known_by_its_kind(kind: str) -> None:
    assert FAILURES[kind].kind == kind
    assert FAILURES[kind].verdict is not Verdict.OK

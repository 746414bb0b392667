"""The verdicts by status alone and on failures without an error answer; more words are in wire/test_verdict.py."""

from __future__ import annotations

import pytest

from hfrouter.routing.verdict import ANSWERED, FAILURES, Judgement, Problem, Scope, Verdict, judge

KINDS: dict[str, set[int] | range] = {  # of every status from 100 to 999, when nothing is said
    "bad_request": {400, 405, 406, 411, 414, 415, 422, 431},
    "unauthorized": {401},
    "out_of_credits": {402},
    "forbidden": {403},
    "not_found": {404},
    "try_later": {408, 409, 423, 424, 425, 499},
    "gone": {410},
    "too_large": {413},
    "rate_limited": {429},
    "redirected": range(300, 400),
    "server_error": range(500, 600),
}


def test_the_verdict_by_status_alone() -> None:
    expected = {status: kind for kind, statuses in KINDS.items() for status in statuses}
    for status in range(100, 1000):
        kind = expected.get(status, "client_error" if 400 <= status < 500 else "unusual_status")
        assert (status, judge(Problem(status)).kind) == (status, kind)


FALLBACK, RETRY, FATAL = Verdict.FALLBACK, Verdict.RETRY, Verdict.FATAL
SEEN_BY_THE_WIRE: dict[str, tuple[Verdict, Scope, int | None]] = {
    "connect_failed": (FALLBACK, Scope.ENDPOINT, None),
    "connect_timeout": (FALLBACK, Scope.ENDPOINT, None),
    "certificate_refused": (FATAL, Scope.ENDPOINT, None),
    "connection_lost": (RETRY, Scope.TARGET, None),
    "first_content_timeout": (FALLBACK, Scope.TARGET, None),
    "idle_timeout": (FALLBACK, Scope.TARGET, None),
    "answer_timeout": (FALLBACK, Scope.TARGET, None),
    **dict.fromkeys(
        (
            *("cut", "empty_answer", "not_an_answer", "malformed_event", "malformed_tool_call", "answer_too_large"),
            *("compressed_answer", "dimension_differs"),
        ),
        (FALLBACK, Scope.TARGET, 200),
    ),
    "abandoned": (FALLBACK, Scope.TARGET, None),
    "hedge_lost": (FALLBACK, Scope.TARGET, None),
    "over_budget": (FALLBACK, Scope.TARGET, None),
}


@pytest.mark.parametrize("kind", SEEN_BY_THE_WIRE)
def test_the_verdict_on_what_the_wire_saw(kind: str) -> None:
    failure = FAILURES[kind]
    assert (failure.kind, failure.verdict, failure.scope, failure.status) == (kind, *SEEN_BY_THE_WIRE[kind])
    assert (failure.retry_after, failure.cold, failure.text) == (None, kind == "first_content_timeout", "")


def test_the_table_is_of_all_that_the_wire_sees() -> None:
    assert set(FAILURES) == set(SEEN_BY_THE_WIRE)


def test_an_answer_and_a_judgement_without_facts() -> None:
    assert (ANSWERED.verdict, ANSWERED.kind, ANSWERED.status) == (Verdict.OK, "ok", 200)
    bare = Judgement(Verdict.OK)
    assert (bare.kind, bare.scope, bare.status, bare.cold, bare.kept) == ("ok", Scope.TARGET, None, False, False)
    assert Problem(500).html is False


@pytest.mark.parametrize(("status", "kind"), [(499, "try_later"), (500, "cold"), (503, "cold"), (400, "bad_request")])
def test_an_estimated_time_with_a_server_error_is_a_model_that_loads(status: int, kind: str) -> None:
    assert judge(Problem(status, estimated_time=3.0)).kind == kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((400, "blocked"), (403, "blocked"), (404, "blocked"), (409, "blocked"), (402, "out_of_credits")),
        *((408, "try_later"), (413, "too_large"), (429, "rate_limited"), (502, "server_error"), (301, "redirected")),
    ],
)
def test_a_web_page_instead_of_an_error_is_a_firewalls(status: int, kind: str) -> None:
    assert judge(Problem(status, html=True)).kind == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Error downloading image from https://example.com/cat.png", "bad_request"),
        ("Error loading image", "bad_request"),
        ("Uploading failed: error loading the file", "bad_request"),
        ("Model org/m is currently loading", "cold"),
        ("Loading model", "cold"),
    ],
)
def test_a_picture_that_cannot_be_loaded_is_no_model_that_is_loading(text: str, kind: str) -> None:
    assert judge(Problem(400, text)).kind == kind

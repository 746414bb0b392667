"""`Retry-After` and its relatives: the table of what is met in the wild."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfrouter.wire.retry_after import retry_after

NOW = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("121", 121.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("3600", 3600.0),
        ("7200", 3600.0),  # an hour is the most: beyond it the number is no plan but a mistake
        ("999999999", 3600.0),
        ("0", None),
        ("0.0", None),
        ("-10", None),
        ("1e3", None),
        ("1_000", None),
        ("+5", None),
        ("٣", None),
        ("inf", None),
        ("nan", None),
        ("1e400", None),
        ("0x10", None),
        ("9" * 400, None),
        ("5, 10", 10.0),
        ("5,10", 10.0),
        ("soon, 10", 10.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60.0),
        ("Tue Nov 14 22:14:20 2023", 60.0),
        ("Tue, 14 Nov 2023 23:14:20 +0100", 60.0),
        ("Tue, 14 Nov 2023 22:12:20 GMT", None),
        ("Sunday, 06-Nov-94 08:49:37 GMT", None),
        ("Thu, 14 Nov 2024 22:14:20 GMT", 3600.0),
        ("Tue, 14 Nov 100000 22:14:20 GMT", None),
        ("Tue, 99 Nov 2023 22:14:20 GMT", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_retry_after_is_seconds_or_a_date_and_at_most_an_hour(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}, NOW) == seconds


def test_a_date_is_relative_to_the_answers_own_clock() -> None:
    headers = {"retry-after": "Tue, 14 Nov 2023 22:14:20 GMT", "date": "Tue, 14 Nov 2023 22:14:10 GMT"}
    assert retry_after(headers, NOW + 7777) == 10.0
    assert retry_after(headers | {"date": "broken"}, NOW) == 60.0


@pytest.mark.parametrize(
    ("milliseconds", "seconds"),
    [("1500", 1.5), ("250.5", 0.2505), ("99999999", 3600.0), ("-5", 2.0), ("nan", 2.0), ("0", 2.0), ("", 2.0)],
)
def test_milliseconds_win_when_they_are_usable_and_never_hide_good_seconds(milliseconds: str, seconds: float) -> None:
    assert retry_after({"retry-after-ms": milliseconds, "retry-after": "2"}, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ('"api";r=0;t=55', 55.0),
        ('"api"; r=0; t=55', 55.0),
        ('"api";t=55;r=0', 55.0),
        ('"api";r=0;t=55, "other";r=9;t=300', 55.0),
        ('"a";r=0;t=5, "b";r=0;t=50', 50.0),
        ('"api";r=999;t=40', None),  # something is left: the limit is not what failed
        ('"api";r=0', None),
        ('"api";r=0;t=0', None),
        ("garbage", None),
    ],
)
def test_the_hubs_rate_limit_says_when_its_window_ends(value: str, seconds: float | None) -> None:
    assert retry_after({"ratelimit": value}, NOW) == seconds


def test_a_retry_after_goes_before_the_rate_limit() -> None:
    assert retry_after({"retry-after": "3", "ratelimit": '"api";r=0;t=55'}, NOW) == 3.0
    assert retry_after({"retry-after": "soon", "ratelimit": '"api";r=0;t=55'}, NOW) == 55.0


def test_without_any_header_nothing_is_said() -> None:
    assert retry_after({}, NOW) is None


@given(st.text(max_size=40))
@settings(max_examples=400, derandomize=True, deadline=None)
def test_no_text_breaks_it_or_gives_more_than_an_hour(value: str) -> None:
    for name in ("retry-after", "retry-after-ms", "ratelimit", "date"):
        said = retry_after({"retry-after": "Tue, 14 Nov 2023 22:14:20 GMT", name: value}, NOW)
        assert said is None or 0 < said <= 3600

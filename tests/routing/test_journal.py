"""The journal is the explanation of a call."""

from __future__ import annotations

from hfrouter.routing.journal import Event, Journal
from hfrouter.routing.target import Target


def test_explain_prints_the_plan_the_reasons_and_the_steps() -> None:
    journal = Journal()
    journal.plan((Target("org/m", "a"), Target("org/m", "b")), {"org/m:c": "its provider is ignored"})
    journal.add(0.0004, "launch", "org/m:a, first content within 12.0 s", 1)
    journal.add(0.25, "wait", "0.50 s")
    journal.add(119.9996, "end", "answered")
    assert journal.explain().splitlines() == [
        "  0.000 s  plan      org/m:a, org/m:b",
        "  0.000 s  reject    org/m:c: its provider is ignored",
        "  0.000 s  launch 1  org/m:a, first content within 12.0 s",
        "  0.250 s  wait      0.50 s",
        "120.000 s  end       answered",
    ]
    assert journal.events[2] == Event(0.0004, "launch", "org/m:a, first content within 12.0 s", 1)


def test_an_empty_plan_says_so_and_an_empty_journal_says_nothing() -> None:
    journal = Journal()
    assert journal.explain() == ""
    journal.plan((), {})
    assert journal.explain() == "  0.000 s  plan      nothing is eligible"


def test_news_are_what_was_not_told_before() -> None:
    journal = Journal()
    journal.add(0.0, "note", "first")
    journal.add(1.0, "note", "second")
    assert journal.news().splitlines() == ["  0.000 s  note      first", "  1.000 s  note      second"]
    assert journal.news() == ""
    journal.add(2.0, "note", "third")
    assert journal.news() == "  2.000 s  note      third"
    assert len(journal.explain().splitlines()) == 3

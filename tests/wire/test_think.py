"""Reasoning in a leading `<think>` block, split from the answer whatever the chunking."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfrouter.wire.think import ThinkSplitter


def split(*pieces: str) -> tuple[str, str]:
    splitter = ThinkSplitter()
    parts = [splitter.feed(piece) for piece in pieces] + [splitter.close()]
    return "".join(reasoning for reasoning, _ in parts), "".join(text for _, text in parts)


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("Hello", "", "Hello"),
        ("", "", ""),
        ("<think>Hm.</think>Hello", "Hm.", "Hello"),
        ("<think>\nHm.\n</think>\n\nHello\n", "Hm.\n", "Hello\n"),
        ("\n <think>Hm.</think>Hello", "Hm.", "Hello"),
        ("<think></think>Hello", "", "Hello"),
        ("<think>\n\n</think>\n\nHello", "", "Hello"),
        ("<think>cut in the mid", "cut in the mid", ""),
        ("<think>a </thin b</think>c", "a </thin b", "c"),
        ("<think>a</think>", "a", ""),
        ("<think>a</think>b<think>c</think>d", "a", "b<think>c</think>d"),
        ("Say <think>a</think>", "", "Say <think>a</think>"),
        ("<thin", "", "<thin"),
        ("<think", "", "<think"),
        ("  \n", "", "  \n"),
        ("  \nHello", "", "  \nHello"),
        ("<thinking>a", "", "<thinking>a"),
        ("<think>a</th", "a</th", ""),
        ("</think>a", "", "</think>a"),
    ],
)
def test_only_a_block_that_opens_the_text_is_reasoning(text: str, reasoning: str, answer: str) -> None:
    assert split(text) == split(*text) == (reasoning, answer)


_PARTS = st.sampled_from(["<think>", "</think>", "<th", "ink>", "</", "think>", "\n", " ", "a", "<", ">", "é👋"])


@given(st.lists(_PARTS, max_size=10).map("".join), st.lists(st.integers(0, 60), max_size=8))
@settings(max_examples=500, derandomize=True, deadline=None)
def test_no_chunking_changes_the_split(text: str, cuts: list[int]) -> None:
    at = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    assert split(*(text[a:b] for a, b in itertools.pairwise(at))) == split(text) == split(*text)


@given(st.lists(_PARTS, max_size=10).map("".join))
@settings(max_examples=500, derandomize=True, deadline=None)
def test_no_character_outside_the_tags_is_lost(text: str) -> None:
    reasoning, answer = split(text)
    bare = re.sub(r"\s", "", text)
    if bare.startswith("<think>") and text.lstrip().startswith("<think>"):
        bare = bare.removeprefix("<think>").replace("</think>", "", 1)
    assert re.sub(r"\s", "", reasoning + answer) == bare


def test_a_flood_of_blanks_is_read_in_linear_time_and_lost_nowhere() -> None:
    began = time.perf_counter()
    assert split(*" " * 200_000, "a") == ("", " " * 200_000 + "a")
    assert time.perf_counter() - began < 1.5


def test_text_is_handed_on_as_it_comes() -> None:
    splitter = ThinkSplitter()
    assert [splitter.feed(piece) for piece in ("<think>", "a", "b<", "/think>", "c")] == [
        ("", ""),
        ("a", ""),
        ("b", ""),
        ("", ""),
        ("", "c"),
    ]

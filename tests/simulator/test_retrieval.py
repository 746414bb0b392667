"""A question is nearest to the passage that answers it: at least 9 of 10, with every model."""

import time

import pytest

from hfrouter.simulator.embedding.models import DEFAULT_MODELS
from hfrouter.simulator.embedding.vectors import cosine, embed, embed_tokens, normalized
from tests.simulator.passages import PASSAGES


@pytest.mark.parametrize("model", DEFAULT_MODELS, ids=lambda model: model.id)
def test_questions_find_their_passages(model):
    passages = [normalized(embed(model.id, passage, model.dimensions)) for passage, _ in PASSAGES]
    first = among_three = 0
    for number, (_, question) in enumerate(PASSAGES):
        asked = normalized(embed(model.id, question, model.dimensions))
        near = [sum(a * b for a, b in zip(asked, passage, strict=True)) for passage in passages]
        ranking = sorted(range(len(near)), key=lambda i: -near[i])
        first += ranking[0] == number
        among_three += number in ranking[:3]
    assert len(PASSAGES) == 30
    assert first >= 27
    assert among_three >= 29


def test_questions_find_their_passages_by_pooled_tokens():
    def pooled(text: str) -> list[float]:
        rows = embed_tokens("facebook/bart-base", text, 768)
        return normalized([sum(column) for column in zip(*rows, strict=True)])

    passages = [pooled(passage) for passage, _ in PASSAGES]
    found = 0
    for number, (_, question) in enumerate(PASSAGES):
        asked = pooled(question)
        near = [sum(a * b for a, b in zip(asked, passage, strict=True)) for passage in passages]
        found += near.index(max(near)) == number
    assert found >= 27


def test_nearness_follows_the_words():
    def near(one: str, other: str) -> float:
        return cosine(embed("m", one, 384), embed("m", other, 384))

    assert near("The ferry leaves.", "The ferry leaves.") == pytest.approx(1)
    assert near("the FERRY leaves", "The ferry leaves!") > 0.95
    assert near("The engineers were testing bridges", "An engineer tests the bridge") > 0.6
    assert near("What is the height of the tower?", "How tall is the tower?") > 0.4
    assert abs(near("The ferry leaves at noon.", "Granite cooled slowly.")) < 0.2
    assert near("東京は日本の首都です。", "日本の首都はどこですか") > 0.3 > near("東京は日本の首都です。", "猫が好きだ")


def test_no_vector_has_zeros_and_words_beyond_the_common_ones_lead():
    assert all(embed("m", text, 64) != [0.0] * 64 for text in ("", "!", "the"))
    assert sum(value == 0 for value in embed("m", "hello", 384)) == 0
    assert embed("m", "", 64) != embed("n", "", 64)


def test_a_batch_is_quick():
    started = time.perf_counter()
    for number in range(32):
        embed("quick", f"{number} " + " ".join(PASSAGES[number % 30]) * 3, 1024)
    assert time.perf_counter() - started < 2

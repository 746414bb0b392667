"""Just enough language: sentences, words, crude stems, and how well a sentence fits a question."""

# ruff: noqa: RUF001 - full-width marks and signs are what people write

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from hfrouter.simulator import vocabulary

_WORD = re.compile(r"[+*×÷/]|(?<=\d )-(?= \d)|\w+(?:'\w+)?")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])[\"'”’)]*\s+(?=[^\s])|(?<=[。！？])|\n{2,}|\n(?=\s*[-*•#\d])|\n")
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|e\.g|i\.e|etc|No|Inc|Ltd)|\b[A-Z])\.$")
_ENDINGS = ("ing", "edly", "ed", "ies", "es", "er", "s", "ly", "e")
_QUANTITY = re.compile(r"\b(how (?:many|much|old|tall|long|far|high|big|fast|deep|large)|when|what year)\b", re.I)
_ATTRIBUTE = re.compile(r"\bhow (old|tall|long|far|high|big|fast|deep|large|heavy|wide|cold|hot|expensive)\b", re.I)
_ENTITY = re.compile(r"\b(who|where|whose|which|what(?:'s| is| was)? the (?:name|capital))\b", re.I)


def words(text: str) -> list[str]:
    """Return the words of a text in lower case; names such as `get_weather` or `getWeather` come apart."""
    plain = text.replace("_", " ").replace("×", "*").replace("÷", "/")
    return [word.lower() for word in _WORD.findall(_CAMEL.sub(" ", plain))]


def stem(word: str) -> str:
    """Return a crude stem, the same for `adds`, `adding` and `adder`."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            if ending == "ing" and len(word) > 3 and word[-1] == word[-2]:
                word = word[:-1]
            break
    return word


def terms(text: str, *, synonyms: bool = False) -> set[str]:
    """Return the stems of the words that carry meaning; with `synonyms` also those of near words."""
    found = [word for word in words(text) if word not in vocabulary.STOP_WORDS]
    if synonyms:
        found += [other for word in found for other in vocabulary.SYNONYMS.get(word, ())]
    return {stem(word) for word in found}


def sentences(text: str) -> list[str]:
    """Split a text into sentences; headings, list items and lines count as sentences too."""
    pieces: list[str] = []
    for piece in _SENTENCE_END.split(text):
        part = piece.strip() if piece else ""
        if not part:
            continue
        if pieces and _ABBREVIATION.search(pieces[-1]):
            pieces[-1] = f"{pieces[-1]} {part}"
        else:
            pieces.append(part)
    return pieces


def rarity(groups: Sequence[set[str]]) -> dict[str, float]:
    """Return for each term how telling it is: the inverse document frequency over `groups`."""
    frequency = Counter(term for group in groups for term in group)
    return {term: math.log(1 + len(groups) / number) for term, number in frequency.items()}


def scores(candidates: Sequence[str], question: str) -> list[float]:
    """Score how well each candidate sentence answers a question; 0 means that no telling word is shared."""
    groups = [terms(candidate) for candidate in candidates]
    weight = rarity(groups)
    wanted = terms(question)
    near = terms(question, synonyms=True) - wanted
    asked = _ATTRIBUTE.search(question)
    attribute = terms(asked[1], synonyms=True) if asked else set()
    result = []
    for candidate, group in zip(candidates, groups, strict=True):
        score = sum(weight[term] for term in group & wanted) + 0.5 * sum(weight[term] for term in group & near)
        score += 2 * max((weight[term] for term in group & attribute), default=0.0)
        if score and _QUANTITY.search(question) and re.search(r"\d", candidate):
            score *= 1.3
        if score and _ENTITY.search(question) and re.search(r"\s[A-Z]\w+", candidate):
            score *= 1.1
        result.append(score / (1 + 0.01 * len(group)))
    return result


def best(candidates: Sequence[str], question: str, limit: int = 2) -> list[str]:
    """Return the best candidate, and others that are nearly as good, in the order of the text."""
    ranking = scores(candidates, question)
    top = max(ranking, default=0.0)
    if top == 0:
        return []
    good = sorted((i for i, score in enumerate(ranking) if score >= 0.9 * top), key=lambda i: (-ranking[i], i))
    return [candidates[i] for i in sorted(good[:limit])]


def summary(candidates: Sequence[str], limit: int) -> list[str]:
    """Return the sentences that share most with the others, the first one favoured, in the order of the text."""
    groups = [terms(candidate) for candidate in candidates]
    frequency = Counter(term for group in groups for term in group)
    ranking = [
        sum(frequency[term] - 1 for term in group) / (len(group) or 1) + (1.0 if i == 0 else 0.0)
        for i, group in enumerate(groups)
    ]
    chosen = sorted(range(len(candidates)), key=lambda i: (-ranking[i], i))[:limit]
    return [candidates[i] for i in sorted(chosen)]


def join(items: Iterable[str]) -> str:
    """Join sentences with spaces."""
    return " ".join(items)

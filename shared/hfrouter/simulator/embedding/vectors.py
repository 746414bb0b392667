"""Vectors that mean something: texts that share telling words point the same way.

A text is a bag of features: stems, pieces of words, pairs of neighbouring stems, near words. Each is hashed, together
with the model's name, to a few signed places of the vector. Common words count little and repetition counts less
each time, so that a question is nearest to the passage that answers it. No model, no download, the same everywhere.
"""

import hashlib
import math
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

from hfrouter.simulator import language, tokens, vocabulary

Vector = list[float]

_WORD = re.compile(r"\w+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")  # scripts without spaces
_PLACES = 8  # of the vector that one feature touches
_COMMON, _PAIR, _PIECE, _NEAR = 0.08, 0.35, 0.22, 0.4  # weights next to the 1.0 of a telling word
_PROMPT_WORDS = frozenset({"query", "passage", "represent", "sentence", "searching", "relevant", "passages"})
_NOISE = 0.02  # length of the part that no word explains, beside a length of 1


def embed(model: str, text: str, dimensions: int) -> Vector:
    """Return the vector of a text, not normalised: the longer the text, the longer it is."""
    total = [0.0] * dimensions
    for feature, weight in _features(text).items():
        for place, sign in _places(model, feature, dimensions):
            total[place] += sign * weight
    return _grounded(model, text, total)


def embed_tokens(model: str, text: str, dimensions: int) -> list[Vector]:
    """Return one vector for each token, with one for the start and one for the end; their mean is about the text."""
    pieces = ["<s>", *tokens.split(text), "</s>"]
    return [embed(model, piece, dimensions) for piece in pieces]


def normalized(vector: Sequence[float]) -> Vector:
    """Return a vector of length 1."""
    length = math.sqrt(math.fsum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]


def single(vector: Sequence[float]) -> Vector:
    """Return the numbers as a server with 32-bit floats writes them."""
    return array("f", vector).tolist()


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Return how much two vectors point the same way."""
    return math.fsum(a * b for a, b in zip(normalized(one), normalized(other), strict=True))


def _features(text: str) -> dict[str, float]:
    counted: Counter[str] = Counter()
    weights: dict[str, float] = {}
    before = ""
    for word in _words(text):
        common = word in vocabulary.STOP_WORDS or word in _PROMPT_WORDS
        stem = language.stem(word)
        for feature, weight in _of_word(word, stem, common):
            counted[feature] += 1
            weights[feature] = max(weight, weights.get(feature, 0.0))
        if not common:
            if before:
                pair = f"{before} {stem}"
                counted[pair] += 1
                weights[pair] = _PAIR
            before = stem
    return {feature: weights[feature] * (1 + math.log(number)) for feature, number in counted.items()}


def _words(text: str) -> Iterator[str]:
    for word in _WORD.findall(text.lower().replace("_", " ")):
        if _UNSPACED.search(word) and len(word) > 1:
            yield from (word[i : i + 2] for i in range(len(word) - 1))
        else:
            yield word


def _of_word(word: str, stem: str, common: bool) -> Iterator[tuple[str, float]]:
    if common:
        yield f"={word}", _COMMON
        return
    # Nothing is known about how rare a word is elsewhere; long words and numbers are, short ones are not.
    telling = 1.0 if len(word) > 4 or any(character.isdigit() for character in word) else 0.8
    yield f"={stem}", telling
    for near in vocabulary.SYNONYMS.get(word, ()):
        yield f"={language.stem(near)}", _NEAR
    padded = f"<{word}>"
    pieces = [padded[i : i + 4] for i in range(len(padded) - 3)]
    for piece in pieces:
        yield f"~{piece}", _PIECE * telling * min(1.0, 3 / math.sqrt(len(pieces)) / 2)


@lru_cache(maxsize=65_536)
def _places(model: str, feature: str, dimensions: int) -> tuple[tuple[int, float], ...]:
    """Return the places of a vector that a feature touches, and the sign it has there."""
    digest = hashlib.blake2b(f"{model}\n{feature}".encode(), digest_size=4 * _PLACES).digest()
    numbers = [int.from_bytes(digest[i : i + 4]) for i in range(0, len(digest), 4)]
    size = 1 / math.sqrt(_PLACES)
    return tuple((number % dimensions, size if number & 0x80000000 else -size) for number in numbers)


def _grounded(model: str, text: str, vector: Vector) -> Vector:
    """Add a little of everything, as no real vector has zeros; a text without words has only this."""
    seed = hashlib.blake2b(f"{model}\n{text}".encode(), digest_size=64).digest()
    length = math.sqrt(math.fsum(value * value for value in vector)) or 1.0
    size = _NOISE * length / math.sqrt(len(vector)) / 74  # 74: spread of a byte
    return [value + size * (seed[i % 64] - 127.5) for i, value in enumerate(vector)]

"""Vectors out of every shape that embedding back-ends answer with, checked before anyone computes with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

Vector = list[float]


class NotVectors(ValueError):
    """An answer that is not one vector for each text."""


def read_vectors(answer: object, count: int, *, normalize: bool = False) -> list[Vector]:
    """One vector for each text, in the order of the texts.

    Shapes met (recorded 2025, or documented): OpenAI's `{"data": [{"index", "embedding"}]}` in any order; a flat vector
    for one text; a list of vectors; token vectors of a plain transformer, one or two levels deeper, which are averaged
    over the tokens.

    Args:
        answer: Parsed JSON.
        count: Number of texts asked about.
        normalize: Scale each vector to length 1.

    Raises:
        NotVectors: with a sentence that says what is wrong and holds no numbers of the answer.

    >>> read_vectors([[[1.0, 3.0], [3.0, 5.0]]], 1)
    [[2.0, 4.0]]
    """
    items = _openai(answer) if isinstance(answer, Mapping) else _items(answer, count)
    if len(items) != count:
        raise NotVectors(f"{len(items)} vectors came for {count} texts")
    vectors = [_pooled(item) for item in items]
    lengths = {len(vector) for vector in vectors}
    if len(lengths) != 1 or 0 in lengths:
        raise NotVectors(f"vectors of different lengths came: {sorted(lengths)[:5]}")
    if not all(map(math.isfinite, (x for vector in vectors for x in vector))):
        raise NotVectors("a vector holds a number that is not finite")
    return [_unit(vector) for vector in vectors] if normalize else vectors


def _openai(answer: Mapping[str, Any]) -> list[Any]:
    data = answer.get("data")
    if not isinstance(data, list) or not all(isinstance(item, Mapping) for item in data):
        raise NotVectors("the answer has no data")
    indexed = sorted(enumerate(data), key=lambda pair: pair[1].get("index", pair[0]))
    places = [item.get("index", place) for place, item in indexed]
    if places != list(range(len(data))):
        raise NotVectors("the answer's indexes are not those of the texts")
    return [item.get("embedding") for _, item in indexed]


def _items(answer: object, count: int) -> list[Any]:
    """One item for each text: a vector, or the vectors of its tokens."""
    if _depth(answer) == 0:
        raise NotVectors("the answer is no list")
    assert isinstance(answer, list)  # noqa: S101 (for the type checker: it has a depth)
    if _depth(answer) == 1:
        return [answer]
    if _depth(answer) == 2 and count == 1 and len(answer) != 1:
        return [answer]  # one text's tokens
    return answer


def _pooled(item: object) -> Vector:
    """A vector as it is; token vectors averaged; a level that holds one thing opened."""
    while _depth(item) > 2 and isinstance(item, list) and len(item) == 1:
        item = item[0]
    match _depth(item):
        case 1:
            return _numbers(item)
        case 2:
            rows = [_numbers(row) for row in item] if isinstance(item, list) else []
            if len({len(row) for row in rows}) != 1:
                raise NotVectors("token vectors of different lengths came")
            return [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]
        case depth:
            raise NotVectors(f"an item is nested {depth} levels deep")


def _numbers(row: object) -> Vector:
    if not isinstance(row, list) or not all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in row):
        raise NotVectors("a vector holds something that is no number")
    try:
        return [float(x) for x in row]
    except OverflowError:
        raise NotVectors("a vector holds a number that is not finite") from None


def _depth(value: object) -> int:
    depth = 0
    while isinstance(value, list):
        depth += 1
        value = value[0] if value else None
    return depth


def _unit(vector: Sequence[float]) -> Vector:
    length = math.sqrt(math.fsum(x * x for x in vector))
    return [x / length for x in vector] if length else list(vector)

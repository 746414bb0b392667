"""Embedding answers as the servers write them, healthy or spoiled by a fault."""

import base64
import math
import struct
from collections.abc import Callable
from typing import Any

from hfrouter.simulator.embedding.models import EmbeddingModel
from hfrouter.simulator.embedding.reading import Texts
from hfrouter.simulator.embedding.vectors import Vector, cosine, embed, embed_tokens, normalized, single
from hfrouter.simulator.fault import Fault

Spoil = Callable[[list[Vector]], list[Vector]]


def spoiler(fault: Fault | None) -> Spoil:
    """Return what a fault does to the vectors of an answer."""

    def spoil(vectors: list[Vector]) -> list[Vector]:
        if fault is None or not vectors:
            return vectors
        match fault.name:
            case "wrong_dimension":
                length = fault.options.get("dimensions") or max(1, len(vectors[0]) // 2)
                return [[vector[i % len(vector)] for i in range(length)] for vector in vectors]
            case "not_finite":
                return [[math.nan, *vectors[0][1:]], *vectors[1:]]
            case "missing_vector":
                return vectors[:-1]
            case "empty_answer":
                return []
        return vectors

    return spoil


def feature_extraction(model: EmbeddingModel, texts: Texts, spoil: Spoil) -> Any:
    """Return the nested lists of hf-inference: as deep as the back-end makes them."""
    if model.backend == "transformers":
        nested = [[_plain(model, text, spoil)] for text in texts.items]
        return nested[0] if texts.alone else nested
    vectors = spoil([_vector(model, text, normalize=texts.normalize) for text in texts.items])
    return vectors[0] if model.backend == "sentence-transformers" and texts.alone and vectors else vectors


def similarity(model: EmbeddingModel, texts: Texts, spoil: Spoil) -> list[float]:
    """Return how near each sentence is to the first text."""
    source, *others = [embed(model.id, text, model.dimensions) for text in texts.items]
    numbers = single([cosine(source, other) for other in others])
    return [row[0] for row in spoil([[number] for number in numbers])]


def openai(
    model: EmbeddingModel, texts: Texts, spoil: Spoil, *, name: str, ordered: bool, digits: int | None
) -> dict[str, Any]:
    """Return the list of an OpenAI-like provider.

    Args:
        model: The model.
        texts: What is embedded.
        spoil: What a fault does to the vectors.
        name: The model as the provider calls it.
        ordered: The vectors come in the order of the texts; else the last comes first, and `index` tells.
        digits: Decimals the provider rounds to; None for 32-bit floats.
    """
    vectors = [_vector(model, text, dimensions=texts.dimensions) for text in texts.items]
    if digits is not None:
        vectors = [[round(value, digits) for value in vector] for vector in vectors]
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector) if texts.base64 else vector}
        for index, vector in enumerate(spoil(vectors))
    ]
    if not ordered:
        data.reverse()
    usage = {key: texts.usage[key] for key in ("prompt_tokens", "total_tokens")}
    return {"object": "list", "data": data, "model": name, "usage": usage}


def _vector(model: EmbeddingModel, text: str, *, dimensions: int | None = None, normalize: bool = True) -> Vector:
    vector = embed(model.id, text, model.dimensions)[:dimensions]
    return single(normalized(vector) if normalize else vector)


def _plain(model: EmbeddingModel, text: str, spoil: Spoil) -> list[Vector]:
    scale = math.sqrt(model.dimensions)  # numbers around 1, as hidden states are
    found = embed_tokens(model.id, text, model.dimensions)
    return spoil([single([value * scale for value in vector]) for vector in found])


def _encoded(vector: Vector) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()

"""Embedding requests as the servers behind them read them."""

import json
from dataclasses import dataclass
from typing import Any

from hfrouter.simulator import tokens
from hfrouter.simulator.embedding.models import EmbeddingModel
from hfrouter.simulator.refusal import Refusal, RefusedError, error_object

MAX_BATCH = 32
"""Texts that hf-inference takes at once: the default of the server it runs."""
_MAX_OPENAI_BATCH = 1024  # texts; the simulator's own
_SPECIAL = 2  # tokens put around each text
_UNREADABLE = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of a request.

    Attributes:
        items: The texts, prompts put before them, cut where that was asked for.
        alone: There was one text rather than a list.
        normalize: The vectors are to have length 1.
        dimensions: The length of the vectors, when another one was asked for.
        base64: The vectors are to be encoded.
    """

    items: tuple[str, ...]
    alone: bool
    normalize: bool = True
    dimensions: int | None = None
    base64: bool = False

    @property
    def usage(self) -> dict[str, int]:
        """The tokens of all texts."""
        total = sum(tokens.count(item) + _SPECIAL for item in self.items)
        return {"prompt_tokens": total, "completion_tokens": 0, "total_tokens": total}

    @property
    def characters(self) -> int:
        """The length of all texts."""
        return sum(len(item) for item in self.items)


def _validation(message: str, status: int = 422, kind: str = "Validation") -> RefusedError:
    return RefusedError(Refusal(status, {"error": message, "error_type": kind}, router=False))


def _unreadable(message: str, raw: bytes) -> RefusedError:
    text = f"Failed to deserialize the JSON body into the target type: {message} at line 1 column {len(raw)}"
    return RefusedError(Refusal(422, text, content_type=_UNREADABLE, router=False))


def feature_extraction(raw: bytes, model: EmbeddingModel) -> Texts:
    """Read `{"inputs": ...}` as hf-inference does; options stand beside it, and what it does not know is ignored.

    Raises:
        RefusedError: It would be refused.
    """
    body = _object(raw)
    inputs = body["inputs"]
    alone = isinstance(inputs, str)
    items = [inputs] if alone else inputs
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise _unreadable("inputs: data did not match any variant of untagged enum Input", raw)
    _check_batch(items, model)
    prompt = _prompt(body.get("prompt_name"), model)
    return Texts(
        items=tuple(_fitted(prompt + item, body, model) for item in items),
        alone=alone,
        normalize=body.get("normalize") is not False or model.backend == "sentence-transformers",
    )


def similarity(raw: bytes, model: EmbeddingModel) -> Texts:
    """Read `{"inputs": {"source_sentence": ..., "sentences": [...]}}`; the source comes first.

    Raises:
        RefusedError: It would be refused.
    """
    body = _object(raw)
    inputs = body["inputs"]
    source = inputs.get("source_sentence") if isinstance(inputs, dict) else None
    others = inputs.get("sentences") if isinstance(inputs, dict) else None
    if not isinstance(source, str) or not isinstance(others, list) or not all(isinstance(each, str) for each in others):
        message = "The inputs of sentence-similarity are a source_sentence and a list of sentences."
        raise RefusedError(Refusal(400, {"error": message}, router=False))
    _check_batch([source, *others], model)
    return Texts(items=tuple(_fitted(item, body, model) for item in (source, *others)), alone=False)


def openai(body: Any, model: EmbeddingModel) -> Texts:
    """Read `{"input": ...}` as an OpenAI-like provider does.

    Raises:
        RefusedError: It would be refused.
    """
    given = body.get("input")
    items = [given] if isinstance(given, str) else given
    if not isinstance(items, list) or not items or not all(isinstance(item, str) for item in items):
        raise _bad("'input' must be a string or a non-empty list of strings.", "input")
    if len(items) > _MAX_OPENAI_BATCH:
        raise _bad(f"'input' has {len(items)} texts; at most {_MAX_OPENAI_BATCH} are allowed.", "input")
    for item in items:
        if (size := tokens.count(item) + _SPECIAL) > model.max_tokens:
            raise _bad(f"This model's maximum context length is {model.max_tokens} tokens, not {size}.", "input")
    form = body.get("encoding_format")
    if form not in (None, "float", "base64"):
        raise _bad(f"'encoding_format' is 'float' or 'base64', not {form!r}.", "encoding_format")
    return Texts(tuple(items), isinstance(given, str), dimensions=_dimensions(body, model), base64=form == "base64")


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        text = "Failed to parse the request body as JSON: expected value at line 1 column 1"
        raise RefusedError(Refusal(400, text, content_type=_UNREADABLE, router=False)) from None
    if not isinstance(body, dict) or "inputs" not in body:
        raise _unreadable("missing field `inputs`", raw)
    return body


def _check_batch(items: list[str], model: EmbeddingModel) -> None:
    if len(items) > MAX_BATCH:
        raise _validation(f"batch size {len(items)} > maximum allowed batch size {MAX_BATCH}")
    if model.backend == "tei" and (not items or not all(items)):
        raise _validation("`inputs` cannot be empty", 400, "Empty")


def _prompt(name: Any, model: EmbeddingModel) -> str:
    if name is None:
        return ""
    if name not in model.prompts:
        raise _validation(f"Input validation error: prompt name '{name}' not found in the model's prompts")
    return model.prompts[name]


def _fitted(text: str, body: dict[str, Any], model: EmbeddingModel) -> str:
    """Return a text that fits the model: as it is, or cut, or else it is refused."""
    room = model.max_tokens - _SPECIAL
    pieces = tokens.split(text)
    if len(pieces) <= room:
        return text
    if body.get("truncate") is True or model.backend == "sentence-transformers":
        left = str(body.get("truncation_direction", "right")).lower() == "left"
        return "".join(pieces[-room:] if left else pieces[:room])
    if model.backend == "tei":
        message = f"`inputs` must have less than {model.max_tokens} tokens. Given: {len(pieces) + _SPECIAL}"
        raise _validation(f"Input validation error: {message}", 413)
    message = "index out of range in self"
    warning = f"There was an inference error: {message}"
    raise RefusedError(Refusal(400, {"error": message, "warnings": [warning]}, router=False))


def _dimensions(body: Any, model: EmbeddingModel) -> int | None:
    wanted = body.get("dimensions")
    if wanted is None:
        return None
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not 1 <= wanted <= model.dimensions:
        raise _bad(f"'dimensions' must be a number from 1 to {model.dimensions}.", "dimensions")
    if not model.shortens and wanted != model.dimensions:
        raise _bad(f"Model {model.id} does not support 'dimensions'.", "dimensions")
    return wanted


def _bad(message: str, param: str) -> RefusedError:
    return RefusedError(Refusal(400, error_object(message, "invalid_request_error", param=param), router=False))

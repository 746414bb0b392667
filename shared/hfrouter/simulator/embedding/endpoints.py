"""The embedding endpoints: hf-inference's pipelines, and the OpenAI-like ones of other providers."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from starlette.requests import Request

from hfrouter.simulator import gate, hardware, misbehaviour, personality, refusal
from hfrouter.simulator.connection import Connection
from hfrouter.simulator.embedding import reading, writing
from hfrouter.simulator.embedding.delivery import deliver
from hfrouter.simulator.embedding.models import HF_INFERENCE, EmbeddingModel
from hfrouter.simulator.embedding.reading import Texts
from hfrouter.simulator.embedding.writing import Spoil
from hfrouter.simulator.refusal import RefusedError, hexadecimal
from hfrouter.simulator.reply import Arrival, Reply, authorize
from hfrouter.simulator.state import State

_UNORDERED = "deepinfra"  # here its vectors come last text first, each with its index
_DIGITS = {"together": 7}  # decimals it rounds to; the others write 32-bit floats
_PIPELINES = ("feature-extraction", "sentence-similarity")


@dataclass(frozen=True, slots=True)
class _Work:
    """What there is to answer."""

    texts: Texts
    body: Callable[[Spoil], Any]
    headers: dict[str, str] = field(default_factory=dict)
    cost: Decimal | None = None


class Embeddings:
    """The endpoints."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def pipeline(self, request: Request) -> Reply:
        """`POST /hf-inference/models/{org}/{name}/pipeline/{task}`, or without a task for the model's own."""
        arrival = await Arrival.read(request, self._state)
        parameters = request.path_params
        name, task = f"{parameters['org']}/{parameters['name']}", parameters.get("task")
        try:
            authorize(request)
            model = self._state.embeddings.at(HF_INFERENCE, name)
            if model is None:
                known = self._state.catalogue.get(name) or self._state.embeddings.get(name)
                raise RefusedError(
                    refusal.provider_lacks_model(HF_INFERENCE) if known else refusal.model_does_not_exist(name)
                )
            task = task or model.task
            if task not in _PIPELINES or (task == "sentence-similarity" and model.backend == "transformers"):
                raise RefusedError(refusal.not_found())
            return self._served(arrival, HF_INFERENCE, model, name, lambda: self._pipelined(arrival, model, task))
        except RefusedError as error:
            return arrival.refuse(error.refusal, HF_INFERENCE)

    async def openai(self, request: Request) -> Reply:
        """`POST /{provider}/v1/embeddings` and `POST /deepinfra/v1/openai/embeddings`."""
        arrival = await Arrival.read(request, self._state)
        provider = request.path_params.get("provider", _UNORDERED)
        own_path = "/v1/openai/embeddings" if provider == _UNORDERED else "/v1/embeddings"
        served = self._state.embeddings.providers - {HF_INFERENCE}
        if provider not in served or request.url.path != f"/{provider}{own_path}":
            return arrival.refuse(refusal.not_found())
        try:
            authorize(request)
            if not isinstance(arrival.body, dict):
                raise RefusedError(refusal.bad_request("The request body is not a JSON object."))
            own = str(arrival.body.get("model"))
            model = self._state.embeddings.at(provider, own)
            if model is None:
                raise RefusedError(refusal.provider_lacks_model(provider))
            return self._served(arrival, provider, model, own, lambda: self._listed(arrival, provider, model, own))
        except RefusedError as error:
            return arrival.refuse(error.refusal, provider)

    def _served(
        self, arrival: Arrival, provider: str, model: EmbeddingModel, asked: str, read: Callable[[], _Work]
    ) -> Reply:
        """Let a provider answer, with the fault that is scripted for it."""
        speaker = personality.of(provider)
        arrival.note(model=model.id, provider=provider)
        fault = gate.money_then_fault(self._state, arrival, provider, model.id)
        if fault is not None:
            row = {"context_length": model.max_tokens}
            if (answer := misbehaviour.refuse(fault, speaker, model.id, asked, arrival.body, row)) is not None:
                return arrival.refuse(answer, provider)
            if fault.name in ("hang", "reset"):
                return arrival.silence(fault)
        loading = gate.supply(self._state, speaker, model.id)
        work = read()
        headers = arrival.headers(provider) | work.headers
        body = work.body(writing.spoiler(fault))

        def bill() -> None:
            arrival.note(usage=work.texts.usage, cost=work.cost)

        async def write(connection: Connection) -> None:
            await connection.wait(loading)
            await deliver(connection, body, headers, fault, self._state.pace(provider).latency, arrival.note, bill)

        return arrival.reply(write)

    def _pipelined(self, arrival: Arrival, model: EmbeddingModel, task: str) -> _Work:
        if arrival.raw is None:
            raise RefusedError(refusal.too_large())
        read, write = reading.feature_extraction, writing.feature_extraction
        if task == "sentence-similarity":
            read, write = reading.similarity, writing.similarity
        texts = read(arrival.raw, model)
        rng = random.Random(f"{self._state.seed}:{arrival.number}:embedding")
        headers = {
            "access-control-expose-headers": "x-compute-type, x-compute-time",
            "server": "uvicorn",
            "x-compute-time": str(hardware.seconds(texts.usage)),
            "x-compute-type": "cpu",
            "x-inference-id": hexadecimal(rng, 21),
            "x-sha": hashlib.sha1(model.id.encode(), usedforsecurity=False).hexdigest(),
        }
        if self._known(arrival, model):
            headers["x-compute-type"] = "cache"
        else:
            headers["x-compute-characters"] = str(texts.characters)
        return _Work(texts, lambda spoil: write(model, texts, spoil), headers, hardware.cost(texts.usage))

    def _known(self, arrival: Arrival, model: EmbeddingModel) -> bool:
        """Whether the same request was answered before; from now on it was."""
        digest = hashlib.blake2b(model.id.encode() + b"\n" + (arrival.raw or b""), digest_size=16).digest()
        known = digest in self._state.seen
        self._state.seen.add(digest)
        return known

    def _listed(self, arrival: Arrival, provider: str, model: EmbeddingModel, own: str) -> _Work:
        texts = reading.openai(arrival.body, model)
        ordered, digits = provider != _UNORDERED, _DIGITS.get(provider)
        return _Work(texts, lambda spoil: writing.openai(model, texts, spoil, name=own, ordered=ordered, digits=digits))

"""Chat completions: the router's choice of a provider, and what that provider makes of the request."""

import time
from dataclasses import replace
from typing import Any

from starlette.requests import Request

from hfrouter.simulator import gate, misbehaviour, personality, refusal
from hfrouter.simulator.answer import compose
from hfrouter.simulator.catalogue import Row
from hfrouter.simulator.connection import Connection
from hfrouter.simulator.delivery import Delivery
from hfrouter.simulator.log import Price
from hfrouter.simulator.personality import Generation, Personality
from hfrouter.simulator.refusal import Refusal, RefusedError
from hfrouter.simulator.reply import Arrival, Reply, authorize
from hfrouter.simulator.request import ChatRequest, parse
from hfrouter.simulator.state import State


class Chat:
    """The chat endpoints."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def auto(self, request: Request) -> Reply:
        """`POST /v1/chat/completions`: the provider comes from the suffix of the model."""
        arrival = await Arrival.read(request, self._state)
        try:
            authorize(request)
            asked, model, suffix = self._asked(arrival)
            row = self._state.catalogue.route(model, suffix)
            if row is None:
                raise RefusedError(refusal.model_not_supported(asked))
            return self._served(arrival, asked, model, row)
        except RefusedError as error:
            return arrival.refuse(error.refusal)

    async def pinned(self, request: Request) -> Reply:
        """`POST /{provider}/...`: the provider's own path and its own model id."""
        arrival = await Arrival.read(request, self._state)
        name, path = request.path_params["provider"], request.path_params["path"]
        speaker, catalogue = personality.of(name), self._state.catalogue
        own = speaker.pinned_model(f"/{path}", arrival.body)
        if name not in catalogue.providers or own is None:
            return arrival.refuse(refusal.not_found())
        try:
            authorize(request)
            for entry in catalogue.entries:
                row = catalogue.row(entry["id"], name)
                if row is not None and own in (speaker.model_name(entry["id"]), entry["id"]):
                    return self._served(arrival, own, entry["id"], row)
            raise RefusedError(refusal.provider_lacks_model(name))
        except RefusedError as error:
            return arrival.refuse(error.refusal)

    def _asked(self, arrival: Arrival) -> tuple[str, str, str]:
        """Return the model as asked for, its Hub id, and the suffix."""
        if arrival.raw is None:
            raise RefusedError(refusal.too_large())
        if not isinstance(arrival.body, dict):
            raise RefusedError(refusal.bad_request("The request body is not a JSON object."))
        asked = arrival.body.get("model")
        if not isinstance(asked, str) or not asked:
            raise RefusedError(refusal.bad_request("The 'model' field is required.", "model"))
        model, _, suffix = asked.partition(":")
        if self._state.catalogue.get(model) is None:
            raise RefusedError(refusal.model_not_found(model))
        return asked, model, suffix

    def _served(self, arrival: Arrival, asked: str, model: str, row: Row) -> Reply:
        """Let the provider of a catalogue row answer; what it refuses carries its name."""
        try:
            return self._answered(arrival, asked, model, row)
        except RefusedError as error:
            return arrival.refuse(error.refusal, row["provider"])

    def _answered(self, arrival: Arrival, asked: str, model: str, row: Row) -> Reply:
        """Answer with the fault that is scripted for the provider."""
        provider, body = row["provider"], arrival.body
        if not isinstance(body, dict):
            raise RefusedError(refusal.bad_request("The request body is not a JSON object."))
        speaker = personality.of(provider)
        arrival.note(model=model, provider=provider, streamed=bool(body.get("stream")))
        fault = gate.money_then_fault(self._state, arrival, provider, model)
        if fault is not None:
            if (answer := misbehaviour.refuse(fault, speaker, model, asked, body, row)) is not None:
                return arrival.refuse(answer, provider)
            if fault.name in ("hang", "reset"):
                return arrival.silence(fault)
        loading = gate.supply(self._state, speaker, model)
        try:
            chat = parse(body, lacks_arguments=speaker.lacks_arguments)
        except RefusedError as error:
            raise RefusedError(speaker.invalid(error.refusal, body, arrival.raw or b"")) from None
        _check_ability(chat, row, speaker)
        if chat.max_tokens is None:
            chat = replace(chat, max_tokens=speaker.default_max_tokens)
        generation = self._generation(arrival.number, chat, speaker, model)
        headers = arrival.headers(provider) | speaker.headers(generation)
        price = Price.of(row)

        def note(**changes: Any) -> None:
            if "usage" in changes:
                changes["cost"] = speaker.cost(price, changes["usage"])
            arrival.note(**changes)

        async def write(connection: Connection) -> None:
            await connection.wait(loading)
            pace = self._state.pace(provider)
            delivery = Delivery(connection, speaker, generation, headers, fault, pace, note)
            await (delivery.stream() if chat.stream else delivery.unary())

        return arrival.reply(write)

    def _generation(self, number: int, chat: ChatRequest, speaker: Personality, model: str) -> Generation:
        answer = compose(
            chat,
            reasons=speaker.reasons(model),
            spaced=speaker.spaced_arguments,
            inline=speaker.inline_reasoning(model),
        )
        cached = self._state.cache.cached(speaker.name, model, chat.messages)
        return Generation(
            model=model,
            answers=(answer,) * chat.n,
            prompt_tokens=chat.prompt_tokens,
            cached_tokens=cached if speaker.reports_cache else 0,
            include_usage=chat.include_usage,
            created=int(time.time()),
            seed=chat.seed,
            salt=f"{self._state.seed}:{number}",
            max_tokens=chat.max_tokens,
            streamed=chat.stream,
        )


def _check_ability(chat: ChatRequest, row: Row, speaker: Personality) -> None:
    """Refuse what the row says its provider cannot do."""
    lacking = None
    if chat.choice.mode != "none" and row.get("supports_tools") is False:
        lacking = "tools"
    elif chat.format.kind == "json_schema" and row.get("supports_structured_output") is False:
        lacking = "response_format"
    if lacking is not None:
        body = speaker.error(f"'{lacking}' is not supported by this model.", 400)
        raise RefusedError(Refusal(400, body, router=False))
    limit = row.get("context_length")
    if limit is not None and chat.prompt_tokens > limit:
        raise RefusedError(Refusal(400, speaker.too_long(int(limit), chat.prompt_tokens), router=False))

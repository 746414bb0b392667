"""The catalogue endpoints, and the two of the Hub that clients ask beside them."""

from typing import Any

from starlette.requests import Request

from hfrouter.simulator import misbehaviour, personality, refusal
from hfrouter.simulator.personality import Personality
from hfrouter.simulator.refusal import Refusal, RefusedError
from hfrouter.simulator.reply import Arrival, Reply, authorize
from hfrouter.simulator.state import CATALOGUE, State


class Offers:
    """What is on offer. No token is needed but for `whoami`."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def models(self, request: Request) -> Reply:
        """`GET /v1/models` and `GET /v1/models/{org}/{model}`."""
        arrival = await Arrival.read(request, self._state)
        if (fault := self._state.scripts.next(CATALOGUE, "")) is not None:
            arrival.note(fault=fault.name)
            answer = misbehaviour.refuse(fault, Personality(CATALOGUE), "", "", None, {})
            return arrival.silence(fault) if answer is None else arrival.refuse(answer)
        known = request.headers.get("if-none-match")
        if not request.path_params:
            return arrival.json({"object": "list", "data": self._state.catalogue.entries}, known)
        model = _model(request)
        entry = self._state.catalogue.get(model)
        if entry is None:
            return arrival.refuse(Refusal(404, refusal.model_not_found(model).body))
        return arrival.json(entry, known)

    async def mapping(self, request: Request) -> Reply:
        """`GET /api/models/{org}/{model}`: the Hub's provider mapping, for clients that `HF_ENDPOINT` points here."""
        arrival = await Arrival.read(request, self._state)
        model = _model(request)
        entry = self._state.catalogue.get(model)
        if entry is None:
            return arrival.refuse(Refusal(404, {"error": "Repository not found"}))
        mapping = {
            row["provider"]: {
                "status": row.get("status", "live"),
                "providerId": personality.of(row["provider"]).model_name(model),
                "task": "conversational",
                "isModelAuthor": bool(row.get("is_model_author")),
            }
            for row in entry["providers"]
        }
        return arrival.json({"_id": "0" * 24, "id": model, "inferenceProviderMapping": mapping})

    async def whoami(self, request: Request) -> Reply:
        """`GET /api/whoami-v2`: the free test of a token."""
        arrival = await Arrival.read(request, self._state)
        try:
            authorize(request)
        except RefusedError as error:
            return arrival.refuse(error.refusal)
        token = {"displayName": "simulated", "role": "read", "createdAt": "2026-01-01T00:00:00.000Z"}
        user: dict[str, Any] = {"type": "user", "id": "0" * 24, "name": "simulated", "fullname": "Simulated User"}
        auth = {"type": "access_token", "accessToken": token}
        return arrival.json({**user, "isPro": False, "avatarUrl": "", "orgs": [], "auth": auth})

    async def unknown(self, request: Request) -> Reply:
        """Answer any other path: 404 in plain text, `/v1/embeddings` included."""
        arrival = await Arrival.read(request, self._state)
        return arrival.refuse(refusal.not_found())


def _model(request: Request) -> str:
    return f"{request.path_params['org']}/{request.path_params['name']}"

"""The catalogue endpoints, and the two of the Hub that clients ask beside them."""

from starlette.requests import Request

from hfrouter.simulator import hub, misbehaviour, refusal
from hfrouter.simulator.personality import Personality
from hfrouter.simulator.refusal import Refusal, RefusedError
from hfrouter.simulator.reply import FINE_GRAINED_TOKEN, Arrival, Reply, authorize
from hfrouter.simulator.script import CATALOGUE, HUB
from hfrouter.simulator.state import State


class Offers:
    """What is on offer. No token is needed but for `whoami`."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def models(self, request: Request) -> Reply:
        """`GET /v1/models` and `GET /v1/models/{org}/{model}`."""
        arrival = await Arrival.read(request, self._state)
        if (reply := failing(arrival, self._state, CATALOGUE)) is not None:
            return reply
        known = request.headers.get("if-none-match")
        if not request.path_params:
            return arrival.json({"object": "list", "data": self._state.catalogue.entries}, known)
        model = _model(request)
        entry = self._state.catalogue.get(model)
        if entry is None:
            return arrival.refuse(Refusal(404, refusal.model_not_found(model).body))
        return arrival.json(entry, known)

    async def mapping(self, request: Request) -> Reply:
        """`GET /api/models/{org}/{model}`: what the Hub knows of a model, its providers when they are asked for."""
        arrival = await Arrival.read(request, self._state)
        if (reply := failing(arrival, self._state, HUB)) is not None:
            return reply
        if "authorization" in request.headers:
            try:
                authorize(request)
            except RefusedError as error:
                return arrival.refuse(error.refusal)
        model = _model(request)
        entry, embedding = self._state.catalogue.get(model), self._state.embeddings.get(model)
        if entry is None and embedding is None:
            return arrival.refuse(refusal.repository_not_found())
        wanted = {*request.query_params.getlist("expand"), *request.query_params.getlist("expand[]")}
        answer = hub.model(model, embedding, whole=not wanted)
        if "inference" in wanted:
            answer["inference"] = "warm"
        if "inferenceProviderMapping" in wanted:
            answer["inferenceProviderMapping"] = hub.chat_mapping(entry) if entry else hub.embedding_mapping(embedding)
        return arrival.json(answer, hub=True)

    async def whoami(self, request: Request) -> Reply:
        """`GET /api/whoami-v2`: the free test of a token; a fine-grained one is told less."""
        arrival = await Arrival.read(request, self._state)
        if (reply := failing(arrival, self._state, HUB)) is not None:
            return reply
        try:
            token = authorize(request)
        except RefusedError as error:
            return arrival.refuse(error.refusal)
        return arrival.json(hub.fine_grained() if token == FINE_GRAINED_TOKEN else hub.user(), hub=True)

    async def unknown(self, request: Request) -> Reply:
        """Answer any other path: 404 in plain text, `/v1/embeddings` included."""
        arrival = await Arrival.read(request, self._state)
        return arrival.refuse(refusal.not_found())


def failing(arrival: Arrival, state: State, what: str) -> Reply | None:
    """Return the answer of the fault that is scripted for the catalogue or the Hub, if there is one."""
    if (fault := state.scripts.next(what, "")) is None:
        return None
    arrival.note(fault=fault.name)
    answer = misbehaviour.refuse(fault, Personality(what), "", "", None, {})
    return arrival.silence(fault) if answer is None else arrival.refuse(answer)


def _model(request: Request) -> str:
    return f"{request.path_params['org']}/{request.path_params['name']}"

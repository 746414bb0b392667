"""The simulator as an object: a port on this machine, served by a daemon thread."""

import socket
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from hfrouter.simulator.account import Account, Money, money
from hfrouter.simulator.catalogue import Catalogue
from hfrouter.simulator.embedding.models import EmbeddingModel, EmbeddingModels
from hfrouter.simulator.fault import Fault
from hfrouter.simulator.log import Bill, Exchange, Log
from hfrouter.simulator.script import ANY_PROVIDER, CATALOGUE, HUB, Scripts
from hfrouter.simulator.state import State, paces
from hfrouter.simulator.supply import IDLE, Limits, Warmth

if TYPE_CHECKING:
    from hfrouter.simulator.serving import Serving

_STARTED = 10.0  # seconds within which the server must be up


class Simulator:
    """A fake of the Hugging Face Inference Providers router on a real socket.

    Args:
        seed: Makes ids, timings and random faults repeatable.
        models: Catalogue entries as in `/v1/models`; the built-in ones when None.
        embedding_models: The embedding models; the built-in ones when None.
        preferred: The order of providers for `:preferred`.
        latency: Seconds to the first token; one figure, or one for each provider.
        rate: Tokens per second, None for at once; one figure, or one for each provider.
        cold: Seconds that loading takes, by model, by provider, or under `*`: the first request starts it. hf-inference
            answers 503 meanwhile, featherless-ai 400, the others let the caller wait.
        idle: Seconds without a request after which a model is cold again.
        limit: (requests, seconds) by provider, or under `*` for each: what is above is answered 429.
        credits: USD the user may spend; then 402. Requests with `X-HF-Bill-To` are not charged to the user.
        spending_limit: USD the user, and each organisation, may spend; then 403.
        settlement: Seconds until a cost shows at the billing endpoints.
        port: The port to bind on 127.0.0.1; 0 for a free one.

    Raises:
        ValueError: A catalogue entry is incomplete, a provider or model is unknown, or a number does not fit.

    Example:
        >>> import json, urllib.request
        >>> with Simulator() as sim:
        ...     with urllib.request.urlopen(sim.base_url + "/models") as answer:
        ...         sorted(model["id"] for model in json.load(answer)["data"])[0]
        'HuggingFaceTB/SmolLM3-3B'
    """

    BAD_TOKEN = "hf_bad_token"  # noqa: S105 - the one token that is refused
    FINE_GRAINED_TOKEN = "hf_fine_grained_token"  # noqa: S105 - may call providers, and is told little else
    ANY = ANY_PROVIDER
    """In `fail()`: whichever provider is reached."""
    CATALOGUE = CATALOGUE
    """In `fail()`: the requests for `/v1/models`."""
    HUB = HUB
    """In `fail()`: the requests for the Hub's own endpoints below `/api/`."""

    token = "hf_simulated_token"  # noqa: S105 - no secret: any other `hf_...` is accepted too

    def __init__(
        self,
        seed: int = 0,
        *,
        models: Sequence[Mapping[str, Any]] | None = None,
        embedding_models: Sequence[EmbeddingModel] | None = None,
        preferred: Sequence[str] = (),
        latency: float | Mapping[str, float] = 0.0,
        rate: float | Mapping[str, float | None] | None = None,
        cold: Mapping[str, float] | None = None,
        idle: float = IDLE,
        limit: Mapping[str, tuple[int, float]] | None = None,
        credits: Money | None = None,  # noqa: A002 - the word of the bills
        spending_limit: Money | None = None,
        settlement: float = 0.0,
        port: int = 0,
    ) -> None:
        catalogue = Catalogue(None if models is None else [dict(entry) for entry in models], preferred)
        self._state = State(
            catalogue,
            Scripts(seed),
            Log(),
            paces(latency, rate),
            seed,
            embeddings=EmbeddingModels(embedding_models),
            account=Account(money(credits), money(spending_limit), settlement),
            limits=Limits(limit or {}),
            warmth=Warmth(cold or {}, idle),
        )
        self._state.check_names(providers=limit or (), names=cold or ())
        self._port = port
        self._serving: Serving | None = None
        self._lock = threading.Lock()
        self._url = ""

    # --- life ------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Bind the port and serve. Does nothing when already started.

        Raises:
            ModuleNotFoundError: starlette or uvicorn is missing.
            OSError: The port is taken.
        """
        with self._lock:
            if self._serving is None:
                serving = _serving(self._state, self._port)
                serving.start(_STARTED)
                self._serving = serving
                self._url = f"http://127.0.0.1:{serving.port}"
        return self

    def stop(self) -> None:
        """Close every connection, end the thread and free the port. Log and bill stay. Does nothing when stopped."""
        with self._lock:
            serving, self._serving = self._serving, None
            if serving is not None:
                serving.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Simulator {self._url if self._serving else 'stopped'}>"

    # --- where -----------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The address, such as `http://127.0.0.1:50123`; empty before the first start."""
        return self._url

    @property
    def base_url(self) -> str:
        """The address of the OpenAI-compatible interface."""
        return f"{self._url}/v1"

    # --- misbehaving -----------------------------------------------------------------------------------------------

    def fail(
        self,
        provider: str,
        *faults: Fault,
        model: str | None = None,
        times: int | None = 1,
        probability: float = 1.0,
        seconds: float | None = None,
    ) -> None:
        """Queue faults: the next requests that reach `provider` get them, in order, one each.

        Args:
            provider: A provider, `Simulator.ANY`, `Simulator.CATALOGUE` for `/v1/models`, or `Simulator.HUB`.
            faults: What happens.
            model: Only requests for this Hub id.
            times: How often the sequence is repeated; None for ever.
            probability: The chance of a request to be hit, from the seed.
            seconds: Forget the faults after so long.

        Raises:
            ValueError: There is no such provider or model, or a number does not fit.
        """
        self._state.fail(provider, *faults, model=model, times=times, probability=probability, seconds=seconds)

    def heal(self, provider: str | None = None) -> None:
        """Drop the scripted faults, all or those of one provider."""
        self._state.scripts.drop(provider)

    def reset(self) -> None:
        """Begin anew: no faults, log, bill or caches, nothing loaded or used up, the first catalogue and credits."""
        self._state.reset()

    def replace_models(self, models: Sequence[Mapping[str, Any]]) -> None:
        """Offer another catalogue from now on; a client that asks with the old ETag sees that it changed."""
        self._state.catalogue = Catalogue([dict(entry) for entry in models])

    def top_up(self, amount: Money) -> None:
        """Buy credits: the user may spend so many USD more.

        Raises:
            ValueError: It is no amount of money.
        """
        self._state.account = self._state.account.topped(amount)

    # --- what happened ---------------------------------------------------------------------------------------------

    @property
    def models(self) -> list[dict[str, Any]]:
        """The catalogue entries on offer."""
        return self._state.catalogue.entries

    @property
    def embedding_models(self) -> list[EmbeddingModel]:
        """The embedding models on offer."""
        return self._state.embeddings.all

    @property
    def exchanges(self) -> list[Exchange]:
        """Everything it was asked so far, in order of arrival."""
        return self._state.log.snapshot()

    def bill(self) -> Bill:
        """What was charged so far, exactly."""
        return self._state.log.bill()


def _missing(error: ModuleNotFoundError) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f'The simulator needs {error.name}; install it with: pip install "hfrouter[sim]"', name=error.name
    )


def _serving(state: State, port: int) -> "Serving":
    try:
        from hfrouter.simulator.serving import Serving
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    # Only a socket that names TCP gets TCP_NODELAY from asyncio; without it every answer waits 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        return Serving(state, listener)
    except BaseException:
        listener.close()
        raise

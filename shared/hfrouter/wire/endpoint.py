"""Endpoints of the user's own: any OpenAI-compatible URL as the last resort of a call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr, model_validator

from hfrouter.errors import ConfigurationError
from hfrouter.routing.policy import Names, Policy, Usd, UsdPerMillion, _Frozen
from hfrouter.routing.target import ModelId, Target, is_plain
from hfrouter.wire.token import Credential, checked_base_url

# Words that mean an order of choice after a model's colon.
_TAKEN = frozenset({"fastest", "cheapest", "preferred"})
# Where Hugging Face itself checks the token: Inference Endpoints, and private Spaces.
_TAKES_HF_TOKEN = (".endpoints.huggingface.cloud", ".hf.space")
_COMPLETIONS = "/chat/completions"


def _url(value: Any) -> str:
    """A base URL; `/v1` is added to a bare host, since TGI, vLLM, Ollama and llama.cpp all answer there."""
    try:
        url = checked_base_url(value).removesuffix(_COMPLETIONS)
    except ConfigurationError:  # it may hold a password, so it is not repeated
        raise ConfigurationError(
            "Endpoint.url must look like 'http://localhost:11434/v1': http or https, a host and a path, no user name."
        ) from None
    return url if urlsplit(url).path else f"{url}/v1"


def _name(value: str) -> str:
    if not is_plain(value) or ":" in value or "/" in value or value in _TAKEN:
        raise ConfigurationError(
            f"Endpoint.name {value[:40]!r} is not usable; give a word such as 'my-tgi', without ':', '/' or blanks, "
            f"and none of {', '.join(sorted(_TAKEN))}."
        )
    return value


def _model(value: str | None) -> str | None:
    if value is not None and not is_plain(value):
        raise ConfigurationError(
            f"Endpoint.model {value[:40]!r} is not usable; give the name the server knows, such as 'llama3.2'."
        )
    return value


def _token(value: Any) -> Any:
    if value is not None and not isinstance(value, (str, SecretStr)):  # said here: pydantic would show the value
        raise ConfigurationError(f"Endpoint.token is a {type(value).__name__}; give the text of the token.")
    return value


class Endpoint(_Frozen):
    """A server of your own that speaks OpenAI's chat completions: an Inference Endpoint, TGI, vLLM, Ollama.

    It serves as the last resort: after all providers of all models of a call, unless `Policy.order` names it or the
    call is pinned to it. Since it is on no Hugging Face account, it serves when that one is out of credits, too.

    Its `repr` does not show the token, and a pickle leaves it out: unpickled, an endpoint that had one takes no call
    until it is made anew. Chat only; embeddings do not go to endpoints.

    Attributes:
        url: Base URL, such as `http://localhost:11434/v1`; `/v1` is added to a bare host.
        name: Its provider slug in targets, rows, `only`, `ignore`, `order` and pins (`org/name:my-tgi`).
        model: The one model it serves, by the name the server knows; whatever a call asks for is then answered by it,
            and results say so. None when it serves what is asked under its Hub id.
        token: Sent to this URL only, as `Authorization: Bearer`; None for a server that wants none. The Hugging Face
            token is never taken from the environment, and is refused for hosts other than Hugging Face's.
        input_price: USD per million input tokens; without prices the cost is unknown.
        output_price: USD per million output tokens.
        is_free: Whether it costs nothing per token.
        context_length: Tokens of input and output together.
        supports_tools: None is "not known", not "no".
        supports_structured_output: Whether it takes OpenAI's `json_schema`; None is "not known".
        input_modalities: Such as `text`, `image`; empty when not known.

    Raises:
        ConfigurationError: for an unknown field or a value out of range.

    >>> Endpoint("http://localhost:11434", name="ollama", model="llama3.2", is_free=True).url
    'http://localhost:11434/v1'
    """

    url: Annotated[str, BeforeValidator(_url)]
    name: Annotated[str, AfterValidator(_name)]
    model: Annotated[str | None, AfterValidator(_model)] = None
    token: Annotated[SecretStr | None, BeforeValidator(_token)] = Field(None, repr=False)
    input_price: UsdPerMillion | None = None
    output_price: UsdPerMillion | None = None
    is_free: bool = False
    context_length: Annotated[int, Field(ge=1)] | None = None
    supports_tools: bool | None = None
    supports_structured_output: bool | None = None
    input_modalities: Names = ()

    _lost: bool = PrivateAttr(default=False)

    if TYPE_CHECKING:  # what may be given is wider than what is kept

        def __init__(
            self,
            url: str,
            *,
            name: str,
            model: str | None = None,
            token: str | SecretStr | None = None,
            input_price: Usd | None = None,
            output_price: Usd | None = None,
            is_free: bool = False,
            context_length: int | None = None,
            supports_tools: bool | None = None,
            supports_structured_output: bool | None = None,
            input_modalities: str | Sequence[str] = (),
        ) -> None: ...
    else:

        def __init__(self, url: Any, name: Any = "", **fields: Any) -> None:
            if isinstance(token := fields.get("token"), str):
                fields["token"] = SecretStr(token)
            try:
                super().__init__(url=url, name=name, **fields)
            except ConfigurationError as error:
                error.__context__ = None  # pydantic's own error, which shows what was given
                raise

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """What no field can tell alone.

        Raises:
            ConfigurationError: for half a price, a price beside `is_free`, or a token that does not belong there.
        """
        prices = {self.input_price, self.output_price}
        if None in prices and len(prices) > 1:
            raise ConfigurationError("Endpoint has one price of two; give input_price and output_price, or neither.")
        if self.is_free and any(prices - {None}):
            raise ConfigurationError("Endpoint.is_free goes with no price; leave out one of them.")
        if self.token is not None:
            secret = self.token.get_secret_value()
            try:
                Credential(secret, self.url)
            except ConfigurationError:  # which would speak of Hugging Face's
                raise ConfigurationError(
                    f"Endpoint.token of {self.name!r} is empty, or has characters no token has; copy it again."
                ) from None
            if secret.strip().startswith("hf_") and not _takes_hf_token(self.url):
                raise ConfigurationError(
                    f"Endpoint.token of {self.name!r} is a Hugging Face token, which goes to https URLs of Inference "
                    "Endpoints and Spaces only; give the server's own key."
                )
        return self

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        private = {"_lost": self.token is not None or self._lost}
        return state | {"__dict__": state["__dict__"] | {"token": None}, "__pydantic_private__": private}

    @property
    def unusable(self) -> str:
        """Why it takes no call, or an empty string."""
        return "a pickle has left out its token; give the router its endpoints anew" if self._lost else ""

    def target(self, asked: str) -> Target:
        """The target that a call for a model means here.

        Args:
            asked: The Hub id.
        """
        free = self.is_free or (self.input_price == 0 and self.output_price == 0)
        return Target(
            model=self.model or asked,
            provider=self.name,
            context_length=self.context_length,
            input_price=Decimal(0) if free else self.input_price,
            output_price=Decimal(0) if free else self.output_price,
            is_free=free,
            price_source="user",
            supports_tools=self.supports_tools,
            supports_structured_output=self.supports_structured_output,
            input_modalities=self.input_modalities,
            url=self.url,
        )

    def authorization(self, url: str) -> dict[str, str]:
        """The header for a request to `url`; none when the endpoint wants no token.

        Raises:
            ConfigurationError: the token does not belong to that origin.
        """
        if self.token is None:
            return {}
        return {"authorization": Credential(self.token.get_secret_value(), self.url).header(url)}


class Endpoints:
    """The endpoints of one router.

    Args:
        given: As the user gave them.
        base_url: Of the router.

    Raises:
        ConfigurationError: for anything that is no endpoint, a name given twice, two tokens for one URL, or the router
            itself.
    """

    def __init__(self, given: Iterable[Endpoint] | None, base_url: str) -> None:
        if given is not None and (isinstance(given, (str, Mapping, Endpoint)) or not isinstance(given, Iterable)):
            raise ConfigurationError(
                f"endpoints is a {type(given).__name__}; give a list such as [hfrouter.Endpoint(url, name='my-tgi')]."
            )
        self._all = tuple(given or ())
        self.names = frozenset(endpoint.name for endpoint in self._all if isinstance(endpoint, Endpoint))
        self._by_url: dict[str, Endpoint] = {}
        for endpoint in self._all:
            if not isinstance(endpoint, Endpoint):
                raise ConfigurationError(f"endpoints holds a {type(endpoint).__name__}; give hfrouter.Endpoint(...).")
            if endpoint.url == base_url:
                raise ConfigurationError(f"the endpoint {endpoint.name!r} is the router itself; leave it out.")
            known = self._by_url.setdefault(endpoint.url, endpoint)
            if known.token != endpoint.token:
                raise ConfigurationError(
                    f"the endpoints {known.name!r} and {endpoint.name!r} have one URL and two tokens; give them one."
                )
        if len(self.names) < len(self._all):
            raise ConfigurationError("two endpoints have the same name; give each its own.")

    def __bool__(self) -> bool:
        return bool(self._all)

    def rows(self, wanted: Iterable[ModelId]) -> tuple[Target, ...]:
        """What the endpoints can serve of a call: one target for each model, or only one where the model is fixed."""
        asked = [model.model for model in wanted]
        return tuple(dict.fromkeys(endpoint.target(model) for endpoint in self._all for model in asked))

    def alone(self, wanted: Iterable[ModelId], policy: Policy) -> bool:
        """Whether a call can go to these endpoints only, so that it needs no catalogue and no Hugging Face token."""
        only = bool(policy.only) and self.names.issuperset(policy.only)
        return all(model.provider in self.names or (only and model.provider is None) for model in wanted)

    def sorted_out(self, allowed: Sequence[Target], rejected: dict[str, str]) -> tuple[list[Target], dict[str, str]]:
        """Eligible targets and the reasons of the others, with the endpoints that take no call among the latter."""
        unusable = {endpoint.name: endpoint.unusable for endpoint in self._all if endpoint.unusable}
        broken = {target.id: unusable[target.provider] for target in allowed if target.provider in unusable}
        return [target for target in allowed if target.id not in broken], rejected | broken

    def check_names(self, rows: Iterable[Target]) -> None:
        """Refuse an endpoint with the name of a provider: nobody could tell them apart in `order` or in the ledger.

        Raises:
            ConfigurationError: for a name that one of the catalogue's rows has.
        """
        taken = next((row for row in rows if row.provider in self.names), None)
        if taken is not None:
            raise ConfigurationError(
                f"the endpoint {taken.provider!r} has the name of a provider of {taken.model}; give it another."
            )

    def authorization(self, url: str) -> dict[str, str] | None:
        """The `Authorization` header of a chat request to an endpoint; None when the URL is none of an endpoint's."""
        endpoint = self._by_url.get(url.removesuffix(_COMPLETIONS))
        return None if endpoint is None else endpoint.authorization(url)


def _takes_hf_token(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and (parts.hostname or "").endswith(_TAKES_HF_TOKEN)

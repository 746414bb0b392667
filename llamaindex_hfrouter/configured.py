"""What an `HFRouter` is told when it is made, and what follows before any call: its router and its metadata."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from pydantic import AliasChoices, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError, model_validator

from hfrouter import ConfigurationError, Policy, Router
from hfrouter.adapting import Account, Names, Own, PlainProvider, plain_policy, router_of, sharing, veiled
from llamaindex_hfrouter import facts, settings
from llamaindex_hfrouter.structured import ShapedLLM

PARAMETERS = ("temperature", "max_tokens", "top_p", "seed", "stop")
ROUTING = ("provider", "policy", "session", "timeout", "max_retries")
_ACCOUNT = ("token", "bill_to", "ledger")


class ConfiguredLLM(ShapedLLM):
    """An LLM with its settings, its router and its metadata, and without a way to call it."""

    model: str = Field(description="Hub repo id, `org/name`, perhaps with `:provider`, `:fastest` or `:cheapest`.")
    temperature: float | None = Field(default=None, description="None is not sent: the model's own default.")
    max_tokens: int | None = Field(default=None, gt=0, description="Tokens of output at most; None for up to 4096.")
    top_p: float | None = Field(default=None, description="Nucleus sampling; None is not sent.")
    seed: int | None = Field(default=None, description="For answers that can be repeated, where a provider can.")
    stop: Names = Field(default=None, description="Texts that end the answer.")
    additional_kwargs: dict[str, Any] = Field(default_factory=dict, description="More parameters of each request.")

    fallback_models: Names = Field(default=None, description="Models to use when none serves `model`.")
    provider: PlainProvider = Field(
        default=None,
        description="`order`, `only`, `ignore`, `sort` (`price`, `throughput`, `latency`) and `max_price` (USD per "
        "million tokens); or just the name of a provider.",
    )
    policy: settings.PlainPolicy = Field(default=None, description="Any field of `hfrouter.Policy`, or one.")
    session: str | None = Field(default=None, description="Groups calls on Hugging Face's bill.")
    timeout: float | None = Field(
        default=None, description="Seconds to the answer, all attempts together; for a stream, to its first content."
    )
    max_retries: int | None = Field(default=None, ge=0, description="Attempts beyond the first, 3 at most.")

    context_window: int | None = Field(default=None, gt=0, description="Tokens; None for what the catalogue says.")
    num_output: int | None = Field(default=None, description="Tokens kept free for answers; None for `max_tokens`.")
    is_function_calling_model: bool | None = Field(default=None, description="None for what the catalogue says.")
    replay_reasoning: bool = Field(
        default=False, description="Send reasoning back beside tool calls, as DeepSeek and Kimi ask; others refuse it."
    )
    promote_reasoning: bool = Field(
        default=True, description="Take the reasoning for the answer when a stream ends with nothing else."
    )

    token: SecretStr | None = Field(
        default=None,
        exclude=True,
        repr=False,
        validation_alias=AliasChoices("token", "api_key"),
        description="Hugging Face token, also as `api_key`; None for `HF_TOKEN` or the file of `hf auth login`.",
    )
    base_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("base_url", "api_base"),
        description="Another OpenAI-compatible router; it needs its own `token`.",
    )
    bill_to: str | None = Field(default=None, repr=False, description="Organisation to bill.")
    ledger: settings.PathText = Field(default=None, description='Of the attempts: a path, `"memory"` or `"off"`.')
    router: Router | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="A ready router, to share one between objects, instead of token, bill_to and ledger.",
    )

    model_config = ConfigDict(
        extra="forbid", arbitrary_types_allowed=True, protected_namespaces=(), hide_input_in_errors=True
    )

    _own: Own = PrivateAttr(default=None)
    _knowledge: facts.Knowledge = PrivateAttr(default_factory=facts.Knowledge)

    def __init__(self, model: str, **given: Any) -> None:
        """See the fields.

        Raises:
            ConfigurationError: for an argument that does not exist, with the nearest one, or a value out of range.
        """
        given = veiled(given)
        settings.check_names(given, {*type(self).model_fields, "api_key", "api_base"})
        try:
            super().__init__(**{"model": model, **given})
        except ValidationError as error:
            raise settings.refused(error) from None

    @model_validator(mode="after")
    def _check_settings(self) -> Self:
        Policy().for_request(models=self.fallback_models, provider=self.provider, timeout=self.timeout)
        if self.router is not None:
            if any(getattr(self, name) for name in _ACCOUNT) or self.base_url not in (None, self.router.base_url):
                raise ConfigurationError(
                    "a router brings its own token, base_url, bill_to and ledger; leave them out beside router=."
                )
            # What can be said in JSON is said, so that a dump that is loaded again finds its way.
            self.base_url = self.router.base_url
            self.policy = self.policy or plain_policy(self.router.policy) or None
        settings.merged({"model": self.model}, self.additional_kwargs)
        return self

    # -- identity ------------------------------------------------------------------------------------------------------

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """The fields that say something."""
        return [
            (name, getattr(self, name))
            for name, field in type(self).model_fields.items()
            if field.repr
            and not field.exclude
            and name in self.__dict__  # a traceback with locals shows one that is half made
            and getattr(self, name) != field.get_default(call_default_factory=True)
        ]

    @property
    def metadata(self) -> facts.HFRouterMetadata:
        """Context window and abilities: the user's values, else the catalogue's, else assumptions; see `sources`.

        The catalogue is taken from memory or disk, else asked for once, for at most 2 s. The context window is one that
        fits whoever serves, fallback models included. Assumed are 32,768 tokens of it, and that tools can be called.
        """
        return self._metadata(facts.PATIENCE)

    def to_payload(self) -> dict[str, Any]:
        """What instrumentation may show: metadata and the routing, no secret."""
        said = {name: getattr(self, name) for name in (*PARAMETERS, *ROUTING, "fallback_models")}
        shown = {name: value for name, value in said.items() if value is not None}
        return {
            "class_name": self.class_name(),
            "model": self.model,
            **self._metadata(facts.GLANCE).model_dump(mode="json"),
            **shown,
        }

    def _metadata(self, patience: float) -> facts.HFRouterMetadata:
        settled = self.context_window is not None and self.is_function_calling_model is not None
        return facts.metadata(
            self.model,
            None if settled else self._facts(patience),
            context_window=self.context_window,
            num_output=self.max_tokens if self.num_output is None else self.num_output,
            is_function_calling_model=self.is_function_calling_model,
        )

    def _facts(self, patience: float) -> facts.Facts | None:
        models = (self.model, *(self.fallback_models or ()))
        routing = {"provider": self.provider, "policy": self.policy}
        key = (models, repr(routing), self.base_url)
        return self._knowledge.get(key, lambda: facts.look_up(self.active_router, models, routing), patience)

    def __getstate__(self) -> dict[str, Any]:
        """Pickles hold neither token nor router: the other side looks up its own. The object itself stays whole."""
        clone = self.model_copy(update={"token": None, "router": None})
        clone._own = None
        return super(ConfiguredLLM, clone).__getstate__()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """A copy goes through the same router and tells the same handlers: ledger and catalogue are one."""
        limiter = getattr(self, "rate_limiter", None)  # younger than the oldest LlamaIndex that is supported
        live = self.router, self._own, self._knowledge, self.callback_manager, limiter
        return super().__deepcopy__(sharing(memo, *live))

    # -- the router ----------------------------------------------------------------------------------------------------

    @property
    def active_router(self) -> Router:
        """The router behind this LLM, for its `targets()` and `entries()`.

        Raises:
            ConfigurationError: for a malformed token, URL or header value.
        """
        return router_of(self, Account(self.token, self.base_url, self.bill_to, self.ledger))

    def close(self) -> None:
        """Write what the ledger still holds and release its file. The LLM may be used again."""
        if self._own is not None:
            self._own[1].close()

    async def aclose(self) -> None:
        """The asynchronous twin of `close`."""
        if self._own is not None:
            await self._own[1].aclose()

    def _shape_support(self, patience: float) -> tuple[bool, bool] | None:
        known = self._facts(patience)
        if known is None:
            return None if self.is_function_calling_model is None else (False, self.is_function_calling_model)
        tools = known.tools is not False if self.is_function_calling_model is None else self.is_function_calling_model
        return known.structured, tools

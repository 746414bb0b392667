"""`HFRouterEmbedding`: LlamaIndex embeddings through hfrouter, with fallback and a ledger row per attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index_instrumentation.dispatcher import active_instrument_tags
from pydantic import AliasChoices, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError, model_validator

from hfrouter import ConfigurationError, Embeddings, Policy, Router
from hfrouter.adapting import Account, Own, PlainProvider, carried_tags, policy_of, router_of, sharing, veiled
from llamaindex_hfrouter import settings

# The batch that back-ends of hf-inference take at once; see hfrouter's `docs/routing.md`.
_BATCH = 32


class HFRouterEmbedding(BaseEmbedding):
    """Embedding models of the Hugging Face Hub through Inference Providers.

    The model never changes and the provider stays while it lives; another provider of the same model is used only when
    its vectors have the same length. A model that is still loading is waited for. Batches, workers, progress bars,
    caches and events are LlamaIndex's own.

    Examples:
        `pip install "hfrouter[llamaindex]"`, and `export HF_TOKEN="hf_..."`.

        ```python
        from llama_index.core import Settings
        from llamaindex_hfrouter import HFRouterEmbedding

        Settings.embed_model = HFRouterEmbedding(model_name="BAAI/bge-small-en-v1.5", query_prompt_name="query")
        ```

    Errors are hfrouter's own: see `hfrouter.errors`.
    """

    model_name: str = Field(
        validation_alias=AliasChoices("model_name", "model"),
        description="Hub repo id of an embedding model, `org/name`, perhaps with `:provider`.",
    )
    embed_batch_size: int = Field(default=_BATCH, gt=0, le=2048, description="Texts in one call of the router.")
    query_prompt_name: str | None = Field(default=None, description="The model's own prompt for queries.")
    text_prompt_name: str | None = Field(default=None, description="The model's own prompt for texts.")
    normalize: bool | None = Field(default=None, description="Scale vectors to length 1; None: as the model does.")
    truncate: bool | None = Field(default=None, description="Cut texts that are too long; None: as the back-end does.")
    dimensions: int | None = Field(default=None, ge=1, description="Length of vectors, for models that can be cut.")

    provider: PlainProvider = Field(
        default=None, description="`order`, `only` and `ignore`; or just the name of a provider."
    )
    policy: settings.PlainPolicy = Field(default=None, description="Any field of `hfrouter.Policy`, or one.")
    session: str | None = Field(default=None, description="Groups calls on Hugging Face's bill.")
    timeout: float | None = Field(default=None, description="Seconds for each batch.")

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
        description="Another router; it needs its own `token`.",
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

    if not TYPE_CHECKING:  # type checkers read the fields

        def __init__(self, **given: Any) -> None:
            """See the fields.

            Raises:
                ConfigurationError: for an argument that does not exist, with the nearest one, or a value out of range.
            """
            given = veiled(given)
            settings.check_names(given, {*type(self).model_fields, "model", "api_key", "api_base"})
            try:
                super().__init__(**given)
            except ValidationError as error:
                raise settings.refused(error) from None

    @model_validator(mode="after")
    def _check_settings(self) -> Self:
        Policy().for_request(provider=self.provider, timeout=self.timeout)
        if self.router is not None:
            if self.token or self.bill_to or self.ledger or self.base_url not in (None, self.router.base_url):
                raise ConfigurationError(
                    "a router brings its own token, base_url, bill_to and ledger; leave them out beside router=."
                )
            self.base_url = self.router.base_url
        return self

    @classmethod
    def class_name(cls) -> str:
        """The name under which dumps are loaded again."""
        return "HFRouterEmbedding"

    @property
    def active_router(self) -> Router:
        """The router behind this object, for its `entries()`."""
        return router_of(self, Account(self.token, self.base_url, self.bill_to, self.ledger))

    # -- LlamaIndex's ways to embed ------------------------------------------------------------------------------------

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._embed([query], self.query_prompt_name)[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return (await self._aembed([query], self.query_prompt_name))[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._embed([text], self.text_prompt_name)[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aembed([text], self.text_prompt_name))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._embed(texts, self.text_prompt_name)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await self._aembed(texts, self.text_prompt_name)

    def _embed(self, texts: list[str], prompt_name: str | None) -> list[list[float]]:
        done: Embeddings = self.active_router.embed(texts, **self._arguments(prompt_name))
        return done.vectors

    async def _aembed(self, texts: list[str], prompt_name: str | None) -> list[list[float]]:
        done = await self.active_router.aembed(texts, **self._arguments(prompt_name))
        return done.vectors

    def _arguments(self, prompt_name: str | None) -> dict[str, Any]:
        return {
            "model": self.model_name,
            "normalize": self.normalize,
            "truncate": self.truncate,
            "prompt_name": prompt_name,
            "dimensions": self.dimensions,
            "policy": policy_of(self.policy),
            "provider": self.provider,
            "session": self.session,
            "tags": carried_tags(active_instrument_tags.get()),
            "timeout": self.timeout,
        }

    # -- copies --------------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Pickles hold neither token nor router: the other side looks up its own."""
        state = super().__getstate__()
        fields = state["__dict__"] | {"token": None, "router": None}
        return state | {"__dict__": fields, "__pydantic_private__": {"_own": None}}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """A copy goes through the same router: its ledger is one."""
        return super().__deepcopy__(sharing(memo, self.router, self._own))

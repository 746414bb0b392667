"""`HFRouterEmbeddings`: LangChain embeddings through hfrouter, with fallback and a ledger row per attempt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import ensure_config
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, model_validator

from hfrouter import Embeddings as Embedded
from hfrouter import Policy, Router
from hfrouter.adapting import Account, Own, PlainProvider, carried_tags, policy_of, router_of, sharing, veiled
from langchain_hfrouter.errors import model_errors
from langchain_hfrouter.settings import PathText, PlainPolicy

_BATCH = 32  # texts the router sends at once


class HFRouterEmbeddings(BaseModel, Embeddings):
    """Embedding models of the Hugging Face Hub through Inference Providers.

    Texts go out in batches of 32. The model never changes and the provider stays while it lives; another provider of
    the same model is used only when its vectors have the same length. A model that is still loading is waited for.

    Key init args:
        model: Hub repo id of an embedding model, with an optional `:provider`.
        query_prompt_name, document_prompt_name: The model's own prompts, such as `query` and `passage`.
        normalize: Scale vectors to length 1; None leaves it to the model.
        truncate: Cut texts that are too long for the model; None leaves it to the back-end.
        dimensions: Length of the vectors, for models that can be cut.
        provider: `order`, `only` and `ignore`, or just the name of a provider.
        policy: Any field of `hfrouter.Policy`, or one.
        timeout: Seconds for each batch.
        concurrency: Batches on the way at once.
        show_progress: Show a progress bar for documents.
        api_key, base_url, bill_to, ledger: As in `ChatHFRouter`; or `router`, a ready `hfrouter.Router`.

    Example:
        ```python
        from langchain_hfrouter import HFRouterEmbeddings

        embeddings = HFRouterEmbeddings(model="BAAI/bge-small-en-v1.5", query_prompt_name="query")
        vectors = embeddings.embed_documents(["The lighthouse was lit in 1871.", "The ferry leaves at 18:40."])
        vector = embeddings.embed_query("When does the ferry leave?")
        ```
    """

    model: str
    query_prompt_name: str | None = None
    document_prompt_name: str | None = None
    normalize: bool | None = None
    truncate: bool | None = None
    dimensions: int | None = Field(default=None, ge=1)
    provider: PlainProvider = None
    policy: PlainPolicy = None
    session: str | None = None
    request_timeout: float | None = Field(default=None, alias="timeout")
    concurrency: int = Field(default=4, ge=1)
    show_progress: bool = False

    router: Router | None = Field(default=None, exclude=True, repr=False)
    hf_base_url: str | None = Field(default=None, alias="base_url")
    hf_token: SecretStr | None = Field(default=None, alias="api_key")
    bill_to: str | None = Field(default=None, repr=False)
    ledger: PathText = None

    model_config = ConfigDict(
        populate_by_name=True, arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True
    )

    _own: Own = PrivateAttr(default=None)

    if not TYPE_CHECKING:  # type checkers read the fields

        def __init__(self, **given: Any) -> None:
            """See the fields."""
            super().__init__(**veiled(given))

    @model_validator(mode="after")
    def _check_settings(self) -> Self:
        Policy().for_request(provider=self.provider, timeout=self.request_timeout)
        if self.router is not None and (self.hf_token or self.hf_base_url or self.bill_to or self.ledger):
            raise ValueError("a router brings its own api_key, base_url, bill_to and ledger; leave them out beside it.")
        return self

    # -- LangChain's four ways to embed --------------------------------------------------------------------------------

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts to be searched in, in order.

        Raises:
            HFRouterConfigurationError: for an empty text or what is no text, or an unknown model; nothing was spent.
        """
        with model_errors():
            parts = (self._embed(part, self.document_prompt_name) for part in self._parts(texts))
            return [vector for done in parts for vector in done.vectors]

    def embed_query(self, text: str) -> list[float]:
        """Embed a text to search with."""
        with model_errors():
            return self._embed([text], self.query_prompt_name).vectors[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """The asynchronous twin of `embed_documents`."""
        with model_errors():
            parts = [await self._aembed(part, self.document_prompt_name) for part in self._parts(texts)]
            return [vector for done in parts for vector in done.vectors]

    async def aembed_query(self, text: str) -> list[float]:
        """The asynchronous twin of `embed_query`."""
        with model_errors():
            return (await self._aembed([text], self.query_prompt_name)).vectors[0]

    # -- the router ----------------------------------------------------------------------------------------------------

    @property
    def active_router(self) -> Router:
        """The router behind these embeddings, for its `entries()`."""
        return router_of(self, Account(self.hf_token, self.hf_base_url, self.bill_to, self.ledger))

    def _embed(self, texts: list[str], prompt_name: str | None) -> Embedded:
        return self.active_router.embed(texts, **self._arguments(prompt_name))

    async def _aembed(self, texts: list[str], prompt_name: str | None) -> Embedded:
        return await self.active_router.aembed(texts, **self._arguments(prompt_name))

    def _arguments(self, prompt_name: str | None) -> dict[str, Any]:
        return {
            "model": self.model,
            "normalize": self.normalize,
            "truncate": self.truncate,
            "prompt_name": prompt_name,
            "dimensions": self.dimensions,
            "policy": policy_of(self.policy),
            "provider": self.provider,
            "session": self.session,
            "tags": carried_tags(ensure_config().get("metadata")),
            "timeout": self.request_timeout,
            "concurrency": self.concurrency,
        }

    def _parts(self, texts: list[str]) -> Iterable[list[str]]:
        """All texts at once; with a progress bar, as many as are on the way at once."""
        if not self.show_progress or not texts:
            return [texts]
        from tqdm.auto import tqdm  # the SDK brings it

        step = _BATCH * self.concurrency
        parts = [texts[i : i + step] for i in range(0, len(texts), step)]
        return tqdm(parts, desc=f"embedding with {self.model}", unit="part")

    def __getstate__(self) -> dict[Any, Any]:
        """Pickles hold neither token nor router: the other side looks up its own."""
        state = super().__getstate__()
        fields = state["__dict__"] | {"hf_token": None, "router": None}
        return state | {"__dict__": fields, "__pydantic_private__": {"_own": None}}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """A copy goes through the same router: its ledger is one."""
        return super().__deepcopy__(sharing(memo, self.router, self._own))

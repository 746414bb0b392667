"""The embedding models on offer: who serves them, under which id, with how many dimensions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

HF_INFERENCE = "hf-inference"


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """One embedding model of the simulated Hub.

    Attributes:
        id: The Hub id.
        dimensions: Length of its vectors.
        providers: The provider's own id of it, by provider.
        backend: What runs it at hf-inference, which decides how deep its answers are nested: a single text is a flat
            vector with `sentence-transformers`, a list of one vector with `tei`, and 1 x tokens x dimensions with
            plain `transformers`.
        task: The task of the Hub's mapping.
        max_tokens: Longest input.
        prompts: Texts put before the input, by `prompt_name`.
        shortens: `dimensions` may be asked for, at the providers that take it.
    """

    id: str
    dimensions: int
    providers: Mapping[str, str]
    backend: Literal["sentence-transformers", "tei", "transformers"] = "tei"
    task: Literal["feature-extraction", "sentence-similarity"] = "feature-extraction"
    max_tokens: int = 512
    prompts: Mapping[str, str] = field(default_factory=dict)
    shortens: bool = False

    def __post_init__(self) -> None:
        if not self.id or not self.providers or self.dimensions < 1 or self.max_tokens < 3:
            raise ValueError(f"An embedding model needs an id, providers, dimensions and max_tokens: {self!r}.")
        object.__setattr__(self, "providers", MappingProxyType(dict(self.providers)))
        object.__setattr__(self, "prompts", MappingProxyType(dict(self.prompts)))

    def __hash__(self) -> int:
        return hash((self.id, self.dimensions))


DEFAULT_MODELS = (
    EmbeddingModel(
        "sentence-transformers/all-MiniLM-L6-v2",
        384,
        {HF_INFERENCE: "sentence-transformers/all-MiniLM-L6-v2"},
        backend="sentence-transformers",
        task="sentence-similarity",
        max_tokens=256,
    ),
    EmbeddingModel(
        "BAAI/bge-small-en-v1.5",
        384,
        {HF_INFERENCE: "BAAI/bge-small-en-v1.5"},
        prompts={"query": "Represent this sentence for searching relevant passages: "},
    ),
    EmbeddingModel(
        "intfloat/multilingual-e5-large",
        1024,
        {
            HF_INFERENCE: "intfloat/multilingual-e5-large",
            "together": "intfloat/multilingual-e5-large-instruct",
            "deepinfra": "multilingual-e5-large",
        },
        prompts={"query": "query: ", "passage": "passage: "},
    ),
    EmbeddingModel(
        "Qwen/Qwen3-Embedding-8B",
        4096,
        {"scaleway": "qwen3-embedding-8b", "deepinfra": "Qwen/Qwen3-Embedding-8B"},
        max_tokens=32_000,
        shortens=True,
    ),
    EmbeddingModel(
        "facebook/bart-base",
        768,
        {HF_INFERENCE: "facebook/bart-base"},
        backend="transformers",
        max_tokens=1024,
    ),
)


class EmbeddingModels:
    """The embedding models of one simulator."""

    def __init__(self, models: Iterable[EmbeddingModel] | None = None) -> None:
        self._models = {model.id: model for model in (DEFAULT_MODELS if models is None else models)}

    @property
    def all(self) -> list[EmbeddingModel]:
        """All models, in order."""
        return list(self._models.values())

    @property
    def providers(self) -> set[str]:
        """Every provider that serves one."""
        return {provider for model in self._models.values() for provider in model.providers}

    def get(self, model: str) -> EmbeddingModel | None:
        """Return a model by its Hub id."""
        return self._models.get(model)

    def at(self, provider: str, own: str) -> EmbeddingModel | None:
        """Return the model that a provider knows under an id of its own, or under its Hub id."""
        served = [model for model in self._models.values() if provider in model.providers]
        return next((model for model in served if own in (model.providers[provider], model.id)), None)

"""Where a request can be sent: one (model, provider, endpoint), and how users name one."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from hfrouter.errors import ConfigurationError

Suffix = Literal["fastest", "cheapest", "preferred"]
# The Hub's own limit is 96 characters for `org/name`; other servers may be more generous, none needs a page.
_LONGEST_ID = 200
_SUFFIXES: dict[str, Suffix] = {"fastest": "fastest", "cheapest": "cheapest", "preferred": "preferred"}


@dataclass(frozen=True, slots=True)
class Target:
    """One row of the catalogue: a model at a provider. Every fact but the two names may be unknown (None).

    Attributes:
        model: Hub repo id, `org/name`.
        provider: Provider slug such as `groq`; empty when the router is left to choose.
        live: Whether the catalogue lists it as live.
        context_length: Tokens of input and output together.
        input_price: USD per million input tokens.
        output_price: USD per million output tokens.
        cached_price: USD per million input tokens served from a cache; catalogues list none, so only a user gives it.
        is_free: True for a known zero price; a missing price is not free.
        price_source: Where the prices were read: `catalogue`, or `user`.
        supports_tools: From the router's probes; None is "not known", not "no".
        supports_structured_output: Likewise.
        first_token_latency: Seconds, from the latest probe.
        throughput: Output tokens per second, from the latest probe.
        input_modalities: Such as `text`, `image`; empty when not known.
        url: Base URL of an endpoint of the user's own; empty for the router.
    """

    model: str
    provider: str
    live: bool = True
    context_length: int | None = None
    input_price: Decimal | None = None
    output_price: Decimal | None = None
    is_free: bool = False
    supports_tools: bool | None = None
    supports_structured_output: bool | None = None
    first_token_latency: float | None = None
    throughput: float | None = None
    input_modalities: tuple[str, ...] = ()
    cached_price: Decimal | None = None
    price_source: str = "catalogue"
    url: str = ""

    @property
    def id(self) -> str:
        """`org/name:provider`, what the request names."""
        return f"{self.model}:{self.provider}" if self.provider else self.model

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True, slots=True)
class ModelId:
    """What a user wrote: `org/name`, perhaps pinned to a provider or with an order of choice."""

    model: str
    provider: str | None = None
    suffix: Suffix | None = None

    @classmethod
    def parse(cls, text: str) -> ModelId:
        """Read `org/name`, `org/name:provider`, `:fastest`, `:cheapest` or `:preferred`.

        Raises:
            ConfigurationError: when it has no such form.

        >>> ModelId.parse("openai/gpt-oss-20b:groq")
        ModelId(model='openai/gpt-oss-20b', provider='groq', suffix=None)
        """
        model, colon, suffix = text.partition(":") if isinstance(text, str) else ("", "", "")
        org, slash, name = model.partition("/")
        malformed = not (org and slash and name) or "/" in name + suffix or bool(colon) is not bool(suffix)
        if malformed or not is_plain(text) or text.count(":") > 1:
            raise ConfigurationError(
                f"{_shown(text)} is not a model id; use a Hub repo id like 'openai/gpt-oss-120b', "
                "or 'openai/gpt-oss-120b:groq' to name a provider."
            )
        if suffix in _SUFFIXES:
            return cls(model, suffix=_SUFFIXES[suffix])
        return cls(model, provider=suffix or None)

    def __str__(self) -> str:
        suffix = self.provider or self.suffix
        return f"{self.model}:{suffix}" if suffix else self.model


def is_plain(text: str) -> bool:
    """Whether a name is fit to be sent, logged and printed: visible ASCII of a sane length.

    >>> is_plain("openai/gpt-oss-20b"), is_plain("gpt oss")
    (True, False)
    """
    return 0 < len(text) <= _LONGEST_ID and text.isascii() and text.isprintable() and " " not in text


def _shown(value: object) -> str:
    return repr(value[:80]) if isinstance(value, str) else f"a {type(value).__name__}"

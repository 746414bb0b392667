"""What is known of a model before it is called: its context window and abilities, and where that knowledge is from.

LlamaIndex reads `metadata` at every turn: to cut chunks and chat memories, to choose between kinds of agents, to fill
events. So it must be cheap, the same before and after the first call, and never hang.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from llama_index.core.base.llms.types import LLMMetadata
from pydantic import Field

from hfrouter import HFRouterError, Policy, Router, Target

Source = Literal["user", "catalogue", "assumed"]

ASSUMED_CONTEXT = 32_768
"""Tokens of context when nothing is known: nearly every model that is served has them."""
DEFAULT_OUTPUT = 4_096
"""Tokens of output: what the router asks for when the user gives no `max_tokens`."""
PATIENCE = 2.0
"""Seconds that reading `metadata` may wait for the catalogue, once."""
GLANCE = 0.05
"""Seconds that an event may wait for it: enough for memory and disk, too little to hold an event loop up."""
_AGAIN = 30.0


class HFRouterMetadata(LLMMetadata):
    """LlamaIndex's metadata, with the source of each fact.

    Attributes:
        sources: `context_window`, `num_output` and `is_function_calling_model` to `user`, `catalogue` or `assumed`.
    """

    sources: dict[str, Source] = Field(default_factory=dict)


def metadata(
    model: str,
    known: Facts | None,
    *,
    context_window: int | None,
    num_output: int | None,
    is_function_calling_model: bool | None,
) -> HFRouterMetadata:
    """Put together what the user gives, what the catalogue says and what is assumed.

    >>> metadata("a/b", None, context_window=8192, num_output=None, is_function_calling_model=None).sources
    {'context_window': 'user', 'num_output': 'assumed', 'is_function_calling_model': 'assumed'}
    """
    sources: dict[str, Source] = {}

    def fact(name: str, given: Any, listed: Any, assumed: Any) -> Any:
        value, sources[name] = assumed, "assumed"
        if given is not None:
            value, sources[name] = given, "user"
        elif listed is not None:
            value, sources[name] = listed, "catalogue"
        return value

    known = known or Facts()
    context = fact("context_window", context_window, known.context, ASSUMED_CONTEXT)
    return HFRouterMetadata(
        context_window=context,
        num_output=fact("num_output", num_output, None, min(DEFAULT_OUTPUT, context // 4)),
        is_chat_model=True,
        is_function_calling_model=fact(
            "is_function_calling_model", is_function_calling_model, known.tools, assumed=True
        ),
        model_name=model,
        sources=sources,
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """What the catalogue says about a model and those it falls back to.

    Attributes:
        context: Tokens that fit whoever of them answers, or None.
        tools: Whether each of them has a provider that may call tools; None when nothing is known.
        structured: Whether each of them has a provider that is known to keep to a JSON schema.
    """

    context: int | None = None
    tools: bool | None = None
    structured: bool = False

    @classmethod
    def of(cls, models: Sequence[Sequence[Target]]) -> Self:
        """Read the rows of several models, one list for each.

        >>> Facts.of([[Target("a/b", "groq", context_length=8192, supports_tools=True)]])
        Facts(context=8192, tools=True, structured=False)
        """
        lengths = [row.context_length for rows in models for row in rows if row.context_length]
        return cls(
            context=min(lengths, default=None),
            # A row that does not say is one the router may use; only a clear no rules it out.
            tools=all(any(row.supports_tools is not False for row in rows) for rows in models),
            structured=all(any(row.supports_structured_output for row in rows) for rows in models),
        )


def allowed(rows: Sequence[Target], only: Sequence[str], ignore: Sequence[str]) -> list[Target]:
    """The rows that may serve: live, and not ruled out by the user's lists; all, when that leaves none."""
    live = [row for row in rows if row.live and row.provider not in ignore and (not only or row.provider in only)]
    return live or list(rows)


class Knowledge:
    """Facts looked up once for each choice of models, on a thread that nobody has to wait for.

    A look-up that failed is repeated in the background, at most every 30 s; the callers of then get the assumptions.
    """

    def __init__(self) -> None:
        self._found: dict[Any, Facts] = {}
        self._lookups: dict[Any, tuple[threading.Thread, float]] = {}

    def __reduce__(self) -> tuple[type[Knowledge], tuple[()]]:
        """A pickle knows nothing: the other side looks for itself."""
        return type(self), ()

    def get(self, key: Any, look_up: Callable[[], Facts], patience: float) -> Facts | None:
        """The facts of a choice, or None when they are not to be had within `patience` seconds.

        All callers together wait at most `patience` from the beginning of the first look-up.
        """
        if (facts := self._found.get(key)) is not None:
            return facts
        thread, began = self._lookups.get(key) or self._begin(key, look_up)
        left = began + patience - time.monotonic()
        if left > 0:
            thread.join(left)
        elif not thread.is_alive() and time.monotonic() - began > _AGAIN:
            self._begin(key, look_up)
        return self._found.get(key)

    def _begin(self, key: Any, look_up: Callable[[], Facts]) -> tuple[threading.Thread, float]:
        def find() -> None:
            try:
                self._found[key] = look_up()
            except HFRouterError:
                return  # no catalogue, or no such model: a call will say so in its own words

        thread = threading.Thread(target=find, daemon=True, name="hfrouter-facts")
        thread.start()  # before others can see it: one that has not started cannot be waited for
        begun = self._lookups[key] = thread, time.monotonic()
        return begun


def look_up(router: Router, models: Sequence[str], settings: Mapping[str, Any]) -> Facts:
    """Read the facts of some models from the catalogue.

    Args:
        router: Whose catalogue.
        models: The first and its fallbacks.
        settings: `provider` and `policy`, as an `HFRouter` keeps them.

    Raises:
        ConfigurationError: when the catalogue is not to be had, or knows none of the first model.
    """
    policy = router.policy if settings.get("policy") is None else Policy(**settings["policy"])
    policy = policy.for_request(models=models[1:] or None, provider=settings.get("provider"))
    rows = [router.targets(name) for name in dict.fromkeys((models[0], *policy.models))]
    return Facts.of([allowed(each, policy.only, policy.ignore) for each in rows])

"""Who embeds a model: the Hub's provider mapping. The router's catalogue lists chat models only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hfrouter.errors import ConfigurationError
from hfrouter.routing.target import is_plain
from hfrouter.wire.clock import Clock
from hfrouter.wire.http import WireFailure, send

# For sentence-transformers the Hub lists one and the same back-end under either task.
TASKS = frozenset({"feature-extraction", "sentence-similarity"})
_FRESH = 300.0
_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Served:
    """How a provider serves a model.

    Attributes:
        provider: Its slug.
        name: The provider's own name of the model.
        task: Such as `feature-extraction` or `conversational`.
        live: Whether the Hub lists it as live.
    """

    provider: str
    name: str
    task: str
    live: bool


class Mappings:
    """Asks the Hub who serves a model, and keeps the answers for 5 minutes.

    Args:
        hub_url: `https://huggingface.co`, or another origin that answers like it.
        clock: For the age of answers.
    """

    def __init__(self, hub_url: str, clock: Clock) -> None:
        self._hub_url, self._clock = hub_url, clock
        self._kept: dict[str, tuple[float, tuple[Served, ...]]] = {}

    async def of(self, model: str, headers: Mapping[str, str]) -> tuple[Served, ...]:
        """Every provider of a model, whatever the task, in the Hub's order.

        Raises:
            ConfigurationError: the Hub does not know the model.
            WireFailure: the Hub cannot be reached or gives no usable answer.
        """
        kept = self._kept.get(model)
        if kept and self._clock.monotonic() - kept[0] < _FRESH:
            return kept[1]
        served = tuple(read_mapping(await self._get(model, headers)))
        self._kept[model] = (self._clock.monotonic(), served)
        return served

    async def _get(self, model: str, headers: Mapping[str, str]) -> object:
        url = f"{self._hub_url}/api/models/{quote(model)}?expand=inferenceProviderMapping"
        reply = await send("GET", url, headers, None, 5.0)
        try:
            if reply.status in {401, 403, 404}:
                raise ConfigurationError(
                    f"the Hub knows no model {model!r} that this token may see; check its name at {self._hub_url}."
                )
            if reply.status != 200:
                raise WireFailure("connection_lost")
            body = bytearray()
            async for piece in reply.pieces():
                body += piece
                if len(body) > _MAX_BYTES:
                    raise WireFailure("answer_too_large")
            return json.loads(bytes(body))
        except ValueError as error:
            if isinstance(error, ConfigurationError):
                raise
            raise WireFailure("not_an_answer") from error
        finally:
            await reply.aclose()


def read_mapping(answer: object) -> Iterator[Served]:
    """Providers out of the Hub's answer, in its dict form or the list form that clients accept as well.

    >>> row = {"providerId": "x", "task": "feature-extraction"}
    >>> list(read_mapping({"inferenceProviderMapping": {"together": row}}))
    [Served(provider='together', name='x', task='feature-extraction', live=True)]
    """
    mapping: Any = answer.get("inferenceProviderMapping") if isinstance(answer, Mapping) else None
    rows: list[Mapping[Any, Any]]
    if isinstance(mapping, Mapping):
        rows = [{"provider": provider, **row} for provider, row in mapping.items() if isinstance(row, Mapping)]
    else:
        rows = [row for row in mapping or () if isinstance(row, Mapping)] if isinstance(mapping, list) else []
    for row in rows:
        provider, name, task = row.get("provider"), row.get("providerId"), str(row.get("task", ""))
        if isinstance(provider, str) and isinstance(name, str) and is_plain(provider) and name and task.isprintable():
            yield Served(provider, name, task, row.get("status", "live") == "live")

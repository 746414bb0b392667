"""One Hugging Face token, every open model: routing, fallback and exact cost for LangChain and LlamaIndex.

>>> import hfrouter
>>> router = hfrouter.Router(ledger="memory")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hfrouter.cost.ledger import Entry, Ledger, MemoryLedger
    from hfrouter.cost.price import Cost, Price, Total
    from hfrouter.cost.sqlite import SQLiteLedger
    from hfrouter.cost.usage import Usage
    from hfrouter.errors import (
        AttemptFailed,
        BudgetExceeded,
        ConfigurationError,
        ContextOverflow,
        DeadlineExceeded,
        HFRouterError,
        NoTargetAvailable,
        OutOfCredits,
        RequestRejected,
        RouteExhausted,
        StreamInterrupted,
    )
    from hfrouter.result import Attempt, Body, Completion, Delta, Embeddings
    from hfrouter.router import Router
    from hfrouter.routing.policy import MaxPrice, Policy
    from hfrouter.routing.target import Target
    from hfrouter.stream import AsyncStream, Stream
    from hfrouter.version import __version__

# Where each public name lives: loaded when first used, so that `import hfrouter` costs next to nothing.
_HOMES = {
    "AsyncStream": "stream",
    "Attempt": "result",
    "AttemptFailed": "errors",
    "Body": "result",
    "BudgetExceeded": "errors",
    "Completion": "result",
    "ConfigurationError": "errors",
    "ContextOverflow": "errors",
    "Cost": "cost.price",
    "DeadlineExceeded": "errors",
    "Delta": "result",
    "Embeddings": "result",
    "Entry": "cost.ledger",
    "HFRouterError": "errors",
    "Ledger": "cost.ledger",
    "MaxPrice": "routing.policy",
    "MemoryLedger": "cost.ledger",
    "NoTargetAvailable": "errors",
    "OutOfCredits": "errors",
    "Policy": "routing.policy",
    "Price": "cost.price",
    "RequestRejected": "errors",
    "RouteExhausted": "errors",
    "Router": "router",
    "SQLiteLedger": "cost.sqlite",
    "Stream": "stream",
    "StreamInterrupted": "errors",
    "Target": "routing.target",
    "Total": "cost.price",
    "Usage": "cost.usage",
    "__version__": "version",
}

__all__ = [
    "AsyncStream",
    "Attempt",
    "AttemptFailed",
    "Body",
    "BudgetExceeded",
    "Completion",
    "ConfigurationError",
    "ContextOverflow",
    "Cost",
    "DeadlineExceeded",
    "Delta",
    "Embeddings",
    "Entry",
    "HFRouterError",
    "Ledger",
    "MaxPrice",
    "MemoryLedger",
    "NoTargetAvailable",
    "OutOfCredits",
    "Policy",
    "Price",
    "RequestRejected",
    "RouteExhausted",
    "Router",
    "SQLiteLedger",
    "Stream",
    "StreamInterrupted",
    "Target",
    "Total",
    "Usage",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hfrouter' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"hfrouter.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

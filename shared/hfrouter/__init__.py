"""One Hugging Face token, every open model: routing, fallback and exact cost for LangChain and LlamaIndex.

>>> import hfrouter
>>> router = hfrouter.Router(ledger="memory")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hfrouter.cost.budget import Budget, BudgetState, BudgetWarning
    from hfrouter.cost.credits import Credits, CreditsWarning
    from hfrouter.cost.estimate import Estimate
    from hfrouter.cost.ledger import Entry, Ledger, MemoryLedger
    from hfrouter.cost.price import Cost, Price, Total
    from hfrouter.cost.projection import Projection
    from hfrouter.cost.reconciliation import Difference, Reconciliation
    from hfrouter.cost.spent import Spent
    from hfrouter.cost.sqlite import SQLiteLedger
    from hfrouter.cost.tags import tags
    from hfrouter.cost.usage import Usage
    from hfrouter.errors import (
        AttemptFailed,
        BillUnavailable,
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
    from hfrouter.events import AttemptEvent, CallEvent
    from hfrouter.result import Attempt, Body, Completion, Delta, Embeddings
    from hfrouter.router import Router
    from hfrouter.routing.policy import MaxPrice, Policy
    from hfrouter.routing.target import Target
    from hfrouter.stream import AsyncStream, Stream
    from hfrouter.version import __version__
    from hfrouter.wire.endpoint import Endpoint

# Where each public name lives: loaded when first used, so that `import hfrouter` costs next to nothing.
_HOMES = {
    "AsyncStream": "stream",
    "Attempt": "result",
    "AttemptEvent": "events",
    "AttemptFailed": "errors",
    "BillUnavailable": "errors",
    "Body": "result",
    "Budget": "cost.budget",
    "BudgetExceeded": "errors",
    "BudgetState": "cost.budget",
    "BudgetWarning": "cost.budget",
    "CallEvent": "events",
    "Completion": "result",
    "ConfigurationError": "errors",
    "ContextOverflow": "errors",
    "Cost": "cost.price",
    "Credits": "cost.credits",
    "CreditsWarning": "cost.credits",
    "DeadlineExceeded": "errors",
    "Delta": "result",
    "Difference": "cost.reconciliation",
    "Embeddings": "result",
    "Endpoint": "wire.endpoint",
    "Entry": "cost.ledger",
    "Estimate": "cost.estimate",
    "HFRouterError": "errors",
    "Ledger": "cost.ledger",
    "MaxPrice": "routing.policy",
    "MemoryLedger": "cost.ledger",
    "NoTargetAvailable": "errors",
    "OutOfCredits": "errors",
    "Policy": "routing.policy",
    "Price": "cost.price",
    "Projection": "cost.projection",
    "Reconciliation": "cost.reconciliation",
    "RequestRejected": "errors",
    "RouteExhausted": "errors",
    "Router": "router",
    "SQLiteLedger": "cost.sqlite",
    "Spent": "cost.spent",
    "Stream": "stream",
    "StreamInterrupted": "errors",
    "Target": "routing.target",
    "Total": "cost.price",
    "Usage": "cost.usage",
    "__version__": "version",
    "tags": "cost.tags",
}

__all__ = [
    "AsyncStream",
    "Attempt",
    "AttemptEvent",
    "AttemptFailed",
    "BillUnavailable",
    "Body",
    "Budget",
    "BudgetExceeded",
    "BudgetState",
    "BudgetWarning",
    "CallEvent",
    "Completion",
    "ConfigurationError",
    "ContextOverflow",
    "Cost",
    "Credits",
    "CreditsWarning",
    "DeadlineExceeded",
    "Delta",
    "Difference",
    "Embeddings",
    "Endpoint",
    "Entry",
    "Estimate",
    "HFRouterError",
    "Ledger",
    "MaxPrice",
    "MemoryLedger",
    "NoTargetAvailable",
    "OutOfCredits",
    "Policy",
    "Price",
    "Projection",
    "Reconciliation",
    "RequestRejected",
    "RouteExhausted",
    "Router",
    "SQLiteLedger",
    "Spent",
    "Stream",
    "StreamInterrupted",
    "Target",
    "Total",
    "Usage",
    "__version__",
    "tags",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hfrouter' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"hfrouter.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

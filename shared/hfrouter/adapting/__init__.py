"""What the adapters of frameworks share: settings as plain JSON, shared routers, facts about an answer as plain JSON.

Only adapters import this: it needs pydantic, which `import hfrouter` does not load.
"""

from hfrouter.adapting.facts import answer_facts, attempt_facts, bounds, cost_facts
from hfrouter.adapting.routers import Account, Own, router_of, sharing
from hfrouter.adapting.settings import (
    TAGS,
    Names,
    PlainProvider,
    attributed,
    carried_tags,
    merged_call,
    plain_policy,
    plain_provider,
    policy_of,
    routed_call,
    veiled,
)

__all__ = [
    "TAGS",
    "Account",
    "Names",
    "Own",
    "PlainProvider",
    "answer_facts",
    "attempt_facts",
    "attributed",
    "bounds",
    "carried_tags",
    "cost_facts",
    "merged_call",
    "plain_policy",
    "plain_provider",
    "policy_of",
    "routed_call",
    "router_of",
    "sharing",
    "veiled",
]

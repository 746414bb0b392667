"""What the Hub says about a model and about the caller."""

import hashlib
from typing import Any

from hfrouter.simulator import personality
from hfrouter.simulator.embedding.models import EmbeddingModel

Json = dict[str, Any]

_CREATED = "2026-01-01T00:00:00.000Z"
_ORGANIZATION = "acme"


def identifier(name: str) -> str:
    """Return a stable id in the Hub's form."""
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:24]


def model(name: str, embedding: EmbeddingModel | None, *, whole: bool) -> Json:
    """Return a model's entry; `whole` when nothing in particular was asked for."""
    answer: Json = {"_id": identifier(name), "id": name}
    if whole:
        task = embedding.task if embedding else "text-generation"
        tags = list(dict.fromkeys([task, "feature-extraction" if embedding else "conversational"]))
        answer |= {"private": False, "pipeline_tag": task, "tags": tags, "modelId": name, "gated": False}
    return answer


def chat_mapping(entry: Json) -> Json:
    """Return the provider mapping of a catalogue entry."""
    return {
        row["provider"]: {
            "status": row.get("status", "live"),
            "providerId": personality.of(row["provider"]).model_name(entry["id"]),
            "task": "conversational",
            "isModelAuthor": bool(row.get("is_model_author")),
        }
        for row in entry["providers"]
    }


def embedding_mapping(embedding: EmbeddingModel | None) -> Json:
    """Return the provider mapping of an embedding model; nothing for a model without providers."""
    if embedding is None:
        return {}
    return {
        provider: {"status": "live", "providerId": own, "task": embedding.task, "isModelAuthor": False}
        for provider, own in embedding.providers.items()
    }


def user() -> Json:
    """Return `whoami-v2` for a classic token."""
    organization = {"type": "org", "id": identifier(_ORGANIZATION), "name": _ORGANIZATION, "fullname": "Acme"}
    plan = {"canPay": True, "periodEnd": 1_780_000_000, "isEnterprise": True, "avatarUrl": "", "roleInOrg": "admin"}
    token = {"displayName": "simulated", "role": "read", "createdAt": _CREATED}
    return {
        **_name(),
        "email": "simulated@example.org",
        "emailVerified": True,
        "canPay": False,
        "isPro": False,
        "periodEnd": None,
        "avatarUrl": "",
        "billingMode": "postpaid",
        "orgs": [{**organization, "email": None, **plan}],
        "auth": {"type": "access_token", "accessToken": token},
    }


def fine_grained() -> Json:
    """Return `whoami-v2` for a fine-grained token: fewer keys, as recorded 2026-10-04."""
    entity = {"_id": identifier("simulated"), "type": "user", "name": "simulated"}
    scoped = [{"entity": entity, "permissions": ["inference.serverless.write"]}]
    token = {
        "displayName": "simulated",
        "role": "fineGrained",
        "createdAt": _CREATED,
        "fineGrained": {"canReadGatedRepos": False, "global": [], "scoped": scoped},
    }
    auth = {"type": "access_token", "accessToken": token}
    return {**_name(), "isPro": False, "avatarUrl": "", "orgs": [], "auth": auth}


def _name() -> Json:
    return {"type": "user", "id": identifier("simulated"), "name": "simulated", "fullname": "Simulated User"}

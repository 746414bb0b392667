"""What users write into an object or a call, in the one form that dumps, cache keys and the router read. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SecretStr

from hfrouter.cost.tags import checked
from hfrouter.errors import ConfigurationError
from hfrouter.routing.policy import Policy

TAGS = "hfrouter_tags"
"""The name under which frameworks carry tags, in LangChain's metadata and in LlamaIndex's instrument tags."""
# The fields that have another name in `Router.chat`; a call may use either.
_CALL_NAMES = {
    "model_name": "model",
    "fallback_models": "models",
    "request_timeout": "timeout",
    "hfrouter_tags": "tags",
}
_MOST_RETRIES = 3  # Policy allows four attempts
_TOKENS = frozenset({"token", "hf_token"})
_CREDENTIALS = ("api_key", "api_token", "access_token", "secret", "password")


def veiled(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with every credential as a secret: pydantic's errors quote them, and tracebacks with locals show them.

    Raises:
        ConfigurationError: for a credential that is no text.

    >>> veiled({"api_key": "hf_x", "seed": 1})
    {'api_key': SecretStr('**********'), 'seed': 1}
    """
    return {name: _veiled(name, value) if _is_credential(name) else value for name, value in given.items()}


def _is_credential(name: str) -> bool:
    return name in _TOKENS or name.lower().endswith(_CREDENTIALS)


def _veiled(name: str, value: object) -> SecretStr | None:
    if value is None or isinstance(value, SecretStr):
        return value
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} is a {type(value).__name__}; give the text of the token.")
    return SecretStr(value)


def plain_policy(value: Any) -> Any:
    """A policy or its fields, checked, as plain JSON; whatever else it is, pydantic judges.

    Raises:
        ConfigurationError: for an unknown field or a value out of range.

    >>> plain_policy(Policy(strategy="cheapest", max_price=0.5))
    {'strategy': 'cheapest', 'max_price': {'input': '0.5', 'output': '0.5'}}
    """
    if isinstance(value, Mapping):
        value = Policy(**value)
    return value.model_dump(mode="json", exclude_unset=True) if isinstance(value, Policy) else value


def plain_provider(value: Any) -> Any:
    """A provider's name means only that one, and `auto` any, as in `huggingface_hub`.

    >>> plain_provider("groq"), plain_provider("auto")
    ({'only': ['groq']}, None)
    """
    if isinstance(value, str):
        return None if value == "auto" else {"only": [value]}
    return {"only": list(value)} if isinstance(value, (list, tuple)) else value


def _names(value: Any) -> Any:
    """One name is a list of one."""
    return [value] if isinstance(value, str) else value


PlainProvider = Annotated[dict[str, Any] | None, BeforeValidator(plain_provider)]
Names = Annotated[list[str] | None, BeforeValidator(_names)]


def policy_of(plain: Policy | Mapping[str, Any] | None) -> Policy | None:
    """The policy that some fields spell; a ready one, or None, is left as it is.

    Raises:
        ConfigurationError: for an unknown field or a value out of range.

    >>> policy_of({"attempts": 2}) == Policy(attempts=2), policy_of(None)
    (True, None)
    """
    return Policy(**plain) if isinstance(plain, Mapping) else plain


def carried_tags(*carried: Mapping[str, Any] | None) -> dict[str, str]:
    """The tags among what a framework carries along with a call: those under `hfrouter_tags`, the last of which win.

    Whatever else users let a framework carry is theirs: it may quote a prompt, which no ledger is to hold.

    Args:
        *carried: LangChain's metadata, LlamaIndex's instrument tags, or None.

    Raises:
        ConfigurationError: for anything that is no tag.

    >>> carried_tags({"thread_id": "7", "hfrouter_tags": {"user": "ann"}}, None)
    {'user': 'ann'}
    """
    return checked(*(each.get(TAGS) for each in carried if each is not None))


def attributed(call: Mapping[str, Any], carried: Mapping[str, Any] | None) -> dict[str, Any]:
    """A merged call with the tags that a framework carries, and over them its own.

    Raises:
        ConfigurationError: for anything that is no tag.

    >>> attributed({"model": "a/b", "tags": {"user": "bob"}}, {"hfrouter_tags": {"user": "ann", "run": "7"}})
    {'model': 'a/b', 'tags': {'user': 'bob', 'run': '7'}}
    """
    found = carried_tags(carried, {TAGS: call.get("tags")})
    return {name: value for name, value in call.items() if name != "tags"} | ({"tags": found} if found else {})


def merged_call(
    settings: Mapping[str, Any],
    overrides: Mapping[str, Any],
    *,
    synonyms: Mapping[str, str] | None = None,
    nested: Collection[str] = ("extra_body",),
    foreign: Collection[str] = (),
) -> dict[str, Any]:
    """An object's settings and a call's overrides under the names of `Router.chat`.

    Args:
        settings: What the object says in each call, with a `model`.
        overrides: What this call says.
        synonyms: The framework's names for parameters, to those of `Router.chat`, besides those of our own fields.
        nested: Overrides that hold more of them, in the order in which they count.
        foreign: The framework's own words, which are no parameters of a request.

    >>> merged_call({"model": "a/b", "seed": 1}, {"model_name": "c/d", "stream": True}, foreign=["stream"])
    {'model': 'c/d', 'seed': 1}
    """
    renamed = _CALL_NAMES | dict(synonyms or {})
    call = dict(settings) | {renamed.get(name, name): value for name, value in overrides.items()}
    for name in nested:
        call |= call.pop(name, None) or {}
    call["model"] = call.get("model") or settings["model"]
    return {name: value for name, value in call.items() if name not in foreign}


def routed_call(call: Mapping[str, Any], default: Policy) -> dict[str, Any]:
    """A merged call with its routing as `Router.chat` takes it.

    Args:
        call: Settings and overrides, merged.
        default: The policy that `max_retries` changes when the call has none.

    Raises:
        ConfigurationError: for a malformed policy or number of retries.

    >>> call = routed_call({"model": "a/b", "max_retries": 1, "models": "c/d"}, Policy())
    >>> call["policy"].attempts, call["models"]
    (2, ['c/d'])
    """
    found = dict(call)
    policy, retries = policy_of(found.pop("policy", None)), found.pop("max_retries", None)
    if retries is not None:
        policy = (policy or default).with_(attempts=min(retries, _MOST_RETRIES) + 1)
    return found | {
        "policy": policy,
        "provider": plain_provider(found.get("provider")),
        "models": _names(found.get("models")),
        "stop": _names(found.get("stop")) or None,
    }

"""What users write into a model or a call, in the one form that dumps, cache keys and the router read. Pure."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BeforeValidator

from hfrouter import Policy

# Other integrations' names for our fields, so that changing the class is most of a migration.
_SYNONYMS = {
    "token": "hf_token",
    "huggingfacehub_api_token": "hf_token",
    "repo_id": "model_name",
    "model_id": "model_name",
}
# The fields that have another name in `Router.chat`; a call may use either.
_CALL_NAMES = {
    "model_name": "model",
    "fallback_models": "models",
    "request_timeout": "timeout",
    "stop_sequences": "stop",
}
# LangChain's own, in every call, and no parameters of a request.
_LANGCHAINS = ("stream", "stream_usage", "stream_options", "ls_structured_output_format")
_CREDENTIALS = ("api_key", "api_token", "access_token", "secret", "password", "api_base", "endpoint_url")
_MOST_RETRIES = 3  # Policy allows four attempts


def plain_policy(value: Any) -> Any:
    """A policy or its fields, checked, as plain JSON.

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


def names(value: Any) -> Any:
    """One name is a list of one."""
    return [value] if isinstance(value, str) else value


def _text(value: Any) -> Any:
    return value if value is None else str(value)


PlainPolicy = Annotated[dict[str, Any] | Policy | None, BeforeValidator(plain_policy)]
PlainProvider = Annotated[dict[str, Any] | None, BeforeValidator(plain_provider)]
Names = Annotated[list[str] | None, BeforeValidator(names)]
PathText = Annotated[str | None, BeforeValidator(_text)]


def sorted_arguments(arguments: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """A model's init arguments under its own names; those it does not know go to `model_kwargs`, with a warning.

    Raises:
        ValueError: for one that looks like a credential or an address: it would be sent to the provider.
    """
    found = {_SYNONYMS.get(name, name): value for name, value in arguments.items()}
    extra = {name: found.pop(name) for name in list(found) if name not in known}
    for name in extra:
        if name.lower().endswith(_CREDENTIALS):
            raise ValueError(f"{name!r} is no parameter of this model; did you mean 'api_key' or 'base_url'?")
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        warnings.warn(f"{name!r} is no parameter of this model and goes to model_kwargs{hint}", stacklevel=5)
    return found | {"model_kwargs": {**(found.get("model_kwargs") or {}), **extra}} if extra else found


def merged(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A model's settings and a call's overrides under the names of `Router.chat`; None takes a setting back.

    >>> merged({"model": "a/b", "temperature": 0}, {"model_name": "c/d", "stream": True})
    {'model': 'c/d', 'temperature': 0}
    """
    call = dict(settings) | {_CALL_NAMES.get(name, name): value for name, value in overrides.items()}
    call |= call.pop("extra_body", None) or {}
    call["model"] = call.get("model") or settings["model"]
    return {name: value for name, value in call.items() if name not in _LANGCHAINS}


def routed(call: Mapping[str, Any], default: Policy) -> dict[str, Any]:
    """A call with its routing as `Router.chat` takes it.

    Args:
        call: Settings and overrides, merged.
        default: The policy that `max_retries` changes when the call has none.

    Raises:
        ConfigurationError: for a malformed policy.
    """
    found = dict(call)
    policy, retries = found.pop("policy", None), found.pop("max_retries", None)
    if isinstance(policy, Mapping):
        policy = Policy(**policy)
    if retries is not None:
        policy = (policy or default).with_(attempts=min(retries, _MOST_RETRIES) + 1)
    return found | {
        "policy": policy,
        "provider": plain_provider(found.get("provider")),
        "models": names(found.get("models")),
        "stop": names(found.get("stop")) or None,
    }

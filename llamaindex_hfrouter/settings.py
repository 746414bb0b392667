"""What users write into an `HFRouter` or a call, in the one form that dumps and the router read. Pure."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationError

from hfrouter import ConfigurationError, Policy

# Fields, and other integrations' words for them, that have another name in `Router.chat`; a call may use either.
_CALL_NAMES = {"fallback_models": "models", "model_name": "model", "request_timeout": "timeout"}
# LlamaIndex's own words, which are no parameters of a request: streaming is decided by the method that is called.
_LLAMAINDEXS = ("stream", "stream_options", "formatted")
# What is said when the object is made: in a request it would be sent to a provider.
_ACCOUNT = ("token", "api_key", "base_url", "api_base", "bill_to", "ledger", "router")
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


def _path_text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


PlainPolicy = Annotated[dict[str, Any] | None, BeforeValidator(plain_policy)]
PlainProvider = Annotated[dict[str, Any] | None, BeforeValidator(plain_provider)]
Names = Annotated[list[str] | None, BeforeValidator(names)]
PathText = Annotated[str | None, BeforeValidator(_path_text)]


def check_names(given: Collection[str], known: Collection[str]) -> None:
    """Refuse an argument that does not exist, and say which one was meant.

    Raises:
        ConfigurationError: for an unknown name.
    """
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "further request parameters go into additional_kwargs."
            raise ConfigurationError(f"HFRouter has no argument {name[:40]!r}; {hint}")


def refused(error: ValidationError) -> ConfigurationError:
    """Pydantic's report as one sentence that shows no value: it might be a token."""
    first = error.errors(include_url=False, include_input=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigurationError):
        return cause
    name = ".".join(map(str, first["loc"]))
    return ConfigurationError(f"HFRouter.{name} is not usable: {first['msg'].removeprefix('Value error, ')}.")


def merged(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A model's settings and a call's overrides under the names of `Router.chat`; None takes a setting back.

    Raises:
        ConfigurationError: for an override that is a credential or an address.

    >>> merged({"model": "a/b", "temperature": 0}, {"fallback_models": ["c/d"], "stream": True})
    {'model': 'a/b', 'temperature': 0, 'models': ['c/d']}
    """
    call = dict(settings) | {_CALL_NAMES.get(name, name): value for name, value in overrides.items()}
    for nested in ("additional_kwargs", "extra_body"):
        call |= call.pop(nested, None) or {}
    for name in _ACCOUNT:
        if name in call:
            raise ConfigurationError(f"{name} is no parameter of a request; give it when the HFRouter is made.")
    call["model"] = call.get("model") or settings["model"]
    return {name: value for name, value in call.items() if name not in _LLAMAINDEXS and value is not None}


def routed(call: Mapping[str, Any], default: Policy) -> dict[str, Any]:
    """A merged call with its routing as `Router.chat` takes it.

    Args:
        call: Settings and overrides, merged.
        default: The policy that `max_retries` changes when the call has none.

    Raises:
        ConfigurationError: for a malformed policy or number of retries.
    """
    found = dict(call)
    policy, retries = found.pop("policy", None), found.pop("max_retries", None)
    if isinstance(policy, Mapping):
        policy = Policy(**policy)
    if retries is not None:
        policy = (policy or default).with_(attempts=min(retries, _MOST_RETRIES) + 1)
    if not found.get("tools"):
        for needless in ("tools", "tool_choice", "parallel_tool_calls"):
            found.pop(needless, None)  # strict back-ends refuse a choice among no tools
    return found | {
        "policy": policy,
        "provider": plain_provider(found.get("provider")),
        "models": names(found.get("models")),
        "stop": names(found.get("stop")) or None,
    }

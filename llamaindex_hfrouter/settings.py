"""What users write into an `HFRouter` or a call, in the one form that dumps and the router read. Pure."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationError

from hfrouter import ConfigurationError, Policy
from hfrouter.adapting import merged_call, plain_policy, routed_call

# LlamaIndex's own words, which are no parameters of a request: streaming is decided by the method that is called.
_LLAMAINDEXS = ("stream", "stream_options", "formatted")
# What is said when the object is made: in a request it would be sent to a provider.
_ACCOUNT = ("token", "api_key", "base_url", "api_base", "bill_to", "ledger", "router")


def _path_text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


PlainPolicy = Annotated[dict[str, Any] | None, BeforeValidator(plain_policy)]
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
    call = merged_call(settings, overrides, nested=("additional_kwargs", "extra_body"), foreign=_LLAMAINDEXS)
    for name in _ACCOUNT:
        if name in call:
            raise ConfigurationError(f"{name} is no parameter of a request; give it when the HFRouter is made.")
    return {name: value for name, value in call.items() if value is not None}


def routed(call: Mapping[str, Any], default: Policy) -> dict[str, Any]:
    """A merged call with its routing as `Router.chat` takes it.

    Args:
        call: Settings and overrides, merged.
        default: The policy that `max_retries` changes when the call has none.

    Raises:
        ConfigurationError: for a malformed policy or number of retries.
    """
    # Strict back-ends refuse a choice among no tools.
    needless = () if call.get("tools") else ("tools", "tool_choice", "parallel_tool_calls")
    return routed_call({name: value for name, value in call.items() if name not in needless}, default)

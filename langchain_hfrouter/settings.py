"""What users write into a model or a call, in the one form that dumps, cache keys and the router read. Pure."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BeforeValidator

from hfrouter import Policy
from hfrouter.adapting import merged_call, plain_policy

# Other integrations' names for our fields, so that changing the class is most of a migration.
_SYNONYMS = {
    "token": "hf_token",
    "huggingfacehub_api_token": "hf_token",
    "repo_id": "model_name",
    "model_id": "model_name",
}
# LangChain's own, in every call, and no parameters of a request.
_LANGCHAINS = ("stream", "stream_usage", "stream_options", "ls_structured_output_format")
_CREDENTIALS = ("api_key", "api_token", "access_token", "secret", "password", "api_base", "endpoint_url")


def _path_text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


# Type checkers read the fields: they take a `Policy` where its plain form is kept.
PlainPolicy = Annotated[dict[str, Any] | Policy | None, BeforeValidator(plain_policy)]
PathText = Annotated[str | None, BeforeValidator(_path_text)]


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
        warnings.warn(f"{name!r} is no parameter of this model and goes to model_kwargs{hint}", stacklevel=6)
    return found | {"model_kwargs": {**(found.get("model_kwargs") or {}), **extra}} if extra else found


def merged(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A model's settings and a call's overrides under the names of `Router.chat`; None takes a setting back.

    >>> merged({"model": "a/b", "temperature": 0}, {"model_name": "c/d", "stream": True})
    {'model': 'c/d', 'temperature': 0}
    """
    return merged_call(settings, overrides, synonyms={"stop_sequences": "stop"}, foreign=_LANGCHAINS)

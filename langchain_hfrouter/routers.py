"""The routers behind models: those with equal settings share one, and with it the catalogue and the open ledger."""

from __future__ import annotations

from functools import lru_cache
from threading import Lock

from pydantic import SecretStr

from hfrouter import Router

Account = tuple[SecretStr | None, str | None, str | None, str | None]
"""Token, base URL, organisation to bill, ledger: what makes a router another one."""

making = Lock()
"""Held while a model makes its router: the first calls of many threads must not make several."""


def router_for(token: SecretStr | None, base_url: str | None, bill_to: str | None, ledger: str | None) -> Router:
    """The router for some settings; a ledger in memory is nobody else's.

    Args:
        token: Hugging Face token, or None to let the router look it up.
        base_url: None for Hugging Face's own.
        bill_to: Organisation to bill.
        ledger: A path, `"memory"`, `"off"`, or None for the user's default.

    Raises:
        ConfigurationError: for a malformed setting.
    """
    return (_made if ledger == "memory" else _shared)(token, base_url, bill_to, ledger)


def _made(token: SecretStr | None, base_url: str | None, bill_to: str | None, ledger: str | None) -> Router:
    secret = token.get_secret_value() if token else None
    return Router(token=secret, base_url=base_url, bill_to=bill_to, ledger=ledger)


# Web servers make a model for each request; the bound is for those that also have a token for each user.
_shared = lru_cache(maxsize=32)(_made)

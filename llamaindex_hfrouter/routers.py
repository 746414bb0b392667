"""The routers behind the objects of an integration: equal settings share one, with its catalogue and its ledger."""

from __future__ import annotations

from functools import lru_cache
from threading import Lock

from pydantic import SecretStr

from hfrouter import Router

_making = Lock()


def router_for(token: SecretStr | None, base_url: str | None, bill_to: str | None, ledger: str | None) -> Router:
    """The router for some settings; one with a ledger in memory is shared with nobody.

    Args:
        token: Hugging Face token, or None to let the router look it up.
        base_url: None for Hugging Face's own.
        bill_to: Organisation to bill.
        ledger: A path, `"memory"`, `"off"`, or None for the user's default.

    Raises:
        ConfigurationError: for a malformed setting.
    """
    with _making:
        return (_made if ledger == "memory" else _shared)(token, base_url, bill_to, ledger)


def _made(token: SecretStr | None, base_url: str | None, bill_to: str | None, ledger: str | None) -> Router:
    secret = token.get_secret_value() if token else None
    return Router(token=secret, base_url=base_url, bill_to=bill_to, ledger=ledger)


# Web servers may make an object for each request; the bound is for those that also have a token for each user.
_shared = lru_cache(maxsize=32)(_made)

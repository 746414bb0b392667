"""The routers behind adapters' objects: equal accounts share one, and with it the catalogue and the open ledger."""

from __future__ import annotations

import os
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple, Protocol

from pydantic import SecretStr

from hfrouter.router import Router


class Account(NamedTuple):
    """What makes a router another one.

    Attributes:
        token: Hugging Face token, or None to let the router look it up.
        base_url: None for Hugging Face's own.
        bill_to: Organisation to bill.
        ledger: A path, `"memory"`, `"off"`, or None for the user's default.
    """

    token: SecretStr | None = None
    base_url: str | None = None
    bill_to: str | None = None
    ledger: str | None = None


Own = tuple[Account, Router] | None
"""The router an object has made and the account it is for. Never changed but replaced: copies may part."""


class Owner(Protocol):
    """An object with a router: one that was given, or one of its own, made at first use."""

    router: Router | None
    _own: Own


def router_of(owner: Owner, account: Account) -> Router:
    """The router behind an object: the given one, else its own, made anew when its account has changed.

    However many threads make their first call at once, there is one router. Equal accounts share one between objects,
    but a ledger in memory is nobody else's.

    Args:
        owner: The object, which keeps its router.
        account: Its account as it is now.

    Raises:
        ConfigurationError: for a malformed token, URL or header value.
    """
    if owner.router is not None:
        return owner.router
    own = owner._own
    if own is None or own[0] != account:
        with _making:
            own = owner._own  # another thread may have been faster
            if own is None or own[0] != account:
                own = owner._own = account, (_made if account.ledger == "memory" else _shared)(account)
    return own[1]


def sharing(memo: dict[int, Any] | None, *live: object) -> dict[int, Any]:
    """A memo for `__deepcopy__` in which live objects are their own copies.

    A copy goes through the same router: its ledger is one.

    >>> import copy
    >>> live = []
    >>> copy.deepcopy({"live": live}, sharing(None, live))["live"] is live
    True
    """
    memo = {} if memo is None else memo
    memo.update((id(each), each) for each in live)
    return memo


def _made(account: Account) -> Router:
    token = account.token.get_secret_value() if account.token else None
    return Router(token=token, base_url=account.base_url, bill_to=account.bill_to, ledger=account.ledger)


# Web servers make an object for each request; the bound is for those that also have a token for each user.
_shared = lru_cache(maxsize=32)(_made)
_making = Lock()


def _forked() -> None:
    """Replace the lock: a thread that held it is not there to release it."""
    global _making
    _making = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

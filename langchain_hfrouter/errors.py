"""Errors of two trees at once: hfrouter's, which say what happened, and LangChain's, which say what to do about it.

Code that catches `hfrouter.OutOfCredits` and code that catches `langchain_core.exceptions.ModelError` both work, and
LangChain's retry middleware reads `is_retryable` instead of retrying whatever it does not know:

| raised here | hfrouter | LangChain | retried |
|---|---|---|---|
| `HFRouterConfigurationError` | `ConfigurationError` | `ModelInvalidRequestError` | no |
| `HFRouterInvalidRequestError` | `RequestRejected` | `ModelInvalidRequestError` | no |
| `HFRouterAuthenticationError` | `RequestRejected` | `ModelAuthenticationError` | no |
| `HFRouterPermissionDeniedError` | `RequestRejected` | `ModelPermissionDeniedError` | no |
| `HFRouterNotFoundError` | `RequestRejected` | `ModelNotFoundError` | no |
| `HFRouterContextOverflowError` | `ContextOverflow` | `ContextOverflowError` | no |
| `HFRouterOutOfCreditsError` | `OutOfCredits` | `ModelPermissionDeniedError` | no |
| `HFRouterBudgetExceededError` | `BudgetExceeded` | `ModelPermissionDeniedError` | no |
| `HFRouterNoTargetError` | `NoTargetAvailable` | `ModelNotFoundError` | no |
| `HFRouterRateLimitError` | `RouteExhausted` | `ModelRateLimitError` | yes |
| `HFRouterTimeoutError` | `DeadlineExceeded` | `ModelTimeoutError` | yes |
| `HFRouterConnectionError` | `RouteExhausted` | `ModelConnectionError` | yes |
| `HFRouterAPIError` | `RouteExhausted` | `ModelAPIError` | yes |
| `HFRouterStreamError` | `StreamInterrupted` | `ModelAPIError` | yes |

All keep `attempts`, `status_code`, `journal` and `explain()`, and survive pickling.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)

from hfrouter import (
    BudgetExceeded,
    ConfigurationError,
    ContextOverflow,
    DeadlineExceeded,
    HFRouterError,
    NoTargetAvailable,
    OutOfCredits,
    RequestRejected,
    RouteExhausted,
    StreamInterrupted,
)


class HFRouterConfigurationError(ConfigurationError, ModelInvalidRequestError):
    """Wrong input, found before anything was sent: a model nobody serves, a missing token, a malformed setting."""


class HFRouterInvalidRequestError(RequestRejected, ModelInvalidRequestError):
    """No target can serve this request as it stands."""


class HFRouterAuthenticationError(RequestRejected, ModelAuthenticationError):
    """The token was refused (401)."""


class HFRouterPermissionDeniedError(RequestRejected, ModelPermissionDeniedError):
    """The token may not do this (403)."""


class HFRouterNotFoundError(RequestRejected, ModelNotFoundError):
    """The providers do not know the model."""


class HFRouterContextOverflowError(ContextOverflow, ContextOverflowError):
    """The request is longer than the context of every model that was allowed."""


class HFRouterOutOfCreditsError(OutOfCredits, ModelPermissionDeniedError):
    """The account has no credits left (402), or met its spending limit."""


class HFRouterBudgetExceededError(BudgetExceeded, ModelPermissionDeniedError):
    """A budget refused the call before it was sent."""


class HFRouterNoTargetError(NoTargetAvailable, ModelNotFoundError):
    """No provider of the model passes the policy; `reasons` says why. Asking again changes nothing."""


class HFRouterRateLimitError(RouteExhausted, ModelRateLimitError):
    """Every allowed attempt failed, the last one with a rate limit (429)."""


class HFRouterTimeoutError(DeadlineExceeded, ModelTimeoutError):
    """The deadline passed before an answer was there."""


class HFRouterConnectionError(RouteExhausted, ModelConnectionError):
    """Every allowed attempt failed, the last one because the router could not be reached."""


class HFRouterAPIError(RouteExhausted, ModelAPIError):
    """Every allowed attempt failed on the providers' side."""


class HFRouterStreamError(StreamInterrupted, ModelAPIError):
    """The stream broke after content was delivered; `partial` has what came."""


# The first class that fits decides, so the special ones come before the general ones.
_KIN: tuple[tuple[type[HFRouterError], type[HFRouterError]], ...] = (
    (ConfigurationError, HFRouterConfigurationError),
    (ContextOverflow, HFRouterContextOverflowError),
    (OutOfCredits, HFRouterOutOfCreditsError),
    (BudgetExceeded, HFRouterBudgetExceededError),
    (StreamInterrupted, HFRouterStreamError),
    (DeadlineExceeded, HFRouterTimeoutError),
    (NoTargetAvailable, HFRouterNoTargetError),
    (RequestRejected, HFRouterInvalidRequestError),
    (RouteExhausted, HFRouterAPIError),
)
_REJECTED: dict[str, type[HFRouterError]] = {
    "unauthorized": HFRouterAuthenticationError,
    "token_lacks_permission": HFRouterPermissionDeniedError,
    "model_not_found": HFRouterNotFoundError,
}
_EXHAUSTED: dict[str, type[HFRouterError]] = {
    "rate_limited": HFRouterRateLimitError,
    "quota_exceeded": HFRouterRateLimitError,
    "connect_failed": HFRouterConnectionError,
    "connect_timeout": HFRouterConnectionError,
    "connection_lost": HFRouterConnectionError,
}


def as_model_error(error: HFRouterError) -> HFRouterError:
    """The same error as a class of both trees; one that already is comes back unchanged.

    >>> isinstance(as_model_error(OutOfCredits("no credits")), ModelPermissionDeniedError)
    True
    """
    if isinstance(error, ModelError):
        return error
    family = next((kin for core, kin in _KIN if isinstance(error, core)), None)
    if family is None:
        return error  # misuse of the library, such as a stream taken to another process: not the model's error
    outcome = error.attempts[-1].outcome if error.attempts else ""
    if family is HFRouterInvalidRequestError:
        family = _REJECTED.get(outcome, family)
    elif family is HFRouterAPIError:
        family = _EXHAUSTED.get(outcome, family)
    twin = family.__new__(family)
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    return twin


@contextmanager
def model_errors() -> Iterator[None]:
    """Raise hfrouter's errors as those of both trees, with their cause and the place they came from."""
    try:
        yield
    except HFRouterError as error:
        twin = as_model_error(error)
        if twin is error:
            raise
        raise twin.with_traceback(error.__traceback__) from error.__cause__

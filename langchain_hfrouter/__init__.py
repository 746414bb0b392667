"""LangChain chat models and embeddings through hfrouter: every open model, with fallback and exact cost.

>>> from langchain_hfrouter import ChatHFRouter
>>> ChatHFRouter(model="openai/gpt-oss-120b", api_key="hf_...").model
'openai/gpt-oss-120b'
"""

from hfrouter import __version__
from langchain_hfrouter.chat_models import ChatHFRouter
from langchain_hfrouter.embeddings import HFRouterEmbeddings
from langchain_hfrouter.errors import (
    HFRouterAPIError,
    HFRouterAuthenticationError,
    HFRouterBudgetExceededError,
    HFRouterConfigurationError,
    HFRouterConnectionError,
    HFRouterContextOverflowError,
    HFRouterInvalidRequestError,
    HFRouterNoTargetError,
    HFRouterNotFoundError,
    HFRouterOutOfCreditsError,
    HFRouterPermissionDeniedError,
    HFRouterRateLimitError,
    HFRouterStreamError,
    HFRouterTimeoutError,
)

__all__ = [
    "ChatHFRouter",
    "HFRouterAPIError",
    "HFRouterAuthenticationError",
    "HFRouterBudgetExceededError",
    "HFRouterConfigurationError",
    "HFRouterConnectionError",
    "HFRouterContextOverflowError",
    "HFRouterEmbeddings",
    "HFRouterInvalidRequestError",
    "HFRouterNoTargetError",
    "HFRouterNotFoundError",
    "HFRouterOutOfCreditsError",
    "HFRouterPermissionDeniedError",
    "HFRouterRateLimitError",
    "HFRouterStreamError",
    "HFRouterTimeoutError",
    "__version__",
]

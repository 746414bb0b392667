"""LlamaIndex through hfrouter: one Hugging Face token, every open model, fallback and exact cost.

>>> from llamaindex_hfrouter import HFRouter
>>> HFRouter(model="openai/gpt-oss-120b", token="hf_...").model
'openai/gpt-oss-120b'
"""

from hfrouter import __version__
from llamaindex_hfrouter.embedding import HFRouterEmbedding
from llamaindex_hfrouter.events import HFRouterCallEvent
from llamaindex_hfrouter.facts import HFRouterMetadata
from llamaindex_hfrouter.llm import HFRouter

__all__ = ["HFRouter", "HFRouterCallEvent", "HFRouterEmbedding", "HFRouterMetadata", "__version__"]

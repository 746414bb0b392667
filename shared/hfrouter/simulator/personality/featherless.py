"""featherless-ai: only its usage object (2026-09) and the text of its cold start are known; the rest is plain."""

from typing import Any

from hfrouter.simulator.personality.generation import Generation, counts
from hfrouter.simulator.personality.personality import Personality
from hfrouter.simulator.refusal import Refusal, error_object

Json = dict[str, Any]


class Featherless(Personality):
    """Keeps the Hub's model ids, tells cached tokens flat, and answers a cold model with a 400."""

    reports_cache = True

    def __init__(self) -> None:
        super().__init__("featherless-ai")

    def usage(self, generation: Generation) -> Json:
        """Return usage with a flat `cached_tokens`."""
        return {**counts(generation), "cached_tokens": generation.cached_tokens}

    def cold(self, model: str, seconds: float) -> Refusal:
        """Return the 400 whose text says that the model is cold; after some 20 s it is served."""
        message = f"The model {model} is cold and is being loaded. Please try again in a few seconds."
        return Refusal(400, error_object(message, "invalid_request_error", code="model_cold"), router=False)

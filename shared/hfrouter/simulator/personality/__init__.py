"""How each provider writes its answers, copied from recordings of 2025 and 2026."""

from hfrouter.simulator.personality.cerebras import Cerebras
from hfrouter.simulator.personality.featherless import Featherless
from hfrouter.simulator.personality.fireworks import Fireworks
from hfrouter.simulator.personality.generation import Chunk, Generation
from hfrouter.simulator.personality.groq import Groq
from hfrouter.simulator.personality.hf_inference import HFInference
from hfrouter.simulator.personality.novita import Novita
from hfrouter.simulator.personality.personality import Personality
from hfrouter.simulator.personality.together import Together
from hfrouter.simulator.personality.zai import Zai

PERSONALITIES: dict[str, Personality] = {
    personality.name: personality
    for personality in (
        Groq(),
        Cerebras(),
        Novita(),
        Together(),
        Zai(),
        Fireworks(),
        Featherless(),
        HFInference(),
        Personality("deepinfra", pinned_path="/v1/openai/chat/completions"),
        Personality("cohere", pinned_path="/compatibility/v1/chat/completions"),
    )
}


def of(provider: str) -> Personality:
    """Return the personality of a provider; one that was never recorded speaks plain OpenAI."""
    return PERSONALITIES.get(provider) or Personality(provider)


__all__ = ["PERSONALITIES", "Chunk", "Generation", "Personality", "of"]

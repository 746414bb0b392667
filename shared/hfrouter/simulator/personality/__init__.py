"""How each provider writes its answers, copied from recordings of 2025 and 2026."""

from hfrouter.simulator.personality.cerebras import Cerebras
from hfrouter.simulator.personality.groq import Groq
from hfrouter.simulator.personality.novita import Novita
from hfrouter.simulator.personality.personality import Chunk, Generation, Personality
from hfrouter.simulator.personality.together import Together

PERSONALITIES: dict[str, Personality] = {p.name: p for p in (Groq(), Cerebras(), Novita(), Together())}


def of(provider: str) -> Personality:
    """Return the personality of a provider; one that was never recorded speaks plain OpenAI."""
    return PERSONALITIES.get(provider) or Personality(provider)


__all__ = ["PERSONALITIES", "Chunk", "Generation", "Personality", "of"]

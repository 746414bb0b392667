"""The providers' prompt caches: which prefixes of a conversation each of them has seen."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from hfrouter.simulator.tokens import count_message

_KEPT = 4096  # prefixes; older ones are forgotten


class PromptCache:
    """Remembers prefixes of message lists for each provider and model. Used on the server's event loop only."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def cached(self, provider: str, model: str, messages: Sequence[dict[str, Any]]) -> int:
        """Return how many tokens of the prompt were seen before, and remember it."""
        digest = hashlib.blake2b(f"{provider}\n{model}".encode(), digest_size=16)
        total = found = 0
        known = True
        for message in messages:
            digest.update(json.dumps(message, sort_keys=True, ensure_ascii=False).encode())
            total += count_message(message)
            key = digest.digest()
            known = known and key in self._seen
            if known:
                found = total
            self._seen[key] = None
            self._seen.move_to_end(key)
        while len(self._seen) > _KEPT:
            self._seen.popitem(last=False)
        return found

    def clear(self) -> None:
        """Forget everything."""
        self._seen.clear()

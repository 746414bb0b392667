"""What must never be seen, and where it was seen all the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

from tests.faults.server import KEY, PROMPT, RIGHT

ARGUMENTS = '{"city": "ARGUMENTcanary-5b"}'
DESCRIPTION = "Reads TOOLcanary-d2 payrolls."
ORGANISATION = "ORGcanary-31"
OWN_KEY = "OWNKEYcanary-88c1"
# A word of each secret that nothing else holds.
CANARIES = {
    "KEYcanary4": "the token",
    "OWNKEYcanary": "the token of an endpoint of one's own",
    "ORGcanary": "the organisation that is billed",
    "PROMPTcanary": "the prompt",
    "TOOLcanary": "the description of a tool",
    "ANSWERcanary": "the answer",
    "ARGUMENTcanary": "the arguments of a tool call",
}
SECRETS = frozenset({"KEYcanary4", "OWNKEYcanary"})
PAYER = frozenset({"ORGcanary"})
CONTENT = frozenset(CANARIES) - SECRETS - PAYER
# A provider that quotes everything it was sent, and what it was about to say.
ECHO = f"of {ORGANISATION} with {KEY} and {OWN_KEY}: {PROMPT} {DESCRIPTION} {RIGHT} {ARGUMENTS}"


class Sightings:
    """What was looked at, by sink, and what was seen there.

    Attributes:
        looked: How many texts were looked at.
        seen: Where a canary was.
    """

    def __init__(self) -> None:
        self.looked: Counter[str] = Counter()
        self.seen: defaultdict[str, set[str]] = defaultdict(set)

    def look(self, sink: str, where: str, texts: Iterable[str | bytes], allowed: Collection[str] = ()) -> None:
        """Look at texts that come out of a sink.

        Args:
            sink: Its name.
            where: What came out.
            texts: As they came.
            allowed: Canaries that are meant to be there.
        """
        for text in texts:
            self.looked[sink] += 1
            raw = text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace")
            for canary in CANARIES:
                if canary not in allowed and canary.encode() in raw:
                    self.seen[sink].add(f"{CANARIES[canary]}: {where}")

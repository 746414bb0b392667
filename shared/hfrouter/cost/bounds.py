"""What calls cannot exceed, as far as this process has learned: a model that once did has its bound raised."""

from __future__ import annotations

# A bound is kept in hundredths of what the request says; nothing raises it more than a hundredfold.
_PLAIN, _MOST = 100, 10_000


class Bounds:
    """Factors by model, for tokens of input and output.

    Args:
        image_tokens: Tokens of an image at most, or None.

    >>> bounds = Bounds()
    >>> bounds.of("openai/gpt-oss-20b", (1000, 100))
    (1000, 100)
    >>> bounds.exceeded("openai/gpt-oss-20b", (1000, 100), (1500, 100))
    True
    >>> bounds.of("openai/gpt-oss-20b", (1000, 100))
    (1500, 100)
    """

    def __init__(self, image_tokens: int | None = None) -> None:
        self.image_tokens = image_tokens
        self._raised: dict[str, tuple[int, int]] = {}

    def of(self, model: str, bound: tuple[int, int] | None) -> tuple[int, int] | None:
        """The bound of a request to a model, raised as learned; None when it has none."""
        raised = self._raised.get(model)
        if raised is None or bound is None:
            return bound
        return -(-bound[0] * raised[0] // _PLAIN), -(-bound[1] * raised[1] // _PLAIN)

    def exceeded(self, model: str, bound: tuple[int, int], tokens: tuple[int, int]) -> bool:
        """Take down what an attempt has used; returns whether it was more than its bound, as `of` gave it."""
        if tokens[0] <= bound[0] and tokens[1] <= bound[1]:
            return False
        raised = self._raised.get(model, (_PLAIN, _PLAIN))
        most = [
            min(_MOST, max(factor, -(-factor * used // max(1, least))))
            for factor, used, least in zip(raised, tokens, bound, strict=True)
        ]
        self._raised[model] = most[0], most[1]
        return True

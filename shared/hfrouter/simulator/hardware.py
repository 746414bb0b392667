"""What hf-inference charges: seconds of computing times the price of the hardware.

The seconds are the simulator's own, a plain function of the tokens, so that a bill can be checked by hand. The price
is the one of the example in Hugging Face's documentation (10 s x $0.00012 = $0.0012).
"""

from collections.abc import Mapping
from decimal import Decimal

PRICE_PER_SECOND = Decimal("0.00012")
"""USD for a second of computing."""
_START, _READ, _WRITE = Decimal("0.012"), Decimal("0.0004"), Decimal("0.03")
_MILLISECOND = Decimal("0.001")


def seconds(usage: Mapping[str, int]) -> Decimal:
    """Return the seconds that a request takes by its tokens; it is what `x-compute-time` says."""
    exact = _START + _READ * usage["prompt_tokens"] + _WRITE * usage["completion_tokens"]
    return exact.quantize(_MILLISECOND)


def cost(usage: Mapping[str, int]) -> Decimal:
    """Return what a request costs in USD."""
    return seconds(usage) * PRICE_PER_SECOND

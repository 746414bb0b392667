"""Puts a recorded answer on a real socket, and asks for it the way it was asked for when it was recorded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from hfrouter import Policy, Router
from tests.recordings.cassettes import Exchange
from tests.wire.replay import Answer, Place, Server, cut_up

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "te", "upgrade"}
_OURS = {"model", "messages", "stream", "stream_options", "provider", "models", "session", "timeout", "policy"}
PRICES = {"input": Decimal("0.15"), "output": Decimal("0.6")}


@dataclass(frozen=True)
class Replayed:
    """A recorded answer in its place, and the call that gets it."""

    place: Place
    router: Router
    call: dict[str, Any]
    provider: str


def replay(server: Server, exchange: Exchange, split: Literal["whole", "bytes", "random"] = "whole") -> Replayed:
    """Serve a recorded answer; the catalogue lists the provider asked and the one that served, with prices."""
    request = dict(exchange.request or {})
    answered = exchange.json
    model, _, pin = _model_id(request.get("model") or (answered or {}).get("model")).partition(":")
    asked = pin if pin not in {"", "fastest", "cheapest", "preferred"} else "asked"
    served = exchange.headers.get("x-inference-provider", asked)
    prices = {name: float(price) for name, price in PRICES.items()}
    place = server.place(
        Answer(
            cut_up(exchange.body, split),
            exchange.status,
            {name: value for name, value in exchange.headers.items() if name not in _HOP_BY_HOP},
        ),
        models=[
            (f"{model}:{provider}", {"pricing": prices, "throughput": speed})
            for provider, speed in dict.fromkeys([(asked, 100), (served, 100 if served == asked else 1)])
        ],
    )
    upstream: Literal["unary", "stream"] = "stream" if exchange.kind == "stream" else "unary"
    return Replayed(
        place,
        Router(base_url=place.base_url, token="hf_test", ledger="memory", policy=Policy(attempts=1, upstream=upstream)),
        {
            "model": f"{model}:{pin}" if pin else model,
            "messages": request.get("messages") or "Hello",
            **{name: value for name, value in request.items() if name not in _OURS},
        },
        served,
    )


def _model_id(recorded: object) -> str:
    """A Hub id; providers' own names and the ids of facts without a request get one."""
    if isinstance(recorded, str) and re.fullmatch(r"[\w.-]+/[\w.-]+(:[\w-]+)?", recorded, re.ASCII):
        return recorded
    return "recorded/" + re.sub(r"[^A-Za-z0-9.-]", "-", str(recorded or "model"))

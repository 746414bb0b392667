"""What is wrong with an argument is said without the key that stood beside it, or was it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hfrouter import Endpoint, Router
from langchain_hfrouter import ChatHFRouter, HFRouterEmbeddings
from llamaindex_hfrouter import HFRouter, HFRouterEmbedding
from tests.faults.server import KEY
from tests.redaction.canaries import OWN_KEY, Sightings
from tests.redaction.sinks import look_at_error

BROKEN = f"{KEY}\nX-Evil: 1"
WRONG: dict[str, Callable[[], Any]] = {
    "Router, malformed": lambda: Router(token=BROKEN),
    "Router, a list": lambda: Router(token=[KEY]),  # type: ignore[arg-type]
    "Router, bad address": lambda: Router(token=KEY, base_url="nowhere"),
    "Router, bad prices": lambda: Router(token=KEY, prices=3),  # type: ignore[arg-type]
    "Router, bad payer": lambda: Router(token=KEY, bill_to="a\r\nb"),
    "Router, bad session": lambda: Router(token=KEY, session="a\r\nb"),
    "Router, bad budget": lambda: Router(token=KEY, budgets=3),  # type: ignore[arg-type]
    "Endpoint, malformed": lambda: Endpoint("http://h", name="x", token=f"{OWN_KEY}\n"),
    "Endpoint, malformed within": lambda: Endpoint("http://h", name="x", token=f"{OWN_KEY}\nx"),
    "Endpoint, a list": lambda: Endpoint("http://h", name="x", token=[OWN_KEY]),  # type: ignore[arg-type]
    "Endpoint, bad name": lambda: Endpoint("http://h", name="a/b", token=OWN_KEY),
    "Endpoint, strange origin": lambda: Endpoint("http://h", name="x", token=KEY),
    "Endpoint, in the address": lambda: Endpoint(f"http://u:{OWN_KEY}@h", name="x"),
    "ChatHFRouter, nothing else": lambda: ChatHFRouter(api_key=KEY),  # type: ignore[call-arg]
    "ChatHFRouter, a list": lambda: ChatHFRouter(model="a/b", api_key=[KEY]),
    "ChatHFRouter, bad together": lambda: ChatHFRouter(model="a/b", api_key=KEY, streaming=True, n=2),
    "ChatHFRouter, a router": lambda: ChatHFRouter(model="a/b", api_key=KEY, router=Router(ledger="memory")),
    "ChatHFRouter, another name": lambda: ChatHFRouter(model="a/b", groq_api_key=KEY),
    "HFRouterEmbeddings, nothing else": lambda: HFRouterEmbeddings(api_key=KEY),  # type: ignore[call-arg]
    "HFRouterEmbeddings, a list": lambda: HFRouterEmbeddings(model="a/b", api_key=[KEY]),
    "HFRouterEmbeddings, unknown": lambda: HFRouterEmbeddings(model="a/b", api_key=KEY, colour=1),
    "HFRouter, bad model": lambda: HFRouter(token=KEY, model=3),  # type: ignore[arg-type]
    "HFRouter, a list": lambda: HFRouter(token=[KEY], model="a/b"),
    "HFRouter, a router": lambda: HFRouter(token=KEY, model="a/b", router=Router(ledger="memory")),
    "HFRouter, unknown": lambda: HFRouter(token=KEY, model="a/b", colour=1),
    "HFRouterEmbedding, bad model": lambda: HFRouterEmbedding(token=KEY, model=3),
    "HFRouterEmbedding, a list": lambda: HFRouterEmbedding(token=[KEY], model="a/b"),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
def test_no_error_about_an_argument_shows_a_key(make: Callable[[], Any]) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 (each has its own)
        make()
    seen = Sightings()
    look_at_error(seen, "", caught.value)
    assert not seen.seen
    assert seen.looked["repr"]

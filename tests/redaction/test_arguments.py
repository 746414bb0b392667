"""What is wrong with an argument is said without the key that stood beside it, or was it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from hfrouter import Endpoint, Router
from langchain_hfrouter import ChatHFRouter, HFRouterEmbeddings
from llamaindex_hfrouter import HFRouter, HFRouterEmbedding
from tests.faults.server import KEY
from tests.redaction.canaries import OWN_KEY, Sightings
from tests.redaction.sinks import look_at_error

BROKEN = f"{KEY}\nX-Evil: 1"
# Wrong on purpose, so that no type fits.
router: Any = Router
endpoint: Any = Endpoint
chat: Any = ChatHFRouter
embeddings: Any = HFRouterEmbeddings
llm: Any = HFRouter
embedding: Any = HFRouterEmbedding
WRONG: dict[str, Callable[[], Any]] = {
    "Router, malformed": lambda: router(token=BROKEN),
    "Router, a list": lambda: router(token=[KEY]),
    "Router, bad address": lambda: router(token=KEY, base_url="nowhere"),
    "Router, bad prices": lambda: router(token=KEY, prices=3),
    "Router, bad payer": lambda: router(token=KEY, bill_to="a\r\nb"),
    "Router, bad session": lambda: router(token=KEY, session="a\r\nb"),
    "Router, bad budget": lambda: router(token=KEY, budgets=3),
    "Endpoint, malformed within": lambda: endpoint("http://h", name="x", token=f"{OWN_KEY}\nx"),
    "Endpoint, a list": lambda: endpoint("http://h", name="x", token=[OWN_KEY]),
    "Endpoint, bad name": lambda: endpoint("http://h", name="a/b", token=OWN_KEY),
    "Endpoint, strange origin": lambda: endpoint("http://h", name="x", token=KEY),
    "Endpoint, in the address": lambda: endpoint(f"http://u:{OWN_KEY}@h", name="x"),
    "ChatHFRouter, nothing else": lambda: chat(api_key=KEY),
    "ChatHFRouter, a list": lambda: chat(model="a/b", api_key=[KEY]),
    "ChatHFRouter, bad together": lambda: chat(model="a/b", api_key=KEY, streaming=True, n=2),
    "ChatHFRouter, a router": lambda: chat(model="a/b", api_key=KEY, router=router(ledger="memory")),
    "ChatHFRouter, another name": lambda: chat(model="a/b", groq_api_key=KEY),
    "HFRouterEmbeddings, nothing else": lambda: embeddings(api_key=KEY),
    "HFRouterEmbeddings, a list": lambda: embeddings(model="a/b", api_key=[KEY]),
    "HFRouterEmbeddings, unknown": lambda: embeddings(model="a/b", api_key=KEY, colour=1),
    "HFRouter, bad model": lambda: llm(token=KEY, model=3),
    "HFRouter, a list": lambda: llm(token=[KEY], model="a/b"),
    "HFRouter, a router": lambda: llm(token=KEY, model="a/b", router=router(ledger="memory")),
    "HFRouter, unknown": lambda: llm(token=KEY, model="a/b", colour=1),
    "HFRouterEmbedding, bad model": lambda: embedding(token=KEY, model=3),
    "HFRouterEmbedding, a list": lambda: embedding(token=[KEY], model="a/b"),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
def test_no_error_about_an_argument_shows_a_key(make: Callable[[], Any]) -> None:
    with pytest.raises(Exception) as caught:
        make()
    seen = Sightings()
    # Not the frames: what was given as an argument is one there, as it is in the frame of whoever gave it.
    # Nor the pickle of pydantic's own errors, in which a secret is as little hidden as in any other pickle of it.
    pickled = not isinstance(caught.value, ValidationError)
    look_at_error(seen, "", caught.value, frames=False, pickled=pickled)
    assert not seen.seen
    assert seen.looked["repr"]

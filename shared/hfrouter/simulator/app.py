"""Which path leads where."""

from starlette.applications import Starlette
from starlette.routing import Route

from hfrouter.simulator.billing import Billing
from hfrouter.simulator.chat import Chat
from hfrouter.simulator.control import Control
from hfrouter.simulator.embedding.endpoints import Embeddings
from hfrouter.simulator.offers import Offers
from hfrouter.simulator.state import State

_ANY = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def build(state: State) -> Starlette:
    """Return the ASGI application of one simulator."""
    chat, offers, control = Chat(state), Offers(state), Control(state)
    embeddings, billing = Embeddings(state), Billing(state)
    return Starlette(
        routes=[
            Route("/__simulator__/fail", control.fail, methods=["POST"]),
            Route("/__simulator__/heal", control.heal, methods=["POST"]),
            Route("/__simulator__/reset", control.reset, methods=["POST"]),
            Route("/__simulator__/exchanges", control.exchanges),
            Route("/__simulator__/bill", control.bill),
            Route("/v1/models", offers.models),
            Route("/v1/models/{org}/{name}", offers.models),
            Route("/api/models/{org}/{name}", offers.mapping),
            Route("/api/whoami-v2", offers.whoami),
            Route("/api/settings/billing/usage-v2", billing.usage),
            Route("/api/settings/billing/usage-by-inference-session", billing.sessions),
            Route("/api/organizations/{org}/billing/usage-by-inference-session", billing.sessions),
            Route("/v1/chat/completions", chat.auto, methods=["POST"]),
            Route("/hf-inference/models/{org}/{name}/pipeline/{task}", embeddings.pipeline, methods=["POST"]),
            Route("/hf-inference/models/{org}/{name}", embeddings.pipeline, methods=["POST"]),
            Route("/deepinfra/v1/openai/embeddings", embeddings.openai, methods=["POST"]),
            Route("/{provider}/v1/embeddings", embeddings.openai, methods=["POST"]),
            Route("/{provider}/{path:path}", chat.pinned, methods=["POST"]),
            Route("/{path:path}", offers.unknown, methods=_ANY),
        ]
    )

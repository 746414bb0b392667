"""An independent fake of the Hugging Face Inference Providers router, on real sockets.

It answers from the request instead of with canned text, speaks like the providers it imitates (groq, cerebras, novita,
together, zai-org, fireworks-ai, featherless-ai and hf-inference, as recorded in 2025 and 2026), embeds texts so that
what is alike is near, misbehaves on command, and keeps a log and an exact bill.

    with Simulator(seed=0) as sim:
        client = openai.OpenAI(base_url=sim.base_url, api_key=sim.token)
        sim.fail("groq", Fault.rate_limited(retry_after=2))

Nothing of the rest of hfrouter is used here: shared code would hide shared mistakes.
A pytest fixture is in `hfrouter.simulator.pytest_plugin`.
Needs the extra `sim` (starlette and uvicorn), but only once a simulator is started.
"""

from hfrouter.simulator.embedding.models import EmbeddingModel
from hfrouter.simulator.fault import Fault
from hfrouter.simulator.log import Bill, BillLine, Exchange
from hfrouter.simulator.server import Simulator

__all__ = ["Bill", "BillLine", "EmbeddingModel", "Exchange", "Fault", "Simulator"]

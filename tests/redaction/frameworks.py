"""The adapters with canaries: what LangChain and LlamaIndex dump, trace, cache and tell of models, calls and errors."""

from __future__ import annotations

import pickle
from typing import Any, ClassVar

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps, loads
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index_instrumentation import get_dispatcher

from hfrouter.simulator import Fault, Simulator
from langchain_hfrouter import ChatHFRouter, HFRouterEmbeddings
from llamaindex_hfrouter import HFRouter, HFRouterEmbedding
from tests.faults.server import KEY, MODEL, PROMPT
from tests.redaction.canaries import CONTENT, ORGANISATION, PAYER
from tests.redaction.paths import EMBEDDER, SCRIPTS, TOOL, World
from tests.redaction.sinks import look_at_error

UPSTREAMS = (
    *("answered", "tool calls and reasoning", "400", "401", "402, the organisation's", "500", "reset"),
    *("an error after content", "cut after content"),
)
# What is made to be loaded again has every setting in it, and who pays is one: without it the other side would bill
# the user's own account. LangChain gives its callbacks such a dump of the model as well.
SETTINGS = PAYER


class Callbacks(BaseCallbackHandler):
    """Everything LangChain tells a tracer: messages and answers by design, and how the model is set."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_"):
            return super().__getattribute__(name)
        return lambda *told, **named: self.told.append(f"{told!r} {named!r}")


class Events(BaseEventHandler):
    """Every event of LlamaIndex's instrumentation."""

    told: ClassVar[list[Any]] = []

    @classmethod
    def class_name(cls) -> str:
        return "Events"

    def handle(self, event: Any, **_: Any) -> None:
        self.told.append(event)


def _plain(world: World, where: str, value: Any, **ways: Any) -> None:
    """Look at a model as it shows itself, and as it is dumped to be loaded again."""
    for way in ("repr", "str", "format"):
        world.seen.look(way, where, [f"{value!r}" if way == "repr" else f"{value}"])
    for sink, dumped in ways.items():
        world.seen.look(sink.replace("_", " "), where, [_text(dumped(value))], SETTINGS)
    for sink, form in {"pickle of a model": pickle.dumps, "model_dump": lambda v: repr(v.model_dump())}.items():
        world.seen.look(sink, where, [form(value)], SETTINGS)
    copied = [repr(value.__deepcopy__()), repr(value.model_copy()), repr(pickle.loads(pickle.dumps(value)))]
    world.seen.look("repr of a copy", where, copied)


def _text(value: object) -> str | bytes:
    return value if isinstance(value, (str, bytes)) else repr(value)


def _tried(world: World, where: str, call: Any) -> None:
    try:
        told = call()
        answers = told if isinstance(told, list) else [told]
        facts = [repr(getattr(a, n, "")) for a in answers for n in ("response_metadata", "usage_metadata", "id")]
        world.seen.look("metadata of answers", where, facts)
        world.seen.look("answers", where, map(repr, answers), CONTENT)
    except Exception as error:
        look_at_error(world.seen, where, error)


def langchain(world: World, sim: Simulator) -> None:
    """`ChatHFRouter` and `HFRouterEmbeddings`."""
    callbacks = Callbacks()
    account: dict[str, Any] = {"api_key": KEY, "bill_to": ORGANISATION, "ledger": str(world.ledger)}
    config: Any = {"callbacks": [callbacks], "metadata": {"hfrouter_tags": {"user": "ann"}}}
    for name in UPSTREAMS:
        run = world.faults.run(SCRIPTS[name], ("first", "second"))
        model = ChatHFRouter(model=MODEL, base_url=run.base_url, max_retries=1, timeout=2, **account)
        for bound in (model, model.bind_tools([TOOL])):
            _tried(world, f"invoke, {name}", lambda bound=bound: bound.invoke(PROMPT, config))
            _tried(world, f"stream, {name}", lambda bound=bound: list(bound.stream(PROMPT, config)))
    _plain(
        world,
        "ChatHFRouter",
        model,
        LangChains_dumps=dumps,
        LangChains_dumpd=dumpd,
        to_json=lambda m: m.to_json(),
        model_dump_json=lambda m: m.model_dump_json(),
        identifying_params=lambda m: m._identifying_params,
        cache_keys=lambda m: m._get_llm_string(),
        asdict=lambda m: m.asdict(),
    )
    loaded = loads(
        dumps(model),
        allowed_objects=[ChatHFRouter],
        valid_namespaces=["langchain_hfrouter"],
        secrets_map={"HF_TOKEN": KEY},
    )
    assert (loaded.bill_to, loaded.hf_token.get_secret_value()) == (ORGANISATION, KEY)
    world.seen.look("repr of a copy", "loaded", [repr(loaded)])
    facts = [model._get_ls_params(), model.metadata, model.tags, model.lc_attributes, model.get_name()]
    world.seen.look("traced parameters", "ChatHFRouter", map(repr, facts))
    for failure in (None, Fault.status(400, body={"error": f"{PROMPT} {KEY} {ORGANISATION}"})):
        sim.reset()
        if failure:
            sim.fail(Simulator.ANY, failure, times=None)
        embeddings = HFRouterEmbeddings(model=EMBEDDER, base_url=sim.base_url, timeout=2, **account)
        _tried(world, "embed_query", lambda e=embeddings: e.embed_query(PROMPT))
    _plain(
        world, "HFRouterEmbeddings", embeddings, LangChains_dumpd=dumpd, model_dump_json=lambda m: m.model_dump_json()
    )
    world.seen.look("LangChain's callbacks", "all", callbacks.told, CONTENT | SETTINGS)
    assert callbacks.told


def llamaindex(world: World, sim: Simulator) -> None:
    """`HFRouter` and `HFRouterEmbedding`."""
    events, root = Events(), get_dispatcher()
    root.add_event_handler(events)
    try:
        _llamaindex(world, sim)
    finally:
        root.event_handlers.remove(events)
    ours = [event for event in events.told if type(event).__module__.startswith("llamaindex_hfrouter")]
    assert ours
    world.seen.look("LlamaIndex's events of ours", "all", (f"{e!r} {e.model_dump_json()}" for e in ours))
    world.seen.look("LlamaIndex's own events", "all", map(repr, events.told), CONTENT)


def _llamaindex(world: World, sim: Simulator) -> None:
    account: dict[str, Any] = {"token": KEY, "bill_to": ORGANISATION, "ledger": str(world.ledger)}
    for name in UPSTREAMS:
        run = world.faults.run(SCRIPTS[name], ("first", "second"))
        llm = HFRouter(MODEL, base_url=run.base_url, timeout=2, max_retries=1, **account)
        _tried(world, f"complete, {name}", lambda llm=llm: llm.complete(PROMPT))
        _tried(world, f"stream_complete, {name}", lambda llm=llm: list(llm.stream_complete(PROMPT)))
    ways = {"to_dict": lambda m: m.to_dict(), "to_json": lambda m: m.to_json()}
    _plain(world, "HFRouter", llm, **ways, model_dump_json=lambda m: m.model_dump_json())
    assert HFRouter.from_dict(llm.to_dict()).bill_to == ORGANISATION
    world.seen.look("traced parameters", "HFRouter", [repr(llm.metadata), repr(llm.to_payload())])
    for failure in (None, Fault.status(400, body={"error": f"{PROMPT} {KEY} {ORGANISATION}"})):
        sim.reset()
        if failure:
            sim.fail(Simulator.ANY, failure, times=None)
        embedding = HFRouterEmbedding(model_name=EMBEDDER, base_url=sim.base_url, timeout=2, **account)
        _tried(world, "get_query_embedding", lambda e=embedding: e.get_query_embedding(PROMPT))
    _plain(world, "HFRouterEmbedding", embedding, **ways)

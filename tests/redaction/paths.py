"""Every path a call can take, driven with canaries: who is called how, and what the other side makes of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hfrouter import Budget, Endpoint, Policy, Router, tags
from hfrouter.simulator import Fault, Simulator
from hfrouter.telemetry import instrument
from tests.faults.server import (
    COUNTED,
    DONE,
    HEALTHY,
    HEALTHY_STREAM,
    KEY,
    LAST,
    MODEL,
    PROMPT,
    RIGHT,
    STOP,
    FaultServer,
    Run,
    Script,
    chunk,
    event,
    framed,
    head,
    http,
    whole,
)
from tests.redaction.canaries import ARGUMENTS, DESCRIPTION, ECHO, ORGANISATION, OWN_KEY, PAYER, Sightings
from tests.redaction.sinks import look_at_error, look_at_value

TOOL = {"type": "function", "function": {"name": "pay", "description": DESCRIPTION, "parameters": {"type": "object"}}}
ASK: dict[str, Any] = {"model": MODEL, "messages": PROMPT, "tools": [TOOL]}
CALLED = [{"index": 0, "id": "c1", "type": "function", "function": {"name": "pay", "arguments": ARGUMENTS}}]
EMBEDDER = "intfloat/multilingual-e5-large"


def _refused(status: int, words: str = f"failed {ECHO}", **more: Any) -> Script:
    return Script((http({"error": {"message": words, "type": words, "code": status, **more}}, status),))


def _streamed(*pieces: bytes) -> Script:
    return Script((head(), *framed(*pieces), LAST))


_BEGUN = event(chunk(RIGHT))
_REASONED = {"index": 0, "delta": {"reasoning_content": RIGHT, "tool_calls": CALLED}, "finish_reason": None}
# What both providers send. Most are met by all four ways to call; a unary caller fails at some, a streaming at others.
SCRIPTS: dict[str, Script] = {
    "answered": HEALTHY_STREAM,
    "answered in one piece": HEALTHY,
    "tool calls and reasoning": _streamed(event(chunk(choices=[_REASONED])), STOP, COUNTED, DONE),
    "tool calls in one piece": Script((http(whole(None, "tool_calls", tool_calls=CALLED, reasoning=RIGHT)),)),
    "tool call without a name": _streamed(
        event(
            chunk(choices=[{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": ARGUMENTS}}]}}])
        ),
        STOP,
        DONE,
    ),
    "400": _refused(400),
    "400, unsupported parameter": _refused(400, f"unsupported parameter {ECHO}", param="tools"),
    "400, context length": _refused(400, f"maximum context length {ECHO}"),
    "401": _refused(401),
    "402": _refused(402, f"You have exceeded your monthly included credits {ECHO}"),
    "402, the organisation's": _refused(402, f"{ORGANISATION} has exceeded its credits"),
    "403": _refused(403),
    "403, the organisation's": _refused(403, f"spending limit of {ORGANISATION} reached"),
    "404": _refused(404),
    "413": _refused(413),
    "422 of pydantic": Script((http({"detail": [{"loc": ["body", PROMPT], "msg": ECHO, "input": PROMPT}]}, 422),)),
    "429": _refused(429),
    "500": _refused(500),
    "500 in plain text": Script((http(ECHO.encode(), 500, "text/plain"),)),
    "502 of a gateway": Script((http(f"<html><title>{ECHO}</title>{ECHO}</html>".encode(), 502, "text/html"),)),
    "503, loading": Script((http({"error": f"{ECHO} is loading", "estimated_time": 99}, 503),)),
    "a redirect": Script((http(b"", 307, None, "location: http://127.0.0.1:@PORT@/x"),)),
    "an error in a 200": Script((http({"error": {"message": ECHO, "code": 500}}),)),
    "an error before content": _streamed(event({"error": {"message": ECHO, "code": 500}})),
    "an error after content": _streamed(_BEGUN, event({"error": {"message": ECHO, "code": 500}})),
    "not JSON": Script((http(f"{{{ECHO}".encode()),)),
    "an event that is not JSON": _streamed(_BEGUN, event(f"{{{ECHO}".encode()), STOP, DONE),
    "events of another shape": _streamed(event({"choices": ECHO}), event([ECHO]), DONE),
    "cut before content": Script((head(), *framed(event(chunk("")))), then="reset"),
    "cut after content": Script((head(), *framed(_BEGUN)), then="reset"),
    "ended without an end": _streamed(_BEGUN),
    "empty": _streamed(event(chunk("")), STOP, COUNTED, DONE),
    "reset": Script(then="reset"),
    "hang": Script(then="hold"),
    "hang after content": Script((head(), *framed(_BEGUN)), then="hold"),
    "a header that echoes": Script((http(whole(), 200, "application/json", f"x-request-id: {'r' * 40}"),)),
}
HANG = SCRIPTS["hang"]
_SLOW = frozenset({"hang", "503, loading"})


@dataclass
class World:
    """What all paths write into.

    Attributes:
        faults: The raw server.
        ledger: A file.
        spans: Where spans go.
        seen: What was seen.
        events: What hooks were told.
    """

    faults: FaultServer
    ledger: Path
    spans: Any
    seen: Sightings
    events: list[Any] = field(default_factory=list)

    def router(self, run: Run, *endpoints: Endpoint, **more: Any) -> Router:
        """A router of the canaries."""
        policy = Policy(attempts=2, order=["first", "second"], deadline=20.0, idle=0.5)
        defaults: dict[str, Any] = {
            "bill_to": ORGANISATION,
            "ledger": self.ledger,
            "seed": 1,
            "policy": policy,
            "session": "s1",
        }
        made = Router(
            base_url=run.base_url, token=KEY, on_event=self.events.append, endpoints=endpoints, **defaults | more
        )
        instrument(made, self.spans)
        return made

    def value(self, where: str, *values: object) -> None:
        """Look at values."""
        for each in values:
            look_at_value(self.seen, where, each)

    def error(self, where: str, error: BaseException) -> None:
        """Look at an error."""
        look_at_error(self.seen, where, error)


async def chat(router: Router, world: World, where: str, **more: Any) -> None:
    world.value(where, await asyncio.to_thread(lambda: router.chat(**ASK | more)))


async def achat(router: Router, world: World, where: str, **more: Any) -> None:
    world.value(where, await router.achat(**ASK | more))


async def stream(router: Router, world: World, where: str, **more: Any) -> None:
    def read() -> None:
        with router.stream(**ASK | more) as opened:
            world.value(where, opened, *opened, opened.completion())

    await asyncio.to_thread(read)


async def astream(router: Router, world: World, where: str, **more: Any) -> None:
    async with await router.astream(**ASK | more) as opened:
        async for delta in opened:
            world.value(where, opened, delta)
        world.value(where, opened, opened.completion())


WAYS: dict[str, Callable[..., Awaitable[None]]] = {f.__name__: f for f in (chat, achat, stream, astream)}


async def call(world: World, way: str, where: str, router: Router, **more: Any) -> None:
    """Call once and look at what there is to be seen of it."""
    where = f"{way}, {where}"
    with tags(user="ann"), router.track() as spent:
        try:
            await WAYS[way](router, world, where, **more)
        except Exception as error:
            world.error(where, error)
    world.value(where, spent)


async def upstreams(world: World) -> None:
    """Each script by each way to call, with and without an endpoint of one's own behind."""

    async def one(name: str, way: str) -> None:
        run = world.faults.run(SCRIPTS[name], ("first", "second"))
        with world.router(run) as router:
            await call(world, way, name, router, **({"timeout": 0.5} if name in _SLOW else {}))

    await asyncio.gather(*(one(name, way) for name in SCRIPTS for way in WAYS))


async def endpoints(world: World) -> None:
    """Endpoints of one's own, healthy and not."""
    for name in ("answered", "401", "500", "reset", "cut after content"):
        own = world.faults.run(SCRIPTS[name], ("",))
        run = world.faults.run(SCRIPTS["402"], ("first", "second"))
        endpoint = Endpoint(own.base_url, name="own", model="m", token=OWN_KEY, is_free=True)
        with world.router(run, endpoint) as router:
            await asyncio.gather(*(call(world, way, f"own endpoint, {name}", router) for way in WAYS))
            world.value(name, endpoint, router, endpoint.target("a/b"))


async def endings(world: World) -> None:
    """Calls that are cancelled, left, refused by a budget, or lost to a rival."""
    run = world.faults.run(HANG)
    with world.router(run) as router:
        for way in (achat, astream):
            task = asyncio.create_task(way(router, world, "cancelled"))
            await asyncio.sleep(0.05)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError as error:
                world.error("cancelled", error)
    with world.router(world.faults.run(SCRIPTS["hang after content"])) as router:
        left = await router.astream(**ASK)
        await left.aclose()
        world.value("left", left)
        with contextlib.closing(await asyncio.to_thread(lambda: router.stream(**ASK))) as opened:
            world.value("left", opened)
    budgets = [Budget("0.0000001", window="day", tags={"user": "ann"}), Budget("5", each="user", name="wide")]
    with world.router(world.faults.run(HEALTHY), budgets=budgets) as router:
        await asyncio.gather(*(call(world, way, "over budget", router) for way in WAYS))
        world.value("budgets", *budgets, *router.budgets())
    nowhere = Run("http://127.0.0.1:9/v1", HANG, (), ())
    with world.router(nowhere) as router:
        await asyncio.gather(*(call(world, way, "nobody there", router) for way in WAYS))
        for ask in (router.acredits, router.areconcile):
            try:
                world.value("the bill, nobody there", await ask())
            except Exception as error:
                world.error("the bill, nobody there", error)
    hedging = Policy(order=["first", "second"], hedge=True, deadline=8.0)
    with world.router(world.faults.run(HANG), policy=hedging) as router:
        await asyncio.gather(*(call(world, way, "hedge", router) for way in ("achat", "astream")))
    with world.router(world.faults.run(HEALTHY)) as router:
        for wrong in ({"temperature": {PROMPT}}, {"tools": PROMPT}, {"n": -1}, {"response_format": PROMPT}):
            await call(world, "achat", f"wrong {min(wrong)}", router, **wrong)
        await call(world, "achat", "wrong messages", router, messages=[{"content": PROMPT}])
        await call(world, "achat", "no messages", router, messages=PROMPT.encode())


async def accounts(world: World, sim: Simulator) -> None:
    """Embeddings and money, in front of the simulator."""
    run = Run(sim.base_url, HANG, (), ())
    echo = {"error": {"message": ECHO}}
    failures = [None, Fault.status(400, body=echo), Fault.status(402, body=echo), Fault.status(500, body=ECHO)]
    failures += [Fault.reset(), Fault.html_200(), Fault.wrong_dimension(), Fault.not_finite()]
    for failure in failures:
        sim.reset()
        with world.router(run, policy=Policy(attempts=2)) as router:
            if failure:
                sim.fail(Simulator.ANY, failure, times=None)
            for embed in (router.aembed, lambda *a, **b: asyncio.to_thread(router.embed, *a, **b)):
                try:
                    world.value("embeddings", await embed([PROMPT, PROMPT], model=EMBEDDER))
                except Exception as error:
                    world.error(f"embeddings, {failure}", error)
    for payer in (None, ORGANISATION):
        for hub in (None, Fault.status(403, body=echo), Fault.status(200, body=ECHO), Fault.reset()):
            sim.reset()
            with world.router(run, bill_to=payer, watch_credits=True, policy=Policy()) as router:
                await router.achat(model="openai/gpt-oss-120b", messages=PROMPT)
                if hub:
                    sim.fail(Simulator.HUB, hub, times=None)
                for ask in (router.acredits, router.areconcile):
                    try:
                        world.value("the bill", await ask())
                    except Exception as error:
                        world.error(f"the bill, {hub}", error)
    sim.reset()
    with world.router(run, policy=Policy()) as router:
        for model in ("nobody/knows-it", "openai/gpt-oss-120b", f"{EMBEDDER}:nobody"):
            try:
                await router.aembed([PROMPT], model=model)
            except Exception as error:
                world.error(f"embeddings of {model}", error)
        sim.fail(Simulator.HUB, Fault.hang(5), times=None)
        for asking in (router.acredits(), router.areconcile(), router.aembed([PROMPT], model="BAAI/bge-m3")):
            task = asyncio.create_task(asking)
            await asyncio.sleep(0.05)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError as error:
                # A frame on the way has the address that is asked for, and that of a bill names who pays.
                look_at_error(world.seen, "cancelled on the way to the Hub", error, PAYER)
    sim.reset()
    with world.router(run, policy=Policy(), prices={"a/b": (1, 2)}) as router:
        estimates = await router.aestimate(model="openai/gpt-oss-120b", messages=PROMPT, max_tokens=5)
        world.value("estimates", estimates, *estimates.all if hasattr(estimates, "all") else ())
        world.value("router", router, router.policy, *router.targets("openai/gpt-oss-120b"))
        rows = router.entries()
        world.value("ledger", *rows[:20], *rows[-20:], *router.spending(by="user").items())
        world.seen.look("ledger's rows", "all", map(repr, rows))


async def everything(world: World, sim: Simulator) -> None:
    """Every path; most of the time somebody waits."""
    await asyncio.gather(upstreams(world), endpoints(world), endings(world), accounts(world, sim))


def events(world: World) -> None:
    """What hooks were told: every event once, one of each kind in every form."""
    world.seen.look("events", "all", map(repr, world.events))
    for each in {(type(e), getattr(e, "outcome", "")): e for e in world.events}.values():
        world.value("events", each)

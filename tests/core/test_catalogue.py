"""The catalogue: fetched when first needed, kept, refreshed in the background, used stale while the router is away."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hfrouter import ConfigurationError, DeadlineExceeded, NoTargetAvailable, Policy, Router
from hfrouter.simulator import Simulator
from hfrouter.wire.catalogue import FRESH, STALE

MODEL = "openai/gpt-oss-120b"


class HeldClock:
    """A wall clock that tests move; durations pass as they do."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def wall(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock(router: Router) -> HeldClock:
    held = HeldClock()
    router._catalogue._clock = held
    return held


def listings(sim: Simulator) -> int:
    return sum(exchange.path == "/v1/models" for exchange in sim.exchanges)


def wait_for(sim: Simulator, count: int) -> None:
    for _ in range(200):
        if listings(sim) >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"{listings(sim)} listings asked for, not {count}")


def test_making_a_router_asks_nothing(sim: Simulator, router: Router) -> None:
    assert sim.exchanges == []


def test_the_listing_is_fetched_once_and_kept(sim: Simulator, router: Router) -> None:
    for _ in range(3):
        router.chat(model=MODEL, messages="What is 2 + 2?")
    assert listings(sim) == 1


def test_another_router_reads_the_listing_from_disk(sim: Simulator, router: Router) -> None:
    router.targets()
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory") as other:
        assert other.targets(MODEL) == router.targets(MODEL)
    assert listings(sim) == 1


def test_a_listing_past_its_freshness_is_used_and_refreshed_behind(
    sim: Simulator, router: Router, clock: HeldClock
) -> None:
    router.targets()
    clock.ahead = FRESH + 1
    assert router.targets(MODEL)
    wait_for(sim, 2)


def test_a_stale_listing_serves_while_the_router_is_away(tmp_path: Path, clock: HeldClock, router: Router) -> None:
    router.targets()
    router._catalogue._url = "http://127.0.0.1:9/v1/models"
    clock.ahead = STALE - 10
    assert router.targets(MODEL)
    clock.ahead = STALE + 10
    with pytest.raises(ConfigurationError, match="catalogue is not to be had"):
        router.targets(MODEL)


def test_without_a_catalogue_a_call_goes_out_as_written_and_its_cost_is_unknown(sim: Simulator) -> None:
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory", policy=Policy(attempts=2)) as router:
        router._catalogue._url = "http://127.0.0.1:9/v1/models"
        answer = router.chat(model=MODEL, messages="What is 17 * 23?")
        assert "391" in answer.text
        assert answer.provider == sim.exchanges[-1].provider
        assert answer.cost.usd is None
        assert "catalogue is not to be had" in answer.explain()
        assert sim.exchanges[-1].body["model"] == MODEL


def test_without_a_catalogue_the_policys_providers_are_kept_to(sim: Simulator, router: Router) -> None:
    router._catalogue._url = "http://127.0.0.1:9/v1/models"
    for restriction in ({"only": ["together"]}, {"only": ["groq", "together"], "ignore": ["groq"]}):
        assert router.chat(model=MODEL, messages="What is 2 + 2?", provider=restriction).provider == "together"
    for restriction in ({"ignore": ["groq"]}, {"max_price": 1}):
        with pytest.raises(NoTargetAvailable, match="without the catalogue"):
            router.chat(model=MODEL, messages="What is 2 + 2?", provider=restriction)
    with pytest.raises(NoTargetAvailable):
        router.chat(model=f"{MODEL}:groq", messages="What is 2 + 2?", provider={"only": ["together"]})


def test_a_broken_file_on_disk_is_fetched_anew(sim: Simulator, router: Router) -> None:
    router.targets()
    path = router._catalogue._path
    assert json.loads(path.read_bytes())["body"]["data"]
    path.write_bytes(b'{"at": 1, "body": {"da')
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory") as other:
        assert other.targets(MODEL)
    assert listings(sim) == 2


def test_who_serves_a_model_is_told_before_the_call(router: Router) -> None:
    rows = router.targets(MODEL)
    assert {row.provider for row in rows} == {"groq", "cerebras", "novita", "together"}
    assert [row.provider for row in router.targets(f"{MODEL}:groq")] == ["groq"]
    with pytest.raises(ConfigurationError, match="did you mean"):
        router.targets("openai/gpt-oss")


async def test_a_cancelled_call_does_not_cancel_the_fetch_others_wait_for() -> None:
    listing = json.dumps({"data": [{"id": MODEL, "providers": [{"provider": "groq"}]}]}).encode()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.3)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(listing), listing))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        router = Router(base_url=f"http://127.0.0.1:{port}/v1", token="hf_x", ledger="memory")
        first, second = (asyncio.create_task(router.atargets(MODEL)) for _ in range(2))
        await asyncio.sleep(0.1)
        first.cancel()
        assert [row.provider for row in await second] == ["groq"]
        with pytest.raises(asyncio.CancelledError):
            await first


@pytest.fixture
def silent_router() -> Iterator[Router]:
    """A router whose other side takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Router(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1", token="hf_x", ledger="memory")


async def test_the_deadline_covers_the_wait_for_the_catalogue(silent_router: Router) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await silent_router.achat(model=MODEL, messages="hi", timeout=0.5)
    assert time.monotonic() - began < 3  # not the 10 s a fetch may take, then 0.5 s for an attempt

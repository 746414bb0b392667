"""Faults that no single answer shows: addresses, certificates, connections kept too long, full pools, hasty callers."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hfrouter import ConfigurationError, DeadlineExceeded, HFRouterError, Policy, RouteExhausted, Router
from hfrouter.wire.http import enter
from tests.faults.calling import ASK, CALLERS, SLACK, call, secrets_in
from tests.faults.server import (
    CANARIES,
    KEEP,
    KEY,
    RIGHT,
    FaultServer,
    Gate,
    Run,
    Script,
    chunk,
    event,
    framed,
    head,
    http,
    whole,
)

BOTH = Policy(order=["first", "second"], upstream="unary", deadline=20.0)
DOWN = Script((http({"error": "down"}, 500),))
HANG = Script(then="hold")


@pytest.fixture
def nowhere() -> Iterator[str]:
    """A base URL where nobody listens, and nobody else can begin to."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/v1"


async def test_a_refused_connection_is_the_endpoints_and_not_asked_for_by_every_provider(nowhere: str) -> None:
    """C1"""
    policy = Policy(deadline=20.0)
    for outcome in await asyncio.gather(*(call(caller, Run(nowhere, HANG, (), ()), policy) for caller in CALLERS)):
        assert isinstance(outcome.error, RouteExhausted)
        assert [row.outcome for row in outcome.entries] == ["connect_failed"] * len(outcome.entries)
        assert 1 <= len(outcome.entries) <= 2
        assert all(row.cost.upper == 0 for row in outcome.entries)  # nothing was sent, so nothing is owed
        assert not secrets_in(outcome.error, *outcome.entries)


async def test_a_name_nobody_can_have_is_an_error_of_the_tree() -> None:
    """C1"""
    worlds = [Run(f"http://{host}/v1", HANG, (), ()) for host in ("a" * 64 + ".invalid", "a..invalid")]
    policy = Policy(deadline=8.0, connect=0.5)
    for outcome in await asyncio.gather(*(call(caller, world, policy) for world in worlds for caller in CALLERS)):
        assert isinstance(outcome.error, RouteExhausted)
        assert outcome.seconds < policy.deadline + SLACK
        assert {row.outcome for row in outcome.entries} == {"connect_failed"}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command to make a certificate")
def test_a_certificate_nobody_vouches_for_stops_the_call(tmp_path: Path) -> None:
    """C2"""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    command = ["openssl", *make.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    hellos: list[int] = []

    def shake_hands() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            hellos.append(1)
            with connection:
                connection.settimeout(5)
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    continue

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=shake_hands, daemon=True)
        thread.start()
        url = f"https://localhost:{listener.getsockname()[1]}/v1"
        with Router(base_url=url, token=KEY, ledger="memory") as router, pytest.raises(RouteExhausted) as caught:
            router.chat(**ASK)
        rows = router.entries()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    assert [row.outcome for row in rows] == ["certificate_refused"]  # not once for every provider
    assert "SSL_CERT_FILE" in str(caught.value)
    assert len(hellos) == 2  # for the catalogue, for the call
    assert not secrets_in(caught.value, *rows)


async def test_a_connection_closed_while_idle_costs_no_attempt(faults: FaultServer) -> None:
    """C9"""
    kept = Script((http(whole(), connection=KEEP),))  # promised to be kept, and closed all the same
    run = faults.run(kept)
    async with Router(base_url=run.base_url, token=KEY, ledger="memory", policy=BOTH) as router:
        for _ in range(3):
            assert len((await router.achat(**ASK)).attempts) == 1
            await asyncio.sleep(0.1)
    assert run.asked == ["first"] * 3


@pytest.mark.parametrize("caller", CALLERS)
async def test_a_connection_closed_behind_a_failure_costs_the_next_provider_one_attempt_at_most(
    caller: str, faults: FaultServer
) -> None:
    """C9: one connection pool serves all providers, so the next one may meet what the last one left behind."""
    run = faults.run(Script((http({"error": "gone"}, 410, connection=KEEP), 0.05)))
    outcome = await call(caller, run, BOTH)
    assert outcome.answer is not None
    assert [row.outcome for row in outcome.entries] in (["gone", "ok"], ["gone", "connection_lost", "ok"])
    assert run.asked == ["first", "second"]


async def test_a_connection_lost_at_its_second_request_is_made_good(faults: FaultServer) -> None:
    """C9"""
    run = faults.run(Script(then="reset"), providers=["first"])
    run.healthy = {1, 3}
    async with Router(base_url=run.base_url, token=KEY, ledger="memory", policy=BOTH) as router:
        assert (await router.achat(**ASK)).text == RIGHT
        answer = await router.achat(**ASK)
    assert answer.text == RIGHT
    assert [attempt.outcome for attempt in answer.attempts] in (["ok"], ["connection_lost", "ok"])


async def test_a_full_pool_is_nobodys_failure(faults: FaultServer) -> None:
    """C10"""
    run = faults.run(DOWN, faulty=())
    async with Router(base_url=run.base_url, token=KEY, ledger="memory", policy=BOTH) as router:
        await router.atargets()
        lanes = []
        try:
            while True:
                lanes.append(await asyncio.wait_for(enter(), 0.2))
        except TimeoutError:
            pass
        with pytest.raises(DeadlineExceeded) as caught:
            await router.achat(**ASK, timeout=0.3)
        assert (caught.value.attempts, router.entries(), run.asked) == ((), [], [])
        for lane in lanes:
            lane.leave()
        assert (await router.achat(**ASK)).provider == "first"


async def test_a_hasty_caller_does_not_put_a_provider_out_for_the_next(faults: FaultServer) -> None:
    """S10"""

    async def hasty(caller: str) -> None:
        run = faults.run(HANG)
        with Router(base_url=run.base_url, token=KEY, ledger="memory", policy=BOTH) as router:
            for _ in range(4):
                with pytest.raises(DeadlineExceeded):
                    await router.achat(**ASK, timeout=0.15)
            run.faulty = ()
            run.asked.clear()
            assert (await CALLERS[caller](router, run, [])).text == RIGHT
            assert run.asked == ["first"]
            assert {row.outcome for row in router.entries()} <= {"abandoned", "ok"}

    await asyncio.gather(*map(hasty, CALLERS))


@pytest.mark.parametrize("caller", CALLERS)
async def test_after_a_failure_of_everybody_the_next_call_still_asks_somebody(caller: str, faults: FaultServer) -> None:
    """S11"""
    run = faults.run(DOWN, ("first", "second"))
    with Router(base_url=run.base_url, token=KEY, ledger="memory", policy=BOTH, seed=1) as router:
        for _ in range(6):
            before = len(run.asked)
            with pytest.raises(RouteExhausted):
                await router.achat(**ASK, policy=BOTH.with_(attempts=2))
            assert 1 <= len(run.asked) - before <= 2
        run.faulty = ()
        assert (await CALLERS[caller](router, run, [])).text == RIGHT


@pytest.mark.parametrize("caller", CALLERS)
async def test_nothing_retries_below_the_router(caller: str, faults: FaultServer) -> None:
    """E6"""
    providers = ["first", "second", "third", "fourth", "fifth"]
    run = faults.run(DOWN, providers, providers)
    outcome = await call(caller, run, Policy(order=providers, deadline=20.0))
    assert isinstance(outcome.error, RouteExhausted)
    assert len(run.asked) == len(outcome.entries) == len(outcome.error.attempts) <= 4


@pytest.mark.parametrize(
    "key",
    [f"{KEY}\r\nX-Evil: 1", f"{KEY}\nrest", f"{KEY}\x00", f"{KEY} {KEY}", f"{KEY}é", f"{KEY}\u200b", f"{KEY}\ud800"],
    ids=ascii,
)
def test_a_key_that_no_header_can_carry_is_refused_unseen(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """E2, E3"""
    with pytest.raises(ConfigurationError) as caught:
        Router(base_url="http://127.0.0.1:9/v1", token=key)
    assert not secrets_in(caught.value)
    if "\x00" in key or "\ud800" in key:
        return  # no environment can hold these
    monkeypatch.setenv("HF_TOKEN", key)
    with Router(ledger="memory") as router, pytest.raises(ConfigurationError) as caught:
        router.chat(**ASK)
    assert not secrets_in(caught.value)
    assert router.entries() == []


@pytest.mark.parametrize("caller", CALLERS)
async def test_the_environment_sends_no_call_elsewhere(
    caller: str, faults: FaultServer, nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E5"""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, nowhere)
    run = faults.run(DOWN, faulty=())
    outcome = await call(caller, run, BOTH)
    assert outcome.answer is not None
    assert (outcome.answer.text, run.asked) == (RIGHT, ["first"])


# What a lone provider says with its one 429, and the least it is waited for; None where that is too long to wait.
WAITS: dict[tuple[str, ...], float | None] = {
    ("retry-after: 2",): 2.0,
    ("retry-after: 1.5",): 1.5,
    ("retry-after: 1, 2",): 2.0,
    ("retry-after: 1", "retry-after: 2"): 2.0,
    ("retry-after-ms: 1500", "retry-after: 60"): 1.5,
    ("retry-after-ms: -5", "retry-after: 2"): 2.0,
    ("retry-after-ms: nan", "retry-after: 2"): 2.0,
    ("date: Tue, 14 Nov 2023 22:13:20 GMT", "retry-after: Tue, 14 Nov 2023 22:13:22 GMT"): 2.0,
    ('ratelimit: "api";r=0;t=2',): 2.0,
    # Nothing usable is said: the pause is our own.
    ("retry-after: 0",): 0.2,
    ("retry-after: -10",): 0.2,
    ("retry-after: inf",): 0.2,
    ("retry-after: nan",): 0.2,
    ("retry-after: 1e400",): 0.2,
    ("retry-after: 1e3",): 0.2,
    ("retry-after: soon",): 0.2,
    ("retry-after: \u0663".encode().decode("latin-1"),): 0.2,
    ("retry-after: Wed, 21 Oct 2015 07:28:00 GMT",): 0.2,
    ("x-should-retry: true",): 0.2,
    # Longer than anybody is kept waiting: the caller decides.
    ("retry-after: 60",): None,
    ("retry-after: 86400",): None,
    ("retry-after: Fri, 14 Nov 2098 22:13:20 GMT",): None,
}


async def test_what_a_lone_provider_asks_for_is_waited_or_told(faults: FaultServer) -> None:
    async def one(headers: tuple[str, ...], caller: str) -> tuple[tuple[str, ...], Run, Any]:
        run = faults.run(
            Script((http({"error": "slow down"}, 429, "application/json", *headers),)), providers=["first"]
        )
        run.healthy = {2}
        return headers, run, await call(caller, run, BOTH)

    for headers, run, outcome in await asyncio.gather(*(one(h, c) for h in WAITS for c in ("chat", "astream"))):
        least = WAITS[headers]
        if least is None:
            assert isinstance(outcome.error, RouteExhausted), headers
            assert run.asked == ["first"], headers
        else:
            assert outcome.answer is not None, headers
            assert outcome.answer.text == RIGHT
            assert outcome.seconds >= least, headers
            assert run.asked == ["first", "first"], headers


def test_no_secret_is_on_disk_after_failures_of_every_kind(faults: FaultServer, tmp_path: Path) -> None:
    broken = (head(), *framed(event(chunk(RIGHT))), Gate.COMMIT, *framed(event({"error": RIGHT})))
    words = {"error": {"message": f"{ASK['messages']} with {KEY}", "code": 500}}
    scripts = [DOWN, Script(broken), Script((http(words, 400),)), Script((http(words),)), Script(then="reset")]
    ledger = tmp_path / "ledger" / "rows.sqlite3"
    for script in scripts:
        run = faults.run(script, ("first", "second"))
        run.gate.set()
        with Router(base_url=run.base_url, token=KEY, ledger=ledger, policy=BOTH.with_(attempts=2)) as router:
            for ask in (router.chat, lambda **asked: list(router.stream(**asked))):
                with pytest.raises(HFRouterError):
                    ask(**ASK)
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert ledger in written
    assert not [path for path, content in written.items() for canary in CANARIES if canary.encode() in content]


def test_a_deadline_is_kept_while_an_error_body_never_ends(faults: FaultServer) -> None:
    run = faults.run(Script((b"HTTP/1.1 503 X\r\ncontent-length: 500\r\nconnection: close\r\n\r\nha",), then="hold"))
    with Router(base_url=run.base_url, token=KEY, ledger="memory", policy=BOTH) as router:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            router.chat(**ASK, timeout=0.5)
        assert time.monotonic() - began < 0.5 + SLACK
        assert "pending" not in {row.outcome for row in router.entries()}

"""A sweep with canaries: key, payer, prompt, answer and arguments, down every path, are searched for in every sink."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hfrouter.simulator import Simulator
from tests.faults.server import FaultServer
from tests.redaction import paths
from tests.redaction.canaries import Sightings
from tests.redaction.sinks import logged, printed, warned


@pytest.fixture(scope="module")
def swept(faults: FaultServer, shared_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sightings]:
    """Everything that was seen of every path."""
    home = tmp_path_factory.mktemp("home")
    seen, exporter, provider = Sightings(), InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    world = paths.World(faults, home / "ledger" / "rows.sqlite3", provider, seen)
    with pytest.MonkeyPatch.context() as patch, logged() as log, warned() as warnings, printed(home / "terminal"):
        for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "HF_HOME"):
            patch.setenv(name, str(home / name.lower()))
        for path in (paths.upstreams(world), paths.endpoints(world), paths.endings(world), paths.accounts(world, shared_simulator)):
            t=time.time()
            asyncio.run(path)
            open("/tmp/redaction_times","a").write(f"{path.__name__} {time.time()-t:.2f}\n")
        paths.events(world)
        for path in sorted(home.rglob("*")):
            if path.is_file():
                seen.look("files", path.name, [path.read_bytes()])
    [seen.look("logs", line[:600], [line]) for line in log.lines]
    seen.look("warnings", "all", [str(each.message) for each in warnings])
    for span in exporter.get_finished_spans():
        seen.look("spans", span.name, [span.to_json(), repr(span.events)])
    yield seen

def test_x(swept):
    print(dict(swept.looked))
    for k,v in swept.seen.items():
        print("==",k,len(v))
        for x in sorted(v)[:12]: print("   ",x[:700])
    assert not swept.seen

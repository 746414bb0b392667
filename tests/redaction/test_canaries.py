"""A sweep with canaries: key, payer, prompt, answer and arguments, down every path, are searched for in every sink.

Some sinks hold some of them on purpose; the table says which and why. Everything else is expected nowhere.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hfrouter.simulator import Simulator
from tests.faults.server import FaultServer
from tests.redaction import frameworks, paths
from tests.redaction.canaries import CANARIES, ECHO, Sightings
from tests.redaction.sinks import logged, printed, warned

# What is searched, and what may be there all the same.
SINKS = {
    # values: completions, deltas, streams, attempts, rows, events, estimates, credits, reports, policies, routers, ...
    "repr": "",
    "str": "",
    "format": "",
    "public attributes": "those that are the answer are left out: body, message, text, reasoning, tool_calls, partial",
    "fields and model_dump": "likewise",
    "explain() and the journal": "",
    "pickle": "the answer, of a completion or a delta; who pays, of a router",
    "cloudpickle": "likewise",
    "repr of a deep copy": "",
    "repr of what was pickled": "",
    # errors, with their causes and contexts, those that are never printed included
    "args and notes of errors": "",
    "__dict__ of errors": "StreamInterrupted.partial is the answer as far as it came",
    "request and response of errors": "",
    "locals of our frames": "the request's words, which are arguments from the caller's own frame on",
    "printed traceback": "",
    # what a process leaves behind
    "logs": "",
    "log records' arguments and tracebacks": "",
    "standard output and error": "",
    "warnings": "",
    "ledger's rows": "",
    "ledger's files": "",
    "catalogue's file": "",
    "events": "",
    "spans": "",
    # LangChain
    "LangChains dumps": "who pays: what is loaded again must bill the same account",
    "LangChains dumpd": "likewise",
    "to json": "likewise",
    "model dump json": "likewise",
    "model_dump": "likewise",
    "pickle of a model": "likewise",
    "asdict": "likewise",
    "identifying params": "likewise",
    "cache keys": "likewise: LangChain makes them of dumps",
    "repr of a copy": "",
    "traced parameters": "",
    "metadata of answers": "",
    "answers": "the answer",
    "LangChain's callbacks": "messages and answers, for every tracer; who pays, in LangChain's dump of the model",
    # LlamaIndex
    "to dict": "who pays, as in LangChain's dumps",
    "LlamaIndex's events of ours": "",
    "LlamaIndex's own events": "messages and answers, which LlamaIndex hands to every handler",
}


@pytest.fixture(scope="module")
def swept(faults: FaultServer, shared_simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Sightings:
    """Everything that was seen on every path."""
    home = tmp_path_factory.mktemp("home")
    seen, exporter, provider = Sightings(), InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    world = paths.World(faults, home / "ledger" / "rows.sqlite3", provider, seen)
    with pytest.MonkeyPatch.context() as patch, logged() as log, warned() as warnings, printed(home / "terminal"):
        for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "HF_HOME"):
            patch.setenv(name, str(home / name.lower()))
        shared_simulator.reset()
        asyncio.run(paths.everything(world, shared_simulator))
        frameworks.langchain(world, shared_simulator)
        frameworks.llamaindex(world, shared_simulator)
        paths.events(world)
        shared_simulator.reset()
        _look_at_files(seen, home)
    seen.look("logs", "a line", log.lines)
    seen.look("log records' arguments and tracebacks", "a record", log.extras)
    seen.look("warnings", "a warning", (f"{each.message!r}" for each in warnings))
    for span in exporter.get_finished_spans():
        seen.look("spans", span.name, [span.to_json(), repr(span.events)])
    assert {"hfrouter", "asyncio"} < log.loggers
    assert len(log.loggers) > 2  # the HTTP package's as well
    return seen


def _look_at_files(seen: Sightings, home: Path) -> None:
    """While the ledger is open: its log is there."""
    assert (home / "ledger" / "rows.sqlite3-wal").exists()
    for path in sorted(home.rglob("*")):
        if path.is_file():
            sink = "ledger's files" if path.parent.name == "ledger" else "catalogue's file"
            seen.look("standard output and error" if path.name == "terminal" else sink, path.name, [path.read_bytes()])


@pytest.mark.parametrize("sink", SINKS)
def test_no_canary_is_seen(sink: str, swept: Sightings) -> None:
    assert swept.looked[sink], "nothing came out of it: the sweep is blind there"
    assert sorted(swept.seen[sink]) == []


def test_every_sink_that_is_searched_is_in_the_table(swept: Sightings) -> None:
    assert set(swept.looked) == set(SINKS)


def test_a_canary_that_sings_is_heard() -> None:
    seen = Sightings()
    seen.look("here", "it", [ECHO.encode()])
    seen.look("there", "it", [repr(ECHO)], allowed=CANARIES)
    assert len(seen.seen["here"]) == len(CANARIES)
    assert "there" not in seen.seen

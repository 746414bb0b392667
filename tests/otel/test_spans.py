"""Spans of OpenTelemetry: one for each call, a child for each attempt, with the figures that everything else has."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import hfrouter
from hfrouter import CallEvent, Policy, Router, Total
from hfrouter.cost.price import nano_of
from hfrouter.simulator import Fault, Simulator
from hfrouter.telemetry import OpenTelemetry, instrument

MODEL = "openai/gpt-oss-120b"
ASK: dict[str, Any] = {"model": MODEL, "messages": "What is 17 * 23?"}
SHARED = "intfloat/multilingual-e5-large"  # embedded by hf-inference, together and deepinfra
LONG: dict[str, Any] = {"model": MODEL, "messages": "Count from 1 to 400."}


class Spans:
    """A provider whose spans stay in memory."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def all(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    @property
    def calls(self) -> list[ReadableSpan]:
        return [span for span in self.all if "gen_ai.operation.name" in (span.attributes or {})]

    def children(self, parent: ReadableSpan) -> list[ReadableSpan]:
        found = [span for span in self.all if span.parent and span.parent.span_id == parent.context.span_id]
        return sorted(found, key=lambda span: span.attributes["hfrouter.attempt.number"])  # type: ignore[index]


@pytest.fixture
def spans(router: Router) -> Iterator[Spans]:
    made = Spans()
    stop = instrument(router, made.provider)
    yield made
    stop()
    made.provider.shutdown()


def streamed(router: Router, **ask: Any) -> Any:
    with router.stream(**ask) as stream:
        list(stream)
    return stream.completion()


def astreamed(router: Router, **ask: Any) -> Any:
    async def read() -> Any:
        async with await router.astream(**ask) as stream:
            _ = [delta async for delta in stream]
        return stream.completion()

    return asyncio.run(read())


WAYS: dict[str, Callable[..., Any]] = {
    "chat": lambda router, **ask: router.chat(**ask),
    "stream": streamed,
    "achat": lambda router, **ask: asyncio.run(router.achat(**ask)),
    "astream": astreamed,
}


@pytest.mark.parametrize("name", WAYS)
def test_a_call_is_a_span_under_the_callers_with_a_child_for_each_attempt(
    name: str, router: Router, sim: Simulator, spans: Spans
) -> None:
    sim.fail("groq", Fault.rate_limited())
    with spans.provider.get_tracer("app").start_as_current_span("request") as request:
        answer = WAYS[name](router, **ASK, tags={"user": "ann"}, session="s-7")
    (call,) = spans.calls
    assert call.parent is not None
    assert call.parent.span_id == request.get_span_context().span_id
    assert (call.name, call.kind, call.status.status_code) == (f"chat {MODEL}", SpanKind.CLIENT, StatusCode.UNSET)
    about = dict(call.attributes or {})
    assert (
        about.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "huggingface",
            "gen_ai.request.model": MODEL,
            "gen_ai.response.model": MODEL,
            "gen_ai.usage.input_tokens": answer.usage.input_tokens,
            "gen_ai.usage.output_tokens": answer.usage.output_tokens,
            "server.address": "127.0.0.1",
            "hfrouter.call": answer.id,
            "hfrouter.provider": answer.provider,
            "hfrouter.outcome": "ok",
            "hfrouter.streamed": "stream" in name,
            "hfrouter.attempts": 2,
            "hfrouter.tag.user": "ann",
            "hfrouter.session": "s-7",
            "hfrouter.cost.usd": f"{answer.total.usd:f}",
        }.items()
    )
    failed, won = spans.children(call)
    assert failed.attributes is not None
    assert won.attributes is not None
    assert (failed.name, won.name) == ("attempt groq", f"attempt {answer.provider}")
    assert (failed.status.status_code, won.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert failed.attributes["error.type"] == failed.attributes["hfrouter.attempt.outcome"] == "rate_limited"
    assert failed.attributes["http.response.status_code"] == 429
    assert failed.attributes["hfrouter.cost.usd"] == "0"
    assert won.attributes["hfrouter.attempt.first_content"] == answer.attempts[-1].first_content
    assert not [key for span in (failed, won) for key in span.attributes if key.startswith("gen_ai.")]
    assert call.start_time <= failed.start_time < failed.end_time <= won.start_time + 1_000_000
    assert won.end_time <= call.end_time
    assert call.end_time - call.start_time < 60 * 10**9


def test_a_failed_call_is_an_error_by_the_name_of_its_class(router: Router, sim: Simulator, spans: Spans) -> None:
    sim.fail("groq", Fault.cut_after(0), times=None)
    with pytest.raises(hfrouter.RouteExhausted):
        router.chat(**ASK, policy=Policy(only="groq", attempts=1))
    with pytest.raises(hfrouter.ConfigurationError):
        router.chat(model="nobody/serves-it", messages="Hello")
    failed, refused = spans.calls
    assert (failed.status.status_code, refused.status.status_code) == (StatusCode.ERROR, StatusCode.ERROR)
    assert failed.attributes is not None
    assert refused.attributes is not None
    assert (failed.attributes["error.type"], refused.attributes["error.type"]) == (
        "RouteExhausted",
        "ConfigurationError",
    )
    assert "gen_ai.response.model" not in failed.attributes
    assert "hfrouter.cost.usd" not in failed.attributes  # a broken answer costs something, nobody knows how much
    assert failed.attributes["hfrouter.cost.lower"] == "0"
    assert Decimal(str(failed.attributes["hfrouter.cost.upper"])) > 0
    assert refused.attributes["hfrouter.cost.usd"] == "0"
    assert not spans.children(refused)


def test_a_stream_that_is_left_is_no_error_and_its_cost_has_bounds(router: Router, spans: Spans) -> None:
    for _delta in router.stream(**LONG):
        break
    (call,) = spans.calls
    (attempt,) = spans.children(call)
    assert {call.status.status_code, attempt.status.status_code} == {StatusCode.UNSET}
    for span in (call, attempt):
        assert span.attributes is not None
        assert "error.type" not in span.attributes
        assert "hfrouter.cost.usd" not in span.attributes
        assert "hfrouter.cost.upper" in span.attributes


def test_an_unknown_cost_has_no_amount_and_no_upper_bound(router: Router, sim: Simulator, spans: Spans) -> None:
    done = router.embed(["The ferry leaves at 18:40."], model=f"{SHARED}:together")
    (call,) = spans.calls
    assert done.total.upper is None
    assert call.attributes is not None
    assert call.name == f"embeddings {SHARED}:together"
    assert call.attributes["gen_ai.operation.name"] == "embeddings"
    assert not {"hfrouter.cost.usd", "hfrouter.cost.upper"} & set(call.attributes)


def test_a_router_takes_it_when_it_is_made_and_no_content_is_in_any_span(sim: Simulator) -> None:
    made = Spans()
    hook = OpenTelemetry(made.provider)
    sim.fail("groq", Fault.cut_after(3))
    with Router(base_url=sim.base_url, token=sim.token, ledger="memory", bill_to="acme-industries", on_event=hook) as r:
        asked = "The secret word is xylophone. What is the secret word?"
        assert "xylophone" in r.chat(model=MODEL, messages=asked).text
        assert "xylophone" in streamed(r, model=MODEL, messages=asked).text
    shown = "".join(span.to_json() for span in made.all)
    assert len(made.calls) == 2
    assert not [secret for secret in ("xylophone", "acme-industries", sim.token) if secret in shown]


@pytest.mark.parametrize("framework", ["langchain", "llamaindex"])
def test_everything_that_tells_a_cost_tells_the_same_to_the_nano_dollar(
    framework: str, router: Router, sim: Simulator, spans: Spans
) -> None:
    """Span, event, ledger, running total, the framework's own metadata or event, and the simulator's bill."""
    heard: list[Any] = []
    router.listen(heard.append)
    sim.fail("groq", Fault.rate_limited())
    with router.track(user="ann") as spent:
        told = {"langchain": _langchain, "llamaindex": _llamaindex}[framework](router)
    (span,) = spans.calls
    (call,) = [event for event in heard if isinstance(event, CallEvent)]
    rows = router.entries()
    assert span.attributes is not None
    assert len(rows) == 2
    figures = {
        "bill": nano_of(sim.bill().total),
        "ledger": Total.of(row.cost for row in rows).known,
        "spending": router.spending(by="user")["ann"].known,
        "track": spent.total.known,
        "event": call.total.known,
        "attempt events": Total.of(event.attempt.cost for event in call.events).known,
        "span": nano_of(Decimal(str(span.attributes["hfrouter.cost.usd"]))),
        "attempt spans": sum(nano_of(Decimal(s.attributes["hfrouter.cost.usd"])) for s in spans.children(span)),  # type: ignore[index,arg-type]
        framework: told,
    }
    assert set(figures.values()) == {figures["bill"]}, figures
    assert figures["bill"] > 0


def _langchain(router: Router) -> int:
    pytest.importorskip("langchain_core")
    from langchain_hfrouter import ChatHFRouter

    message = ChatHFRouter(model=MODEL, router=router).invoke("What is 17 * 23?")
    return nano_of(Decimal(message.response_metadata["cost_details"]["total_usd"]))


def _llamaindex(router: Router) -> int:
    pytest.importorskip("llama_index.core")
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.event_handlers import BaseEventHandler

    from llamaindex_hfrouter import HFRouter, HFRouterCallEvent

    seen: list[Any] = []

    class Recorder(BaseEventHandler):
        def handle(self, event: Any, **kwargs: Any) -> None:
            seen.append(event)

    dispatcher, recorder = get_dispatcher(), Recorder()
    dispatcher.add_event_handler(recorder)
    HFRouter(model=MODEL, router=router).complete("What is 17 * 23?")
    dispatcher.event_handlers.remove(recorder)
    (event,) = [each for each in seen if isinstance(each, HFRouterCallEvent)]
    return nano_of(Decimal(str(event.cost)))


def test_without_the_extra_the_import_says_what_to_install() -> None:
    script = (
        "import sys\n"
        "sys.modules['opentelemetry'] = None\n"
        "import hfrouter; hfrouter.Router(ledger='memory')\n"
        "try:\n"
        "    import hfrouter.telemetry\n"
        "except ModuleNotFoundError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == 'hfrouter.telemetry needs OpenTelemetry; run: pip install "hfrouter[otel]"'

"""OpenTelemetry: a span for each call, by the semantic conventions for generative AI, with a child for each attempt.

Needs the extra `otel`. The spans carry no prompt and no answer, whatever is set: hfrouter's events hold none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hfrouter.cost.price import Cost, Total, usd
from hfrouter.events import AttemptEvent, CallEvent
from hfrouter.version import __version__

try:
    from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider, get_tracer, set_span_in_context
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'hfrouter.telemetry needs OpenTelemetry; run: pip install "hfrouter[otel]"', name=error.name
    ) from None

if TYPE_CHECKING:
    from hfrouter.router import Router

# Who is asked and sends the bill. The conventions list no name for it and allow others; who served is `hfrouter.*`.
_PROVIDER = "huggingface"
# Ends that are nobody's failure: the caller left, or another attempt was faster.
_LEFT = frozenset({"ok", "abandoned", "hedge_lost"})


class OpenTelemetry:
    """A hook that makes spans: `Router(on_event=OpenTelemetry())`.

    The span of a call is a child of the span that was current when it was made. It is made when the call has ended,
    with its real times: nothing that runs during the call can be its child.

    Args:
        tracer_provider: None for the global one.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = get_tracer("hfrouter", __version__, tracer_provider)

    def __call__(self, event: object) -> None:
        """Make the spans of a call that has ended; other events are in them, or none of a span's."""
        if not isinstance(event, CallEvent):
            return
        name = f"{event.operation} {event.requested}".strip()
        span = self._tracer.start_span(
            name, kind=SpanKind.CLIENT, attributes=_told(_call(event)), start_time=event.start_ns
        )
        if event.outcome in ("failed", "interrupted"):
            span.set_status(Status(StatusCode.ERROR, event.error))
        within = set_span_in_context(span)
        for each in event.events:
            attempt = self._tracer.start_span(
                f"attempt {each.attempt.provider}".strip(),
                context=within,
                kind=SpanKind.CLIENT,
                attributes=_told(_attempt(each)),
                start_time=each.start_ns,
            )
            if each.attempt.outcome not in _LEFT:
                attempt.set_status(Status(StatusCode.ERROR, each.attempt.outcome))
            attempt.end(each.end_ns)
        span.end(event.end_ns)


def instrument(router: Router, tracer_provider: TracerProvider | None = None) -> Callable[[], None]:
    """Make spans of a router's calls from now on.

    Args:
        router: Whose calls; `model.active_router` for one of a framework's models.
        tracer_provider: None for the global one.

    Returns:
        A function that ends it.
    """
    return router.listen(OpenTelemetry(tracer_provider))


def _call(event: CallEvent) -> dict[str, Any]:
    usage = event.usage
    return {
        "gen_ai.operation.name": event.operation,
        "gen_ai.provider.name": _PROVIDER,
        "gen_ai.request.model": event.requested or None,
        "gen_ai.response.model": event.model if event.outcome == "ok" else None,
        "gen_ai.usage.input_tokens": usage.input_tokens if usage else None,
        "gen_ai.usage.output_tokens": usage.output_tokens if usage else None,
        "error.type": event.error if event.outcome in ("failed", "interrupted") else None,
        "server.address": event.server or None,
        "hfrouter.call": event.call or None,
        "hfrouter.outcome": event.outcome,
        "hfrouter.provider": event.provider or None,
        "hfrouter.streamed": event.streamed,
        "hfrouter.attempts": len(event.events),
        "hfrouter.session": event.session,
        "hfrouter.billed": event.billed,
        **{f"hfrouter.tag.{name}": value for name, value in event.tags},
        **_cost(event.total),
    }


def _attempt(event: AttemptEvent) -> dict[str, Any]:
    attempt = event.attempt
    return {
        "hfrouter.attempt.number": attempt.number,
        "hfrouter.attempt.outcome": attempt.outcome,
        "hfrouter.attempt.first_content": attempt.first_content,
        "hfrouter.attempt.streamed": attempt.streamed,
        "hfrouter.model": attempt.model,
        "hfrouter.provider": attempt.provider or None,
        "hfrouter.request_id": attempt.request_id,
        "http.response.status_code": attempt.status,
        "server.address": event.server or None,
        "error.type": None if attempt.outcome in _LEFT else attempt.outcome,
        **_cost(attempt.cost),
    }


def _cost(money: Cost | Total) -> dict[str, str | None]:
    """USD as text, to the last digit: the amount when it is known, else its bounds. An unknown cost is never a zero."""
    if money.usd is not None:
        return {"hfrouter.cost.usd": f"{money.usd:f}"}
    return {
        "hfrouter.cost.lower": f"{usd(money.lower):f}",
        "hfrouter.cost.upper": None if money.upper is None else f"{usd(money.upper):f}",
    }


def _told(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that are known: a span has no attribute for what is not."""
    return {name: value for name, value in facts.items() if value is not None}

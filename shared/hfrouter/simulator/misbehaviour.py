"""What a scripted fault answers instead of the model."""

import http
from typing import Any

from hfrouter.simulator import refusal
from hfrouter.simulator.fault import Fault
from hfrouter.simulator.personality import Personality
from hfrouter.simulator.refusal import Refusal, error_object

_DEFAULT_CONTEXT = 131_072  # tokens, quoted when the row does not say


def refuse(fault: Fault, personality: Personality, model: str, asked: str, body: Any, row: Any) -> Refusal | None:
    """Return the answer of a fault that is one, None for faults that happen on the way.

    Args:
        fault: The fault.
        personality: The provider that was reached.
        model: The Hub id.
        asked: The model as the request spelled it, with its suffix.
        body: The request's body.
        row: The catalogue row of the provider.
    """
    routed = {
        "payment_required": refusal.payment_required,
        "spending_limit": refusal.spending_limit,
        "forbidden": refusal.forbidden,
    }
    if fault.name in routed:
        return routed[fault.name]()
    if fault.name == "gone":
        return refusal.gone(personality.name)
    if fault.name == "model_not_supported":
        return refusal.model_not_supported(asked)
    return _of_provider(fault, personality, model, body, row)


def _of_provider(fault: Fault, personality: Personality, model: str, body: Any, row: Any) -> Refusal | None:
    options = fault.options
    match fault.name:
        case "rate_limited":
            after = options.get("retry_after")
            headers = {} if after is None else {"retry-after": after if isinstance(after, str) else f"{after:g}"}
            return Refusal(429, personality.rate_limited(), headers, router=False)
        case "context_length":
            limit = int(row.get("context_length") or _DEFAULT_CONTEXT)
            return Refusal(400, personality.too_long(limit, limit + 1), router=False)
        case "content_policy":
            message = "The request was rejected because of our content policy."
            error = error_object(message, "invalid_request_error", code="content_policy_violation")
            return Refusal(400, error, router=False)
        case "no_prefill":
            messages = body.get("messages") if isinstance(body, dict) else None
            last = messages[-1] if isinstance(messages, list) and messages else None
            if not isinstance(last, dict) or last.get("role") != "assistant":
                return None
            return Refusal(400, personality.error("The last message must not be of the assistant.", 400), router=False)
        case "loading":
            return refusal.loading(model, options["estimated_time"])
        case "status":
            return _status(fault, personality)
        case "error_body_200":
            return Refusal(200, error_object(options["message"], "server_error"), router=False)
        case "html_200":
            return Refusal(200, refusal.html(200, "OK"), content_type="text/html; charset=utf-8", router=False)
    return None


def _status(fault: Fault, personality: Personality) -> Refusal:
    code, headers = int(fault.options["code"]), dict(fault.options.get("headers") or {})
    reason = _reason(code)
    if fault.options.get("html"):
        return Refusal(code, refusal.html(code, reason), headers, "text/html; charset=utf-8", router=False)
    body = fault.options.get("body")
    if isinstance(body, str):
        return Refusal(code, body, headers, "text/plain; charset=utf-8", router=False)
    return Refusal(code, personality.error(reason, code) if body is None else body, headers, router=False)


def _reason(code: int) -> str:
    try:
        return http.HTTPStatus(code).phrase
    except ValueError:
        return "Error"

"""Error answers, word for word where a recording has them, and the headers the router puts on everything."""

import base64
import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

# The router's own headers, recorded 2026-10-04.
_ROUTER_HEADERS = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": (
        "X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,Accept-Ranges,"
        "Content-Range,X-Linked-Size,X-Linked-ETag,X-Xet-Hash"
    ),
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "strict-origin-when-cross-origin",
    "strict-transport-security": "max-age=31536000",
    "vary": "Origin",
    "x-powered-by": "huggingface-moon",
    "x-robots-tag": "none",
}
HUB_HEADERS = {"ratelimit": '"api";r=999;t=40', "ratelimit-policy": '"fixed window";"api";q=1000;w=300'}
"""What the Hub's own answers carry besides, recorded 2026-10-04."""
_JSON = "application/json; charset=utf-8"


def compact(value: Any) -> bytes:
    """Encode JSON as the router does: no spaces, Unicode as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def etag(body: bytes) -> str:
    """Return the weak ETag of a body in the router's form: length in hex and 27 characters of a SHA-1."""
    digest = base64.b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()
    return f'W/"{len(body):x}-{digest[:27]}"'


def hexadecimal(rng: random.Random, digits: int) -> str:
    """Return random hexadecimal digits."""
    return f"{rng.getrandbits(4 * digits):0{digits}x}"


def router_headers(rng: random.Random, cache: str = "Miss from cloudfront") -> dict[str, str]:
    """Return the headers of every answer of the router; the request id is the router's own."""
    edge = base64.b64encode(rng.randbytes(40)).decode()
    return {
        **_ROUTER_HEADERS,
        "date": formatdate(usegmt=True),
        "via": f"1.1 {hexadecimal(rng, 32)}.cloudfront.net (CloudFront)",
        "x-amz-cf-id": edge,
        "x-amz-cf-pop": "LAX54-P13",
        "x-cache": cache,
        "x-request-id": f"Root=1-{hexadecimal(rng, 8)}-{hexadecimal(rng, 24)}",
    }


@dataclass(frozen=True, slots=True)
class Refusal:
    """A complete error answer. `body` is text (sent as it is) or a JSON value.

    Attributes:
        status: HTTP status.
        body: The body.
        headers: Additional headers.
        content_type: Media type; JSON unless said.
        router: Made by the router itself, so it names no provider.
    """

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = _JSON
    router: bool = True

    def encode(self) -> bytes:
        """Return the bytes of the body."""
        return self.body.encode() if isinstance(self.body, str) else compact(self.body)


class RefusedError(Exception):
    """Leaves a request handler early with an error answer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.status)
        self.refusal = refusal


def error_object(message: str, kind: str, *, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Return an error body of the OpenAI family."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def model_not_found(model: str) -> Refusal:
    """400 for an id that does not exist (recorded 2026-10-04)."""
    message = f"The requested model '{model}' does not exist."
    return Refusal(400, error_object(message, "invalid_request_error", param="model", code="model_not_found"))


def model_not_supported(model: str) -> Refusal:
    """400 for a model no enabled provider serves (many logs of 2025 and 2026)."""
    message = f"The requested model '{model}' is not supported by any provider you have enabled."
    return Refusal(400, error_object(message, "invalid_request_error", param="model", code="model_not_supported"))


def provider_lacks_model(provider: str) -> Refusal:
    """400 of the per-provider path."""
    return Refusal(400, {"error": f"Model not supported by provider {provider}"})


def bad_request(message: str, param: str | None = None) -> Refusal:
    """400 of the router for a body it cannot route."""
    return Refusal(400, error_object(message, "invalid_request_error", param=param))


def unauthorized(malformed: bool = False) -> Refusal:
    """401 (recorded 2025-03): a bad or missing token, or a header that is no bearer credential."""
    message = "Invalid credentials in Authorization header" if malformed else "Invalid username or password."
    challenge = 'Bearer realm="Authentication required", charset="UTF-8"'
    return Refusal(401, {"error": message}, {"www-authenticate": challenge, "x-error-message": message})


def payment_required() -> Refusal:
    """402: credits gone, wording of 2026."""
    return Refusal(
        402,
        {
            "error": "You have depleted your monthly included credits. Purchase pre-paid credits to continue using "
            "Inference Providers. Alternatively, subscribe to PRO to get 20x more included usage."
        },
    )


def spending_limit() -> Refusal:
    """403 that means money: the organisation's limit."""
    return Refusal(403, {"error": "You have exceeded your monthly spending limit for Inference Providers."})


def forbidden(doing: str = "call Inference Providers on behalf of") -> Refusal:
    """403 that means the token: it lacks the permission."""
    message = f"This authentication method does not have sufficient permissions to {doing} user simulated"
    return Refusal(403, {"error": message})


def gone(provider: str) -> Refusal:
    """410: the provider dropped the model."""
    message = f"The requested model is deprecated and no longer supported by provider {provider}"
    return Refusal(410, {"error": message})


def model_does_not_exist(model: str) -> Refusal:
    """404 of hf-inference for a model it does not serve."""
    return Refusal(404, {"error": f"Model {model} does not exist"}, router=False)


def repository_not_found() -> Refusal:
    """404 of the Hub."""
    return Refusal(404, {"error": "Repository not found"}, {"x-error-code": "RepoNotFound"})


def loading(model: str, seconds: float) -> Refusal:
    """503 of a model that is being loaded (recorded on the old host, 2025-01)."""
    return Refusal(503, {"error": f"Model {model} is currently loading", "estimated_time": seconds}, router=False)


def not_found() -> Refusal:
    """404 for an unknown path, plain text; `/v1/embeddings` is one of them."""
    return Refusal(404, "Not Found", content_type="text/plain; charset=utf-8")


def too_large() -> Refusal:
    """413: the simulator's own limit; the router's is not known."""
    return Refusal(413, {"error": "Payload Too Large"})


def html(status: int, reason: str) -> str:
    """Return the kind of page a gateway answers with."""
    page = f"<html>\n<head><title>{status} {reason}</title></head>\n<body>\n<center><h1>{status} {reason}</h1></center>"
    return f"{page}\n<hr><center>cloudflare</center>\n</body>\n</html>\n"

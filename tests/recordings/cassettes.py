"""Recorded traffic in a common form, whatever recorder wrote it.

Read are: single captures as JSON (request and response, the body whole, as events, or as a summary), lists of error
bodies, `/v1/models` bodies, price and mapping tables; and YAML cassettes of go-vcr, of vcrpy (`string` bodies, perhaps
compressed or in base64) and of its variants with parsed bodies. Nothing here knows a file by its name.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

ROOT = Path(__file__).resolve().parents[2].parent / "shared" / "recordings"
ABSENT = "the recordings are not beside this repository (../shared/recordings)"

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
CHAT_KINDS = ("unary", "stream", "error")


@dataclass(frozen=True)
class Exchange:
    """A request and its answer.

    Attributes:
        file: Path below the recordings.
        position: Which exchange of the file, from 0.
        kind: `unary`, `stream` or `error` for chat; `catalogue`; a later task's name; `unknown`.
        method: HTTP method.
        url: As recorded; empty for facts without one.
        request: The request's JSON object, or None when the recorder left it out.
        status: HTTP status of the answer.
        headers: Of the answer, lower-case names, repeated values joined.
        body: Of the answer, as the wire had it, uncompressed.
    """

    file: str
    position: int
    kind: str
    method: str
    url: str
    request: Mapping[str, Any] | None
    status: int
    headers: Mapping[str, str]
    body: bytes

    def __str__(self) -> str:
        return f"{self.file}#{self.position}"

    @property
    def json(self) -> Any:
        """The body as JSON, or None."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def recorded(*kinds: str, root: Path = ROOT) -> list[Exchange]:
    """Exchanges of these kinds, or all, in the order of files; none where the folder is absent."""
    if root not in _read:
        files = sorted(p for p in root.rglob("*") if p.suffix in {".json", ".yaml", ".yml"}) if root.is_dir() else []
        _read[root] = [exchange for path in files for exchange in read_file(path, root)]
    return [exchange for exchange in _read[root] if not kinds or exchange.kind in kinds]


_read: dict[Path, list[Exchange]] = {}


def read_file(path: Path, root: Path) -> list[Exchange]:
    """All exchanges of a file; one of kind `unknown` when nothing of it is understood."""
    name = path.relative_to(root).as_posix()
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        found = list(_from_json(name, json.loads(text)))
    else:
        found = list(_from_cassette(name, yaml.load(text, Loader=_LOADER)))
    return found or [Exchange(name, 0, "unknown", "", "", None, 0, {}, b"")]


# -- JSON --------------------------------------------------------------------------------------------------------------


def _from_json(file: str, content: Any) -> Iterator[Exchange]:
    if isinstance(content, list):
        for position, fact in enumerate(content):
            if isinstance(fact, Mapping) and "status" in fact and "body" in fact:
                yield _fact(file, position, fact)
    elif isinstance(content, Mapping) and isinstance(content.get("response"), Mapping):
        yield _capture(file, content)
    elif isinstance(content, Mapping):
        kind = _table(content)
        yield Exchange(file, 0, kind, "GET", "", None, 200, {}, _compact(content))


def _fact(file: str, position: int, fact: Mapping[str, Any]) -> Exchange:
    """A known answer, without the request that met it."""
    body = fact["body"]
    headers = {k.lower(): str(v) for k, v in (fact.get("headers") or {}).items() if v is not None}
    if isinstance(body, str):
        raw = body.encode()
        headers.setdefault("content-type", "text/plain")
    else:
        raw = _compact(body)
        headers.setdefault("content-type", "application/json")
    return Exchange(file, position, "error", "POST", "", None, fact["status"], headers, raw)


def _capture(file: str, content: Mapping[str, Any]) -> Exchange:
    request, response = content.get("request") or {}, content["response"]
    summary = response.get("bodySummary")
    if isinstance(summary, Mapping) and isinstance(summary.get("sample"), list):
        raw = _compact({"object": "list", "data": summary["sample"]})
    elif isinstance(response.get("events"), list):
        raw = b"".join(_event(item) for item in response["events"])
    else:
        body = response.get("body", summary)
        raw = body.encode() if isinstance(body, str) else _compact(body)
    return _exchange(
        file,
        0,
        str(request.get("method", "GET")),
        str(request.get("url", "")),
        _request(request.get("body")),
        int(response["status"]),
        _headers(response.get("headers")),
        raw,
    )


def _event(item: Any) -> bytes:
    data = item.get("data") if isinstance(item, Mapping) else item
    name = item.get("event") if isinstance(item, Mapping) else None
    lines = f"event: {name}\n" if name else ""
    return f"{lines}data: {data if isinstance(data, str) else _compact(data).decode()}\n\n".encode()


def _table(content: Mapping[str, Any]) -> str:
    """What a JSON object without a request is."""
    data = content.get("data", content)
    entries = data if isinstance(data, list) else [data]
    if entries and all(isinstance(entry, Mapping) and isinstance(entry.get("providers"), list) for entry in entries):
        return "catalogue"
    if "inferenceProviderMapping" in content:
        return "hub mapping"
    values = [value for name, value in content.items() if not name.startswith("_") and isinstance(value, Mapping)]
    if any("inferenceProviderMapping" in value for value in values):
        return "hub mapping"
    if values and all("models" in value for value in values):
        return "price table"
    if values and any("cost" in value or "limit" in value for value in values):
        return "price table"
    if values and all("response" in value for value in values):
        return "billing"
    return "unknown"


# -- cassettes ---------------------------------------------------------------------------------------------------------


def _from_cassette(file: str, content: Any) -> Iterator[Exchange]:
    for position, interaction in enumerate(content.get("interactions") or () if isinstance(content, Mapping) else ()):
        request, response = interaction["request"], interaction["response"]
        headers = _headers(response.get("headers"))
        yield _exchange(
            file,
            position,
            str(request.get("method", "GET")),
            str(request.get("url") or request.get("uri") or ""),
            _request(request["parsed_body"] if "parsed_body" in request else request.get("body")),
            _status(response),
            headers,
            _response_body(response, headers.get("content-encoding", "")),
        )


def _status(response: Mapping[str, Any]) -> int:
    status = response.get("code", response.get("status"))
    if isinstance(status, Mapping):
        status = status["code"]
    return int(status.split()[0] if isinstance(status, str) else status)


def _response_body(response: Mapping[str, Any], encoding: str) -> bytes:
    if "parsed_body" in response:
        return _compact(response["parsed_body"])
    return _raw(response.get("body"), encoding)


def _raw(body: Any, encoding: str) -> bytes:
    """The body's bytes, out of whatever wrapping its recorder put them in."""
    if body is None:
        return b""
    if isinstance(body, Mapping):
        if "string" in body:
            return _raw(body["string"], encoding)
        if "base64_string" in body:
            return _unpacked(base64.b64decode(body["base64_string"]), encoding)
        if set(body) == {"type", "content"} and isinstance(body["type"], str):
            content = body["content"]
            if body["type"] in {"base64", "binary"} and isinstance(content, str):
                return _unpacked(base64.b64decode(content), encoding)
            return _raw(content, encoding) if isinstance(content, (str, bytes)) else _compact(content)
        return _compact(body)
    if isinstance(body, list):
        return _compact(body)
    return _unpacked(body if isinstance(body, bytes) else str(body).encode(), encoding)


def _unpacked(raw: bytes, encoding: str) -> bytes:
    """Uncompressed, and out of base64 where a recorder put compressed bytes into text."""
    if raw[:2] == b"\x1f\x8b":
        return gzip.decompress(raw)
    if "gzip" in encoding and re.fullmatch(rb"H4sI[A-Za-z0-9+/=\s]+", raw):
        return gzip.decompress(base64.b64decode(raw))
    if "deflate" in encoding:
        for window in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
            try:
                return zlib.decompress(raw, window)
            except zlib.error:
                continue
    if raw[:4] == b"H4sI":
        try:
            return gzip.decompress(base64.b64decode(raw, validate=True))
        except (binascii.Error, OSError):
            pass
    return raw


def _request(body: Any) -> Mapping[str, Any] | None:
    if isinstance(body, Mapping) and "string" not in body and set(body) != {"type", "content"}:
        return body
    try:
        parsed = json.loads(_raw(body, ""))
    except ValueError:
        return None
    return parsed if isinstance(parsed, Mapping) else None


# -- what it is --------------------------------------------------------------------------------------------------------


def _exchange(
    file: str,
    position: int,
    method: str,
    url: str,
    request: Mapping[str, Any] | None,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
) -> Exchange:
    kind = _kind(method, url, request, status, headers, body)
    return Exchange(file, position, kind, method.upper(), url, request, status, headers, body)


def _kind(
    method: str, url: str, request: Mapping[str, Any] | None, status: int, headers: Mapping[str, str], body: bytes
) -> str:
    parts = urlsplit(url)
    if parts.path.endswith("/chat/completions"):
        return _chat_kind(status, headers, body)
    if method.upper() == "GET":
        if parts.path.endswith("/v1/models") or "/v1/models/" in parts.path:
            return "catalogue"
        if parts.path.startswith("/api/models"):
            return "hub mapping" if "inferenceProviderMapping" in parts.query else "hub model"
        if parts.path.startswith("/api/whoami"):
            return "whoami"
        if "/billing/" in parts.path:
            return "billing"
        return "unknown"
    return _task(parts.path, request)


def _chat_kind(status: int, headers: Mapping[str, str], body: bytes) -> str:
    if status >= 400 or re.match(rb'\s*(data:\s*)?\{"error":\s*["{]', body):
        return "error"
    sent_as_stream = "event-stream" in headers.get("content-type", "") or re.match(rb"\s*(:|data:|event:)", body)
    return "stream" if sent_as_stream else "unary"


def _task(path: str, request: Mapping[str, Any] | None) -> str:
    """The task of a request to a model itself, by its URL or by what it asks."""
    if path.endswith("/embeddings"):
        return "feature extraction"
    if named := re.search(r"/pipeline/([a-z-]+)", path):
        return named[1].replace("-", " ")
    if "/models/" not in path:
        return "unknown"
    inputs = (request or {}).get("inputs")
    parameters = (request or {}).get("parameters") or {}
    if isinstance(inputs, Mapping) and "sentences" in inputs:
        return "sentence similarity"
    if isinstance(parameters, Mapping) and any("tokens" in name or "sample" in name for name in parameters):
        return "text generation"
    return "model task"


def _headers(headers: Any) -> dict[str, str]:
    pairs = (headers or {}).items()
    return {
        str(name).lower(): ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in pairs
    }


def _compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode()

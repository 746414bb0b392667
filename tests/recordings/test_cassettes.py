"""The reader of recordings itself: every format, and nothing left aside in silence."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.recordings.cassettes import ABSENT, ROOT, Exchange, read_file, recorded

# Recorded for issues to come: they are read and named here, so that a new kind cannot slip by.
_LATER = {
    "billing",
    "feature extraction",
    "hub mapping",
    "hub model",
    "model task",
    "price table",
    "sentence similarity",
    "text classification",
    "text generation",
    "whoami",
}
_CHAT = "https://router.huggingface.co/v1/chat/completions"
_BODY = {"id": "x", "choices": [{"index": 0, "message": {"content": "Olá 👋"}, "finish_reason": "stop"}]}
_JSON = json.dumps(_BODY, ensure_ascii=False)
_STREAM = 'data: {"choices":[]}\n\ndata: [DONE]\n\n'


@pytest.mark.skipif(not recorded(), reason=ABSENT)
def test_no_recording_is_left_unclassified() -> None:
    strange = [str(x) for x in recorded() if x.kind not in _LATER | {"unary", "stream", "error", "catalogue"}]
    assert not strange


@pytest.mark.skipif(not recorded(), reason=ABSENT)
def test_every_file_of_recordings_is_read() -> None:
    data = {p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*") if p.is_file() and p.suffix != ".md"}
    assert {exchange.file for exchange in recorded()} == data


@pytest.mark.skipif(not recorded(), reason=ABSENT)
def test_every_recorded_chat_answer_was_unwrapped_to_what_the_wire_had() -> None:
    for exchange in recorded("unary"):
        assert "choices" in exchange.json, str(exchange)
    for exchange in recorded("stream"):
        assert exchange.body.startswith(b"data:"), str(exchange)


def _cassette(tmp_path: Path, response: dict[str, Any], request: dict[str, Any] | None = None) -> Exchange:
    interaction = {"request": {"method": "POST", "uri": _CHAT} | (request or {}), "response": response}
    path = tmp_path / "case.yaml"
    path.write_text(yaml.safe_dump({"interactions": [interaction]}), encoding="utf-8")
    return read_file(path, tmp_path)[0]


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        ({"status": {"code": 200, "message": "OK"}, "body": {"string": _JSON}}, "unary"),
        ({"status": {"code": 200, "message": "OK"}, "body": {"string": _JSON.encode()}}, "unary"),
        ({"status": {"code": 200}, "body": {"string": gzip.compress(_JSON.encode())}}, "unary"),
        (
            {
                "status": {"code": 200},
                "headers": {"Content-Encoding": ["gzip"]},
                "body": {"string": base64.b64encode(gzip.compress(_JSON.encode())).decode()},
            },
            "unary",
        ),
        (
            {"status": {"code": 200}, "body": {"base64_string": base64.b64encode(_JSON.encode()).decode()}},
            "unary",
        ),
        ({"status": {"code": 200}, "parsed_body": _BODY}, "unary"),
        ({"status": 200, "body": {"type": "json", "content": _BODY}}, "unary"),
        ({"status": 200, "body": {"type": "text", "content": _STREAM}}, "stream"),
        ({"status": "200 OK", "code": 200, "body": _STREAM}, "stream"),
        ({"status": "429 Too Many Requests", "body": '{"error":"slow down"}'}, "error"),
        ({"status": {"code": 200}, "body": {"string": 'data: {"error":"bad"}\n\n'}}, "error"),
    ],
    ids=[
        "vcrpy",
        "vcrpy-bytes",
        "gzip",
        "gzip-in-base64",
        "base64",
        "parsed",
        "typed-json",
        "typed-text",
        "go-vcr",
        "go-vcr-error",
        "error-in-a-stream",
    ],
)
def test_every_format_of_cassette_is_read_to_the_same_bytes(
    tmp_path: Path, response: dict[str, Any], kind: str
) -> None:
    exchange = _cassette(tmp_path, response)
    assert exchange.kind == kind
    if kind == "unary":
        assert exchange.json == _BODY
    elif kind == "stream":
        assert exchange.body == _STREAM.encode()


@pytest.mark.parametrize(
    "request_fields",
    [
        {"body": '{"model": "a/b"}'},
        {"body": {"model": "a/b"}},
        {"parsed_body": {"model": "a/b"}},
        {"body": {"type": "json", "content": {"model": "a/b"}}},
        {"body": {"string": b'{"model": "a/b"}'}},
    ],
    ids=["text", "raw", "parsed", "typed", "bytes"],
)
def test_every_format_of_request_is_read(tmp_path: Path, request_fields: dict[str, Any]) -> None:
    exchange = _cassette(tmp_path, {"status": 200, "body": {"string": _JSON}}, request_fields)
    assert exchange.request == {"model": "a/b"}


def test_a_file_of_a_new_format_is_unknown_and_not_ignored(tmp_path: Path) -> None:
    path = tmp_path / "strange.json"
    path.write_text('{"traffic": "told in another way"}', encoding="utf-8")
    assert [exchange.kind for exchange in read_file(path, tmp_path)] == ["unknown"]

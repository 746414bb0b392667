"""A stub of an OpenAI-compatible server, as light as one in Python can be: fixed answers, a process of its own.

python benchmarks/stub.py        prints its port, serves on loopback, ends when its input is closed
"""

from __future__ import annotations

import asyncio
import json
import sys

CHUNKS = 200
_USAGE = {"prompt_tokens": 20, "completion_tokens": CHUNKS, "total_tokens": 20 + CHUNKS}
_HEAD = {"id": "chatcmpl-1", "created": 1, "model": "openai/gpt-oss-20b"}


def _answer(kind: str, body: bytes) -> bytes:
    headers = ("HTTP/1.1 200 OK", f"content-type: {kind}", "x-inference-provider: groq", f"content-length: {len(body)}")
    return "\r\n".join((*headers, "", "")).encode() + body


def _event(data: object) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _event(_HEAD | {"object": "chat.completion.chunk", "choices": [choice]})


def _stream(chunks: int) -> bytes:
    events = [_chunk({"role": "assistant", "content": ""})]
    events += [_chunk({"content": "word "}) for _ in range(chunks)]
    events += [_chunk({}, "stop"), _event(_HEAD | {"object": "chat.completion.chunk", "choices": [], "usage": _USAGE})]
    return b"".join(events) + b"data: [DONE]\n\n"


_UNARY = _answer(
    "application/json",
    json.dumps(
        _HEAD
        | {
            "object": "chat.completion",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "word " * 20}, "finish_reason": "stop"}
            ],
            "usage": _USAGE,
        }
    ).encode(),
)
_SHORT_STREAM = _answer("text/event-stream", _stream(20))
_LONG_STREAM = _answer("text/event-stream", _stream(CHUNKS))
_ROW = {"provider": "groq", "status": "live", "pricing": {"input": 0.1, "output": 0.5}, "context_length": 131072}
_ROWS = [_ROW | {"provider": f"provider-{n}", "pricing": {"input": 0.1 + n / 100, "output": 0.5}} for n in range(20)]
_LISTING = {
    "data": [
        {"id": "openai/gpt-oss-20b", "providers": [_ROW]},
        {"id": "openai/gpt-oss-120b", "providers": _ROWS},  # with 20 candidates, for `deciding.py`
    ]
}
_MODELS = _answer("application/json", json.dumps(_LISTING).encode())


class Stub(asyncio.Protocol):
    """Answers by what the request holds; a request that says `long` gets the long stream."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        size = int(lower.partition(b"content-length:")[2].split(b"\r\n")[0] or 0) if b"content-length:" in lower else 0
        if len(rest) < size:
            return
        self.buffer = rest[size:]
        body = rest[:size]
        if head.startswith(b"GET"):
            self.transport.write(_MODELS)
        elif b'"stream":true' in body or b'"stream": true' in body:
            self.transport.write(_LONG_STREAM if b'"long"' in body else _SHORT_STREAM)
        else:
            self.transport.write(_UNARY)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Stub, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve())

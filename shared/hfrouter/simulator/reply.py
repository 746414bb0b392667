"""Requests into the log, and responses out of it."""

import json
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from hfrouter.simulator import refusal
from hfrouter.simulator.connection import ClientLeft, Connection
from hfrouter.simulator.fault import Fault
from hfrouter.simulator.refusal import Refusal, RefusedError, compact
from hfrouter.simulator.state import State

MAX_BODY = 32 * 1024 * 1024
"""Bytes of a request body above which the answer is 413."""
BAD_TOKEN = "hf_bad_token"  # noqa: S105 - the one that is refused
FINE_GRAINED_TOKEN = "hf_fine_grained_token"  # noqa: S105 - one that may call providers and do nothing else

Writer = Callable[[Connection], Awaitable[None]]


class Reply:
    """An ASGI response that writes through a `Connection`, and notes when the client left before its end."""

    def __init__(self, write: Writer, note: Callable[..., None], state: State) -> None:
        self._write = write
        self._note = note
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write the response."""
        async with Connection(scope, receive, send) as connection:
            try:
                await self._write(connection)
            except ClientLeft:
                if not self._state.stopping.is_set():
                    self._note(closed_by_client=True, closed_at=time.monotonic())


class Arrival:
    """A request that was read and recorded, and the ways to answer it.

    Attributes:
        number: Its number in the log.
        raw: Its body; None when it was too large.
        body: The JSON of it; None when it is none.
        organization: The organisation that is to pay, when the user is not.
    """

    def __init__(self, state: State, number: int, raw: bytes | None, body: Any, organization: str | None) -> None:
        self._state = state
        self.number = number
        self.raw = raw
        self.body = body
        self.organization = organization

    @classmethod
    async def read(cls, request: Request, state: State) -> "Arrival":
        """Read a request and record it."""
        raw = bytes(await _read(request))
        body: Any = None
        if raw and len(raw) <= MAX_BODY:
            try:
                body = json.loads(raw)
            except (ValueError, RecursionError):
                body = None
        kept = raw if len(raw) <= MAX_BODY else None
        number = state.log.open(
            method=request.method,
            path=request.url.path,
            query=request.url.query,
            headers=dict(request.headers.items()),
            raw=kept or b"",
            body=body,
        )
        return cls(state, number, kept, body, request.headers.get("x-hf-bill-to") or None)

    def note(self, **changes: Any) -> None:
        """Change the record of this request."""
        self._state.log.update(self.number, **changes)

    def headers(self, provider: str | None = None, *, error: bool = False) -> dict[str, str]:
        """Return the router's headers, with the provider's name when there is one."""
        rng = random.Random(f"{self._state.seed}:{self.number}:headers")
        headers = refusal.router_headers(rng, "Error from cloudfront" if error else "Miss from cloudfront")
        return headers if provider is None else {**headers, "x-inference-provider": provider}

    def reply(self, write: Writer) -> Reply:
        """Answer with whatever `write` writes."""
        return Reply(write, self.note, self._state)

    def refuse(self, answer: Refusal, provider: str | None = None) -> Reply:
        """Answer with an error."""
        body = answer.encode()
        headers = self.headers(None if answer.router else provider, error=answer.status >= 400)
        headers |= {"content-type": answer.content_type, "content-length": str(len(body))}
        if answer.router:
            headers["etag"] = refusal.etag(body)
        return self._whole(answer.status, {**headers, **answer.headers}, body)

    def json(self, value: Any, known: str | None = None, *, hub: bool = False) -> Reply:
        """Answer with JSON; with 304 when the client's `if-none-match` knows it already. `hub` adds its rate limits."""
        body = compact(value)
        tag = refusal.etag(body)
        headers = self.headers() | {"etag": tag} | (refusal.HUB_HEADERS if hub else {})
        if known is not None and tag in [each.strip() for each in known.split(",")]:
            return self._whole(304, headers, b"")
        headers |= {"content-type": "application/json; charset=utf-8", "content-length": str(len(body))}
        return self._whole(200, headers, body)

    def silence(self, fault: Fault) -> Reply:
        """Answer nothing: hang for a while and drop the connection, or reset it at once."""

        async def write(connection: Connection) -> None:
            if fault.name == "hang":
                await connection.wait(float(fault.options["seconds"]))
            await connection.drop(reset=fault.name == "reset")

        return self.reply(write)

    def _whole(self, status: int, headers: dict[str, str], body: bytes) -> Reply:
        async def write(connection: Connection) -> None:
            self.note(status=status, finished=True)
            await connection.start(status, headers)
            await connection.end(body)

        return self.reply(write)


def authorize(request: Request) -> str:
    """Check the credential and return the token.

    Raises:
        RefusedError: It is missing, malformed or bad.
    """
    value = request.headers.get("authorization")
    scheme, _, token = (value or "").partition(" ")
    if value and (scheme.lower() != "bearer" or not token.strip()):
        raise RefusedError(refusal.unauthorized(malformed=True))
    if not token.startswith("hf_") or len(token) < 4 or token == BAD_TOKEN:
        raise RefusedError(refusal.unauthorized())
    return token


async def _read(request: Request) -> bytearray:
    """Read a body; what is beyond the limit is read too, so that the client sees the answer, but not kept."""
    raw = bytearray()
    with suppress(ClientDisconnect):  # it gave up while it sent: nobody is there to answer
        async for part in request.stream():
            if len(raw) <= MAX_BODY:
                raw += part
    return raw

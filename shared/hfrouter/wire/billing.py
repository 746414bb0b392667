"""Hugging Face's own bill: two endpoints of the Hub that are in no documentation, so nothing relies on them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import NoReturn
from urllib.parse import quote, urlencode

from hfrouter.cost.credits import Credits, CreditsWarning
from hfrouter.cost.ledger import Entry, fingerprint
from hfrouter.cost.reconciliation import OtherShape, Reconciliation, read_sessions
from hfrouter.errors import BillUnavailable, ConfigurationError
from hfrouter.wire import bridge
from hfrouter.wire.clock import Clock
from hfrouter.wire.http import WireFailure, send

_PATIENCE = 10.0  # seconds for each answer
_MAX_BYTES = 4 * 1024 * 1024
_EVERY = 600.0  # seconds between two looks at the credits
_ORGANIZATION = (
    "calls are billed to an organisation (bill_to), and Hugging Face tells what it has left on its settings page only"
)
_SAID = {
    401: "the token was refused",
    402: "the account cannot pay",
    403: "the token may not read the bill; a token of the kind 'read' may, a fine-grained one needs the permission "
    "to read billing",
    404: "there is no such endpoint, or no longer",
    429: "too many requests to the Hub; ask again in some minutes",
}


class Billing:
    """Asks for the bill. Never on the way of a call.

    Args:
        hub_url: `https://huggingface.co`, or another origin that answers like it.
        headers: Makes the headers of a request to a URL.
        clock: Both clocks.
        organization: Who is billed instead of the token's own account, or None.
    """

    def __init__(
        self, hub_url: str, headers: Callable[[str], Mapping[str, str]], clock: Clock, organization: str | None
    ) -> None:
        self._hub_url, self._headers, self._clock, self._organization = hub_url, headers, clock, organization

    async def credits(self) -> Credits:
        """What the account has spent this month and has left; with a reason where that cannot be told.

        Raises:
            ConfigurationError: there is no token to ask with.
        """
        now = int(self._clock.wall())
        return await self._usage(_month(now), now)

    async def reconcile(self, rows: Iterable[Entry], since: datetime | int | None) -> Reconciliation:
        """Hold the rows of a ledger against the bill.

        Args:
            rows: Those billed to others are left out.
            since: A moment with its time zone, or seconds since 1970; None for the first of this month.

        Raises:
            BillUnavailable: nothing of the bill can be read.
            ConfigurationError: there is no token to ask with, or `since` is no moment of the past.
        """
        now = int(self._clock.wall())
        first = _month(now) if since is None else _moment(since, now)
        reasons, sessions = [], None
        try:
            sessions = read_sessions(await self._sessions(first, now))
        except BillUnavailable as error:
            reasons.append(str(error))
        except OtherShape:
            reasons.append("the sessions of Hugging Face's bill have another shape than expected")
        spent = await self._usage(first, now)
        if sessions is None and spent.used is None:
            raise BillUnavailable("; ".join(dict.fromkeys([*reasons, spent.reason])))
        owner = fingerprint(self._organization) if self._organization else None
        mine = [row for row in rows if row.billed == owner]
        return Reconciliation.of(mine, sessions, spent, since=first, until=now, reasons=reasons)

    async def _usage(self, since: int, until: int) -> Credits:
        if self._organization:
            return Credits(reason=_ORGANIZATION)
        # Whole seconds: milliseconds are answered with 500. A span of no length is no span.
        span = {"startDate": str(since), "endDate": str(max(until, since) + 1)}
        try:
            return Credits.read(await self._get("settings", "usage-v2", span))
        except BillUnavailable as error:
            return Credits(reason=str(error))

    async def _sessions(self, since: int, until: int) -> object:
        owner = f"organizations/{quote(self._organization, safe='')}" if self._organization else "settings"
        span = {"startDate": _iso(since), "endDate": _iso(max(until, since) + 1)}
        return await self._get(owner, "usage-by-inference-session", span)

    async def _get(self, owner: str, what: str, query: Mapping[str, str]) -> object:
        url = f"{self._hub_url}/api/{owner}/billing/{what}?{urlencode(query)}"
        headers = self._headers(url)
        try:
            async with asyncio.timeout(_PATIENCE):
                return json.loads(await _body(url, headers), parse_float=Decimal, parse_constant=_no_number)
        except TimeoutError:
            raise _unavailable(f"no answer within {_PATIENCE:g} s") from None
        except WireFailure as failure:
            raise _unavailable(failure.kind) from None
        except (ValueError, RecursionError):
            raise _unavailable("the answer is not JSON") from None


async def _body(url: str, headers: Mapping[str, str]) -> bytes:
    reply = await send("GET", url, headers, None, 5.0)
    try:
        if reply.status != 200:
            raise _unavailable(_SAID.get(reply.status, f"status {reply.status}"))
        body = bytearray()
        async for piece in reply.pieces():
            body += piece
            if len(body) > _MAX_BYTES:
                raise _unavailable("the answer is larger than 4 MB")
        return bytes(body)
    finally:
        await reply.aclose()


def _unavailable(reason: str) -> BillUnavailable:
    return BillUnavailable(f"Hugging Face's bill cannot be read: {reason}.")


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _month(at: int) -> int:
    """The first second of the month of a moment, in UTC, as Hugging Face bills."""
    first = datetime.fromtimestamp(at, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return int(first.timestamp())


def _moment(since: object, now: int) -> int:
    if isinstance(since, datetime) and since.tzinfo is not None:
        since = int(since.timestamp())
    if isinstance(since, bool) or not isinstance(since, int) or not 0 <= since <= now:
        raise ConfigurationError(
            "since must be a moment of the past: a datetime with a time zone, or whole seconds since 1970."
        )
    return since


class CreditsWatch:
    """Looks at the credits when calls are made, off their way and at most every 10 minutes.

    Args:
        billing: Whom to ask.
        clock: Both clocks.
        tell: Given each warning, on the bridge's loop.
    """

    def __init__(self, billing: Billing, clock: Clock, tell: Callable[[CreditsWarning], None]) -> None:
        self._billing, self._clock, self._tell = billing, clock, tell
        self._looked = float("-inf")

    def wake(self) -> None:
        """A call is made: look, if it is time to."""
        now = self._clock.monotonic()
        if now - self._looked < _EVERY:
            return
        self._looked = now
        with suppress(RuntimeError):  # the interpreter is ending and starts no more threads
            bridge.submit(self._look)

    async def _look(self) -> None:
        with suppress(Exception):  # nobody waits for it, and no call depends on it
            if warning := (await self._billing.credits()).warning:
                self._tell(warning)

"""The catalogue: who serves which model, at what price. Kept in memory and on disk, refreshed in the background."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hfrouter.cost.overrides import Overrides
from hfrouter.places import cache_directory
from hfrouter.routing.rows import read_rows
from hfrouter.routing.target import Target
from hfrouter.wire import bridge
from hfrouter.wire.clock import Clock
from hfrouter.wire.http import WireFailure, send

FRESH = 300.0  # seconds; Hugging Face's own clients keep it as long
STALE = 24 * 3600.0
_AFTER_FAILURE = 15.0
_FETCH = 10.0
_MAX_BYTES = 32 * 1024 * 1024
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Listing:
    """The catalogue at one moment.

    Attributes:
        rows: Every target, with the prices of the user where there are.
        at: Wall-clock seconds since 1970 when it was read from the router.
        digest: The first 16 hex digits of the SHA-256 of the document, as ledger rows keep it; None when not known.
    """

    rows: tuple[Target, ...]
    at: float
    digest: str | None = None
    _index: dict[str, tuple[Target, ...]] = field(default_factory=dict, repr=False, compare=False)

    def of(self, model: str) -> tuple[Target, ...]:
        """The rows of a model."""
        if not self._index:
            by_model: dict[str, list[Target]] = {}
            for row in self.rows:
                by_model.setdefault(row.model, []).append(row)
            self._index.update({name: tuple(rows) for name, rows in by_model.items()})
        return self._index.get(model, ())

    def find(self, model: str, provider: str) -> Target | None:
        """One row, or None."""
        return next((row for row in self.of(model) if row.provider == provider), None)

    def nearest(self, model: str, most: int = 3) -> list[str]:
        """Ids of models that look like `model`, nearest first."""
        self.of(model)
        by_lower = {name.lower(): name for name in self._index}
        names = get_close_matches(model.lower(), by_lower, most, 0.6)
        tail = model.lower().rpartition("/")[2]
        names += [name for name in by_lower if tail and tail in name and name not in names]
        return [by_lower[name] for name in names[:most]]


class Catalogue:
    """Fetches, keeps and refreshes the listing of one router. Nothing is fetched before it is asked for.

    Fresh for 5 minutes; then used and refreshed in the background; used up to 24 h old while the router is away.

    Args:
        base_url: The router's.
        clock: Both clocks.
        headers: Makes the headers of a request.
        overrides: The user's prices, which take the place of those that are read.
    """

    def __init__(
        self, base_url: str, clock: Clock, headers: Callable[[], Mapping[str, str]], overrides: Overrides
    ) -> None:
        self._url = f"{base_url}/models"
        self._clock, self._headers, self._overrides = clock, headers, overrides
        self._listing: Listing | None = None
        self._failed_at = float("-inf")
        self._failure = ""
        self._looked_on_disk = False
        # One fetch at a time in each process: setdefault decides, so no lock is held across a fork.
        self._fetches: dict[int, Future[None]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_fetches": {}, "_failed_at": float("-inf")}

    async def listing(self, patience: float = _FETCH) -> tuple[Listing | None, str]:
        """The listing, and why there is none or why it is old.

        Args:
            patience: Seconds to wait for a fetch, where there is nothing to go on with.

        Returns:
            A listing of at most 24 h, or None; and an empty string, or the reason of the last failure.
        """
        self._look_on_disk()
        age = self._age()
        if age <= FRESH:
            return self._listing, ""
        if self._clock.monotonic() - self._failed_at >= _AFTER_FAILURE:
            fetch = self._refresh()
            if age > STALE:
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience):
                        # Shielded: a caller who is cancelled must not take the fetch from the others who wait.
                        await asyncio.shield(asyncio.wrap_future(fetch))
                age = self._age()
        return (self._listing if age <= STALE else None), self._failure

    def _age(self) -> float:
        """Seconds; infinite without a listing, and for one from the future, which no clock vouches for."""
        if self._listing is None:
            return float("inf")
        age = self._clock.wall() - self._listing.at
        return age if age >= -FRESH else float("inf")

    def _refresh(self) -> Future[None]:
        mine: Future[None] = Future()
        won = self._fetches.setdefault(os.getpid(), mine)
        if won is mine:
            try:
                bridge.submit(lambda: self._fetch(mine))
            except RuntimeError:  # the interpreter is ending and starts no more threads
                self._fetches.pop(os.getpid(), None)
                mine.set_result(None)
        return won

    async def _fetch(self, fetch: Future[None]) -> None:
        try:
            async with asyncio.timeout(_FETCH):
                body = await self._get()
            digest = hashlib.sha256(body).hexdigest()[:_DIGITS]
            listing = self._read(json.loads(body, parse_float=Decimal), self._clock.wall(), digest)
            if not listing.rows:
                raise ValueError("it lists no model")
            self._listing, self._failure = listing, ""
            self._keep_on_disk(body, listing)
        except Exception as error:  # noqa: BLE001 (whatever came, the catalogue is not to be had; calls go on without)
            self._failed_at = self._clock.monotonic()
            self._failure = f"the catalogue is not to be had: {_words(error)}"
        finally:
            self._fetches.pop(os.getpid(), None)
            if not fetch.done():
                fetch.set_result(None)

    def _read(self, document: object, at: float, digest: str | None) -> Listing:
        return Listing(self._overrides.applied(read_rows(document)), at, digest)

    async def _get(self) -> bytes:
        reply = await send("GET", self._url, self._headers(), None, 5.0)
        try:
            if reply.status != 200:
                raise ValueError(f"status {reply.status}")
            body = bytearray()
            async for piece in reply.pieces():
                body += piece
                if len(body) > _MAX_BYTES:
                    raise ValueError("it is larger than 32 MB")
            return bytes(body)
        finally:
            await reply.aclose()

    @property
    def _path(self) -> Path:
        return cache_directory() / f"models-{hashlib.sha256(self._url.encode()).hexdigest()[:16]}.json"

    def _look_on_disk(self) -> None:
        if self._looked_on_disk:
            return
        self._looked_on_disk = True
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            kept = json.loads(self._path.read_bytes(), parse_float=Decimal)
            digest = kept.get("digest")
            listing = self._read(kept["body"], float(kept["at"]), digest if isinstance(digest, str) else None)
            if listing.rows:
                self._listing = listing

    def _keep_on_disk(self, body: bytes, listing: Listing) -> None:
        """Replace the file in one step, so that no reader ever sees half of it."""
        path = self._path
        half = path.with_suffix(f".{os.getpid()}.part")
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            head = f'{{"at":{listing.at!r},"digest":"{listing.digest}","body":'
            half.write_bytes(head.encode() + body + b"}")
            half.replace(path)


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_FETCH:g} s"
    if isinstance(error, WireFailure):
        return error.kind
    return str(error) if type(error) is ValueError else type(error).__name__

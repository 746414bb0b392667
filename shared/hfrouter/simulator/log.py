"""What the simulator was asked and what it charged: the one record that every report is read from."""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what became of it.

    Attributes:
        number: Position in the log, from 1.
        received: `time.monotonic()` when the request had arrived.
        method: HTTP method.
        path: Path without the query.
        query: Raw query string, without the question mark.
        headers: Request headers, lower-cased; the credential is replaced by `Bearer ***`.
        body: The parsed JSON body, or None.
        raw: The bytes of the body.
        model: The Hub model id that was asked for, without suffix.
        provider: Who was chosen to serve it.
        fault: Name of the scripted fault that was applied.
        status: HTTP status sent; None while nothing was sent, or when nothing ever was.
        streamed: Whether the request asked for a stream.
        usage: The true token counts, also when the client was not told them.
        cost: The exact price of `usage` in USD; None when it is unknown or nothing is charged.
        finished: The whole answer was written.
        closed_by_client: The client disconnected before the end.
        closed_at: `time.monotonic()` when that was noticed.
        at: Unix time of the arrival.
    """

    number: int
    received: float
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Any = field(repr=False)
    raw: bytes = field(repr=False)
    model: str | None = None
    provider: str | None = None
    fault: str | None = None
    status: int | None = None
    streamed: bool = False
    usage: Mapping[str, int] | None = None
    cost: Decimal | None = None
    finished: bool = False
    closed_by_client: bool = False
    closed_at: float | None = None
    at: float = 0.0

    @property
    def billed(self) -> bool:
        """Whether this exchange is on the bill: a 2xx answer of a provider that read a prompt."""
        return self.usage is not None and self.status is not None and 200 <= self.status < 300

    def to_json(self) -> dict[str, Any]:
        """Return the exchange as JSON values; `raw` is left out, `cost` is a string."""
        names = [name for name in self.__slots__ if name != "raw"]
        values = {name: getattr(self, name) for name in names}
        return values | {"cost": None if self.cost is None else str(self.cost)}


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens of one catalogue row, exactly as its JSON spells it."""

    input: Decimal
    output: Decimal

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Price | None":
        """Return the price of a catalogue row: zero when `is_free`, None when it names none."""
        if row.get("is_free"):
            return cls(Decimal(0), Decimal(0))
        pricing = row.get("pricing")
        if not pricing:
            return None
        return cls(Decimal(repr(pricing["input"])), Decimal(repr(pricing["output"])))

    def cost(self, usage: Mapping[str, int]) -> Decimal:
        """Return the exact cost in USD; cached tokens are charged in full, as no row names a cache price."""
        return (self.input * usage["prompt_tokens"] + self.output * usage["completion_tokens"]) / _MILLION


@dataclass(frozen=True, slots=True)
class BillLine:
    """One charge. `cost` is in USD, None when the row that served it has no price."""

    number: int
    provider: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class Bill:
    """All charges, in order. Iterable and indexable."""

    lines: tuple[BillLine, ...]

    @property
    def total(self) -> Decimal:
        """Sum of the known costs in USD."""
        return sum((line.cost for line in self.lines if line.cost is not None), Decimal(0))

    @property
    def unknown(self) -> int:
        """How many lines have no known cost."""
        return sum(line.cost is None for line in self.lines)

    def __iter__(self) -> Iterator[BillLine]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> BillLine:
        return self.lines[index]

    def to_json(self) -> dict[str, Any]:
        """Return the bill as JSON values; money is written as strings."""
        lines = [
            {name: getattr(line, name) for name in line.__slots__}
            | {"cost": None if line.cost is None else str(line.cost)}
            for line in self.lines
        ]
        return {"lines": lines, "total": str(self.total), "unknown": self.unknown}


class Log:
    """The thread-safe list of exchanges. The bill is read from it, never kept beside it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._exchanges: dict[int, Exchange] = {}
        self._next = 1

    def open(self, *, method: str, path: str, query: str, headers: dict[str, str], raw: bytes, body: Any) -> int:
        """Record an arrived request and return its number."""
        if "authorization" in headers:
            headers = headers | {"authorization": "Bearer ***"}
        with self._lock:
            number = self._next
            self._next += 1
            self._exchanges[number] = Exchange(
                number, time.monotonic(), method, path, query, headers, body, raw, at=time.time()
            )
        return number

    def update(self, number: int, **changes: Any) -> None:
        """Change fields of one exchange; one that was cleared in the meantime stays gone."""
        with self._lock:
            if (exchange := self._exchanges.get(number)) is not None:
                self._exchanges[number] = replace(exchange, **changes)

    def snapshot(self) -> list[Exchange]:
        """Return the exchanges so far, in order of arrival."""
        with self._lock:
            return list(self._exchanges.values())

    def clear(self) -> None:
        """Forget everything and count from 1 again."""
        with self._lock:
            self._exchanges.clear()
            self._next = 1

    def bill(self) -> Bill:
        """Return what the answered requests cost."""
        return Bill(
            tuple(
                BillLine(
                    number=e.number,
                    provider=e.provider or "",
                    model=e.model or "",
                    prompt_tokens=e.usage["prompt_tokens"],
                    completion_tokens=e.usage["completion_tokens"],
                    cost=e.cost,
                )
                for e in self.snapshot()
                if e.billed and e.usage is not None
            )
        )

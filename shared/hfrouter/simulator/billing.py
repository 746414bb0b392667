"""The Hub's billing endpoints, as Hugging Face's own applications read them; computed from the simulator's bill."""

import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from starlette.requests import Request

from hfrouter.simulator import refusal
from hfrouter.simulator.account import INCLUDED, PLACEHOLDER, Charge
from hfrouter.simulator.offers import failing
from hfrouter.simulator.refusal import Refusal, RefusedError
from hfrouter.simulator.reply import FINE_GRAINED_TOKEN, Arrival, Reply, authorize
from hfrouter.simulator.script import HUB
from hfrouter.simulator.state import State

_NANO, _CENTS = Decimal(1_000_000_000), Decimal(100)
_A_MONTH_AND_MORE = 31 * 86_400  # seconds; from the first of a month always a day in the next
_LATEST = 100_000_000_000  # seconds; numbers above are milliseconds, which the real endpoint answers with 500


class Billing:
    """The endpoints below `/api/settings/billing/` and `/api/organizations/{org}/billing/`."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def usage(self, request: Request) -> Reply:
        """`GET usage-v2?startDate=<epoch seconds>&endDate=<epoch seconds>`."""
        return await self._answered(request, self._usage)

    async def sessions(self, request: Request) -> Reply:
        """`GET usage-by-inference-session?startDate=<ISO 8601>&endDate=<ISO 8601>`, of the user or an organisation."""
        return await self._answered(request, self._sessions)

    async def _answered(self, request: Request, read: Callable[[Request], Any]) -> Reply:
        arrival = await Arrival.read(request, self._state)
        if (reply := failing(arrival, self._state, HUB)) is not None:
            return reply
        try:
            token = authorize(request)
            if token == FINE_GRAINED_TOKEN:
                raise RefusedError(refusal.forbidden("read the billing information of"))
            return arrival.json(read(request), hub=True)
        except RefusedError as error:
            return arrival.refuse(error.refusal)

    def _usage(self, request: Request) -> Any:
        start, end = (_seconds(request.query_params.get(name)) for name in ("startDate", "endDate"))
        account = self._state.account
        charges = self._charges(None, start, end)
        used = sum((_booked(charge) for charge in charges), Decimal(0))
        limit, included = account.spending_limit, account.credits
        period = _month(time.time())
        return {
            "usage": {
                "inferenceProviders": {
                    "usedNanoUsd": _nano(used),
                    "includedNanoUsd": _nano(INCLUDED if included is None else included),
                    "limitNanoUsd": None if limit is None else _nano(limit),
                    "numRequests": len(charges),
                    "periodStart": _iso(period),
                    "periodEnd": _iso(_month(period.timestamp() + _A_MONTH_AND_MORE)),
                },
                "jobs": {"usedMicroUsd": 0, "totalMinutes": 0},
            }
        }

    def _sessions(self, request: Request) -> Any:
        start, end = (_moment(request.query_params.get(name)) for name in ("startDate", "endDate"))
        found: dict[str, dict[str, list[Charge]]] = defaultdict(lambda: defaultdict(list))
        for charge in self._charges(request.path_params.get("org"), start, end):
            if charge.session is not None and charge.settled:
                found[_iso(_month(charge.at))][charge.session].append(charge)
        periods = [
            {"period": period, "sessions": [_session(name, charges) for name, charges in sessions.items()]}
            for period, sessions in found.items()
        ]
        return {"currency": "USD", "periods": periods}

    def _charges(self, organization: str | None, start: float | None, end: float | None) -> list[Charge]:
        """Return the charges of the user or an organisation between two times."""
        return [
            charge
            for charge in self._state.account.charges(self._state.log.snapshot())
            if charge.organization == organization
            and (start is None or charge.at >= start)
            and (end is None or charge.at <= end)
        ]


def _booked(charge: Charge) -> Decimal:
    return (charge.cost or Decimal(0)) if charge.settled else PLACEHOLDER


def _session(name: str, charges: list[Charge]) -> dict[str, Any]:
    cost = sum((charge.cost for charge in charges if charge.cost is not None), Decimal(0))
    return {"id": name, "requestCount": len(charges), "costCents": float(cost * _CENTS)}


def _nano(amount: Decimal) -> int:
    return int((amount * _NANO).to_integral_value())


def _month(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _seconds(value: str | None) -> float | None:
    if value is None:
        return None
    if not value.isdigit():
        raise RefusedError(Refusal(400, {"error": "Invalid date"}))
    if int(value) >= _LATEST:
        raise RefusedError(Refusal(500, {"error": "Internal Server Error"}))
    return float(value)


def _moment(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise RefusedError(Refusal(400, {"error": "Invalid date"})) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

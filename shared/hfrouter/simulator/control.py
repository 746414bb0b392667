"""The control endpoint: what `Simulator.fail()` and its like do, for other processes. Not recorded in the log."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from hfrouter.simulator.fault import Fault
from hfrouter.simulator.refusal import compact
from hfrouter.simulator.state import State


class Control:
    """The endpoints below `/__simulator__/`."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def fail(self, request: Request) -> Response:
        """Queue a fault: `{"provider", "fault": {"name", ...}, "model", "times", "probability", "seconds"}`."""
        try:
            order = json.loads(await request.body())
            self._state.fail(
                order["provider"],
                Fault.from_json(order["fault"]),
                model=order.get("model"),
                times=order.get("times", 1),
                probability=order.get("probability", 1.0),
                seconds=order.get("seconds"),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return _json({"error": str(error)}, 400)
        return _json({"ok": True})

    async def heal(self, request: Request) -> Response:
        """Drop scripted faults: all, or those of `{"provider"}`."""
        try:
            order = json.loads(await request.body() or b"{}")
            self._state.scripts.drop(order.get("provider"))
        except (ValueError, AttributeError) as error:
            return _json({"error": str(error)}, 400)
        return _json({"ok": True})

    async def reset(self, _: Request) -> Response:
        """Drop faults, log, bill and prompt caches."""
        self._state.reset()
        return _json({"ok": True})

    async def exchanges(self, _: Request) -> Response:
        """Return the log."""
        return _json([exchange.to_json() for exchange in self._state.log.snapshot()])

    async def bill(self, _: Request) -> Response:
        """Return the bill."""
        return _json(self._state.log.bill().to_json())


def _json(value: Any, status: int = 200) -> Response:
    return Response(compact(value), status, media_type="application/json")

"""Writes an embedding answer to the client, healthy or with a scripted fault."""

import math
from collections.abc import Callable
from typing import Any

from hfrouter.simulator.connection import Connection
from hfrouter.simulator.fault import Fault
from hfrouter.simulator.refusal import compact

_CUTS = ("cut_before_content", "cut_after", "stall_after")
_SHARE_OF_A_CUT = 3  # a body that is cut ends after this part of it


async def deliver(
    connection: Connection,
    body: Any,
    headers: dict[str, str],
    fault: Fault | None,
    latency: float,
    note: Callable[..., None],
    bill: Callable[[], None],
) -> None:
    """Write one JSON body.

    Args:
        connection: Where to.
        body: Its value.
        headers: The response headers but the content type and length.
        fault: What goes wrong on the way; None for nothing.
        latency: Seconds before the answer.
        note: Called with changes for the log.
        bill: Called when the answer is charged.
    """
    name, options = (fault.name, fault.options) if fault is not None else ("", {})
    if name == "slow_headers":
        await connection.wait(float(options["seconds"]))
    headers = {**headers, "content-type": "application/json"}
    if name == "keep_alive_comments":
        note(status=200)
        await connection.start(200, headers)
        return await _spaces(connection, float(options["seconds"]), float(options["every"]))
    await connection.wait(latency + (float(options["seconds"]) if name == "slow_first_token" else 0.0))
    encoded = _encoded(body, name, options)
    if name != "error_event":
        bill()
    note(status=200)
    await connection.start(200, {**headers, "content-length": str(len(encoded))})
    if name in _CUTS:
        cut = 0 if name == "cut_before_content" else len(encoded) // _SHARE_OF_A_CUT
        await connection.write(encoded[:cut])
        if name == "stall_after":
            await connection.wait(float(options["seconds"]))
        if not options.get("resume"):
            return await connection.drop()
        encoded = encoded[cut:]
    note(finished=True)
    return await connection.end(encoded)


def _encoded(body: Any, fault: str, options: Any) -> bytes:
    if fault == "error_event":
        return compact({"error": options["message"]})
    if fault == "no_usage" and isinstance(body, dict):
        body = {key: value for key, value in body.items() if key != "usage"}
    if fault == "not_finite" and options["written"] == "null":
        body = _nulls(body)
    encoded = compact(body)
    return encoded[: len(encoded) // 2] if fault == "malformed_event" else encoded


def _nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _nulls(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_nulls(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


async def _spaces(connection: Connection, seconds: float, every: float) -> None:
    while seconds > 0:
        await connection.write(b" ")
        await connection.wait(min(seconds, every))
        seconds -= every
    await connection.drop()

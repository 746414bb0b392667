"""Where a secret could come out: every form in which a value, an error or a call shows itself."""

from __future__ import annotations

import copy
import dataclasses
import logging
import os
import pickle
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from tests.redaction.canaries import CONTENT, PAYER, Sightings

try:
    import cloudpickle
except ModuleNotFoundError:  # nothing of ours needs it: who has it, ships objects with it
    cloudpickle = pickle

OURS = ("hfrouter", "langchain_hfrouter", "llamaindex_hfrouter")
# Attributes that are there to hold the answer.
_ANSWERS = frozenset({"body", "message", "text", "reasoning", "tool_calls", "partial"})


def _public(value: object) -> Iterator[str]:
    """Every public attribute as a debugger shows it, without those that are the answer."""
    for name in dir(value):
        if name.startswith("_") or name in _ANSWERS:
            continue
        try:
            found = getattr(value, name)
        except Exception as error:
            found = error
        if not callable(found):
            yield f"{name}={found!r}"


def _fields(value: Any) -> Iterator[str]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield repr([(f.name, getattr(value, f.name)) for f in dataclasses.fields(value) if f.name not in _ANSWERS])
    elif hasattr(value, "model_dump") and hasattr(value, "model_dump_json"):
        yield from (repr(value.model_dump()), value.model_dump_json())


def _told(value: Any) -> Iterator[str]:
    if callable(explain := getattr(value, "explain", None)) and not hasattr(value, "chat"):
        yield explain()  # a router explains calls, everything else itself
    if (journal := getattr(value, "journal", None)) is not None:
        yield repr([(event.kind, event.text) for event in journal.events])


VALUE_SINKS: dict[str, Callable[[Any], Iterator[str] | tuple[str, ...]]] = {
    "repr": lambda value: (repr(value), ascii([value]), f"{value!r:.9999}"),
    "str": lambda value: (str(value),),
    "format": lambda value: (f"{value}", "%s %r" % (value, value), "{0} {0!r}".format(value)),  # noqa: UP031, UP032
    "public attributes": _public,
    "fields and model_dump": _fields,
    "explain() and the journal": _told,
}
PICKLE_SINKS: dict[str, Callable[[Any], bytes | str]] = {
    "pickle": pickle.dumps,
    "cloudpickle": cloudpickle.dumps,
    "repr of a deep copy": lambda value: repr(copy.deepcopy(value)),
    "repr of what was pickled": lambda value: repr(pickle.loads(pickle.dumps(value))),
}


def look_at_value(seen: Sightings, where: str, value: object, allowed: Collection[str] = ()) -> None:
    """Look at everything a value shows of itself; what holds an answer on purpose may have it in its pickle."""
    where = f"{where}: {type(value).__name__}"
    for sink, forms in VALUE_SINKS.items():
        seen.look(sink, where, forms(value), allowed)
    kept = CONTENT if any(hasattr(type(value), name) for name in ("body", "message")) else frozenset()
    if type(value).__name__ in ("Router", "Stream", "AsyncStream"):
        kept = PAYER  # of a router its pickle is its settings, and who pays is one of them
    for sink, form in PICKLE_SINKS.items():
        try:
            made = form(value)
        except (TypeError, AttributeError, pickle.PicklingError):  # what is tied to a socket cannot be copied
            continue
        seen.look(sink, where, [made], {*allowed, *kept})


def look_at_error(
    seen: Sightings,
    where: str,
    error: BaseException,
    allowed: Collection[str] = (),
    *,
    frames: bool = True,
    pickled: bool = True,
) -> None:
    """Look at an error, at what caused it and was being handled, and at the frames it came through."""
    where = f"{where}: {type(error).__name__}"
    for each in chain(error):
        for sink, forms in VALUE_SINKS.items():
            seen.look(sink, f"{where} < {type(each).__name__}", forms(each), allowed)
        seen.look("args and notes of errors", where, [repr(each.args), repr(getattr(each, "__notes__", ()))], allowed)
        seen.look("__dict__ of errors", where, [repr(_without_answers(vars(each)))], allowed)
        request = getattr(each, "request", None) or getattr(each, "response", None)
        seen.look("request and response of errors", where, [repr(getattr(request, "headers", None))], allowed)
        for frame in _frames(each.__traceback__) if frames else ():
            shown = [f"{name}={_repr(value)}" for name, value in list(frame.f_locals.items())]
            # The words of a request are arguments of the functions it is handed through, from the caller's own on.
            place = f"{where} in {frame.f_code.co_qualname}"
            seen.look("locals of our frames", place, shown, {*allowed, *CONTENT})
    seen.look("printed traceback", where, traceback.format_exception(error), allowed)
    for sink, form in PICKLE_SINKS.items() if pickled else ():
        seen.look(sink, where, [form(error)], allowed)


def _without_answers(of: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in of.items() if name not in _ANSWERS}


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        return repr(error)


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, its causes and contexts, those that are not printed included."""
    left, known = [error], set()
    while left:
        each = left.pop()
        if id(each) in known:
            continue
        known.add(id(each))
        yield each
        left += [e for e in (each.__cause__, each.__context__, *getattr(each, "exceptions", ())) if e is not None]


def _frames(trace: TracebackType | None) -> Iterator[FrameType]:
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0] in OURS:
            yield trace.tb_frame
        trace = trace.tb_next


class Lines(logging.Handler):
    """Keeps what every logger says, with the tracebacks and arguments of its records."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.loggers: set[str] = set()
        self.lines: list[str] = []
        self.extras: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.loggers.add(record.name.partition(".")[0])
        self.lines.append(f"{record.name} {record.getMessage()}")
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self.extras.append(f"{record.args!r} {trace}")


@contextmanager
def logged() -> Iterator[Lines]:
    """Everything at DEBUG, of all loggers."""
    root, handler = logging.getLogger(), Lines()
    loggers = [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    before = [(each, each.level, each.disabled) for each in loggers]
    for each in loggers:
        each.setLevel(logging.DEBUG)
        each.disabled = False
    handlers, root.handlers = root.handlers, [handler]  # pytest's own take as long as the calls
    try:
        yield handler
    finally:
        root.handlers = handlers
        for each, level, disabled in before:
            each.setLevel(level)
            each.disabled = disabled


@contextmanager
def printed(into: Path) -> Iterator[None]:
    """What goes to the terminal, whoever writes it."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with into.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for of, old in zip((1, 2), kept, strict=True):
                os.dup2(old, of)
                os.close(old)


@contextmanager
def warned() -> Iterator[list[warnings.WarningMessage]]:
    """Every warning."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield found

"""Tags: whom a call is attributed to. The context carries them; a call freezes them when it begins.

There is one stack of scopes in the context, and no token: a scope takes itself off wherever it is left, so leaving it
in another task or thread than it was entered in changes nothing there and raises nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Generic, TypeVar

from hfrouter.cost.spent import Spent
from hfrouter.errors import ConfigurationError

T = TypeVar("T")
Tags = tuple[tuple[str, str], ...]
"""Names and values in the order of the names: equal tags are equal tuples, in events and in rows."""

MOST = 16
_LONGEST = 256
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


def tags(given: Mapping[str, str] | None = None, /, **named: str) -> AbstractContextManager[None]:
    """Attribute every call made inside: `with hfrouter.tags(user="ann", feature="search"):`.

    They reach tasks, `asyncio.to_thread` and the executors of LangChain and LlamaIndex, which copy the context; a bare
    `threading.Thread` starts without. Inside other tags, names that are said again win. A generator runs while it is
    read: keep the `with` around the loop.

    Args:
        given: Tags whose names are no Python names.
        **named: Tags by name: a letter or `_`, then at most 63 letters, digits, `_`, `.` and `-`. Values are 1 to 256
            printable characters.

    Raises:
        ConfigurationError: for another name or value, or more than 16 tags; the calls inside raise it as well when
            they have more than 16 together.

    >>> with tags(user="ann"), tags({"feature.name": "search"}):
    ...     frozen()
    (('feature.name', 'search'), ('user', 'ann'))
    """
    return Scope(None, checked(given, named))


def checked(*given: object) -> dict[str, str]:
    """Tags from several mappings, the last of which wins.

    Raises:
        ConfigurationError: for anything that is no tag. No value is shown: it may be what should not have been said.

    >>> checked({"user": "ann"}, None, {"user": "bob"})
    {'user': 'bob'}
    """
    found: dict[str, str] = {}
    for mapping in given:
        if mapping is None:
            continue
        if not isinstance(mapping, Mapping):
            raise ConfigurationError(f"tags are a {type(mapping).__name__}; give a mapping of names to texts.")
        found.update(_checked(name, value) for name, value in mapping.items())
    return _few(found)


def frozen(*given: object) -> Tags:
    """The tags of a call that begins now: those of the context, then those given, the last of which wins.

    Raises:
        ConfigurationError: for anything that is no tag, or more than 16 together.
    """
    found: dict[str, str] = {}
    for scope in _scopes.get():
        found.update(scope.tags)
    for mapping in given:
        if mapping is not None:
            found.update(checked(mapping))
    return tuple(sorted(_few(found).items())) if found else ()


def totals(owner: object) -> tuple[Spent, ...]:
    """The running totals around a call that begins now, of one owner, each once."""
    scopes = _scopes.get()
    if not scopes:
        return ()
    return tuple({id(s.gives): s.gives for s in scopes if s.owner is owner and isinstance(s.gives, Spent)}.values())


class Scope(AbstractContextManager[T], Generic[T]):
    """Tags, and perhaps running totals, for the calls made inside.

    Args:
        gives: What `with` gives.
        tags: Checked.
        owner: Whose calls the totals are of.
    """

    def __init__(self, gives: T, tags: Mapping[str, str], owner: object = None) -> None:
        self.gives, self.tags, self.owner = gives, tags, owner

    def __enter__(self) -> T:
        _scopes.set((*_scopes.get(), self))
        return self.gives

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        scopes = _scopes.get()
        place = next((place for place in reversed(range(len(scopes))) if scopes[place] is self), None)
        if place is not None:
            _scopes.set(scopes[:place] + scopes[place + 1 :])


_scopes: ContextVar[tuple[Scope[Any], ...]] = ContextVar("hfrouter_scopes", default=())


def _checked(name: object, value: object) -> tuple[str, str]:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(
            "a tag's name is a letter or '_', then at most 63 letters, digits, '_', '.' and '-'; rename it."
        )
    if not isinstance(value, str):
        raise ConfigurationError(f"the tag {name} is a {type(value).__name__}; give a text.")
    if not 0 < len(value) <= _LONGEST or not value.isprintable():
        raise ConfigurationError(
            f"the tag {name} must be 1 to {_LONGEST} printable characters, without line breaks or control characters."
        )
    return str.__str__(name), str.__str__(value)  # plain texts, whatever subclass they came in


def _few(found: dict[str, str]) -> dict[str, str]:
    if len(found) > MOST:
        raise ConfigurationError(f"{len(found)} tags are too many; a call has at most {MOST}.")
    return found

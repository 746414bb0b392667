"""One fault server for the session; each run has a base URL of its own on it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.faults.server import FaultServer, serving


class _Lines(logging.Handler):
    """Keeps every record as a line, with what was added to it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} {record.getMessage()} {record.exc_info} {record.args}")


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What all loggers say at DEBUG, in place of pytest's own handlers, which take as long as the calls."""
    handler, root = _Lines(), logging.getLogger()
    monkeypatch.setattr(root, "handlers", [handler])
    monkeypatch.setattr(root, "level", logging.DEBUG)
    root.manager._clear_cache()  # type: ignore[attr-defined]  # levels are remembered
    return handler.lines


@pytest.fixture(scope="session")
def faults() -> Iterator[FaultServer]:
    with serving() as made:
        yield made

"""One raw server for the module; each path has a base URL of its own on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.server import FaultServer, serving


@pytest.fixture(scope="session")
def faults() -> Iterator[FaultServer]:
    with serving() as made:
        yield made

"""One raw server for all recordings; each replay has a place of its own on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.wire.replay import Server, serving


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with serving() as made:
        yield made

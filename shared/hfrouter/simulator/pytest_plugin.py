"""A simulator as a pytest fixture, for tests of your own code.

    # conftest.py
    pytest_plugins = ["hfrouter.simulator.pytest_plugin"]

    # test_chain.py
    def test_it(hf_simulator):
        client = openai.OpenAI(base_url=hf_simulator.base_url, api_key=hf_simulator.token)

Importing this module starts nothing; the first test that asks for the fixture does. Or use it without a conftest:
`pytest -p hfrouter.simulator.pytest_plugin`. To set options, define `hf_simulator_server` yourself.
"""

from collections.abc import Iterator

import pytest

from hfrouter.simulator.server import Simulator


@pytest.fixture(scope="session")
def hf_simulator_server() -> Iterator[Simulator]:
    """One simulator on a free port for the whole session."""
    with Simulator(seed=0) as simulator:
        yield simulator


@pytest.fixture
def hf_simulator(hf_simulator_server: Simulator) -> Iterator[Simulator]:
    """The session's simulator, as new for each test: healthy, with an empty log and the first catalogue."""
    hf_simulator_server.reset()
    yield hf_simulator_server
    hf_simulator_server.reset()

"""The examples in the docstrings and on the page about the simulator are true."""

import doctest
import importlib
import re
import threading
from pathlib import Path

import pytest

from hfrouter.simulator import fault, server

PAGE = Path(__file__).resolve().parents[2] / "docs" / "simulator.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
TESTS = [number for number, block in enumerate(BLOCKS) if "def test_" in block]
QUIET = ("-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:hypothesispytest")
pytest_plugins = ["pytester"]


@pytest.mark.parametrize("module", [fault, server])
def test_the_examples_run(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("number", [number for number in range(len(BLOCKS)) if number not in TESTS])
def test_a_block_of_the_page_runs(number):
    exec(compile(BLOCKS[number], f"docs/simulator.md, block {number}", "exec"), {"__name__": "page"})


def test_the_tests_of_the_page_pass_in_a_project_of_their_own(pytester):
    pytester.makeconftest(BLOCKS[0])
    pytester.makepyfile(**{f"test_{number}": BLOCKS[number] for number in TESTS})
    pytester.runpytest_subprocess(*QUIET).assert_outcomes(passed=len(TESTS))


def test_the_plugin_also_works_without_a_conftest_and_each_test_finds_it_as_new(pytester):
    pytester.makepyfile(
        """
        import urllib.request
        import pytest

        @pytest.mark.parametrize("number", [1, 2])
        def test_it(hf_simulator, number):
            assert hf_simulator.exchanges == [] and len(hf_simulator.models) > 3
            urllib.request.urlopen(hf_simulator.base_url + "/models").close()
            hf_simulator.replace_models(hf_simulator.models[:1])
        """
    )
    pytester.runpytest_subprocess(*QUIET, "-p", "hfrouter.simulator.pytest_plugin").assert_outcomes(passed=2)


def test_importing_the_plugin_starts_nothing():
    before = threading.active_count()
    importlib.import_module("hfrouter.simulator.pytest_plugin")
    assert threading.active_count() == before


def test_the_page_names_every_fault_and_every_embedding_model():
    from hfrouter.simulator.embedding.models import DEFAULT_MODELS
    from hfrouter.simulator.fault import NAMES

    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in NAMES if f"`{name}`" not in page] == []
    for model in DEFAULT_MODELS:
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{model.id}`")]
        assert str(model.dimensions) in line
        assert ", ".join(model.providers) in line

"""The examples in the docstrings are true."""

import doctest

import pytest

from hfrouter.simulator import fault, server


@pytest.mark.parametrize("module", [fault, server])
def test_the_examples_run(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0

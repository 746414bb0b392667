"""S01-S16 on four surfaces: sixteen passes on whole answers; on raw streams thirteen, and three honest breaks.

The scenarios' seconds are run at a twentieth, our own timers with them; `make scenarios` runs them as they are.
"""

from __future__ import annotations

import pytest

from tests.scenarios.__main__ import summary
from tests.scenarios.judging import expected, run, run_all
from tests.scenarios.rows import HALF_AN_OBJECT
from tests.scenarios.surfaces import SURFACES, Surface

PACE = 1 / 20


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name.replace(" ", "."))
def test_every_scenario_ends_as_owed(surface: Surface) -> None:
    results = run_all(surface, PACE)
    print("", *results, summary(surface, results), sep="\n")
    assert [result.id for result in results] == [f"S{number:02d}" for number in range(1, 17)]
    assert [str(result) for result in results if result.verdict != expected(result.id, surface)] == []
    assert sum(result.verdict == "safe" for result in results) == (3 if surface.raw else 0)


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name.replace(" ", "."))
def test_half_an_object_is_no_noise_to_be_skipped(surface: Surface) -> None:
    result = run(HALF_AN_OBJECT, surface, PACE)
    assert result.verdict == ("safe" if surface.raw else "pass"), result

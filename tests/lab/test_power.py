"""How soon a planted shift is found by methods that cry wolf equally often."""

import pytest

from tests.lab.null_study import METHODS, Power

SMALL, LARGE = 1.5, 3.0


@pytest.fixture(scope="module")
def power() -> Power:
    """Five companies to tune on; 5% of cases are bad."""
    return Power(0.05, 5, least=60)


@pytest.mark.slow
def test_ewma_and_cusum_find_small_shifts_sooner(power: Power) -> None:
    small = {method: power.found(method, SMALL) for method in METHODS}
    for patient in ("EWMA", "CUSUM"):
        for hasty in ("plain threshold", "three-sigma chart", "threshold", "p-chart", "g-chart"):
            assert small[patient].delay < small[hasty].delay, (patient, hasty, small)
            assert small[patient].share > small[hasty].share, (patient, hasty, small)


@pytest.mark.slow
@pytest.mark.parametrize("method", [m for m in METHODS if not m.startswith(("plain", "change", "gap"))])
def test_large_shifts_are_found_within_weeks(power: Power, method: str) -> None:
    found = power.found(method, LARGE)
    assert found.share > 0.9
    assert found.delay <= 4


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_larger_shifts_are_found_more_often(power: Power, method: str) -> None:
    assert power.found(method, LARGE).share >= power.found(method, SMALL).share
    assert power.found(method, SMALL).delay >= power.found(method, LARGE).delay

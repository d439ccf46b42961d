"""What is drawn where nothing changed, and that no kind of rule cries wolf there more often than it declares."""

from datetime import date, timedelta

import numpy as np
import pytest

from config import EarshotError
from queries.statistics.estimates import Floats, values
from tests.lab.null_study import ALIKE, BASES, DECLARED, KINDS, alpha_of, false_alarms, plain, pooled, subject, world
from tests.metrics.test_statistics import metric
from triggers.lab.simulation import Distribution, Ints, alike, draw, period_counts, together

MONDAY = date(2026, 3, 2)
MANY = 4000


def law(shape: str, level: float, rest: float = 0.0, rho: float = 0.0, block: int = 1) -> Distribution:
    one = np.ones(MANY)
    return Distribution(metric(shape).shape, level * one, rest * one, rho * one, np.full(MANY, block, dtype=np.int64))


def rows(n: int, many: int = 4) -> Ints:
    return np.full((many, MANY), n, dtype=np.int64)


@pytest.mark.parametrize(
    ("shape", "level", "rest", "variance"),
    [
        ("share", 0.1, 0.0, 0.09),
        ("share", 0.0, 0.0, 0.0),  # what never happens is never drawn
        ("balance", 0.3, 0.3, 0.7 - 0.09),  # half promote, a fifth detract
        ("balance", -1.0, 0.5, 0.0),  # no room for the neutral
        ("mean", 3.5, 1.2, 1.44),
    ],
)
@pytest.mark.parametrize("rho", [0.0, 0.05])
def test_draws_have_the_level_and_the_design_effect_asked_for(
    shape: str, level: float, rest: float, variance: float, rho: float
) -> None:
    n, block = 20, 4
    drawn = draw(law(shape, level, rest, rho, block), rows(n), np.random.default_rng(1)).sum(axis=0)
    found = values(metric(shape), drawn)
    size = n * block
    deff = 1 + rho * (size - 1)
    error = np.sqrt(variance * deff / size / MANY)
    assert found.mean() == pytest.approx(level, abs=4 * error + 1e-12)
    assert found.var() == pytest.approx(variance * deff / size, rel=0.1, abs=1e-12)
    assert (drawn[:, 0] == size).all()


def test_a_mean_keeps_the_spread_of_its_rows() -> None:
    drawn = draw(law("mean", 3.5, 1.2), rows(30), np.random.default_rng(2)).sum(axis=0)
    inside = (drawn[:, 4] - drawn[:, 3] ** 2 / drawn[:, 0]) / (drawn[:, 0] - 1)
    assert inside.mean() == pytest.approx(1.44, rel=0.02)


@pytest.mark.parametrize(("shape", "level"), [("share", 0.2), ("balance", 0.2), ("mean", 3.0)])
@pytest.mark.parametrize("shift", [0.1, -0.1])
def test_a_shift_is_added_from_its_period_on(shape: str, level: float, shift: float) -> None:
    since: Floats = np.array([0.0, 0.0, shift, shift])[:, None]
    drawn = draw(law(shape, level, 0.4), rows(50), np.random.default_rng(3), since)
    found = [float(values(metric(shape), period).mean()) for period in drawn]
    assert found == pytest.approx([level, level, level + shift, level + shift], abs=0.01)


def test_what_has_no_law_is_refused() -> None:
    with pytest.raises(EarshotError, match="a count cannot be simulated"):
        draw(law("count", 1.0), rows(1), np.random.default_rng(1))


@pytest.mark.parametrize(
    ("block", "window", "every", "chance"),
    [
        (1, 4, 1, 0.25),
        (4, 4, 4, 1.0),  # windows that do not overlap and begin with their block
        (4, 4, 1, (1 + 2 * (9 + 1) / 16 + 8 / 16) / 4),  # by how far a window lies across two blocks
        (400, 4, 4, 1.0),
    ],
)
def test_how_likely_two_rows_are_of_one_block(block: int, window: int, every: int, chance: float) -> None:
    assert together(block, window, every) == pytest.approx(chance)


def test_rows_can_only_be_so_alike() -> None:
    found = alike(np.array([1.0, 2.0, 50.0]), np.array([100.0, 101.0, 5.0]), 1.0)
    assert found == pytest.approx([0.0, 0.01, 0.9])


def test_periods_are_added_up_over_days() -> None:
    tallies = np.arange(30, dtype=np.float64).reshape(3, 2, 5)
    counts = period_counts(MONDAY, 7, [("a",), ("b",)], tallies)
    weeks = [MONDAY + timedelta(weeks=i) for i in range(4)]
    assert (counts.spans(weeks[:3], weeks[1:]) == tallies).all()
    assert (counts.spans([weeks[0]], [weeks[3]])[0] == tallies.sum(axis=0)).all()
    assert (counts.spans([date.min], [weeks[1]])[0] == tallies[0]).all()


COMPANIES = [(0.05, 0.1)]
"""The middle of base rate and likeness; `--prove` takes every one of both."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "rho" in metafunc.fixturenames and "base" in metafunc.fixturenames:
        whole = [(base, rho) for base in BASES for rho in ALIKE]
        metafunc.parametrize(("base", "rho"), whole if metafunc.config.getoption("--prove") else COMPANIES)


@pytest.mark.slow
def test_incidents_without_a_change_are_at_most_those_declared(base: float, rho: float, prove: bool) -> None:  # noqa: FBT001
    """Within three standard errors."""
    drawn = [world(base, rho, range(i, i + 20)) for i in range(0, 200, 20)] if prove else [world(base, rho, range(5))]
    for kind in KINDS:
        alpha = alpha_of(subject(kind, base), base, rho)
        rate = pooled([(one.seeds, false_alarms(kind, base, one, alpha)) for one in drawn])
        assert rate.found <= DECLARED + 3 * rate.error, (kind, rate)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.endswith("chart")])
def test_plain_comparisons_cry_wolf_all_the_time(kind: str) -> None:
    assert plain(kind, 0.05, world(0.05, 0.0, range(1))).found > 5 * DECLARED

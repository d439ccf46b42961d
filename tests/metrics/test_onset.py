"""When an incident began: the week from which its figure was worse, and how far that may be off."""

import numpy as np
import pytest

from config.models import Metric
from queries.review.onset import WEEKS, change_weeks
from queries.statistics.estimates import Floats
from tests.support.company import METRIC

UP: Metric = METRIC.model_copy(update={"good": "up"})


def shares(rates: Floats, n: int, seed: int) -> Floats:
    """The tallies of weeks of n rows each."""
    weeks = np.zeros((len(rates), 5))
    weeks[:, 0], weeks[:, 1] = n, np.random.default_rng(seed).binomial(n, rates)
    return weeks


def means(level: Floats, n: int, seed: int) -> Floats:
    weeks = np.zeros((len(level), 5))
    for i, week in enumerate(level):
        rows = np.random.default_rng([seed, i]).normal(week, 1.0, n)
        weeks[i] = n, 0, 0, rows.sum(), (rows**2).sum()
    return weeks


def step(at: int, before: float, after: float) -> Floats:
    return np.where(np.arange(WEEKS) < at, before, after)


@pytest.mark.parametrize("at", [6, 30, 48])
def test_the_true_week_lies_within_the_span(at: int) -> None:
    """In 95 of 100 at least, less what chance takes from 100 tries."""
    held = spans = 0
    for seed in range(100):
        found = change_weeks(METRIC, shares(step(at, 0.08, 0.35), 30, seed))
        if found:
            spans += 1
            held += found[0] <= at <= found[1]
    assert spans >= 99
    assert held >= 0.90 * spans


def test_a_span_is_narrower_with_more_rows_and_wider_with_rows_that_resemble_each_other() -> None:
    few, many = (change_weeks(METRIC, shares(step(30, 0.1, 0.3), n, 1)) for n in (12, 400))
    alike = change_weeks(METRIC, shares(step(30, 0.1, 0.3), 400, 1), effect=30.0)
    assert few is not None
    assert alike is not None
    assert many == (30, 30)
    assert few[1] - few[0] > 0
    assert alike[1] - alike[0] > 0


def test_means_and_the_other_direction_have_beginnings_too() -> None:
    mean = METRIC.model_copy(update={"shape": "mean", "good": "up"})
    assert change_weeks(mean, means(step(40, 4.0, 3.0), 50, 1)) == (40, 40)
    assert change_weeks(UP, shares(step(20, 0.9, 0.6), 200, 1)) == (20, 20)


@pytest.mark.parametrize(
    "weeks",
    [
        np.zeros((WEEKS, 5)),  # nothing was measured
        shares(np.full(WEEKS, 0.3), 40, 1),  # it was always so
        shares(step(30, 0.4, 0.1), 100, 1),  # it got better
        shares(step(30, 0.1, 0.9), 5, 1)[29:31],  # too few rows on either side
    ],
)
def test_where_no_week_stands_out_none_is_named(weeks: Floats) -> None:
    assert change_weeks(METRIC, weeks) is None

"""When it began: the change point of an incident's figure before it was found, with its uncertainty."""

from datetime import date, datetime, timedelta
from typing import Final

import numpy as np

from config.models import Catalog, Metric
from queries.metrics import read_cube
from queries.metrics.measure import design_effects
from queries.review.document import Onset
from queries.review.readings import conditions_of, current_rule
from queries.state import slice_values
from queries.statistics.estimates import Floats
from queries.warehouse import Pin, Scope

WEEKS: Final = 52
"""How far before its finding a beginning is looked for."""
FEWEST: Final = 10
"""Rows on either side of a change below which nothing can be said of it."""
IN_DOUBT: Final = 7.35
"""Twice the log-likelihood by which a week may fall short of the likeliest and still be the one, with 95% confidence
(Hinkley 1970; Siegmund 1988): -2 log(1 - sqrt(0.95))."""


def read_onset(
    pin: Pin, catalog: Catalog, name: str, what: tuple[str, date, float | None], scope: Scope, as_of: datetime
) -> Onset | None:
    """When an incident began, None where that cannot be told.

    Args:
        pin: the warehouse.
        catalog: the rules as they are configured.
        name: the rule's.
        what: the incident's slice, its slot, and its value when it was found.
        scope: what may be read.
        as_of: aware UTC.
    """
    slice_, slot, value = what
    rule, metric = current_rule(name, catalog)
    if rule is not None and metric is None and rule.hears_signals and value is not None:
        heard = slot - timedelta(days=round(value))
        return Onset(heard, heard, is_week=False)
    within = conditions_of(metric, slice_) if metric else None
    if rule is None or metric is None or within is None or metric.shape == "quantile":
        return None
    since = slot - timedelta(weeks=WEEKS)
    asked = metric.model_copy(update={"where": (*metric.where, *rule.where, *within)})
    cube = read_cube(pin.conn, (asked,), (), since, slot, scope, as_of)
    weeks = np.zeros((WEEKS, 5))
    np.add.at(weeks, (cube.days - since.toordinal()) // 7, cube.tallies[asked.name])
    vertical = slice_values(slice_).get("vertical", "*")
    found = change_weeks(metric, weeks, design_effects(pin.conn, as_of)[metric.name, vertical])
    if found is None:
        return None
    first, last = (since + timedelta(weeks=week) for week in found)
    return Onset(first, last)


def change_weeks(metric: Metric, weeks: Floats, effect: float = 1.0) -> tuple[int, int] | None:
    """The first and the last week that may have been the first worse one; None where no week stands out.

    The likelihood of a step in the mean of the rows, by where the step lies.

    Args:
        metric: says which way is worse.
        weeks: the tally of each week, shape (weeks, 5).
        effect: the design effect.
    """
    n, plus, minus, total, squares = weeks.T
    score, square = (total, squares) if metric.shape == "mean" else (plus - minus, plus + minus)
    before = np.cumsum([n, score], axis=1)[:, :-1]
    after = np.array([[n.sum()], [score.sum()]]) - before
    steps = np.flatnonzero((before[0] >= FEWEST) & (after[0] >= FEWEST))
    before, after = before[:, steps], after[:, steps]
    worse = (after[1] / after[0] < before[1] / before[0]) == (metric.good == "up")
    explained = before[1] ** 2 / before[0] + after[1] ** 2 / after[0]
    if not worse.any():
        return None
    best = explained[worse].max()
    noise = (square.sum() - best) / max(n.sum() - 2, 1)
    gain = (explained - score.sum() ** 2 / n.sum()) / max(noise * effect, 1e-12)
    likely = worse & (gain >= gain[worse].max() - IN_DOUBT)
    if gain[worse].max() < IN_DOUBT:
        return None
    return int(steps[likely][0]) + 1, int(steps[likely][-1]) + 1

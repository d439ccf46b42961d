"""How a month compares: with its goal, and with the months before."""

from collections.abc import Sequence
from datetime import date
from math import hypot, sqrt
from statistics import NormalDist
from typing import Final, Literal

from config.models import Metric
from queries.metrics.formatting import half_width
from queries.metrics.measure import MetricPoint
from queries.review.document import GoalVerdict, MetricChange, MetricStatus

_NORMAL: Final = NormalDist()
_Z95: Final = _NORMAL.inv_cdf(0.975)


def metric_status(
    metric: Metric, vertical: str, points: Sequence[MetricPoint], periods: Sequence[date], goal: float | None
) -> MetricStatus:
    """How one metric of one vertical stands in the last of `periods`. `points` are its months, in any order."""
    month, previous = periods[-1], periods[-2] if len(periods) > 1 else None
    history = tuple(sorted((p for p in points if p.period <= month), key=lambda p: p.period))
    by_period = {point.period: point for point in history}
    no_data = MetricPoint(month, (vertical,) if vertical else (), 0, None, None, None, "no_data")
    current = by_period.get(month, no_data)
    before = by_period.get(previous) if previous else None
    change = metric_change(metric, current, before) if before else None
    return MetricStatus(metric, vertical, current, goal, goal_verdict(metric, current, goal), change, history)


def goal_verdict(metric: Metric, point: MetricPoint, goal: float | None) -> GoalVerdict:
    """Met or missed only where the whole interval says so."""
    if point.status == "no_data":
        return "no data"
    if point.status == "too_few":
        return "too few"
    if point.status == "immature":
        return "immature"
    if goal is None or point.low is None or point.high is None:
        return "no goal"
    # Turned so that up is good; "missed" is then what even the best end of the interval does not reach.
    worst, best = (point.low, point.high) if metric.good == "up" else (-point.high, -point.low)
    wanted = goal if metric.good == "up" else -goal
    if best < wanted:
        return "missed"
    return "met" if worst >= wanted else "cannot tell"


def metric_change(metric: Metric, now: MetricPoint, before: MetricPoint, comparisons: int = 1) -> MetricChange | None:
    """The difference of two independent points by the method of variance estimates recovery.

    For two proportions with Wilson intervals this is Newcombe's interval (Newcombe 1998, method 10). `comparisons`
    widens it to hold for that many at once (Bonferroni).
    """
    ends = (now.value, now.low, now.high, before.value, before.low, before.high)
    if any(end is None for end in ends):
        return None
    v1, l1, u1, v0, l0, u0 = (float(end) for end in ends if end is not None)
    # The points come with 95% intervals whatever is asked for here. Half-widths grow with the normal quantile, so
    # scaling them is as good as computing the points again at the stricter level.
    wider = _NORMAL.inv_cdf(1 - 0.025 / comparisons) / _Z95
    low = v1 - v0 - wider * hypot(v1 - l1, u0 - v0)
    high = v1 - v0 + wider * hypot(u1 - v1, v0 - l0)
    meaning: Literal["better", "worse", "no clear change"] = "no clear change"
    if not low <= 0 <= high:
        meaning = "better" if (low > 0) == (metric.good == "up") else "worse"
    return MetricChange(v1 - v0, low, high, meaning)


def pooled(points: Sequence[MetricPoint]) -> MetricPoint | None:
    """Several months as one point: weighted by cases, the interval by the weighted half-widths."""
    measured = [p for p in points if p.value is not None and p.low is not None and p.high is not None and p.n]
    total = sum(p.n for p in measured)
    if not total:
        return None
    value = sum(p.n / total * (p.value or 0) for p in measured)
    # Months are independent, so their variances add up: half-widths are added in squares.
    half = sqrt(sum((p.n / total * (half_width(p.low, p.high) or 0)) ** 2 for p in measured))
    return MetricPoint(measured[0].period, measured[0].by, total, value, value - half, value + half, "ok")

"""Journeys against their parts: what the whole loses that no touchpoint shows. Always the user's own data.

Differences carry a 95% interval by Newcombe's square-and-add (Newcombe 1998b; Zou & Donner 2008 for means of shares).
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import log, sqrt
from typing import Any, Final

from sqlalchemy import Connection, Subquery, and_, case, func, select

from config.models import Condition, Metric
from queries.engine import whole
from queries.metrics.measure import Ask, MetricPoint, measure
from queries.metrics.query_plan import clock_of, plan, weighted
from queries.statistics.estimates import wilson
from queries.warehouse import UNKNOWN, Scope, matching

MIN_N: Final = 30
_LEAST: Final = 1e-9

_ANSWERED: Final = (Condition(column="scale", any_of=("csat",)), Condition(column="score", known=True))
_GOOD: Final = (Condition(column="score", at_least=4),)
_TYPE: Final = "journey.journey_type"


def _share(name: str, table: str, dated_by: str, where: tuple[Condition, ...], count: tuple[Condition, ...]) -> Metric:
    kind: dict[str, Any] = {"shape": "share", "good": "up", "unit": "%", "min_n": 1}
    return Metric(name=name, label=name, table=table, dated_by=dated_by, where=where, count=count, **kind)


GOAL_REACHED: Final = _share(
    "goal-reached-of-ended",
    "journey",
    "ended_at",
    (Condition(column="outcome", known=True),),
    (Condition(column="outcome", any_of=("reached",)),),
)
"""Of the journeys that ended, those that reached their goal."""

SATISFIED: Final = _share("satisfied", "response", "responded_at", _ANSWERED, _GOOD)
"""Of the answers on the scale of 1 to 5, those of 4 and 5."""

EMOTION_CHANGE: Final = Metric(
    name="emotion-change",
    label="Change of emotion from one contact to the next",
    shape="mean",
    table="wait",
    dated_by="occurred_at",
    good="up",
    unit="points",
    value="emotion_change",
    min_n=1,
)


@dataclass(frozen=True, slots=True)
class Share:
    """A share of n rows with its interval."""

    n: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """`left` less `right` with a 95% interval, where both have rows enough (`is_enough`)."""

    left: Share
    right: Share
    value: float
    low: float
    high: float
    is_enough: bool


@dataclass(frozen=True, slots=True)
class JourneyGap:
    """One journey type: the whole against its touchpoints.

    Args:
        journey_type: which journeys.
        touchpoints: for each touchpoint the share of satisfied answers.
        difference: satisfied with the journey less the mean of its touchpoints; None where either has no answer.
        all_good: of the journeys with answers about two touchpoints or more, those where all were good.
        expected_all_good: what the touchpoints' own shares multiply to in those journeys, were they independent.
    """

    journey_type: str
    touchpoints: tuple[tuple[str, Share], ...]
    difference: Difference | None
    all_good: Share | None
    expected_all_good: float | None


@dataclass(frozen=True, slots=True)
class ChannelGap:
    """Multi-channel less single-channel journeys of one type; `journey_type` None is all types, stratified by type."""

    journey_type: str | None
    multi: Share
    single: Share
    value: float
    low: float
    high: float
    is_enough: bool


@dataclass(frozen=True, slots=True)
class Transition:
    """How emotion changes from one touchpoint to the next, over the same journeys."""

    from_touchpoint: str
    touchpoint: str
    n: int
    change: float
    low: float | None
    high: float | None


def share_of(plus: float, n: float) -> Share:
    """A share with its Wilson interval; n at least 1."""
    return Share(round(n), *wilson(plus, n))


def share_difference(left: Share, right: Share, min_n: int = MIN_N) -> Difference:
    """The difference of two independent shares (Newcombe 1998, method 10)."""
    value = left.value - right.value
    low = value - sqrt((left.value - left.low) ** 2 + (right.high - right.value) ** 2)
    high = value + sqrt((left.high - left.value) ** 2 + (right.value - right.low) ** 2)
    return Difference(left, right, value, low, high, min(left.n, right.n) >= min_n)


def mean_of(shares: Collection[Share]) -> Share:
    """The plain mean of independent shares, each counting the same; n is that of the smallest."""
    k = len(shares)
    value = sum(s.value for s in shares) / k
    low = value - sqrt(sum((s.value - s.low) ** 2 for s in shares)) / k
    high = value + sqrt(sum((s.high - s.value) ** 2 for s in shares)) / k
    return Share(min(s.n for s in shares), value, low, high)


def journey_gap(
    conn: Connection, scope: Scope, since: date | None, until: date | None, as_of: datetime
) -> tuple[JourneyGap, ...]:
    """For each journey type what customers say of the whole and of its touchpoints, in [since, until)."""
    ask = Ask(by=(_TYPE, "touchpoint"), grain="all", since=since, until=until)
    types: dict[str, dict[str, Share]] = defaultdict(dict)
    for point in measure(conn, SATISFIED, ask, scope, as_of):
        types[point.by[0]][point.by[1]] = _of(point)
    rates = [(name, t, share.value) for name, parts in types.items() for t, share in parts.items()]
    good = _all_good(conn, rates, ask, scope, as_of)
    gaps = []
    for name, parts in sorted(types.items()):
        touchpoints = tuple(sorted((t, s) for t, s in parts.items() if t != UNKNOWN))
        journey = parts.get(UNKNOWN)
        gap = share_difference(journey, mean_of([s for _, s in touchpoints])) if journey and touchpoints else None
        answered, all_good, expected = good.get(name, (0, 0, 0.0))
        observed = (share_of(all_good, answered), expected / answered) if answered else (None, None)
        gaps.append(JourneyGap(name, touchpoints, gap, *observed))
    return tuple(gaps)


def _of(point: MetricPoint) -> Share:
    return share_of(round((point.value or 0.0) * point.n), point.n)


def _all_good(
    conn: Connection, rates: Sequence[tuple[str, str, float]], ask: Ask, scope: Scope, as_of: datetime
) -> dict[str, tuple[int, int, float]]:
    """By journey type: the journeys with two answers or more, those all good, and the sum of what was expected."""
    if not rates:
        return {}
    journeys = _journeys(conn, rates, ask, scope, as_of)
    c = journeys.c
    sums = (func.count(), whole(func.sum(c.all_good)), func.sum(func.exp(c.log_chance)))
    found = conn.execute(select(c.journey_type, *sums).where(c.answers >= 2).group_by(c.journey_type)).all()
    return {row[0]: (row[1], row[2], row[3]) for row in found}


def _journeys(
    conn: Connection, rates: Sequence[tuple[str, str, float]], ask: Ask, scope: Scope, as_of: datetime
) -> Subquery:
    """One row for each journey with answers about touchpoints: how many, whether all good, the log of their chances."""
    clock, names = clock_of(conn, as_of), {"source", "journey_id", "touchpoint", _TYPE, *SATISFIED.columns}
    rows = weighted(plan(SATISFIED, names, scope, clock), names, ask, scope, clock)
    c, kind = rows.c, func.coalesce(rows.c[_TYPE], UNKNOWN)
    chances = [(and_(kind == k, c.touchpoint == t), log(max(rate, _LEAST))) for k, t, rate in rates]
    good = func.min(case((matching(SATISFIED.count, rows), 1), else_=0))
    columns = (
        kind.label("journey_type"),
        func.count().label("answers"),
        good.label("all_good"),
        func.sum(case(*chances, else_=0.0)).label("log_chance"),
    )
    about = and_(matching(SATISFIED.where, rows), c.touchpoint.is_not(None), c.journey_id.is_not(None))
    return select(*columns).where(about).group_by(c.source, c.journey_id, kind).subquery("journeys")


def channel_gap(
    conn: Connection, outcome: Metric, scope: Scope, since: date | None, until: date | None, as_of: datetime
) -> tuple[ChannelGap, ...]:
    """Multi-channel less single-channel: each journey type, and last all of them with the types held equal.

    Args:
        conn: the warehouse.
        outcome: a share of journeys, such as GOAL_REACHED, or SATISFIED of responses.
        scope: what may be read.
        since: first day.
        until: first day not counted.
        as_of: what is known.
    """
    prefix = "" if outcome.table == "journey" else "journey."
    ask = Ask(by=(f"{prefix}journey_type", f"{prefix}multi_channel"), grain="all", since=since, until=until)
    plain = outcome.model_copy(update={"min_n": 1, "factor": 1})
    cells = {point.by: _of(point) for point in measure(conn, plain, ask, scope, as_of)}
    strata = [
        (kind, share_difference(cells[kind, "true"], cells[kind, "false"]))
        for kind in sorted({kind for kind, _ in cells})
        if {(kind, "true"), (kind, "false")} <= cells.keys()
    ]
    gaps = [_channel_gap(kind, found) for kind, found in strata]
    return (*gaps, _channel_gap(None, stratified([found for _, found in strata]))) if strata else ()


def _channel_gap(kind: str | None, found: Difference) -> ChannelGap:
    return ChannelGap(kind, found.left, found.right, found.value, found.low, found.high, found.is_enough)


def stratified(strata: Collection[Difference]) -> Difference:
    """One difference over strata, each weighted by what it can tell (Mantel-Haenszel; n1 n0 / (n1 + n0))."""
    weights = [d.left.n * d.right.n / (d.left.n + d.right.n) for d in strata]
    total = sum(weights)
    left, right = (_pooled([getattr(d, side) for d in strata], weights) for side in ("left", "right"))
    value = sum(w * d.value for w, d in zip(weights, strata, strict=True)) / total
    down = sqrt(sum((w * (d.value - d.low)) ** 2 for w, d in zip(weights, strata, strict=True))) / total
    up = sqrt(sum((w * (d.high - d.value)) ** 2 for w, d in zip(weights, strata, strict=True))) / total
    return Difference(left, right, value, value - down, value + up, min(left.n, right.n) >= MIN_N)


def _pooled(shares: Sequence[Share], weights: Sequence[float]) -> Share:
    total, n = sum(weights), sum(share.n for share in shares)
    value = sum(w * s.value for w, s in zip(weights, shares, strict=True)) / total
    return Share(n, *wilson(value * n, n))


def transition_loss(
    conn: Connection, scope: Scope, since: date | None, until: date | None, as_of: datetime, min_n: int = MIN_N
) -> tuple[Transition, ...]:
    """From which touchpoint to which customers' emotion falls most, the worst first; pairs under `min_n` left out."""
    ask = Ask(by=("from_touchpoint", "touchpoint"), grain="all", since=since, until=until)
    points = [p for p in measure(conn, EMOTION_CHANGE, ask, scope, as_of) if p.n >= min_n and p.value is not None]
    steps = [Transition(p.by[0], p.by[1], p.n, p.value or 0.0, p.low, p.high) for p in points]
    return tuple(sorted(steps, key=lambda step: (step.change, step.from_touchpoint, step.touchpoint)))

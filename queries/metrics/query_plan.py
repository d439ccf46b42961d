"""A metric, compiled: a few sums over weighted rows, the same over facts (weight 1) and over a rollup (weight c).

Rollups hold whole days. They are read up to the last day on which the metric was final at `as_of`; the days after it
come from the facts as they were known. So a figure is the same whichever of the two it came from.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Double,
    FromClause,
    Select,
    String,
    Subquery,
    and_,
    case,
    func,
    literal,
    select,
    union_all,
)

from config import EarshotError
from config.models import Conditions, Metric
from queries.engine import day_of, day_start, naive, whole
from queries.warehouse import COLUMNS, DAYS, LATE, ROLLUPS, UNKNOWN, Scope, latest, matching, relation, tables

Grain = Literal["day", "week", "month", "quarter", "all"]

PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "share": ("n", "plus"),
    "balance": ("n", "plus", "minus"),
    "mean": ("n", "total", "squares"),
    "count": ("n",),
}
"""The components of a tally that each shape needs."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Which figures are wanted: by which columns, over which periods of [since, until) in the reporting zone."""

    by: tuple[str, ...] = ()
    grain: Grain = "month"
    since: date | None = None
    until: date | None = None
    where: Conditions = ()

    @property
    def columns(self) -> frozenset[str]:
        """Every column asked for besides the metric's own."""
        return frozenset(self.by) | {condition.column for condition in self.where}


@dataclass(frozen=True, slots=True)
class MetricSource:
    """Where a metric is read: facts, and before the day `split` the rollup that holds every column it mentions."""

    table: str
    at: str
    day: str
    rollup: str | None
    split: date | None


@dataclass(frozen=True, slots=True)
class Clock:
    """The instant known at, in naive UTC, and the reporting zone."""

    as_of: datetime
    zone: ZoneInfo

    def day(self, back: timedelta = timedelta(0)) -> date:
        """The day it was `back` before: every day earlier than this one had ended by then."""
        return day_of(self.as_of - back, self.zone)

    def past(self, day: date, after: timedelta) -> bool:
        """Whether `after` has gone by since the start of `day`."""
        return day_start(day, self.zone).replace(tzinfo=None) + after <= self.as_of


def clock_of(conn: Connection, as_of: datetime) -> Clock:
    """The clock of a warehouse at an instant, aware or naive UTC."""
    generation = latest(conn)
    return Clock(naive(as_of) or as_of, ZoneInfo(generation.zone if generation else "UTC"))


def grouped(
    metrics: Collection[Metric], columns: Collection[str], scope: Scope, clock: Clock
) -> dict[MetricSource, list[Metric]]:
    """The metrics that one query can read together."""
    groups: dict[MetricSource, list[Metric]] = defaultdict(list)
    for metric in metrics:
        groups[plan(metric, columns, scope, clock)].append(metric)
    return groups


def plan(metric: Metric, columns: Collection[str], scope: Scope, clock: Clock) -> MetricSource:
    """Where `metric` is read when these columns are asked for besides its own.

    A column that becomes known late (the status of an invitation) is taken from a rollup only where the metric states
    after how long it is final.

    Raises:
        EarshotError: the metric's table has no such column.
    """
    at, day = dated(metric)
    mentioned = metric.columns | set(columns) | scoped(metric.table, scope)
    offered = COLUMNS[metric.table]
    for name in sorted(mentioned - offered):
        wrong = f"{metric.name} is read from {metric.table}, which has no column {name!r}"
        raise EarshotError(f"{wrong}; available: {', '.join(sorted(offered))}")
    is_final = all(known_at(metric.table, name) in (None, at) for name in mentioned) or bool(metric.matures)
    rollup = _covering(metric, mentioned | {day}) if is_final else None
    return MetricSource(metric.table, at, day, rollup, clock.day(metric.matures) if rollup else None)


def dated(metric: Metric) -> tuple[str, str]:
    """The instant that puts a row in a period, and the column of its day."""
    for at, day in DAYS.get(metric.table, {}).items():
        if metric.dated_by in (at, day):
            return at, day
    known = ", ".join(DAYS.get(metric.table, {})) or "no dates, for there is no such table"
    raise EarshotError(f"{metric.name} cannot be dated by {metric.dated_by!r}; {metric.table} has {known}")


def known_at(table: str, name: str) -> str | None:
    """The column with the instant from which a column of a relation is known; None: with its row."""
    prefix, _, inner = name.rpartition(".")
    instant = LATE.get("journey" if prefix == "journey" else table, {}).get(inner)
    return f"{prefix}.{instant}" if instant and prefix else instant


def scoped(table: str, scope: Scope) -> frozenset[str]:
    """The columns a scope looks at: a rollup without them would show nothing, or too much."""
    limits = {"vertical": scope.verticals, "touchpoint": scope.touchpoints, "account_id": scope.accounts}
    return frozenset(name for name, limit in limits.items() if limit is not None and name in COLUMNS[table])


def _covering(metric: Metric, names: Collection[str]) -> str | None:
    """The smallest rollup that holds all these columns."""
    if metric.shape == "quantile":
        return None
    return next((t.name for t in ROLLUPS.get(metric.table, ()) if all(name in t.c for name in names)), None)


def weighted(reading: MetricSource, names: Collection[str], ask: Ask, scope: Scope, clock: Clock) -> Subquery:
    """The rows of a reading inside [since, until): the columns named, the row's day as `on_day`, its weight as `c`."""
    if reading.rollup is None or reading.split is None:
        return _facts(reading, names, ask, scope, clock).subquery("weighted")
    split, parts = reading.split, []
    if ask.since is None or ask.since < split:
        early = replace(ask, until=min(ask.until or split, split))
        table = tables.warehouse.tables[reading.rollup]
        chosen, day = [table.c[name] for name in sorted(names)], table.c[reading.day]
        rolled = select(*chosen, day.label("on_day"), table.c.c)
        parts.append(rolled.where(days_within(day, early), scope.where(table)))
    if ask.until is None or ask.until > split or not parts:
        late = replace(ask, since=max(ask.since or split, split))
        parts.append(_facts(reading, names, late, scope, clock))
    return (union_all(*parts) if len(parts) > 1 else parts[0]).subquery("weighted")


def _facts(reading: MetricSource, names: Collection[str], ask: Ask, scope: Scope, clock: Clock) -> Select[Any]:
    wanted = {*names, reading.at, reading.day, *scoped(reading.table, scope)}
    facts = relation(reading.table, clock.as_of, wanted)
    chosen, day = [facts.c[name] for name in sorted(names)], facts.c[reading.day]
    rows = select(*chosen, day.label("on_day"), literal(1).label("c")).where(days_within(day, ask), scope.where(facts))
    is_instant = isinstance(facts.c[reading.at].type, DateTime)
    return rows.where(facts.c[reading.at] < clock.as_of) if is_instant else rows


def days_within(day: ColumnElement[Any], ask: Ask) -> ColumnElement[bool]:
    since = day >= ask.since if ask.since else day.is_not(None)
    return and_(since, day < ask.until) if ask.until else since


def keyed(rows: Subquery, ask: Ask) -> tuple[FromClause, list[ColumnElement[Any]]]:
    """Where rows come from and what they are grouped by: `period` (not for the grain `all`), `by_0`, `by_1`, ..."""
    dimensions = [_dimension(rows, name).label(f"by_{i}") for i, name in enumerate(ask.by)]
    if ask.grain == "all":
        return rows, [*dimensions]
    if ask.grain == "day":
        return rows, [rows.c.on_day.label("period"), *dimensions]
    days = tables.calendar
    return rows.join(days, days.c.day == rows.c.on_day), [days.c[ask.grain].label("period"), *dimensions]


def _dimension(rows: FromClause, name: str) -> ColumnElement[Any]:
    found = rows.c[name]
    return func.coalesce(found, UNKNOWN) if isinstance(found.type, String) else found


def sums(rows: FromClause, metric: Metric) -> dict[str, ColumnElement[Any]]:
    """The components of a metric's tally over weighted rows."""
    base = matching(metric.where, rows)
    if metric.value is None:
        plus, minus = matching(metric.count or metric.plus, rows), matching(metric.minus, rows)
        sides = {"n": base, "plus": and_(base, plus), "minus": and_(base, minus)}
        return {part: _count(sides[part], rows) for part in PARTS[metric.shape]}
    value = rows.c[metric.value].cast(Double)
    here = and_(base, value.is_not(None))
    total = func.sum(case((here, value * rows.c.c), else_=0.0))
    squares = func.sum(case((here, value * value * rows.c.c), else_=0.0))
    return {"n": _count(here, rows), "total": total, "squares": squares}


def _count(clause: ColumnElement[bool], rows: FromClause) -> ColumnElement[Any]:
    return whole(func.sum(case((clause, rows.c.c), else_=0)))


def needed(metrics: Collection[Metric], columns: Collection[str]) -> frozenset[str]:
    """The columns that rows must have for all these metrics."""
    return frozenset(columns).union(*(metric.columns for metric in metrics))

"""The figures of metrics by period and slice: the one definition behind pages, rules, exports and the command line."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import product
from typing import Any

from sqlalchemy import Connection, Double, Select, Subquery, and_, case, func, select

from config.models import Metric
from queries.engine import quantile
from queries.metrics.cube import Cube, read_cube
from queries.metrics.design_effects import (
    EVERY_VERTICAL,
    DesignEffects,
    design_effect_of,
    design_effects,
    read_design_effects,
    write_design_effects,
)
from queries.metrics.periods import Period, periods_of, read_periods
from queries.metrics.privacy import CellKey, cell_key, private_cells
from queries.metrics.query_plan import PARTS, Ask, Clock, Grain, clock_of, grouped, keyed, needed, sums, weighted
from queries.statistics.estimates import Estimate, Status, Tally, bounded, empty, estimate, ranks
from queries.warehouse import Scope, matching

__all__ = [
    "Ask",
    "Cube",
    "Grain",
    "MetricPoint",
    "design_effects",
    "measure",
    "measure_all",
    "read_cube",
    "write_design_effects",
]


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One figure of one period (its first day) and slice, in the metric's unit. Empty under the minimum n.

    One that is `private` says nothing at all, not even its n, which is 0: it comes from too few people, or would tell
    by subtraction what another one must not.
    """

    period: date
    by: tuple[str, ...]
    n: int
    value: float | None
    low: float | None
    high: float | None
    status: Status


@dataclass(frozen=True, slots=True)
class _Cell:
    """What was read of one metric in one period and slice, and the days it was found on."""

    n: int
    tally: Tally | None
    quantile: tuple[float, float, float] | None
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all metrics of one reading share."""

    ask: Ask
    clock: Clock
    effects: DesignEffects
    spans: tuple[Period, ...]


_Cells = dict[CellKey, _Cell]


def measure(conn: Connection, metric: Metric, ask: Ask, scope: Scope, as_of: datetime) -> tuple[MetricPoint, ...]:
    """The figures of one metric as known at `as_of`, ordered by period and slice. See `measure_all`."""
    return measure_all(conn, (metric,), ask, scope, as_of)[metric.name]


def measure_all(
    conn: Connection, metrics: Collection[Metric], ask: Ask, scope: Scope, as_of: datetime
) -> dict[str, tuple[MetricPoint, ...]]:
    """The figures of several metrics: one query for all that share a table, rollup and date.

    Periods inside the asked range without rows are `no_data`, for every slice that has any. A period is `immature`
    until it has ended and the metric has matured.

    Args:
        conn: a connection to one generation.
        metrics: what to read; the table of each must have the columns asked `by` and `where`.
        ask: periods, dimensions and filters.
        scope: what the reader may see, and from how many people a figure must come to be shown.
        as_of: what is known, aware or naive UTC: rows from then on are absent.

    Raises:
        EarshotError: a metric's table lacks a column that is asked for.
    """
    clock = clock_of(conn, as_of)
    frame = _Frame(ask, clock, read_design_effects(conn, as_of, clock), read_periods(conn, ask.grain))
    figures: dict[str, tuple[MetricPoint, ...]] = {}
    for reading, group in grouped(metrics, ask.columns, scope, clock).items():
        rows = weighted(reading, needed(group, ask.columns), ask, scope, clock)
        added = [metric for metric in group if metric.shape != "quantile"]
        cells = dict(_tallied(conn, rows, added, ask)) if added else {}
        # A quantile cannot be added up from sums: each takes queries of its own.
        cells |= {metric.name: _quantiles(conn, rows, metric, frame) for metric in group if metric.shape == "quantile"}
        private = private_cells(conn, reading, group, ask, scope, clock)
        named = ((metric, private.get(metric.name, frozenset())) for metric in group)
        figures |= {metric.name: _points(metric, cells[metric.name], hidden, frame) for metric, hidden in named}
    return figures


def _tallied(conn: Connection, rows: Subquery, metrics: list[Metric], ask: Ask) -> Iterator[tuple[str, _Cells]]:
    source, keys = keyed(rows, ask)
    parts = []
    for i, metric in enumerate(metrics):
        # The first and the last day that count for this metric: others share the query and may have more.
        day = case((matching(metric.where, rows), rows.c.on_day))
        named = {**sums(rows, metric), "first": func.min(day), "last": func.max(day)}
        parts += [part.label(f"m{i}_{name}") for name, part in named.items()]
    query = select(*keys, *parts).select_from(source).where(matching(ask.where, rows)).group_by(*keys)
    result = conn.execute(query)
    # Not `mappings`: each of its rows makes the names anew, which takes longer than all the rest.
    names = tuple(result.keys())
    groups = [dict(zip(names, row, strict=True)) for row in result]
    for i, metric in enumerate(metrics):
        cells = {}
        for row in groups:
            if row[f"m{i}_n"]:
                tally = Tally(**{name: float(row[f"m{i}_{name}"] or 0) for name in PARTS[metric.shape]})
                cells[cell_key(row, ask)] = _Cell(int(tally.n), tally, None, row[f"m{i}_first"], row[f"m{i}_last"])
        yield metric.name, cells


def _quantiles(conn: Connection, rows: Subquery, metric: Metric, frame: _Frame) -> _Cells:
    """Exact quantiles, each between the two ordered values that hold it with 95% confidence."""
    ask, (source, keys) = frame.ask, keyed(rows, frame.ask)
    value, day = rows.c[metric.value or ""].cast(Double), rows.c.on_day
    chosen = and_(matching(ask.where, rows), matching(metric.where, rows), value.is_not(None))
    figures = (func.count().label("n"), quantile(value, metric.quantile).label("value"))
    query = select(*keys, *figures, func.min(day).label("first"), func.max(day).label("last")).select_from(source)
    groups = [dict(row) for row in conn.execute(query.where(chosen).group_by(*keys)).mappings()]
    found = {cell_key(row, ask): row for row in groups if row["n"]}
    edges = {}
    for key, row in found.items():
        deff = design_effect_of(frame.effects, metric, _vertical(key[1], ask), row["n"])
        edges[key] = ranks(row["n"], metric.quantile or 0.5, deff)
    ordered = _ordered(conn, select(*keys, value.label("value")).select_from(source).where(chosen), edges, ask)
    sides = {key: (row["value"], *ordered[key]) for key, row in found.items()}
    return {key: _Cell(row["n"], None, sides[key], row["first"], row["last"]) for key, row in found.items()}


def _ordered(
    conn: Connection, rows: Select[Any], edges: Mapping[CellKey, tuple[int, int]], ask: Ask
) -> dict[CellKey, tuple[float, float]]:
    """The values at the two ranks wanted of each group."""
    inner = rows.subquery("chosen")
    keys = [column for column in inner.c if column.name != "value"]
    rank = func.row_number().over(partition_by=keys or None, order_by=inner.c.value)
    ranked = select(*inner.c, rank.label("rank")).subquery("ranked")
    wanted = sorted({rank for pair in edges.values() for rank in pair})
    query = select(ranked).where(ranked.c.rank.in_(wanted))
    ranked_rows = [dict(row) for row in conn.execute(query).mappings()] if edges else []
    found = {(cell_key(row, ask), row["rank"]): row["value"] for row in ranked_rows}
    return {key: (found[key, low], found[key, high]) for key, (low, high) in edges.items()}


def _points(metric: Metric, cells: _Cells, private: Collection[CellKey], frame: _Frame) -> tuple[MetricPoint, ...]:
    slices = sorted({by for _, by in cells}) or ([()] if not frame.ask.by else [])
    shown = product(_shown(cells, frame), slices)
    points = []
    for span, by in shown:
        # Without periods the query gives none, and the span that is shown has the day that was asked from.
        period = date.min if frame.ask.grain == "all" else span.period
        if (period, by) in private:
            points.append(MetricPoint(span.period, by, 0, None, None, None, "private"))
        else:
            points.append(_point(metric, by, cells.get((period, by)), span, frame))
    return tuple(points)


def _shown(cells: _Cells, frame: _Frame) -> tuple[Period, ...]:
    """The periods of the asked range, between the first and the last data where it is open, none that lie ahead."""
    ask, ahead = frame.ask, frame.clock.day() + timedelta(days=1)
    start = ask.since or min((cell.first for cell in cells.values()), default=ask.until or ahead)
    last = max((cell.last for cell in cells.values()), default=start) + timedelta(days=1)
    if ask.grain == "all":
        return (Period(start, start, ask.until or last),)
    if not cells and not (ask.since and ask.until):
        return ()
    end = min(ask.until, ahead) if ask.until else last
    spans = periods_of(frame.spans, ask.grain, start, end)
    # A month that is asked for in part is final when that part is.
    return tuple(replace(span, end=min(ask.until or span.end, span.end)) for span in spans)


def _point(metric: Metric, by: tuple[str, ...], cell: _Cell | None, span: Period, frame: _Frame) -> MetricPoint:
    figure: Estimate
    # Before the estimate: what is under the minimum must not leave this module even as a number that nobody shows.
    if cell is None or cell.n < metric.min_n:
        figure = empty(cell.n if cell else 0, metric.min_n)
    elif cell.tally is not None:
        deff = design_effect_of(frame.effects, metric, _vertical(by, frame.ask), cell.n)
        figure = estimate(metric, cell.tally, deff)
    else:
        figure = bounded(cell.n, metric.factor, *(cell.quantile or (float("nan"),) * 3))
    is_final = frame.clock.past(span.end, metric.matures)
    status: Status = "immature" if figure.status == "ok" and not is_final else figure.status
    return MetricPoint(span.period, by, figure.n, figure.value, figure.low, figure.high, status)


def _vertical(by: tuple[str, ...], ask: Ask) -> str:
    """The one vertical that a slice lies in, or "*"."""
    if "vertical" in ask.by:
        return by[ask.by.index("vertical")]
    fixed = [c.any_of for c in ask.where if c.column == "vertical" and c.any_of is not None and len(c.any_of) == 1]
    return str(fixed[0][0]) if fixed else EVERY_VERTICAL

"""Answers of one account are alike: how much less they say than as many independent answers would (the design effect).

Measured from the rows when a generation is made, by metric, vertical and quarter: the linearised variance of the figure
over accounts (Kish 1965, section 5.4) over its variance were the rows independent. At least 1.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from math import isfinite
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Double, Select, Subquery, case, delete, func, insert, select, tuple_

from config.models import Catalog, Metric
from queries.engine import newest_value
from queries.metrics.query_plan import Clock, clock_of
from queries.warehouse import DAYS, UNKNOWN, matching, relation, tables

EVERY_VERTICAL: Final = "*"
_TABLES: Final = frozenset({"response", "journey"})
_MOMENTS: Final = ("g", "n", "y", "sq", "yy", "yn", "nn")
"""The arguments of `ratio`."""
_SHAPES: Final = frozenset({"share", "balance", "mean"})


@dataclass(frozen=True, slots=True)
class DesignEffect:
    """A design effect and the number of rows it was measured on."""

    deff: float
    n: int

    def at(self, n: int) -> float:
        """The effect in a sample of n rows. Clusters grow with the sample, so past the quarter measured so does it."""
        return 1 + (self.deff - 1) * max(1.0, n / max(self.n, 1))


DesignEffects = Mapping[tuple[str, str], DesignEffect]


def design_effects(conn: Connection, as_of: datetime) -> Mapping[tuple[str, str], float]:
    """The design effect by (metric, vertical or "*") in the last quarter ended at `as_of`; 1.0 where absent."""
    return defaultdict(lambda: 1.0, {key: effect.deff for key, effect in read_design_effects(conn, as_of).items()})


def read_design_effects(conn: Connection, as_of: datetime, clock: Clock | None = None) -> DesignEffects:
    """The design effects known at `as_of`, each of the newest quarter that has it, with the n it was measured on.

    `clock` is that of `as_of`, where it is at hand.
    """
    table, today = tables.design_effect, (clock or clock_of(conn, as_of)).day()
    current = select(tables.calendar.c.quarter).where(tables.calendar.c.day == today).scalar_subquery()
    # The running quarter is left out: its effect would change with each load, and yesterday's alarms with it.
    ended = table.c.quarter < func.coalesce(current, today)
    keys = table.c.metric, table.c.vertical
    last = (newest_value(table.c[name], table.c.quarter).label(name) for name in ("deff", "n"))
    rows = conn.execute(select(*keys, *last).where(ended).group_by(*keys)).all()
    return {(row.metric, row.vertical): DesignEffect(row.deff, row.n) for row in rows}


def quarters(conn: Connection) -> Mapping[date, date]:
    """The first day of the quarter, as the company counts them, of every day in the calendar."""
    days = tables.calendar.c
    return {row.day: row.quarter for row in conn.execute(select(days.day, days.quarter))}


def design_effect_of(effects: DesignEffects, metric: Metric, vertical: str, n: int) -> float:
    """The design effect of n rows of a metric in a vertical, or in all of them ("*")."""
    effect = effects.get((metric.name, vertical))
    return effect.at(n) if effect else 1.0


def write_design_effects(conn: Connection, catalog: Catalog) -> None:
    """Measure the design effects of every share, balance and mean of responses and journeys anew, and store them."""
    table = tables.design_effect
    conn.execute(delete(table))
    by_date: dict[tuple[str, str], list[Metric]] = defaultdict(list)
    filled = {name for name in _TABLES if conn.execute(select(tables.warehouse.tables[name].c.id).limit(1)).first()}
    for metric in catalog.metrics:
        if metric.table in filled and metric.shape in _SHAPES:
            by_date[metric.table, DAYS[metric.table].get(metric.dated_by, metric.dated_by)].append(metric)
    rows = [row for key in sorted(by_date) for row in _by_quarter(conn, by_date[key], *key)]
    # SQLAlchemy takes an INSERT without rows for one row of defaults.
    if rows:
        conn.execute(insert(table), rows)


def _by_quarter(conn: Connection, metrics: list[Metric], table: str, day: str) -> Iterator[dict[str, Any]]:
    for row in conn.execute(_spread(_accounts(metrics, table, day), len(metrics))).mappings():
        for i, metric in enumerate(metrics):
            moments = {name: float(row[f"m{i}_{name}"] or 0) for name in _MOMENTS}
            if moments["n"]:
                yield {
                    "metric": metric.name,
                    "vertical": EVERY_VERTICAL if row["vertical"] is None else row["vertical"],
                    "quarter": row["quarter"],
                    "n": round(moments["n"]),
                    "clusters": round(moments["g"]),
                    "deff": ratio(**moments),
                }


def _accounts(metrics: list[Metric], table: str, day: str) -> Subquery:
    """Of each metric the n, the sum of scores and of their squares, by account and quarter.

    One row for each vertical, and one without: an account is one cluster, however many verticals it spans.
    """
    names = {"account_id", "vertical", day}.union(*(m.columns for m in metrics))
    facts, days = relation(table, None, names), tables.calendar
    filled = func.coalesce(facts.c.vertical, UNKNOWN).label("cluster_vertical")
    rows = select(facts, days.c.quarter, filled).join_from(facts, days, days.c.day == facts.c[day]).subquery("dated")
    keys, vertical = (rows.c.quarter, rows.c.account_id), rows.c.cluster_vertical
    parts = [part for i, metric in enumerate(metrics) for part in _scores(rows, metric, f"m{i}_")]
    sets = func.grouping_sets(tuple_(*keys, vertical), tuple_(*keys))
    return select(*keys, vertical.label("vertical"), *parts).group_by(sets).subquery("accounts")


def _scores(rows: Subquery, metric: Metric, prefix: str) -> list[ColumnElement[Any]]:
    """A row's score is 1 or 0 for a share, 1, 0 or -1 for a balance, and the value for a mean."""
    score: ColumnElement[Any]
    if metric.value is not None:
        score = rows.c[metric.value].cast(Double)
    else:
        plus = case((matching(metric.count or metric.plus, rows), 1.0), else_=0.0)
        score = plus - case((matching(metric.minus, rows), 1.0), else_=0.0) if metric.minus else plus
    y = case((matching(metric.where, rows), score))
    sums = {"n": func.count(y), "y": func.coalesce(func.sum(y), 0.0), "sq": func.coalesce(func.sum(y * y), 0.0)}
    # As doubles: the engines' sums of whole numbers have types of their own, which squared do not fit.
    return [part.cast(Double).label(prefix + name) for name, part in sums.items()]


def _spread(accounts: Subquery, metrics: int) -> Select[Any]:
    """The sums over accounts from which the variance between them follows."""
    c, parts = accounts.c, []
    for i in range(metrics):
        n, y, squares = c[f"m{i}_n"], c[f"m{i}_y"], c[f"m{i}_sq"]
        # An account without a row of this metric is in the group for another one, and is no cluster of this one.
        moments = (func.count(case((n > 0, 1))), func.sum(n), func.sum(y), func.sum(squares))
        crossed = (func.sum(y * y), func.sum(y * n), func.sum(n * n))
        named = zip(_MOMENTS, (*moments, *crossed), strict=True)
        parts += [part.label(f"m{i}_{name}") for name, part in named]
    return select(c.quarter, c.vertical, *parts).group_by(c.quarter, c.vertical)


def ratio(g: float, n: float, y: float, sq: float, yy: float, yn: float, nn: float) -> float:
    """The design effect of a mean of n rows in g clusters.

    Args:
        g: clusters.
        n: rows.
        y: sum of the scores.
        sq: sum of the squared scores.
        yy: sum over clusters of (sum of scores)^2.
        yn: sum over clusters of (sum of scores) x (rows).
        nn: sum over clusters of (rows)^2.
    """
    if g < 2 or n < 2:
        return 1.0
    mean = y / n
    simple = (sq / n - mean**2) / n
    clustered = g / (g - 1) * (yy - 2 * mean * yn + mean**2 * nn) / n**2
    # Scores that are all alike have no variance but rounding, and a ratio of roundings is any number.
    effect = clustered / simple if simple > 1e-12 / n else 1.0
    # Under 1 the accounts would tell more than independent rows: chance, and to rely on it would be to fire too soon.
    return max(effect, 1.0) if isfinite(effect) else 1.0

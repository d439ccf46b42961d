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

from sqlalchemy import ColumnElement, Connection, Double, Subquery, case, delete, func, insert, select

from config.models.catalog import Catalog
from config.models.metrics import Metric
from queries.metrics.query_plan import clock_of
from queries.sql_functions import newest_value
from queries.warehouse import tables
from queries.warehouse.relations import DAYS, matching, relation
from queries.warehouse.tables import UNKNOWN

EVERY_VERTICAL: Final = "*"
_TABLES: Final = frozenset({"response", "journey"})
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
Sum = ColumnElement[Any]


def design_effects(conn: Connection, as_of: datetime) -> Mapping[tuple[str, str], float]:
    """The design effect by (metric, vertical or "*") in the last quarter ended at `as_of`; 1.0 where absent."""
    return defaultdict(lambda: 1.0, {key: effect.deff for key, effect in read_design_effects(conn, as_of).items()})


def read_design_effects(conn: Connection, as_of: datetime) -> DesignEffects:
    """The design effects known at `as_of`, each of the newest quarter that has it, with the n it was measured on."""
    table, today = tables.design_effect, clock_of(conn, as_of).day()
    current = select(tables.calendar.c.quarter).where(tables.calendar.c.day == today).scalar_subquery()
    ended = table.c.quarter < func.coalesce(current, today)
    own = table.c.metric, table.c.vertical
    last = (newest_value(table.c[name], table.c.quarter).label(name) for name in ("deff", "n"))
    rows = conn.execute(select(*own, *last).where(ended).group_by(*own)).all()
    return {(row.metric, row.vertical): DesignEffect(row.deff, row.n) for row in rows}


def quarters(conn: Connection) -> Mapping[date, date]:
    """The first day of the quarter, as the company counts them, of every day in the calendar."""
    days = tables.calendar.c
    return {row.day: row.quarter for row in conn.execute(select(days.day, days.quarter))}


def design_effect_of(known: DesignEffects, metric: Metric, vertical: str, n: int) -> float:
    """The design effect of n rows of a metric in a vertical, or in all of them ("*")."""
    effect = known.get((metric.name, vertical))
    return effect.at(n) if effect else 1.0


def write_design_effects(conn: Connection, catalog: Catalog) -> None:
    """Measure the design effects of every share, balance and mean of responses and journeys anew, and store them."""
    table = tables.design_effect
    conn.execute(delete(table))
    rows = list(_measured(conn, catalog))
    if rows:
        conn.execute(insert(table), rows)


def _measured(conn: Connection, catalog: Catalog) -> Iterator[dict[str, Any]]:
    clustered = [m for m in catalog.metrics if m.table in _TABLES and m.shape in _SHAPES]
    for table, day in sorted({(m.table, _day(m)) for m in clustered}):
        metrics = [m for m in clustered if (m.table, _day(m)) == (table, day)]
        yield from _by_quarter(conn, metrics, table, day)


def _day(metric: Metric) -> str:
    return DAYS[metric.table].get(metric.dated_by, metric.dated_by)


def _by_quarter(conn: Connection, metrics: list[Metric], table: str, day: str) -> Iterator[dict[str, Any]]:
    accounts = _accounts(metrics, table, day)
    for vertical in (accounts.c.vertical, None):
        for row in conn.execute(_spread(accounts, metrics, vertical)).mappings():
            name = EVERY_VERTICAL if vertical is None else row["vertical"]
            yield from (
                _row(m.name, name, row["quarter"], row, f"m{i}_") for i, m in enumerate(metrics) if row[f"m{i}_n"]
            )


def _accounts(metrics: list[Metric], table: str, day: str) -> Subquery:
    """One row for each account, vertical and quarter: of each metric the n, the sum of scores and of their squares."""
    names = {"account_id", "vertical", day}.union(*(m.columns for m in metrics))
    rows = relation(table, None, names)
    days = tables.calendar
    vertical = func.coalesce(rows.c.vertical, UNKNOWN).label("vertical")
    parts = [part for i, metric in enumerate(metrics) for part in _scores(rows, metric, f"m{i}_")]
    return (
        select(days.c.quarter, vertical, rows.c.account_id, *parts)
        .join_from(rows, days, days.c.day == rows.c[day])
        .group_by(days.c.quarter, vertical, rows.c.account_id)
        .subquery("accounts")
    )


def _scores(rows: Subquery, metric: Metric, prefix: str) -> list[ColumnElement[Any]]:
    """A row's score is 1 or 0 for a share, 1, 0 or -1 for a balance, and the value for a mean."""
    score: ColumnElement[Any]
    if metric.value is not None:
        score = rows.c[metric.value].cast(Double)
    else:
        plus = case((matching(metric.count or metric.plus, rows), 1.0), else_=0.0)
        score = plus - case((matching(metric.minus, rows), 1.0), else_=0.0) if metric.minus else plus
    own = case((matching(metric.where, rows), score))
    sums = {"n": func.count(own), "y": func.coalesce(func.sum(own), 0.0), "sq": func.coalesce(func.sum(own * own), 0.0)}
    return [part.cast(Double).label(prefix + name) for name, part in sums.items()]


def _spread(accounts: Subquery, metrics: list[Metric], vertical: ColumnElement[Any] | None) -> Any:
    """The sums over accounts from which the variance between them follows."""
    units = accounts if vertical is not None else _together(accounts, metrics)
    c = units.c
    parts = [
        part.label(f"m{i}_{name}")
        for i in range(len(metrics))
        for name, part in _moments(c[f"m{i}_n"], c[f"m{i}_y"], c[f"m{i}_sq"]).items()
    ]
    keys = [c.quarter, c.vertical] if vertical is not None else [c.quarter]
    return select(*keys, *parts).group_by(*keys)


def _together(accounts: Subquery, metrics: list[Metric]) -> Subquery:
    """An account is one cluster, however many verticals it spans."""
    c = accounts.c
    names = [f"m{i}_{part}" for i in range(len(metrics)) for part in ("n", "y", "sq")]
    parts = [func.sum(c[name]).label(name) for name in names]
    return select(c.quarter, c.account_id, *parts).group_by(c.quarter, c.account_id).subquery("together")


def _moments(n: Sum, y: Sum, squares: Sum) -> dict[str, Sum]:
    return {
        "g": func.count(case((n > 0, 1))),
        "n": func.sum(n),
        "y": func.sum(y),
        "sq": func.sum(squares),
        "yy": func.sum(y * y),
        "yn": func.sum(y * n),
        "nn": func.sum(n * n),
    }


def _row(metric: str, vertical: str, quarter: date, row: Mapping[Any, Any], prefix: str) -> dict[str, Any]:
    moments = {name: float(row[prefix + name]) for name in ("g", "n", "y", "sq", "yy", "yn", "nn")}
    found = {"n": round(moments["n"]), "clusters": round(moments["g"]), "deff": ratio(**moments)}
    return {"metric": metric, "vertical": vertical, "quarter": quarter, **found}


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
    found = clustered / simple if simple > 1e-12 / n else 1.0
    return max(found, 1.0) if isfinite(found) else 1.0

"""How many people the cells of a table come from, and which of them are therefore private.

A figure of a survey, or of how people felt, is about people; one of journeys, waits or revenue is about the work. A
cell belongs to the table that its filters cut it from: with `where` a vertical it is one of the verticals, and private
if it is in the table of all of them. So nobody learns by asking twice what they are not told at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from itertools import combinations
from typing import Any, Final

from sqlalchemy import Connection, Subquery, and_, case, func, select, tuple_

from config.models import Condition, Metric
from queries.engine import whole
from queries.metrics.query_plan import Ask, Clock, MetricSource, clock_of, keyed, needed, plan, weighted
from queries.statistics.suppression import Cell, suppressed
from queries.warehouse import COLUMNS, UNKNOWN, Scope, matching

MOST: Final = 5
"""Dimensions of a table, filters among them: those beyond it narrow the rows and are not protected by the others."""

_SURVEY: Final = frozenset({"instrument"})

CellKey = tuple[date, tuple[str, ...]]
"""A period and a slice."""


def about_people(metric: Metric) -> bool:
    """Whether the rows of a metric are what people said, or how they felt."""
    return metric.table == "response" or (metric.table == "contact" and "emotion" in metric.columns)


def cell_key(row: Mapping[Any, Any], ask: Ask) -> CellKey:
    """Period and slice of a row that was read by `keyed`."""
    return row.get("period") or date.min, tuple(_text(row[f"by_{i}"]) for i in range(len(ask.by)))


def _text(value: object) -> str:
    text = UNKNOWN if value is None else str(value)
    # "true" and "false" as conditions write them, not as Python does.
    return text.lower() if isinstance(value, bool) else text


def private_values(conn: Connection, metric: Metric, ask: Ask, scope: Scope, as_of: datetime) -> frozenset[str]:
    """The values of the one column that is asked by, whose cells a reader is not shown."""
    clock = clock_of(conn, as_of)
    cells = private_cells(conn, plan(metric, ask.columns, scope, clock), (metric,), ask, scope, clock)
    return frozenset(by[0] for _, by in cells.get(metric.name, ()))


def private_cells(
    conn: Connection, reading: MetricSource, metrics: Sequence[Metric], ask: Ask, scope: Scope, clock: Clock
) -> dict[str, frozenset[CellKey]]:
    """The cells of each metric that a reader is not shown. Metrics that are not about people have none.

    People are told apart by person, and by account where a row names nobody: there are at least so many.
    """
    protected = [metric for metric in metrics if about_people(metric)]
    if scope.privacy is None or not protected:
        return {}
    reader, fixed = scope, _fixed(ask)
    if scope.before is not None and scope.verticals is not None and len(scope.verticals) == 1:
        reader, fixed["vertical"] = scope.before, min(scope.verticals)
    dims = tuple(dict.fromkeys((*ask.by, *fixed)))[: max(MOST, len(ask.by))]
    rest = tuple(condition for condition in ask.where if condition.column not in dims)
    table = replace(ask, by=dims, where=rest)
    names = needed(protected, table.columns) | {"person_id", "account_id"} | _SURVEY & COLUMNS[reading.table]
    rows = weighted(replace(reading, rollup=None), names, table, reader, clock)
    wanted, least = tuple(_text(fixed[name]) for name in dims[len(ask.by) :]), scope.privacy.people
    line = _line(rows, protected, table, scope.privacy.exempt)
    found = _numbers(conn, line, "account_id", protected, table)
    # An account has somebody at least: where all cells have accounts enough, nobody need be counted.
    if all(number >= least or not number for cells in found for number in cells.values()):
        return {}
    persons = _numbers(conn, line, "person_id", protected, table)
    hidden = dict[str, frozenset[CellKey]]()
    for metric, cells, named in zip(protected, found, persons, strict=True):
        periods = dict[date, dict[Cell, int]]()
        for (period, cell), number in cells.items():
            periods.setdefault(period, {})[cell] = max(number, named.get((period, cell), 0))
        of = ((period, cell) for period, people in periods.items() for cell in suppressed(people, least))
        # Of what is left out, the cells that were asked for: within the filters, and no totals.
        mine = ((period, _slice(cell, len(ask.by), wanted)) for period, cell in of)
        hidden[metric.name] = frozenset((period, by) for period, by in mine if by is not None)
    return hidden


def _slice(cell: Cell, places: int, wanted: tuple[str, ...]) -> tuple[str, ...] | None:
    values = tuple(value for value in cell if value is not None)
    return values[:places] if len(values) == len(cell) and values[places:] == wanted else None


def _fixed(ask: Ask) -> dict[str, str | bool]:
    """The columns of which one value was chosen: the table has the others, too."""
    plain = (c for c in ask.where if c.any_of and c == Condition(column=c.column, any_of=c.any_of[:1]))
    # Numbers are written in more ways than one; those who filter by them look at single rows.
    return {c.column: value for c in plain for value in c.any_of or () if isinstance(value, str | bool)}


def _line(rows: Subquery, metrics: Sequence[Metric], table: Ask, exempt: Sequence[str]) -> Subquery:
    """Each row with its cell, who it is from, and for each metric whether it counts there and is not exempt."""
    source, keys = keyed(rows, table)
    counts = []
    for i, metric in enumerate(metrics):
        parts = [matching(metric.where, rows)] + ([rows.c[metric.value].is_not(None)] if metric.value else [])
        if exempt and "instrument" in rows.c:
            parts.append(func.coalesce(rows.c.instrument, "").not_in(exempt))
        counts.append(case((and_(*parts), 1), else_=0).label(f"counts_{i}"))
    who = (rows.c.account_id, rows.c.person_id)
    return select(*keys, *who, *counts).select_from(source).where(matching(table.where, rows)).subquery("line")


def _numbers(
    conn: Connection, line: Subquery, who: str, metrics: Sequence[Metric], table: Ask
) -> list[dict[tuple[date, Cell], int]]:
    """For each metric how many accounts or persons the rows of each cell are from, and those of every total over it."""
    base = [column for column in line.c if column.name in {"period", who}]
    by = [line.c[f"by_{i}"] for i in range(len(table.by))]
    # Of one dimension nobody needs the total: it has more people than its parts.
    subsets = [part for size in range(int(len(by) == 1), len(by) + 1) for part in combinations(by, size)]
    all_of = [func.grouping(column).label(f"all_{i}") for i, column in enumerate(by)]
    counts = [func.max(line.c[f"counts_{i}"]).label(f"counts_{i}") for i in range(len(metrics))]
    # By whom first, and then how many of these: engines take far longer to count what is distinct.
    sets = func.grouping_sets(*(tuple_(*base, *part) for part in subsets))
    each = select(*base, *by, *all_of, *counts).where(line.c[who].is_not(None)).group_by(sets).subquery("each")
    cell = [column for column in each.c if column.name != who and not column.name.startswith("counts_")]
    numbers = [whole(func.sum(each.c[count.name])).label(count.name) for count in counts]
    found = [dict[tuple[date, Cell], int]() for _ in metrics]
    result = conn.execute(select(*cell, *numbers).group_by(*cell))
    names = tuple(result.keys())
    for one in result:
        row = dict(zip(names, one, strict=True))
        period, values = cell_key(row, table)
        key = period, tuple(None if row[f"all_{i}"] else value for i, value in enumerate(values))
        for i, cells in enumerate(found):
            cells[key] = row[f"counts_{i}"]
    return found

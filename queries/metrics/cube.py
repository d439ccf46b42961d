"""Tallies by day and slice, read in one query and added up in memory: what hundreds of rules share in one tick.

Some rows say more later than when they happened. An answer is counted by its own day, but whether its journey reached
its goal is known when that has ended; a cube read today counts it as it is known today. `read_late` gives what must be
added for whoever looked earlier: for each hour in which something of a row became known, what the row counted before
less what it counts since.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Subquery,
    case,
    false,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)

from config import EarshotError
from config.models import Metric
from queries.engine import epoch, fetch_arrow, micros
from queries.metrics.query_plan import (
    Ask,
    clock_of,
    dated,
    days_within,
    grouped,
    keyed,
    known_at,
    needed,
    sums,
    weighted,
)
from queries.warehouse import UNKNOWN, Scope, relation

HOUR: Final = "known_hour"
"""The dimension of a late cube that says since when something is known: whole hours since 1970, UTC."""

_EPOCH: Final = date(1970, 1, 1).toordinal()
_ROW: Final = ("n", "plus", "minus", "total", "squares")
_MICROSECOND: Final = timedelta(microseconds=1)

Objects = NDArray[np.object_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Coded:
    """A column as numbers: row i holds `values[codes[i]]`."""

    codes: Ints
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Cube:
    """Tallies by day and dimensions.

    Args:
        days: the ordinal of each row's date.
        dims: the value of each dimension in each row; missing is "unknown".
        tallies: for each metric an array of shape (rows, 5) in the order of `Tally`.
    """

    days: Ints
    dims: dict[str, Coded]
    tallies: dict[str, NDArray[np.float64]]

    def column(self, name: str) -> Objects:
        """The values of a dimension, one a row."""
        values = np.empty(len(self.dims[name].values), dtype=object)
        values[:] = self.dims[name].values
        return values[self.dims[name].codes] if len(values) else np.empty(0, dtype=object)


def read_cube(
    conn: Connection,
    metrics: Sequence[Metric],
    dims: tuple[str, ...],
    since: date | None,
    until: date | None,
    scope: Scope,
    as_of: datetime,
) -> Cube:
    """Every metric by day and `dims` in [since, until): one grouped query for each rollup that takes.

    A missing dimension is "unknown"; numbers and truths keep their type, so that conditions compare with them.

    Raises:
        EarshotError: a quantile among the metrics, or a column that a metric's table lacks.
    """
    for metric in metrics:
        if metric.shape == "quantile":
            raise EarshotError(f"{metric.name} is a quantile and cannot be summed; use a share beyond a limit")
    clock, ask = clock_of(conn, as_of), Ask(by=dims, grain="day", since=since, until=until)
    groups = grouped(list({m.name: m for m in metrics}.values()), dims, scope, clock)
    cubes = []
    for source, group in groups.items():
        rows = weighted(source, needed(group, dims), ask, scope, clock)
        cubes.append(cube_of(conn, rows, group, ask))
    return _joined(cubes, dims)


def cube_of(conn: Connection, rows: Subquery, metrics: Sequence[Metric], ask: Ask) -> Cube:
    """The cube of weighted rows (see `weighted`), grouped by day and what is asked for."""
    _, keys = keyed(rows, ask)
    parts = [part.label(f"m{i}_{name}") for i, m in enumerate(metrics) for name, part in sums(rows, m).items()]
    table = fetch_arrow(conn, select(*keys, *parts).group_by(*keys))
    dims = {name: _coded(table[f"by_{i}"]) for i, name in enumerate(ask.by)}
    tallies = {}
    for i, metric in enumerate(metrics):
        tallies[metric.name] = np.zeros((table.num_rows, len(_ROW)))
        # A shape has the sums that it needs and no others; the rest of its row stays 0.
        for place, name in enumerate(_ROW):
            if f"m{i}_{name}" in table.column_names and table.num_rows:
                tallies[metric.name][:, place] = table[f"m{i}_{name}"].to_numpy()
    return Cube(day_ordinals(table["period"]), dims, tallies)


def day_ordinals(days: Any) -> Ints:
    """A column of days as ordinals."""
    if len(days) == 0:
        return np.zeros(0, dtype=np.int64)
    ordinals: Ints = days.cast("date32").cast("int32").to_numpy().astype(np.int64) + _EPOCH
    return ordinals


def _coded(read: Any) -> Coded:
    column = read.combine_chunks().dictionary_encode(null_encoding="encode") if len(read) else None
    if column is None:
        return Coded(np.zeros(0, dtype=np.int64), ())
    # Some versions of Arrow give a chunk, others a column of chunks.
    whole = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    values = tuple(UNKNOWN if value is None else value for value in whole.dictionary.to_pylist())
    return Coded(whole.indices.to_numpy(zero_copy_only=False).astype(np.int64), values)


def _joined(cubes: list[Cube], dims: tuple[str, ...]) -> Cube:
    """One cube over the rows of several, each metric with rows of its own: what is added up needs no shared rows."""
    if len(cubes) == 1:
        return cubes[0]
    days = np.concatenate([cube.days for cube in cubes])
    starts = np.cumsum([0, *(len(cube.days) for cube in cubes)])
    tallies = {}
    for start, cube in zip(starts.tolist(), cubes, strict=False):
        for name, matrix in cube.tallies.items():
            tallies[name] = np.zeros((len(days), len(_ROW)))
            tallies[name][start : start + len(matrix)] = matrix
    merged = {}
    for name in dims:
        columns = [cube.dims[name] for cube in cubes]
        values = tuple(dict.fromkeys(value for column in columns for value in column.values))
        places = {value: place for place, value in enumerate(values)}
        codes = []
        for column in columns:
            recoded = np.array([places[value] for value in column.values], dtype=np.int64)
            # Without values there are no rows either, and nothing to look the codes up in.
            codes.append(recoded[column.codes] if len(recoded) else column.codes)
        merged[name] = Coded(np.concatenate(codes), values)
    return Cube(days, merged, tallies)


def late_columns(metric: Metric, dims: Collection[str]) -> Mapping[str, str]:
    """The columns that a figure reads and that may become known after its day, each with the instant that tells.

    A metric that states when it matures is final by then.
    """
    if metric.matures:
        return {}
    at, _ = dated(metric)
    named = ((name, known_at(metric.table, name)) for name in metric.columns | set(dims))
    return {name: instant for name, instant in named if instant is not None and instant != at}


def read_late(
    conn: Connection,
    metric: Metric,
    dims: tuple[str, ...],
    days: tuple[date | None, date | None],
    as_of: datetime,
    settle: timedelta,
) -> Cube | None:
    """The corrections to a metric's cube, with the hour as one more dimension; None where nothing comes late.

    Args:
        conn: the warehouse.
        metric: read from facts: no rollup holds what becomes known late.
        dims: the dimensions of its cube.
        days: the rows' days [since, until).
        as_of: what becomes known from then on is not known at all.
        settle: what is known so soon after its row's instant is never late.
    """
    late = late_columns(metric, dims)
    if not late:
        return None
    ask, at = Ask(by=(*dims, HOUR), grain="day", since=days[0], until=days[1]), dated(metric)
    names = needed([metric], dims)
    facts = relation(metric.table, clock_of(conn, as_of).as_of, {*names, *late.values(), *at})
    rows = _Rows(facts, names, late, tuple(sorted(set(late.values()))))
    chosen = days_within(facts.c[at[1]], ask)
    parts = (part.where(chosen) for part in rows.versions(facts.c[at[0]], facts.c[at[1]], settle))
    return cube_of(conn, union_all(*parts).subquery("late"), [metric], ask)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Facts as known at an instant, the columns wanted of them, and which of these came late."""

    facts: Subquery
    names: frozenset[str]
    late: Mapping[str, str]
    instants: tuple[str, ...]

    def versions(self, at: ColumnElement[Any], day: ColumnElement[Any], settle: timedelta) -> Iterator[Select[Any]]:
        """For each instant its late rows as they were before it, with weight 1, and since it, with weight -1."""
        for place, instant in enumerate(self.instants):
            known = self.facts.c[instant]
            hour = func.floor(epoch(known) / 3600.0).cast(Integer).label(HOUR)
            for last, weight in ((place, 1), (place + 1, -1)):
                columns = [self._as_known(name, place, last) for name in sorted(self.names)]
                version = select(*columns, hour, day.label("on_day"), literal(weight).label("c"))
                yield version.where(micros(known) - micros(at) > settle // _MICROSECOND)

    def _as_known(self, name: str, place: int, last: int) -> ColumnElement[Any]:
        """A column without what became known after the instant at `place`; of equal ones, those before `last` stay."""
        own = self.facts.c[name]
        if name not in self.late:
            return own
        number = self.instants.index(self.late[name])
        this, known = self.facts.c[self.instants[place]], self.facts.c[self.late[name]]
        same = known == this if number >= last else false()
        before = literal("invited") if name.rpartition(".")[2] == "status" else null()
        return case((or_(known > this, same), before.cast(own.type)), else_=own).label(name)

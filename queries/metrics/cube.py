"""Tallies by day and slice, read in one query and added up in memory: what hundreds of rules share in one tick."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Subquery, select

from config.errors import EarshotError
from config.models import Metric
from queries.engine import fetch_arrow
from queries.metrics.query_plan import Ask, clock_of, grouped, keyed, needed, sums, weighted
from queries.scope import Scope
from queries.statistics.estimates import Floats
from queries.warehouse import UNKNOWN

_EPOCH: Final = date(1970, 1, 1).toordinal()
_ROW: Final = ("n", "plus", "minus", "total", "squares")

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
    tallies: dict[str, Floats]

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
            raise EarshotError(f"{metric.name} is a quantile and cannot be added up; use a share beyond a limit")
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

"""Tallies by day and slice, read in one query and added up in memory: what hundreds of rules share in one tick."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from config.catalog import Metric
from config.errors import EarshotError
from queries.engine import fetch_arrow
from queries.readings import Ask, Clock, Reading, clock_of, grouped, keyed, needed, sums, weighted
from queries.schema import UNKNOWN
from queries.scope import Scope
from queries.statistics import Floats

_EPOCH: Final = date(1970, 1, 1).toordinal()
_ROW: Final = ("n", "plus", "minus", "total", "squares")

Objects = NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Cube:
    """Tallies by day and dimensions.

    Args:
        days: the ordinal of each row's date.
        slices: for each dimension the value in each row; missing is "unknown".
        tallies: for each metric an array of shape (rows, 5) in the order of `Tally`.
    """

    days: NDArray[np.int64]
    slices: dict[str, Objects]
    tallies: dict[str, Floats]


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
    return _joined([_read(conn, reading, own, ask, scope, clock) for reading, own in groups.items()], dims)


def _read(conn: Connection, reading: Reading, metrics: list[Metric], ask: Ask, scope: Scope, clock: Clock) -> Cube:
    rows = weighted(reading, needed(metrics, ask.by), ask, scope, clock)
    _, keys = keyed(rows, ask)
    parts = [part.label(f"m{i}_{name}") for i, m in enumerate(metrics) for name, part in sums(rows, m).items()]
    table = fetch_arrow(conn, select(*keys, *parts).group_by(*keys))
    slices = {name: _objects(table[f"by_{i}"]) for i, name in enumerate(ask.by)}
    return Cube(_ordinals(table["period"]), slices, {m.name: _matrix(table, f"m{i}_") for i, m in enumerate(metrics)})


def _ordinals(days: Any) -> NDArray[np.int64]:
    if len(days) == 0:
        return np.zeros(0, dtype=np.int64)
    found: NDArray[np.int64] = days.cast("date32").cast("int32").to_numpy().astype(np.int64) + _EPOCH
    return found


def _objects(found: Any) -> Objects:
    column = np.empty(len(found), dtype=object)
    column[:] = [UNKNOWN if value is None else value for value in found.to_pylist()]
    return column


def _matrix(table: Any, prefix: str) -> Floats:
    matrix = np.zeros((table.num_rows, len(_ROW)))
    for place, name in enumerate(_ROW):
        if prefix + name in table.column_names and table.num_rows:
            matrix[:, place] = table[prefix + name].to_numpy()
    return matrix


def _joined(cubes: list[Cube], dims: tuple[str, ...]) -> Cube:
    """One cube over the union of the days and slices of several."""
    if len(cubes) == 1:
        return cubes[0]
    places: dict[tuple[Any, ...], int] = {}
    rows = [[places.setdefault(key, len(places)) for key in _keys(cube, dims)] for cube in cubes]
    pairs = zip(cubes, rows, strict=True)
    tallies = {name: _wide(m, where, len(places)) for cube, where in pairs for name, m in cube.tallies.items()}
    slices = {name: _column(places, i + 1) for i, name in enumerate(dims)}
    return Cube(np.array([key[0] for key in places], dtype=np.int64), slices, tallies)


def _keys(cube: Cube, dims: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    return zip(cube.days.tolist(), *(cube.slices[name] for name in dims), strict=True)


def _column(places: dict[tuple[Any, ...], int], at: int) -> Objects:
    column = np.empty(len(places), dtype=object)
    column[:] = [key[at] for key in places]
    return column


def _wide(matrix: Floats, where: list[int], size: int) -> Floats:
    wide = np.zeros((size, len(_ROW)))
    wide[where] = matrix
    return wide

"""What the rules of one tick read: one grouped query for all that share a rollup, added up once for those alike."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from sqlalchemy import Connection

from queries.metrics import Cube, MetricSource, clock_of, plan, read_cube, read_late
from queries.warehouse import EVERYTHING
from triggers.rules import Cadence, CubeRequest, History, Slice, slice_history, slices_of, with_late

Key = tuple[str, tuple[str, ...], bool]
"""A metric's name, the dimensions of its cube, and whether all of the past was wanted."""


@dataclass(frozen=True, slots=True)
class CountRequest:
    """A figure and the days [since, until) that are wanted of it; None is all of the past."""

    figure: CubeRequest
    since: date | None
    until: date | None


@dataclass(frozen=True, slots=True)
class SharedCounts:
    """The cubes that were read, by what they were read for, and the corrections of those that need some."""

    cubes: dict[Key, Cube]
    late: dict[Key, Cube]
    known: dict[object, History] = field(default_factory=dict)

    def history(self, figure: CubeRequest, slices: frozenset[Slice], cadence: Cadence, *, whole: bool) -> History:
        """The counts of a figure, of each window as known when it settled; `whole` whether all the past was wanted."""
        place = figure.metric.name, figure.dims, whole
        settle = cadence.settle if place in self.late else None
        key = (figure.metric.name, figure.by, figure.where, slices, whole, settle)
        if key not in self.known:
            self.known[key] = self._history(figure, slices, cadence, place)
        return self.known[key]

    def _history(self, figure: CubeRequest, slices: frozenset[Slice], cadence: Cadence, place: Key) -> History:
        name, by, where = figure.metric.name, figure.by, figure.where
        late = self.late.get(place)
        if late is None:
            return slice_history(self.cubes[place], name, by, where, slices)
        before = slices_of(late, by, where)
        counts = slice_history(self.cubes[place], name, by, where, slices.union(before))
        return with_late(counts, late, name, by, where, lambda day: int(cadence.as_of(day).timestamp()) // 3600)


def read_shared_counts(
    conn: Connection, wants: Iterable[CountRequest], now: datetime, settle: timedelta
) -> SharedCounts:
    """Read all that is wanted, as known at `now`; no window is read before `settle` has gone by since its end."""
    cubes, late = dict[Key, Cube](), dict[Key, Cube]()
    for group in _groups(conn, wants, now):
        dims = tuple(sorted({name for want in group for name in want.figure.dims}))
        # The days [since, until) that hold all that is wanted.
        since = min((want.since for want in group if want.since), default=None)
        days = since, max((want.until for want in group if want.until), default=None)
        cube = read_cube(conn, [want.figure.metric for want in group], dims, *days, EVERYTHING, now)
        for figure, whole in {(want.figure, want.since is None) for want in group}:
            key = figure.metric.name, figure.dims, whole
            cubes[key] = cube
            if found := read_late(conn, figure.metric, figure.dims, days, now, settle):
                late[key] = found
    return SharedCounts(cubes, late)


def _groups(conn: Connection, wants: Iterable[CountRequest], now: datetime) -> Iterable[list[CountRequest]]:
    """The wants that one query can serve; those of the whole past apart from those of a few windows."""
    clock, groups, plans = clock_of(conn, now), dict[object, list[CountRequest]](), dict[object, MetricSource]()
    for want in wants:
        figure = want.figure
        key = figure.metric.name, figure.dims
        if key not in plans:
            plans[key] = plan(figure.metric, figure.dims, EVERYTHING, clock)
        where = plans[key]
        groups.setdefault((where.table, where.at, where.rollup, want.since is None), []).append(want)
    return groups.values()

"""Rows that say more later than when they happened: what must be added to a cube for whoever looked earlier.

An answer is counted by its own day, but whether its journey reached its goal is known when that has ended. A cube read
today counts the answer as it is known today. `read_late` gives, for each hour in which something of a row became known,
what the row counted before less what it counts since.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

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

from config.models import Metric
from queries.metrics.cube import Cube, cube_of
from queries.metrics.query_plan import Ask, clock_of, dated, days_within, needed
from queries.sql_functions import epoch, micros
from queries.warehouse import LATE, relation

HOUR: Final = "known_hour"
"""The dimension of a late cube that says since when something is known: whole hours since 1970, UTC."""

_MICROSECOND: Final = timedelta(microseconds=1)


def late_columns(metric: Metric, dims: Collection[str]) -> Mapping[str, str]:
    """The columns that a figure reads and that may become known after its day, each with the instant that tells.

    A metric that states when it matures is final by then.
    """
    if metric.matures:
        return {}
    at, _ = dated(metric)
    named = ((name, _instant(metric.table, name)) for name in metric.columns | set(dims))
    return {name: instant for name, instant in named if instant is not None and instant != at}


def _instant(table: str, name: str) -> str | None:
    prefix, _, inner = name.rpartition(".")
    known = LATE.get("journey" if prefix == "journey" else table, {}).get(inner)
    return f"{prefix}.{known}" if known and prefix else known


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

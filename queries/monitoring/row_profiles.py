"""How a table's rows are spread over days: all that is needed to tell data that deceives from a change that is real.

A profile is read once, over the whole history; whoever judges a day ignores the days after it. Rows are dated by their
own event, never by when they came in, so a profile cut at a day says of the days before it what a later one says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    FromClause,
    String,
    Table,
    and_,
    case,
    func,
    literal,
    select,
    true,
)

from config import EarshotError
from config.models import Metric
from queries.engine import epoch, fetch_arrow, micros, naive, newest_value, whole
from queries.metrics import Ask, Cube, Ints, clock_of, cube_of, dated, day_ordinals, needed
from queries.warehouse import UNKNOWN, relation, tables

PROFILED: Final = ("response", "journey", "contact", "defect")
"""The tables that have a profile."""

AGES: Final = 120
"""Days from start to end that are told apart; longer journeys share the last place."""

YOUNG: Final = 18
"""Weeks of rows that it takes to tell every fault of a table; with fewer it is young."""

_HISTORY: Final = timedelta(days=5 * 365)
_LOOKED_AT: Final = 250_000
_SPARSEST: Final = 64
# Seconds: divides an hour, so that of rows dated to the hour or the day none is left out.
_EVEN: Final = 16
_SECOND: Final = 1_000_000
_QUARTER_HOUR: Final = 900 * _SECOND
_SLICES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "response": ("roll_invitation", ("touchpoint", "instrument")),
    "contact": ("roll_contact", ("channel", "touchpoint")),
    "defect": ("roll_defect", ("touchpoint",)),
    "journey": ("journey_fact", ("journey_type",)),
}
_EVENT: Final = {"response": "invited_at", "contact": "occurred_at", "defect": "occurred_at", "journey": "started_at"}
_PEOPLE: Final = ("vertical", "kind", "person.role", "account.tier", "instrument_version")


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Daily sums by cell.

    Args:
        columns: what a cell's values are of.
        cells: the values of each cell; missing is "unknown".
        counts: shape (days, cells) or (days, cells, measures), from the profile's first day on.
    """

    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    counts: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The rows of one table by day of their event. Equal only to itself, so that what is worked out of it can be kept.

    Args:
        table: its name.
        first: the day of the first place in every array.
        days: the length of every array; the last one is the day before the day of `as_of`.
        slices: rows by vertical and one further column each.
        sources: rows by source.
        people: of responses, by vertical, survey kind, role, tier and instrument version: those "invited" by day of
            invitation, those who "answered" by day of answer.
        surplus: by vertical, rows that equal an earlier one in everything a source says at the event but the id.
            Rows dated to a quarter of an hour or coarser are left out, for they may be equal by right.
        sampled: one in so many seconds was looked at for `surplus`, and one in 16 at most for `people`.
        ages: of journeys by vertical: (days, cells, AGES + 1), by days from start to end; the last place is "open".
        promises: of journeys by vertical and type, by day of start: n, sum and sum of squares of the days promised.
        transits: as `promises`, by day of end: n, sum and squares of the days it took, and how many were late.
    """

    table: str
    first: date
    days: int
    slices: tuple[Breakdown, ...]
    sources: Breakdown
    people: Mapping[str, Breakdown]
    surplus: Breakdown
    sampled: int = 1
    ages: Breakdown | None = None
    promises: Breakdown | None = None
    transits: Breakdown | None = None


@dataclass(frozen=True, slots=True)
class _Span:
    first: date
    days: int

    @property
    def until(self) -> date:
        return self.first + timedelta(days=self.days)

    def holds(self, day: ColumnElement[Any]) -> ColumnElement[bool]:
        return day.between(self.first, self.until - timedelta(days=1))


def read_profile(conn: Connection, table: str, as_of: datetime) -> Profile:
    """The profile of a table (a name in PROFILED) as known at `as_of` (aware, or naive UTC).

    Raises:
        EarshotError: the table has no profile.
    """
    if table not in PROFILED:
        raise EarshotError(f"{table!r} has no profile; {', '.join(PROFILED)} have one")
    rows = tables.warehouse.tables[table]
    today, day, step = clock_of(conn, as_of).day(), rows.c.day, _step(conn, rows)
    oldest = conn.execute(select(func.min(day)).where(day >= today - _HISTORY, day < today)).scalar()
    first = oldest if isinstance(oldest, date) else today
    span = _Span(first, (today - first).days)
    name, columns = _SLICES[table]
    sliced = tables.warehouse.tables[name]
    # A rollup has a row for many facts and says how many; a table of facts has one for each.
    weight = whole(func.sum(sliced.c.c)) if "c" in sliced.c else func.count()
    pairs = (("vertical", column) for column in columns)
    return Profile(
        table,
        span.first,
        span.days,
        slices=tuple(_grouped(conn, sliced, sliced.c.day, pair, (weight,), span) for pair in pairs),
        sources=_grouped(conn, rows, day, ("source",), (func.count(),), span),
        people=_people(conn, as_of, span, min(step, _EVEN)) if table == "response" else {},
        surplus=_surplus(conn, table, span, step),
        sampled=step,
        **(_of_journeys(conn, as_of, span) if table == "journey" else {}),
    )


def _step(conn: Connection, rows: Table) -> int:
    number = conn.execute(select(func.count()).select_from(rows)).scalar_one()
    step = 1
    # Powers of two, so that a table that grows keeps most of the seconds it was looked at by.
    while number > _LOOKED_AT * step and step < _SPARSEST:
        step *= 2
    return step


def _people(conn: Connection, as_of: datetime, span: _Span, step: int) -> dict[str, Breakdown]:
    """Tiers are those of today, so that a customer who is put into another one is no change of who is asked."""
    rows, history = tables.response, tables.account_history.c
    newest_tier = newest_value(history.tier, history.valid_from).label("tier")
    tiers = select(history.account_id, newest_tier).group_by(history.account_id).subquery("tiers")
    answered = case((rows.c.responded_at < (naive(as_of) or as_of), rows.c.responded_day)).label("responded_day")
    own = (rows.c.day, answered, rows.c.vertical, rows.c.kind, rows.c.instrument_version)
    whose = (tables.person.c.role.label("person.role"), tiers.c.tier.label("account.tier"))
    of_person = tables.person.c.person_id == rows.c.person_id
    joined = rows.outerjoin(tables.person, of_person).outerjoin(tiers, tiers.c.account_id == rows.c.account_id)
    query = select(*own, *whose).select_from(joined).where(_chosen(rows.c.invited_at, step), span.holds(rows.c.day))
    asked = query.subquery("asked")
    dated = {"invited": asked.c.day, "answered": asked.c.responded_day}
    return {name: _grouped(conn, asked, day, _PEOPLE, (func.count(),), span) for name, day in dated.items()}


def _surplus(conn: Connection, table: str, span: _Span, step: int) -> Breakdown:
    """Of each set of equal rows, those too many.

    What becomes known later is no part of it, so that it does not matter when the rows are looked at.
    """
    rows = tables.warehouse.tables[table]
    more = (func.count() - 1).label("more")
    query = select(rows.c.day, rows.c.vertical, more).where(span.holds(rows.c.day), *_tells(rows, step))
    same = query.group_by(*_said(rows)).having(func.count() > 1).subquery("same")
    return _grouped(conn, same, same.c.day, ("vertical",), (whole(func.sum(same.c.more)),), span)


def _tells(rows: Table, step: int) -> tuple[ColumnElement[bool], ...]:
    """The rows that are copies if another equals them: those that are dated finely."""
    at = rows.c[_EVENT[rows.name]]
    return micros(at) % _QUARTER_HOUR != 0, _chosen(at, step)


def _said(rows: Table) -> tuple[ColumnElement[Any], ...]:
    """What a source says of a row at its event, but for the id."""
    said = (c for c in rows.c if not (c.primary_key and c.name == "id") and not {"made", "known_at"} & c.info.keys())
    # The source and the day come first and may be among the others: engines refuse a key that is named twice.
    return tuple(dict.fromkeys([rows.c.source, rows.c.day, *(c for c in said if c.name != "recorded_at")]))


def read_copies(
    conn: Connection, metric: Metric, dims: tuple[str, ...], days: tuple[date, date], as_of: datetime
) -> Cube:
    """The cube (see `queries.metrics.cube`) of those rows alone that came twice: of each set of equal ones all but one.

    Args:
        conn: the warehouse.
        metric: over a table that has a profile.
        dims: the dimensions of the cube.
        days: of the rows' event, [since, until).
        as_of: nothing later is read.
    """
    rows, names, dated_by = tables.warehouse.tables[metric.table], needed([metric], dims), dated(metric)
    number = func.row_number().over(partition_by=_said(rows), order_by=rows.c.id).label("number")
    within = rows.c.day >= days[0], rows.c.day < days[1]
    numbered = select(rows.c.source, rows.c.id, number).where(*within, *_tells(rows, 1)).subquery("numbered")
    facts = relation(metric.table, as_of, {*names, *dated_by, "source", "id"})
    is_copy = and_(numbered.c.source == facts.c.source, numbered.c.id == facts.c.id, numbered.c.number > 1)
    day = facts.c[dated_by[1]].label("on_day")
    copies = select(*(facts.c[name] for name in sorted(names)), day, literal(1).label("c")).join(numbered, is_copy)
    known = copies.where(facts.c[dated_by[0]] < clock_of(conn, as_of).as_of)
    return cube_of(conn, known.subquery("copies"), [metric], Ask(by=dims, grain="day"))


def _chosen(at: ColumnElement[Any], step: int) -> ColumnElement[bool]:
    """One second in `step`: copies of a row share their second, so that sampling keeps or leaves them together."""
    return micros(at) % (step * _SECOND) < _SECOND if step > 1 else true()


def _of_journeys(conn: Connection, as_of: datetime, span: _Span) -> dict[str, Breakdown]:
    """What only journeys have: how long they took, what was promised, and whether that was kept."""
    rows = relation("journey", as_of, ["vertical", "day", "ended_day"])
    keys = (rows.c.day.label("day"), rows.c.ended_day.label("ended"), _text(rows, "vertical").label("k0"))
    found = select(*keys, func.count().label("m0")).where(span.holds(rows.c.day)).group_by(*keys)
    table = fetch_arrow(conn, found)
    days, ended = _places(table["day"], span), table["ended"].is_valid().to_numpy()
    took = np.zeros(len(days), dtype=np.int64)
    took[ended] = _places(table["ended"].drop_null(), span) - days[ended]
    age = np.where(ended, np.clip(took, 0, AGES - 1), AGES)
    code, cells = _cells(table, 1)
    counts = np.zeros((span.days, len(cells), AGES + 1))
    # Two groups may share a place, as all long journeys do: plain indexing would keep the last of them only.
    np.add.at(counts, (days, code, age), table["m0"].to_numpy())
    columns = ["vertical", "journey_type", "day", "ended_day", "started_at", "promised_at", "days", "kept"]
    rows = relation("journey", as_of, columns)
    c, promised = rows.c, (epoch(rows.c.promised_at) - epoch(rows.c.started_at)) / 86_400.0
    late = func.sum(case((c.kept.is_(False), 1.0), else_=0.0))
    judged = (*_moments(case((c.kept.is_not(None), c.days))), late)
    by = ("vertical", "journey_type")
    return {
        "ages": Breakdown(("vertical",), cells, counts),
        "promises": _grouped(conn, rows, c.day, by, _moments(promised), span),
        "transits": _grouped(conn, rows, c.ended_day, by, judged, span),
    }


def _moments(value: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...]:
    return func.count(value), func.coalesce(func.sum(value), 0.0), func.coalesce(func.sum(value * value), 0.0)


def _grouped(
    conn: Connection,
    rows: FromClause,
    day: ColumnElement[Any],
    columns: tuple[str, ...],
    sums: tuple[ColumnElement[Any], ...],
    span: _Span,
) -> Breakdown:
    """One grouped query: sums by day and columns."""
    if not span.days:
        return Breakdown(columns, (), np.zeros((0, 0, len(sums)) if len(sums) > 1 else (0, 0)))
    keys = (day.label("day"), *(_text(rows, name).label(f"k{i}") for i, name in enumerate(columns)))
    parts = [part.cast(Double).label(f"m{i}") for i, part in enumerate(sums)]
    table = fetch_arrow(conn, select(*keys, *parts).select_from(rows).where(span.holds(day)).group_by(*keys))
    code, cells = _cells(table, len(columns))
    measures = np.stack([table[f"m{i}"].to_numpy() for i in range(len(parts))], axis=1)
    counts = np.zeros((span.days, len(cells), len(parts)))
    np.add.at(counts, (_places(table["day"], span), code), measures)
    return Breakdown(columns, cells, counts[..., 0] if len(parts) == 1 else counts)


def _cells(table: Any, columns: int) -> tuple[NDArray[np.intp], tuple[tuple[str, ...], ...]]:
    """The cell of each row, and the values of every cell in order."""
    texts = [table[f"k{i}"].combine_chunks().dictionary_encode() for i in range(columns)]
    names = [np.array(text.dictionary.to_pylist(), dtype=object) for text in texts]
    order = [np.argsort(name) for name in names]
    ranks = [np.argsort(by)[text.indices.to_numpy()] for by, text in zip(order, texts, strict=True)]
    shape = tuple(max(len(name), 1) for name in names)
    found, code = np.unique(np.ravel_multi_index(tuple(ranks), shape), return_inverse=True)
    values = [n[o][at] for n, o, at in zip(names, order, np.unravel_index(found, shape), strict=True)]
    return code.astype(np.intp), tuple(zip(*(value.tolist() for value in values), strict=True))


def _text(rows: FromClause, name: str) -> ColumnElement[Any]:
    return func.coalesce(rows.c[name].cast(String), UNKNOWN)


def _places(column: Any, span: _Span) -> Ints:
    return day_ordinals(column) - span.first.toordinal()

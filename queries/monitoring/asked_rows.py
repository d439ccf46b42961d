"""Which rows an incident's figure was made of, and which of them count against it."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, String, Subquery, and_, func, literal, select, true

from config.models import Condition, Conditions, Metric
from queries.warehouse import COLUMNS, DAYS, Scope, matching, relation, tables, typed

PLACE: Final = ("journey_type", "touchpoint", "channel", "team", "product", "region")
"""Columns that say where a single row lies."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which rows make an incident's figure: those of a metric in [since, until), in a slice and meeting conditions.

    `by` holds the columns of the slice with the text of their value. A change is measured from the rows in [earlier[0],
    earlier[1]); where those are too few or no better, `held` is what the figure is beyond.
    """

    metric: Metric
    since: date
    until: date
    where: Conditions = ()
    by: tuple[tuple[str, str], ...] = ()
    earlier: tuple[date, date] | None = None
    held: float | None = None

    @property
    def fixed(self) -> frozenset[str]:
        """The columns that its slice and its conditions choose rows by."""
        return frozenset(name for name, _ in self.by) | {condition.column for condition in self.where}

    @property
    def conditions(self) -> Conditions:
        """Its conditions and its slice as one."""
        of_slice = (Condition(column=c, any_of=(typed(self.metric.table, c, value),)) for c, value in self.by)
        return *self.where, *of_slice


def asked(
    question: Question, scope: Scope, as_of: datetime, columns: set[str], window: tuple[date, date] | None = None
) -> tuple[Subquery, ColumnElement[bool]]:
    """The rows that a question is about, or of another `window`: a relation with these columns, and which are meant."""
    metric = question.metric
    day, (since, until) = day_of_row(metric), window or (question.since, question.until)
    # A reader without limits needs no column to be limited by, and each column of an account costs a join.
    limits = {"vertical", "touchpoint"} & COLUMNS[metric.table] if not scope.is_everything else set[str]()
    rows = relation(metric.table, as_of, frozenset({day, *columns, *metric.columns, *question.fixed, *limits}))
    within = and_(rows.c[day] >= since, rows.c[day] < until, scope.where(rows))
    # A slice holds text, whatever its column is; "unknown" is what the figure called a missing value.
    of_slice = (func.coalesce(rows.c[name].cast(String), tables.UNKNOWN) == value for name, value in question.by)
    return rows, and_(within, true(), *of_slice, matching(metric.where, rows), matching(question.where, rows))


def has_bad_rows(metric: Metric) -> bool:
    """Whether single rows of a metric are good or bad; those of a mean are more or less."""
    return metric.shape in {"share", "balance"}


def bad_row(metric: Metric, rows: Subquery) -> ColumnElement[bool]:
    """The rows that count against the limit."""
    if metric.good == "down":
        return matching(metric.count or metric.plus, rows)
    if metric.minus:
        return matching(metric.minus, rows)
    # A row whose value is not known does not count as good, and so counts against the figure: NULL is no TRUE.
    return func.coalesce(matching(metric.count, rows), literal(False)).is_(False)


@dataclass(frozen=True, slots=True)
class BadRow:
    """One row that counts against a figure: its key, whose it is, and what it says of where it lies."""

    day: date
    account: str
    id: str
    source: str
    place: tuple[str, ...]
    account_id: str


def newest_bad_rows(
    conn: Connection, question: Question, scope: Scope, as_of: datetime, most: int
) -> tuple[BadRow, ...]:
    """The newest rows that count against a figure, as far as they are in scope."""
    metric = question.metric
    if not has_bad_rows(metric):
        return ()
    place = [name for name in PLACE if name in COLUMNS[metric.table] - question.fixed]
    rows, chosen = asked(question, scope, as_of, {"source", "id", "account_id", *place})
    c, names, day = rows.c, tables.account.c, rows.c[day_of_row(metric)]
    account = func.coalesce(names.name, c.account_id)
    query = select(day, account, c.id, c.source, c.account_id, *(c[name] for name in place))
    query = query.select_from(rows.outerjoin(tables.account, names.account_id == c.account_id))
    newest = query.where(chosen, bad_row(metric, rows)).order_by(day.desc(), c.source, c.id).limit(most)
    return tuple(
        BadRow(row[0], row[1], row[2], row[3], tuple(str(part) for part in row[5:] if part is not None), row[4])
        for row in conn.execute(newest)
    )


def day_of_row(metric: Metric) -> str:
    """The column of the day that a metric dates a row by."""
    return DAYS[metric.table].get(metric.dated_by, metric.dated_by)

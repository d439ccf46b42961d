"""What a metric or an event rule may read: tables with derived columns, as they were known at an instant.

Rows whose event time is at or after `as_of` are absent; what became known later (an answer, an end, a resolution) is
null. Fact rows also offer the columns of their account and journey as `account.tier`, `journey.journey_type` and so on.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Date,
    DateTime,
    Double,
    FromClause,
    Integer,
    String,
    Subquery,
    and_,
    func,
    or_,
    select,
    true,
)

from config import EarshotError
from config.models import Condition, Scalar, out_of_reach
from queries.engine import naive
from queries.warehouse import tables
from queries.warehouse.relation_rows import BUILDERS, Columns, Rows, column_as_known
from queries.warehouse.tables import UNKNOWN

_OF_ACCOUNT: Final = ("vertical", "tier", "owner", "annual_revenue", "currency")
_OF_JOURNEY: Final = tuple(
    column.name for column in tables.journey_fact.c if column.name not in {"source", "id", "account_id"}
)

DAYS: Final[Mapping[str, Mapping[str, str]]] = {
    "contact": {"occurred_at": "day"},
    "response": {"invited_at": "day", "responded_at": "responded_day"},
    "defect": {"occurred_at": "day"},
    "journey": {"started_at": "day", "ended_at": "ended_day", "promised_at": "promised_day"},
    "wait": {"occurred_at": "day"},
    "issue": {"closed_at": "closed_day"},
    "inbound": {"occurred_at": "day"},
    "revenue": {"month": "month"},
}
"""The instants that can date a row of a relation, each with the column of its day in the reporting zone."""

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(DAYS, ("source", "id")),
    "issue": ("source", "id", "issue_code"),
    "revenue": ("source", "account_id", "month"),
}
"""The columns that tell the rows of a relation apart."""

LATE: Final[Mapping[str, Mapping[str, str]]] = {
    "contact": {"answered_at": "answered_at"},
    "response": {
        **{c.name: c.info["known_at"] for c in tables.response.c if "known_at" in c.info},
        "days_to_answer": "responded_at",
    },
    "defect": {"resolved_at": "resolved_at"},
    "journey": {
        **{c.name: c.info["known_at"] for c in tables.journey_fact.c if "known_at" in c.info},
        "reached_days": "ended_at",
        "kept_when_due": "promised_at",
    },
    "inbound": {"answered_at": "answered_at", "replied_at": "replied_at", "reply_hours": "replied_at"},
    "issue": dict.fromkeys(("next_in_at", "repeat_days", "resolved_first"), "next_in_at"),
}
"""The columns that become known after the row's event, each with the instant that makes it known."""


COUNTED_FROM: Final[Mapping[str, Mapping[str, str]]] = {
    "journey": {
        **dict.fromkeys(("defects", "defective"), "defect"),
        **dict.fromkeys(("contacts", "inbound", "channels", "multi_channel"), "contact"),
    },
}
"""The columns that count the rows of another table: where nobody ever filled that one, they are 0 and know nothing."""


def unfilled(conn: Connection, table: str, columns: Collection[str]) -> str | None:
    """The table that columns are counted from and that no source has filled; None where there is none."""
    names = {COUNTED_FROM.get(table, {}).get(column) for column in columns}
    asked = (tables.warehouse.tables[name] for name in sorted(filter(None, names)))
    return next((one.name for one in asked if conn.execute(select(one.c.source).limit(1)).first() is None), None)


def relation(name: str, as_of: datetime | None = None, needed: Collection[str] | None = None) -> Subquery:
    """The rows of a relation as known at `as_of` (aware, or naive UTC; None is everything).

    Args:
        name: a key of COLUMNS.
        as_of: the instant whose knowledge is read.
        needed: the columns wanted, so that no join is made for the others; None is all of them.

    Raises:
        EarshotError: no such relation or column.
    """
    if name not in BUILDERS:
        raise EarshotError(f"no table named {name!r}; the tables are {', '.join(sorted(BUILDERS))}")
    wanted = list(dict.fromkeys(needed)) if needed is not None else sorted(COLUMNS[name])
    rows = _attributes(BUILDERS[name](naive(as_of), wanted), naive(as_of), wanted)
    for column in wanted:
        if column not in rows.columns:
            raise EarshotError(f"{name} has no column {column!r}; its columns are {', '.join(sorted(COLUMNS[name]))}")
    return select(*(rows.columns[c].label(c) for c in wanted)).select_from(rows.source).where(rows.where).subquery(name)


def matching(conditions: Collection[Condition], table: FromClause) -> ColumnElement[bool]:
    """The rows of `table` that meet every condition. A missing dimension is the text "unknown"."""
    return and_(true(), *(_holds(table.c[condition.column], condition) for condition in conditions))


def typed(table: str, column: str, text: str) -> Scalar:
    """A value written on a command line, as the type of the column it is compared with. Raises EarshotError."""
    kind = relation(table, None, [column]).c[column].type
    if isinstance(kind, DateTime):
        raise EarshotError(f"{column} is a point in time and cannot be matched by value; use a day")
    reader = next((read for types, read in _READERS if isinstance(kind, types)), str)
    try:
        value = reader(text)
    except (ValueError, KeyError):
        raise EarshotError(f"{text!r} is not a valid value for {column}; use a {type(kind).__name__.lower()}") from None
    if wrong := out_of_reach(value):
        raise EarshotError(f"{column}={text}: {wrong}")
    return value


_READERS: Final[tuple[tuple[Any, Callable[[str], Scalar]], ...]] = (
    (Boolean, lambda text: {"true": True, "false": False}[text.lower()]),
    (Integer, int),
    (Double, float),
    (Date, date.fromisoformat),
)


def _holds(column: ColumnElement[Any], condition: Condition) -> ColumnElement[bool]:
    bounds = (
        (condition.at_least, column.__ge__),
        (condition.at_most, column.__le__),
        (condition.above, column.__gt__),
        (condition.below, column.__lt__),
    )
    parts = [compare(bound) for bound, compare in bounds if bound is not None]
    if condition.any_of is not None:
        fills = isinstance(column.type, String) and UNKNOWN in condition.any_of
        parts.append((func.coalesce(column, UNKNOWN) if fills else column).in_(condition.any_of))
    if condition.known is not None:
        parts.append(column.is_not(None) if condition.known else column.is_(None))
    return and_(*parts)


def _attributes(rows: Rows, as_of: datetime | None, wanted: Collection[str]) -> Rows:
    """Join the account's and the journey's columns that are wanted, and nothing else."""
    if "journey_id" in rows.columns and any(column.startswith("journey.") for column in wanted):
        fact = tables.journey_fact.alias("of_journey")
        same = and_(fact.c.source == rows.columns["source"], fact.c.id == rows.columns["journey_id"])
        attributes = {f"journey.{c}": column_as_known(fact, tables.journey_fact.c[c], as_of) for c in _OF_JOURNEY}
        rows = replace(rows, columns={**rows.columns, **attributes}, source=rows.source.outerjoin(fact, same))
    if "person.role" in wanted and "person_id" in rows.columns:
        person = tables.person.alias("of_person")
        same = person.c.person_id == rows.columns["person_id"]
        columns = {**rows.columns, "person.role": person.c.role}
        rows = replace(rows, columns=columns, source=rows.source.outerjoin(person, same))
    if any(column.startswith("account.") or column not in rows.columns for column in wanted):
        rows = _with_account(rows)
    return rows


def _with_account(rows: Rows) -> Rows:
    """The account as of the row's day. A table without a vertical of its own takes its account's."""
    # Validities that never overlap, whatever the sources say: each ends where the account's next one begins. Else a
    # row would count once for each period that covers its day.
    h = tables.account_history.c
    follows = func.lead(h.valid_from).over(partition_by=h.account_id, order_by=(h.valid_from, h.source))
    until = func.least(h.valid_to, follows).label("until")
    history = select(h.account_id, *(h[c] for c in _OF_ACCOUNT), h.valid_from, until).subquery("of_account")
    same = and_(
        history.c.account_id == rows.columns["account_id"],
        rows.day >= history.c.valid_from,
        or_(history.c.until.is_(None), rows.day < history.c.until),
    )
    attributes: Columns = {f"account.{c}": history.c[c] for c in _OF_ACCOUNT}
    columns = {"vertical": history.c.vertical, **rows.columns, **attributes}
    return replace(rows, columns=columns, source=rows.source.outerjoin(history, same))


def _offered(name: str) -> frozenset[str]:
    rows = BUILDERS[name](None, ("after_end",))
    return frozenset(_attributes(rows, None, ("account.tier", "journey.journey_type", "person.role")).columns)


COLUMNS: Final[Mapping[str, frozenset[str]]] = {name: _offered(name) for name in BUILDERS}
"""The columns of every relation."""

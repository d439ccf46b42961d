"""Severe cases: the rows of a relation that an event rule asks for, and when each could first be known to be one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Subquery, and_, or_, select, true

from config.models import CaseFields, Condition
from queries.engine import epoch, naive
from queries.warehouse import COLUMNS, KEYS, LATE, Scope, matching, relation

_LATE: Final[Mapping[str, Mapping[str, str]]] = {
    **LATE,
    "inbound": dict.fromkeys(("replied_at", "reply_hours"), "replied_at") | {"answered_at": "answered_at"},
    "issue": dict.fromkeys(("next_in_at", "repeat_days", "resolved_first"), "next_in_at"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One severe row. Instants are aware UTC.

    Args:
        key: `table=source/id`, the same for ever.
        at: when it happened.
        knowable_at: when it could first be known to be severe, the rule's settle included.
    """

    key: str
    account_id: str | None
    vertical: str | None
    touchpoint: str | None
    at: datetime
    knowable_at: datetime


def cases(
    conn: Connection, rule: CaseFields, scope: Scope, settle: timedelta, since: datetime | None, as_of: datetime
) -> tuple[Case, ...]:
    """The rows that were severe at some moment before `as_of`, oldest first.

    A condition on what a row has (`score = {at_most = 6}`) holds from when that became known. A condition on what it
    lacks (`replied_at = {known = false}`) is judged once, `settle` after the row's date: what came later is no excuse.

    Args:
        conn: the warehouse.
        rule: its table, date and conditions.
        scope: what may be read.
        settle: how long after its date a case is judged.
        since: the earliest date of a row, aware UTC; None is all of them.
        as_of: nothing that happened or became known later is read, aware UTC.
    """
    late = _LATE.get(rule.table, {})
    instants = (late[condition.column] for condition in rule.where if condition.column in late)
    segment = (name for name in ("account_id", "vertical", "touchpoint") if name in COLUMNS[rule.table])
    columns = (*KEYS[rule.table], rule.dated_by, *instants, *(condition.column for condition in rule.where), *segment)
    rows = relation(rule.table, as_of, tuple(dict.fromkeys(columns)))
    present = tuple(condition for condition in rule.where if not _is_absence(condition))
    absent = (_missing(rule, condition, rows, settle) for condition in rule.where if _is_absence(condition))
    severe = and_(true(), rows.c[rule.dated_by].is_not(None), matching(present, rows), *absent)
    query = select(rows).where(severe, scope.where(rows))
    if since is not None:
        query = query.where(rows.c[rule.dated_by] >= naive(since))
    severe_cases = (_case(rule, dict(row._mapping), settle) for row in conn.execute(query))  # noqa: SLF001
    # By when they could be known, not by when they happened: that is the order in which a rule may open them.
    return tuple(sorted((c for c in severe_cases if c.knowable_at <= as_of), key=lambda c: (c.knowable_at, c.key)))


def _is_absence(condition: Condition) -> bool:
    return condition.known is False


def _missing(rule: CaseFields, condition: Condition, rows: Subquery, settle: timedelta) -> ColumnElement[bool]:
    """What the row lacked `settle` after its date, whatever came later."""
    instant = _LATE.get(rule.table, {}).get(condition.column)
    if instant is None:
        return rows.c[condition.column].is_(None)
    # In seconds on either side: the engines disagree on what two time stamps differ by.
    waited = epoch(rows.c[instant]) - epoch(rows.c[rule.dated_by])
    return or_(rows.c[instant].is_(None), waited >= settle.total_seconds())


def _case(rule: CaseFields, row: Mapping[str, Any], settle: timedelta) -> Case:
    at = _instant(row[rule.dated_by])
    late = _LATE.get(rule.table, {})
    present = (late[c.column] for c in rule.where if c.column in late and not _is_absence(c))
    known_at = [_instant(row[name]) for name in present if row[name] is not None]
    key = "/".join(str(row[name]) for name in KEYS[rule.table])
    return Case(
        f"{rule.table}={key}",
        row.get("account_id"),
        row.get("vertical"),
        row.get("touchpoint"),
        at,
        max([at, *known_at]) + settle,
    )


def _instant(value: datetime | date) -> datetime:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else datetime.combine(value, time(), UTC)

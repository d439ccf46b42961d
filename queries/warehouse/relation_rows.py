"""The rows that each relation is made of: tables with their derived columns, as known at an instant."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Subquery,
    Table,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)

from queries.engine import day_of, epoch, whole
from queries.warehouse import tables

Columns = dict[str, ColumnElement[Any]]

_HIDDEN: Final = frozenset({"recorded_at", "first_loaded_at", "loaded_at", "vertical_filled"})

FIRST_CONTACT_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Rows:
    """A relation in the making: its columns, where they come from and which rows count.

    `journey` is the journey_fact alias its rows belong to, `day` the column that dates its account's attributes.
    """

    columns: Columns
    source: FromClause
    where: ColumnElement[bool]
    day: ColumnElement[Any]


Builder = Callable[[datetime | None, Collection[str]], Rows]


def _before(instant: ColumnElement[Any], as_of: datetime | None) -> ColumnElement[bool]:
    return true() if as_of is None else instant < as_of


def _as_known(table: FromClause, as_of: datetime | None) -> Columns:
    """The columns of a table; what became known at or after `as_of` reads as null, and an answer as an invitation."""
    return {c.name: column_as_known(table, c, as_of) for c in table.c if c.name not in _HIDDEN}


def column_as_known(table: FromClause, column: Any, as_of: datetime | None) -> ColumnElement[Any]:
    known_at: str | None = column.info.get("known_at")
    own: ColumnElement[Any] = table.c[column.name]
    if as_of is None or known_at is None:
        return own
    known = or_(table.c[known_at].is_(None), table.c[known_at] < as_of)
    return case((known, own), else_="invited") if column.name == "status" else case((known, own))


def _days_between(start: ColumnElement[Any], end: ColumnElement[Any]) -> ColumnElement[float]:
    return (epoch(end) - epoch(start)) / 86_400.0


def _hours_between(start: ColumnElement[Any], end: ColumnElement[Any]) -> ColumnElement[float]:
    return (epoch(end) - epoch(start)) / 3_600.0


def _fact(table: Table, event: str) -> Builder:
    def build(as_of: datetime | None, _wanted: Collection[str]) -> Rows:
        return Rows(_as_known(table, as_of), table, _before(table.c[event], as_of), table.c.day)

    return build


def _response(as_of: datetime | None, wanted: Collection[str]) -> Rows:
    """Responses; `days_to_answer` is the number of whole days between invitation and answer."""
    rows = _fact(tables.response, "invited_at")(as_of, wanted)
    days = func.floor(_days_between(rows.columns["invited_at"], rows.columns["responded_at"])).cast(Integer)
    return replace(rows, columns={**rows.columns, "days_to_answer": days})


def _journey(as_of: datetime | None, wanted: Collection[str]) -> Rows:
    """Journeys; `reached_days` is how long the goal took, `kept_when_due` whether it had ended when promised."""
    rows = _fact(tables.journey_fact, "started_at")(as_of, wanted)
    c = rows.columns
    took = _days_between(c["started_at"], c["ended_at"])
    due = and_(c["promised_at"].is_not(None), _before(c["promised_at"], as_of))
    in_time = func.coalesce(c["ended_at"] <= c["promised_at"], False)
    extra: Columns = {"reached_days": case((c["outcome"] == "reached", took)), "kept_when_due": case((due, in_time))}
    return replace(rows, columns={**c, **extra})


def _wait(as_of: datetime | None, _wanted: Collection[str]) -> Rows:
    """Gaps between consecutive contacts of a journey, dated by and segmented as the contact that ended the gap."""
    c = tables.contact.c
    key = (c.source, c.id, c.account_id, c.journey_id)
    own = (*key, c.touchpoint, c.channel, c.direction, c.team, c.emotion, c.occurred_at)
    before = {
        "since_at": c.occurred_at,
        "from_direction": c.direction,
        "from_touchpoint": c.touchpoint,
        "from_emotion": c.emotion,
    }
    lagged = [
        func.lag(column).over(partition_by=(c.source, c.journey_id), order_by=(c.occurred_at, c.id)).label(name)
        for name, column in before.items()
    ]
    chosen = select(*own, c.vertical, c.product, c.region, c.day, *lagged)
    gaps = chosen.where(c.journey_id.is_not(None), _before(c.occurred_at, as_of)).subquery("gap")
    columns: Columns = {c.name: c for c in gaps.c if c.name != "from_direction"}
    columns["waiting_on"] = case((gaps.c.from_direction == "in", "us"), else_="customer")
    columns["hours"] = _hours_between(gaps.c.since_at, gaps.c.occurred_at)
    columns["emotion_change"] = gaps.c.emotion - gaps.c.from_emotion
    return Rows(columns, gaps, gaps.c.since_at.is_not(None), gaps.c.day)


def _inbound(as_of: datetime | None, wanted: Collection[str]) -> Rows:
    """Inbound contacts and when they were replied to: `answered_at` or the journey's next outbound contact.

    `after_end` marks what came in after its journey had ended, to which nobody owes a reply.
    """
    table = tables.contact
    out_at = case((table.c.direction == "out", table.c.occurred_at))
    later = func.min(out_at).over(
        partition_by=(table.c.source, table.c.journey_id),
        order_by=(table.c.occurred_at, table.c.id),
        rows=(1, None),
    )
    known = [column.label(name) for name, column in _as_known(table, as_of).items()]
    following = select(*known, later.label("next_out_at"))
    timeline = following.where(_before(table.c.occurred_at, as_of)).subquery("reply")
    columns: Columns = {c.name: c for c in timeline.c if c.name != "next_out_at"}
    next_out = case((timeline.c.journey_id.is_not(None), timeline.c.next_out_at))
    columns["replied_at"] = func.least(timeline.c.answered_at, next_out)
    columns["reply_hours"] = _hours_between(timeline.c.occurred_at, columns["replied_at"])
    rows = Rows(columns, timeline, timeline.c.direction == "in", timeline.c.day)
    if "after_end" not in wanted:
        return rows
    ends = select(tables.journey_fact.c.source, tables.journey_fact.c.id, tables.journey_fact.c.ended_at).subquery()
    same = and_(ends.c.source == rows.columns["source"], ends.c.id == rows.columns["journey_id"])
    ended = func.coalesce(ends.c.ended_at <= rows.columns["occurred_at"], False)
    return replace(rows, columns={**rows.columns, "after_end": ended}, source=rows.source.outerjoin(ends, same))


def _issue(as_of: datetime | None, _wanted: Collection[str]) -> Rows:
    """Ended issues: the contacts of one journey about one issue code, and when the account next came back about it.

    `resolved_first` needs one inbound contact at most and no return within FIRST_CONTACT_DAYS.
    """
    line = _returns(as_of)
    columns: Columns = {c.name: c for c in line.c if c.name not in {"at", "closing"}}
    columns |= {"journey_id": line.c.id, "closed_at": line.c.at}
    columns["repeat_days"] = _days_between(line.c.at, line.c.next_in_at)
    stayed_away = or_(line.c.next_in_at.is_(None), columns["repeat_days"] > FIRST_CONTACT_DAYS)
    columns["resolved_first"] = and_(line.c.inbound <= 1, stayed_away)
    return Rows(columns, line, line.c.closing == 1, line.c.closed_day)


def _returns(as_of: datetime | None) -> Subquery:
    """Inbound contacts and closings of each account and issue code in one line of time, each with the next contact.

    A contact at the very instant of a closing stands before it: it is no return.
    """
    c, closings = tables.contact.c, _closings(as_of)
    arrivals = select(
        *(
            literal(None, column.type).label(column.name)
            for column in closings.selected_columns
            if column.name not in _LINE
        ),
        c.account_id,
        c.issue_code,
        c.occurred_at.label("at"),
        literal(0).label("closing"),
    ).where(c.direction == "in", c.issue_code.is_not(None), _before(c.occurred_at, as_of))
    line = union_all(closings, arrivals).subquery("line")
    following = func.min(case((line.c.closing == 0, line.c.at))).over(
        partition_by=(line.c.account_id, line.c.issue_code), order_by=(line.c.at, line.c.closing), rows=(1, None)
    )
    return select(*line.c, following.label("next_in_at")).subquery("issues")


_LINE: Final = ("account_id", "issue_code", "at", "closing")


def _closings(as_of: datetime | None) -> Select[Any]:
    """The ended journeys, one row for each issue code that their contacts were about."""
    c, j = tables.contact.c, tables.journey_fact.c
    key = (c.source, c.journey_id.label("id"), c.account_id, c.issue_code)
    inbound = whole(func.sum(case((c.direction == "in", 1), else_=0)))
    counts = (func.min(c.occurred_at).label("opened_at"), func.count().label("contacts"), inbound.label("inbound"))
    about = and_(c.issue_code.is_not(None), c.journey_id.is_not(None), _before(c.occurred_at, as_of))
    grouped = select(*key, *counts).where(about).group_by(c.source, c.journey_id, c.account_id, c.issue_code)
    runs = grouped.subquery("run")
    ended = and_(j.source == runs.c.source, j.id == runs.c.id, j.ended_at.is_not(None), _before(j.ended_at, as_of))
    own = (runs.c.source, runs.c.id, runs.c.opened_at, runs.c.contacts, runs.c.inbound)
    segment = (j.journey_type, j.vertical, j.product, j.region, j.ended_day.label("closed_day"))
    line = (runs.c.account_id, runs.c.issue_code, j.ended_at.label("at"), literal(1).label("closing"))
    return select(*own, *segment, *line).join_from(runs, tables.journey_fact, ended)


def _revenue(as_of: datetime | None, _wanted: Collection[str]) -> Rows:
    """Revenue of whole months: a month is known when it has ended, and its source has learnt of it."""
    table = tables.revenue
    done = true() if as_of is None else table.c.month < day_of(as_of, UTC).replace(day=1)
    learnt = or_(table.c.recorded_at.is_(None), _before(table.c.recorded_at, as_of))
    return Rows(_as_known(table, as_of), table, and_(done, learnt), table.c.month)


BUILDERS: Final[Mapping[str, Builder]] = {
    "contact": _fact(tables.contact, "occurred_at"),
    "response": _response,
    "defect": _fact(tables.defect, "occurred_at"),
    "journey": _journey,
    "wait": _wait,
    "issue": _issue,
    "inbound": _inbound,
    "revenue": _revenue,
}

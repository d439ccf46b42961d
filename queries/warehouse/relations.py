"""What a metric or an event rule may read: tables with derived columns, as they were known at an instant.

Rows whose event time is at or after `as_of` are absent; what became known later (an answer, an end, a resolution) is
null. Fact rows also offer the columns of their account and journey as `account.tier`, `journey.journey_type` and so on.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Double,
    FromClause,
    Integer,
    Select,
    String,
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

from config.errors import EarshotError
from config.models.values import Condition, Scalar
from queries.engine import epoch, whole
from queries.instants import naive
from queries.warehouse import tables
from queries.warehouse.tables import UNKNOWN

Columns = dict[str, ColumnElement[Any]]

_HIDDEN: Final = frozenset({"recorded_at", "first_loaded_at", "loaded_at", "vertical_filled"})
_OF_ACCOUNT: Final = ("vertical", "tier", "owner", "annual_revenue", "currency")
_OF_JOURNEY: Final = tuple(
    column.name for column in tables.journey_fact.c if column.name not in {"source", "id", "account_id"}
)

FIRST_CONTACT_DAYS: Final = 30

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


@dataclass(frozen=True, slots=True)
class _Rows:
    """A relation in the making: its columns, where they come from and which rows count.

    `journey` is the journey_fact alias its rows belong to, `day` the column that dates its account's attributes.
    """

    columns: Columns
    source: FromClause
    where: ColumnElement[bool]
    day: ColumnElement[Any]


_Builder = Callable[[datetime | None, Collection[str]], _Rows]


def relation(name: str, as_of: datetime | None = None, needed: Collection[str] | None = None) -> Subquery:
    """The rows of a relation as known at `as_of` (aware, or naive UTC; None is everything).

    Args:
        name: a key of COLUMNS.
        as_of: the instant whose knowledge is read.
        needed: the columns wanted, so that no join is made for the others; None is all of them.

    Raises:
        EarshotError: no such relation or column.
    """
    if name not in _BUILDERS:
        raise EarshotError(f"no table named {name!r}; the tables are {', '.join(sorted(_BUILDERS))}")
    wanted = list(dict.fromkeys(needed)) if needed is not None else sorted(COLUMNS[name])
    rows = _attributes(_BUILDERS[name](naive(as_of), wanted), naive(as_of), wanted)
    for column in wanted:
        if column not in rows.columns:
            raise EarshotError(f"{name} has no column {column!r}; it has {', '.join(sorted(COLUMNS[name]))}")
    return select(*(rows.columns[c].label(c) for c in wanted)).select_from(rows.source).where(rows.where).subquery(name)


def matching(conditions: Collection[Condition], table: FromClause) -> ColumnElement[bool]:
    """The rows of `table` that meet every condition. A missing dimension is the text "unknown"."""
    return and_(true(), *(_holds(table.c[condition.column], condition) for condition in conditions))


def typed(table: str, column: str, text: str) -> Scalar:
    """A value written on a command line, as the type of the column it is compared with. Raises EarshotError."""
    kind = relation(table, None, [column]).c[column].type
    if isinstance(kind, DateTime):
        raise EarshotError(f"{column} is an instant and cannot be asked for by value; use a day")
    reader = next((read for types, read in _READERS if isinstance(kind, types)), str)
    try:
        return reader(text)
    except (ValueError, KeyError):
        raise EarshotError(f"{text!r} is no value of {column}; write a {type(kind).__name__.lower()}") from None


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


_READERS: Final[tuple[tuple[Any, Callable[[str], Scalar]], ...]] = (
    (Boolean, _truth),
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
        parts.append(_known(column, condition.any_of).in_(condition.any_of))
    if condition.known is not None:
        parts.append(column.is_not(None) if condition.known else column.is_(None))
    return and_(*parts)


def _known(column: ColumnElement[Any], wanted: tuple[Scalar, ...]) -> ColumnElement[Any]:
    is_text = isinstance(column.type, String)
    return func.coalesce(column, UNKNOWN) if is_text and UNKNOWN in wanted else column


def _before(instant: ColumnElement[Any], as_of: datetime | None) -> ColumnElement[bool]:
    return true() if as_of is None else instant < as_of


def _as_known(table: FromClause, as_of: datetime | None) -> Columns:
    """The columns of a table; what became known at or after `as_of` reads as null, and an answer as an invitation."""
    return {c.name: _column_as_known(table, c, as_of) for c in table.c if c.name not in _HIDDEN}


def _column_as_known(table: FromClause, column: Any, as_of: datetime | None) -> ColumnElement[Any]:
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


def _fact(table: Table, event: str) -> _Builder:
    def build(as_of: datetime | None, _wanted: Collection[str]) -> _Rows:
        return _Rows(_as_known(table, as_of), table, _before(table.c[event], as_of), table.c.day)

    return build


def _response(as_of: datetime | None, wanted: Collection[str]) -> _Rows:
    """Responses; `days_to_answer` is the number of whole days between invitation and answer."""
    rows = _fact(tables.response, "invited_at")(as_of, wanted)
    days = func.floor(_days_between(rows.columns["invited_at"], rows.columns["responded_at"])).cast(Integer)
    return replace(rows, columns={**rows.columns, "days_to_answer": days})


def _journey(as_of: datetime | None, wanted: Collection[str]) -> _Rows:
    """Journeys; `reached_days` is how long the goal took, `kept_when_due` whether it had ended when promised."""
    rows = _fact(tables.journey_fact, "started_at")(as_of, wanted)
    c = rows.columns
    took = _days_between(c["started_at"], c["ended_at"])
    due = and_(c["promised_at"].is_not(None), _before(c["promised_at"], as_of))
    in_time = func.coalesce(c["ended_at"] <= c["promised_at"], False)
    extra: Columns = {"reached_days": case((c["outcome"] == "reached", took)), "kept_when_due": case((due, in_time))}
    return replace(rows, columns={**c, **extra})


def _wait(as_of: datetime | None, _wanted: Collection[str]) -> _Rows:
    """Gaps between consecutive contacts of a journey, dated by and segmented as the contact that ended the gap."""
    gaps = _gaps(as_of)
    columns: Columns = {c.name: c for c in gaps.c if c.name != "from_direction"}
    columns["waiting_on"] = case((gaps.c.from_direction == "in", "us"), else_="customer")
    columns["hours"] = _hours_between(gaps.c.since_at, gaps.c.occurred_at)
    columns["emotion_change"] = gaps.c.emotion - gaps.c.from_emotion
    return _Rows(columns, gaps, gaps.c.since_at.is_not(None), gaps.c.day)


def _gaps(as_of: datetime | None) -> Subquery:
    c = tables.contact.c
    key = (c.source, c.id, c.account_id, c.journey_id)
    own = (*key, c.touchpoint, c.channel, c.direction, c.team, c.emotion, c.occurred_at)
    before = {
        "since_at": c.occurred_at,
        "from_direction": c.direction,
        "from_touchpoint": c.touchpoint,
        "from_emotion": c.emotion,
    }
    lagged = [_previous(column).label(name) for name, column in before.items()]
    chosen = select(*own, c.vertical, c.product, c.region, c.day, *lagged)
    return chosen.where(c.journey_id.is_not(None), _before(c.occurred_at, as_of)).subquery("gap")


def _previous(column: ColumnElement[Any]) -> ColumnElement[Any]:
    c = tables.contact.c
    return func.lag(column).over(partition_by=(c.source, c.journey_id), order_by=(c.occurred_at, c.id))


def _inbound(as_of: datetime | None, wanted: Collection[str]) -> _Rows:
    """Inbound contacts and when they were replied to: `answered_at` or the journey's next outbound contact.

    `after_end` marks what came in after its journey had ended, to which nobody owes a reply.
    """
    timeline = _replies(as_of)
    columns: Columns = {c.name: c for c in timeline.c if c.name != "next_out_at"}
    next_out = case((timeline.c.journey_id.is_not(None), timeline.c.next_out_at))
    columns["replied_at"] = func.least(timeline.c.answered_at, next_out)
    columns["reply_hours"] = _hours_between(timeline.c.occurred_at, columns["replied_at"])
    rows = _Rows(columns, timeline, timeline.c.direction == "in", timeline.c.day)
    return _after_end(rows) if "after_end" in wanted else rows


def _replies(as_of: datetime | None) -> Subquery:
    table = tables.contact
    out_at = case((table.c.direction == "out", table.c.occurred_at))
    later = func.min(out_at).over(
        partition_by=(table.c.source, table.c.journey_id),
        order_by=(table.c.occurred_at, table.c.id),
        rows=(1, None),
    )
    known = [column.label(name) for name, column in _as_known(table, as_of).items()]
    return select(*known, later.label("next_out_at")).where(_before(table.c.occurred_at, as_of)).subquery("reply")


def _after_end(rows: _Rows) -> _Rows:
    ends = select(tables.journey_fact.c.source, tables.journey_fact.c.id, tables.journey_fact.c.ended_at).subquery()
    own = and_(ends.c.source == rows.columns["source"], ends.c.id == rows.columns["journey_id"])
    ended = func.coalesce(ends.c.ended_at <= rows.columns["occurred_at"], False)
    return replace(rows, columns={**rows.columns, "after_end": ended}, source=rows.source.outerjoin(ends, own))


def _issue(as_of: datetime | None, _wanted: Collection[str]) -> _Rows:
    """Ended issues: the contacts of one journey about one issue code, and when the account next came back about it.

    `resolved_first` needs one inbound contact at most and no return within FIRST_CONTACT_DAYS.
    """
    line = _returns(as_of)
    columns: Columns = {c.name: c for c in line.c if c.name not in {"at", "closing"}}
    columns |= {"journey_id": line.c.id, "closed_at": line.c.at}
    columns["repeat_days"] = _days_between(line.c.at, line.c.next_in_at)
    stayed_away = or_(line.c.next_in_at.is_(None), columns["repeat_days"] > FIRST_CONTACT_DAYS)
    columns["resolved_first"] = and_(line.c.inbound <= 1, stayed_away)
    return _Rows(columns, line, line.c.closing == 1, line.c.closed_day)


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
    runs, j = _runs(as_of), tables.journey_fact.c
    ended = and_(j.source == runs.c.source, j.id == runs.c.id, j.ended_at.is_not(None), _before(j.ended_at, as_of))
    own = (runs.c.source, runs.c.id, runs.c.opened_at, runs.c.contacts, runs.c.inbound)
    segment = (j.journey_type, j.vertical, j.product, j.region, j.ended_day.label("closed_day"))
    line = (runs.c.account_id, runs.c.issue_code, j.ended_at.label("at"), literal(1).label("closing"))
    return select(*own, *segment, *line).join_from(runs, tables.journey_fact, ended)


def _runs(as_of: datetime | None) -> Subquery:
    """The contacts of each journey about each issue code."""
    c = tables.contact.c
    key = (c.source, c.journey_id.label("id"), c.account_id, c.issue_code)
    inbound = whole(func.sum(case((c.direction == "in", 1), else_=0)))
    counts = (func.min(c.occurred_at).label("opened_at"), func.count().label("contacts"), inbound.label("inbound"))
    own = and_(c.issue_code.is_not(None), c.journey_id.is_not(None), _before(c.occurred_at, as_of))
    return select(*key, *counts).where(own).group_by(c.source, c.journey_id, c.account_id, c.issue_code).subquery("run")


def _revenue(as_of: datetime | None, _wanted: Collection[str]) -> _Rows:
    """Revenue of whole months: a month is known when it has ended."""
    table = tables.revenue
    done = true() if as_of is None else table.c.month < as_of.date().replace(day=1)
    return _Rows(_as_known(table, as_of), table, done, table.c.month)


_BUILDERS: Final[Mapping[str, _Builder]] = {
    "contact": _fact(tables.contact, "occurred_at"),
    "response": _response,
    "defect": _fact(tables.defect, "occurred_at"),
    "journey": _journey,
    "wait": _wait,
    "issue": _issue,
    "inbound": _inbound,
    "revenue": _revenue,
}


def _attributes(rows: _Rows, as_of: datetime | None, wanted: Collection[str]) -> _Rows:
    """Join the account's and the journey's columns that are wanted, and nothing else."""
    if any(column.startswith("journey.") for column in wanted):
        rows = _with_journey(rows, as_of)
    if "person.role" in wanted and "person_id" in rows.columns:
        rows = _with_person(rows)
    if any(column.startswith("account.") or column not in rows.columns for column in wanted):
        rows = _with_account(rows)
    return rows


def _with_person(rows: _Rows) -> _Rows:
    """The role of the human behind a row."""
    person = tables.person.alias("of_person")
    own = person.c.person_id == rows.columns["person_id"]
    columns = {**rows.columns, "person.role": person.c.role}
    return replace(rows, columns=columns, source=rows.source.outerjoin(person, own))


def _with_journey(rows: _Rows, as_of: datetime | None) -> _Rows:
    fact = tables.journey_fact.alias("of_journey")
    if "journey_id" not in rows.columns:
        return rows
    own = and_(fact.c.source == rows.columns["source"], fact.c.id == rows.columns["journey_id"])
    known = {f"journey.{c}": _column_as_known(fact, tables.journey_fact.c[c], as_of) for c in _OF_JOURNEY}
    return replace(rows, columns={**rows.columns, **known}, source=rows.source.outerjoin(fact, own))


def _with_account(rows: _Rows) -> _Rows:
    """The account as of the row's day. A table without a vertical of its own takes its account's."""
    history = _account_history()
    own = and_(
        history.c.account_id == rows.columns["account_id"],
        rows.day >= history.c.valid_from,
        or_(history.c.until.is_(None), rows.day < history.c.until),
    )
    known: Columns = {f"account.{c}": history.c[c] for c in _OF_ACCOUNT}
    columns = {"vertical": history.c.vertical, **rows.columns, **known}
    return replace(rows, columns=columns, source=rows.source.outerjoin(history, own))


def _account_history() -> Subquery:
    """Validities that never overlap, whatever the sources say: each ends where the account's next one begins."""
    h = tables.account_history.c
    follows = func.lead(h.valid_from).over(partition_by=h.account_id, order_by=(h.valid_from, h.source))
    until = func.least(h.valid_to, follows).label("until")
    return select(h.account_id, *(h[c] for c in _OF_ACCOUNT), h.valid_from, until).subquery("of_account")


def _offered(name: str) -> frozenset[str]:
    rows = _BUILDERS[name](None, ("after_end",))
    return frozenset(_attributes(rows, None, ("account.tier", "journey.journey_type", "person.role")).columns)


COLUMNS: Final[Mapping[str, frozenset[str]]] = {name: _offered(name) for name in _BUILDERS}
"""The columns of every relation."""

"""What people undertook: where, since when, whose it is, by when and what it should bring; in a review or elsewhere."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from math import inf, isfinite
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import ColumnElement, Connection, and_, select, true, update

from config import EarshotError
from queries.state.closed_reviews import refuse_closed
from queries.state.tables import action as table
from queries.state.tables import incident
from queries.warehouse import Scope

COMPANY: Final = "*"
"""The review of all verticals."""

DECIDED: Final = ("decided", "redecided")
"""The kinds of entry by which an incident's history tells what a review decided, and what it decided instead."""

_KEY: Final = (table.c.month, table.c.review, table.c.issue)
"""What a decision is about; in the order in which it is told."""


class ActionError(EarshotError):
    """An action that cannot be recorded."""


@dataclass(frozen=True, slots=True)
class Action:
    """One action. `started_on` splits before from after; `expected_effect` is in the metric's unit.

    `alarm_on` is the end of the window that raised the alarm it answers. Where a review decided it, `month`, `review`
    (its vertical, or COMPANY) and `issue` say which, and `seq` how often before. Its customer was told of it at
    `shared_at`, by `shared_by`; `function` is who in the company is responsible. Instants are naive UTC.
    """

    id: str
    what: str
    owner: str
    started_on: date
    recorded_at: datetime
    author: str
    incident_id: str | None = None
    vertical: str | None = None
    touchpoint: str | None = None
    metric: str | None = None
    due_on: date | None = None
    expected_effect: float | None = None
    done_at: datetime | None = None
    alarm_on: date | None = None
    month: date | None = None
    review: str | None = None
    issue: str | None = None
    seq: int | None = None
    shared_at: datetime | None = None
    shared_by: str | None = None
    function: str | None = None

    def says_the_same(self, other: "Action | NewAction") -> bool:
        """Whether both say the same: what, whose it is, by when, and what is expected of it."""
        names = ("what", "owner", "due_on", "expected_effect")
        return all(getattr(self, name) == getattr(other, name) for name in names)


@dataclass(frozen=True, slots=True)
class NewAction:
    """What somebody fills in to record an action; with its `issue` where the review of a month decides it."""

    what: str
    owner: str
    started_on: date
    due_on: date | None = None
    incident_id: str | None = None
    vertical: str | None = None
    touchpoint: str | None = None
    metric: str | None = None
    expected_effect: float | None = None
    month: date | None = None
    review: str | None = None
    issue: str | None = None
    function: str | None = None


def parse_effect(text: str) -> float | None:
    """An expected change in the metric's unit as it is typed: `-5%` is -0.05; None where nothing is.

    Raises:
        ActionError: it is no number.
    """
    plain = text.replace("\N{MINUS SIGN}", "-").replace(",", ".").replace(" ", "")
    if not plain:
        return None
    try:
        value = float(plain.removesuffix("%")) / (100 if plain.endswith("%") else 1)
    except ValueError:
        value = inf
    if not isfinite(value):
        raise ActionError("the expected change is no number; write one such as -0.05 or -5%")
    return value


def _in_scope(scope: Scope) -> ColumnElement[bool]:
    """The actions that a reader may see: those of incidents in scope, and what is undertaken inside the scope."""
    own: ColumnElement[bool] = true()
    for column, allowed in ((table.c.vertical, scope.verticals), (table.c.touchpoint, scope.touchpoints)):
        if allowed is not None:
            # What a review decided on an issue of no single vertical may name a place outside the reader's own.
            own &= (column.is_(None) & (table.c.issue.is_(None) | incident.c.id.is_not(None))) | column.in_(
                sorted(allowed)
            )
    # What answers an incident says what the incident is about, its account too: who may not read one reads neither.
    return and_(own, table.c.incident_id.is_(None) | scope.where(incident))


def read_actions(
    conn: Connection, scope: Scope, until: date | None = None, about: str | None = None
) -> tuple[Action, ...]:
    """The actions begun before `until` (all by default), newest first; of one incident where `about` is its id."""
    begun = table.c.started_on < until if until else true()
    return _read(conn, _in_scope(scope) & begun & (table.c.incident_id == about if about else true()))


def read_decisions(conn: Connection, scope: Scope, month: date, vertical: str | None) -> dict[str, Action]:
    """The decision in scope that holds for each issue of a review: the newest."""
    made = _read(conn, _in_scope(scope) & (table.c.month == month) & (table.c.review == (vertical or COMPANY)))
    return {action.issue: action for action in made if action.issue}


def read_standing(conn: Connection, scope: Scope, month: date) -> tuple[Action, ...]:
    """Decisions on no incident, of any review in scope up to that month's, that are not done: the newest first.

    On an issue that is still there, such as a goal missed ever since, one of them stands.
    """
    open_ = table.c.issue.is_not(None) & table.c.incident_id.is_(None) & table.c.done_at.is_(None)
    return _read(conn, _in_scope(scope) & open_ & (table.c.month <= month))


def _read(conn: Connection, chosen: ColumnElement[bool]) -> tuple[Action, ...]:
    """Actions, but for those in whose place a review put another decision."""
    later = table.alias("later")
    same = and_(*(later.c[column.name] == column for column in _KEY))
    query = select(table, incident.c.slot).outerjoin(incident, incident.c.id == table.c.incident_id)
    query = query.where(chosen, ~select(later.c.id).where(same, later.c.seq > table.c.seq).exists())
    query = query.order_by(table.c.started_on.desc(), table.c.id)
    names = [column.name for column in table.columns]
    return tuple(
        Action(**{name: row[table.c[name]] for name in names}, alarm_on=row[incident.c.slot])
        for row in conn.execute(query).mappings()
    )


def record_action(conn: Connection, new: NewAction, author: str, now: datetime) -> Action:
    """Record an action. The same one twice (a double click) is one.

    What a review decides is not overwritten: the newest holds. Where it says the same as before, that is returned.

    Raises:
        ActionError: it says nothing, nobody owns it, or it is due before it starts.
        ClosedReviewError: the review that decides it is closed.
    """
    what, owner = new.what.strip(), new.owner.strip()
    if not what or not owner:
        raise ActionError("an action needs a text and an owner; write what will be done and by whom")
    if new.due_on is not None and new.due_on < new.started_on:
        raise ActionError("the action is due before it starts; give a later due date")
    at = now.replace(tzinfo=None)
    key, seq = (new.month, new.review, new.issue), None
    if new.issue is not None:
        refuse_closed(conn, new.month, new.review)
        # Two people who decide at once get one number, and the second is refused by the key: nothing is lost unseen.
        held = _read(conn, and_(*(column == value for column, value in zip(_KEY, key, strict=True))))
        if held and held[0].says_the_same(replace(new, what=what, owner=owner)):
            return held[0]
        seq = 1 + (held[0].seq or 0 if held else 0)
    # Not the author and not the time: whoever presses twice, or two people who enter the minutes, mean one action.
    parts = (new.incident_id, new.vertical, new.touchpoint, new.metric, what, owner, new.started_on)
    name = "|".join(map(str, parts if seq is None else (*key, seq)))
    action = Action(
        str(uuid5(NAMESPACE_URL, f"earshot:action:{name}")),
        what,
        owner,
        new.started_on,
        at,
        author,
        new.incident_id,
        new.vertical,
        new.touchpoint,
        new.metric,
        new.due_on,
        new.expected_effect,
        month=new.month,
        review=new.review,
        issue=new.issue,
        seq=seq,
        function=new.function,
    )
    if conn.execute(select(table.c.id).where(table.c.id == action.id)).first() is None:
        conn.execute(table.insert().values({column.name: getattr(action, column.name) for column in table.columns}))
    return action


def finish_action(conn: Connection, action_id: str, now: datetime) -> bool:
    """Mark an action done. False where it was done already or does not exist."""
    at = now.replace(tzinfo=None)
    undone = update(table).where(table.c.id == action_id, table.c.done_at.is_(None))
    return conn.execute(undone.values(done_at=at)).rowcount == 1


def share_action(conn: Connection, action_id: str, author: str, now: datetime) -> bool:
    """Note that the customer was told of an action. False where that is noted already, or it does not exist."""
    at = now.replace(tzinfo=None)
    untold = update(table).where(table.c.id == action_id, table.c.shared_at.is_(None))
    return conn.execute(untold.values(shared_at=at, shared_by=author)).rowcount == 1

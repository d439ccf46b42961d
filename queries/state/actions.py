"""What people undertook against an issue: where, since when, whose it is and by when."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import ColumnElement, Connection, and_, select, true, update

from config import EarshotError
from queries.state.tables import action as table
from queries.state.tables import incident
from queries.warehouse import Scope


class ActionError(EarshotError):
    """An action that cannot be recorded."""


@dataclass(frozen=True, slots=True)
class Action:
    """One action. `started_on` splits before from after; `expected_effect` is in the metric's unit.

    `alarm_on` is the end of the window that raised the alarm it answers. Instants are naive UTC.
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


@dataclass(frozen=True, slots=True)
class NewAction:
    """What somebody fills in to record an action."""

    what: str
    owner: str
    started_on: date
    due_on: date | None = None
    incident_id: str | None = None
    vertical: str | None = None
    touchpoint: str | None = None
    metric: str | None = None
    expected_effect: float | None = None


def _in_scope(scope: Scope) -> ColumnElement[bool]:
    """The actions that a reader may see: those of incidents in scope, and what is undertaken inside the scope."""
    own: ColumnElement[bool] = true()
    for column, allowed in ((table.c.vertical, scope.verticals), (table.c.touchpoint, scope.touchpoints)):
        if allowed is not None:
            own &= column.is_(None) | column.in_(sorted(allowed))
    # What answers an incident says what the incident is about, its account too: who may not read one reads neither.
    return and_(own, table.c.incident_id.is_(None) | scope.where(incident))


def read_actions(
    conn: Connection, scope: Scope, until: date | None = None, about: str | None = None
) -> tuple[Action, ...]:
    """The actions begun before `until` (all by default), newest first; of one incident where `about` is its id."""
    query = select(table, incident.c.slot).outerjoin(incident, incident.c.id == table.c.incident_id)
    query = query.where(_in_scope(scope)).order_by(table.c.started_on.desc(), table.c.id)
    if until is not None:
        query = query.where(table.c.started_on < until)
    if about is not None:
        query = query.where(table.c.incident_id == about)
    names = [column.name for column in table.columns]
    return tuple(
        Action(**{name: row[table.c[name]] for name in names}, alarm_on=row[incident.c.slot])
        for row in conn.execute(query).mappings()
    )


def record_action(conn: Connection, new: NewAction, author: str, now: datetime) -> Action:
    """Record an action. The same one twice (a double click) is one.

    Raises:
        ActionError: it says nothing, nobody owns it, or it is due before it starts.
    """
    what, owner = new.what.strip(), new.owner.strip()
    if not what or not owner:
        raise ActionError("an action needs a text and an owner; write what will be done and by whom")
    if new.due_on is not None and new.due_on < new.started_on:
        raise ActionError("the action is due before it starts; give a later due date")
    at = now.replace(tzinfo=None)
    # Not the author and not the time: whoever presses twice, or two people who enter the minutes, mean one action.
    name = "|".join(map(str, (new.incident_id, new.vertical, new.touchpoint, new.metric, what, owner, new.started_on)))
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
    )
    if conn.execute(select(table.c.id).where(table.c.id == action.id)).first() is None:
        conn.execute(table.insert().values({column.name: getattr(action, column.name) for column in table.columns}))
    return action


def finish_action(conn: Connection, action_id: str, now: datetime) -> bool:
    """Mark an action done. False where it was done already or does not exist."""
    at = now.replace(tzinfo=None)
    undone = update(table).where(table.c.id == action_id, table.c.done_at.is_(None))
    return conn.execute(undone.values(done_at=at)).rowcount == 1

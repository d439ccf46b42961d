"""What people do about an incident: take it on, or declare it over."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from config.errors import EarshotError
from queries.incidents import Entry, Incident, annotate, incident
from queries.outbox import told
from queries.scope import Scope
from triggers.book import thread_messages


class OverError(EarshotError):
    """The incident is over: there is nothing to do about it."""


def acknowledge(conn: Connection, id_: str, author: str, scope: Scope, now: datetime) -> Incident:
    """Somebody takes an incident on: no further step of its ladder is taken. A second time changes nothing.

    Raises:
        UnknownIncidentError: there is none in scope.
        OverError: it is resolved or closed.
        RacedError: it changed meanwhile; try again.
    """
    found = _open(conn, id_, scope)
    if found.acknowledged_at:
        return found
    after = replace(found, version=found.version + 1, acknowledged_at=now, acknowledged_by=author, next_step_at=None)
    return _store(conn, after, Entry(id_, after.version, now, "acknowledged", "taken on", author), now)


def resolve(conn: Connection, id_: str, author: str, note: str, scope: Scope, now: datetime) -> Incident:
    """Somebody declares an incident over. Its rule stays quiet in that slice until the figure recovered.

    Raises:
        UnknownIncidentError: there is none in scope.
        OverError: it is over already.
        RacedError: it changed meanwhile; try again.
    """
    found = _open(conn, id_, scope)
    after = replace(found, version=found.version + 1, state="closed", resolved_at=now, next_step_at=None)
    return _store(conn, after, Entry(id_, after.version, now, "closed", note or "closed by hand", author), now)


def _open(conn: Connection, id_: str, scope: Scope) -> Incident:
    found = incident(conn, id_, scope)
    if not found.is_open:
        raise OverError(f"incident {id_} is {found.state} since {found.resolved_at:%Y-%m-%d %H:%M}: nothing to do")
    return found


def _store(conn: Connection, after: Incident, entry: Entry, now: datetime) -> Incident:
    messages = thread_messages(after, entry, now) if told(conn, (after.id,)) else ()
    return annotate(conn, after, entry, messages)

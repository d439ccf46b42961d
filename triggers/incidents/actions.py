"""What people do about an incident: take it on, put it off, hand it on, act on it, or declare it over."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from config import EarshotError
from config.models import Catalog
from queries.messages import notified_ids, refresh_message
from queries.metrics import day_words
from queries.review import Timetable
from queries.state import (
    COMPANY,
    DECIDED,
    Action,
    HistoryEntry,
    Incident,
    NewAction,
    annotate,
    finish_action,
    open_incidents,
    read_actions,
    read_incident,
    record_action,
)
from queries.warehouse import EVERYTHING, Scope
from triggers.incidents.escalation import resumed
from triggers.incidents.outgoing import thread_messages
from triggers.incidents.speakers import part_of, speaker_of


class OverError(EarshotError):
    """The incident is over: there is nothing to do about it."""


class TakenError(EarshotError):
    """Somebody has taken the incident on already."""


class NoReasonError(EarshotError):
    """An incident cannot be closed by hand without saying why."""


class PastError(EarshotError):
    """Somebody wants to hear of an incident again at a time that is gone."""


def acknowledge(
    conn: Connection, id_: str, author: str, scope: Scope, now: datetime, *, must_be_first: bool = False
) -> Incident:
    """Somebody takes an incident on: no further step of its ladder is taken. A second time changes nothing.

    Raises:
        UnknownIncidentError: there is none in scope.
        OverError: it is resolved or closed.
        TakenError: somebody has it, and whoever asks `must_be_first`.
        RacedError: it changed meanwhile; try again.
    """
    found = _open(conn, id_, scope)
    if found.acknowledged_at:
        if must_be_first:
            who = found.acknowledged_by or "somebody"
            raise TakenError(f"{who} has already acknowledged this incident; reload the page")
        # A reaction, a retry and a second press mean the same as the first: Slack delivers some of them twice.
        return found
    taken = {"acknowledged_at": now, "acknowledged_by": author, "assigned_to": author, "snoozed_until": None}
    return _change(conn, found, "acknowledged", "escalation stops", author, now, next_step_at=None, **taken)


def snooze(
    conn: Connection, id_: str, until: datetime, words: str, author: str, scope: Scope, now: datetime
) -> Incident:
    """Somebody puts an incident off: it stays open, and nobody is told more of it before `until`.

    `words` say until when, in the reader's zone. When the time has come it is nobody's, and its ladder goes on.

    Raises:
        PastError: `until` is not after `now`.
        UnknownIncidentError, OverError, RacedError: as `acknowledge`.
    """
    if until <= now:
        raise PastError("that time has passed; choose a later one")
    found = _open(conn, id_, scope)
    if found.snoozed_until == until and found.assigned_to == author:
        return found
    return _change(conn, found, "snoozed", words, author, now, snoozed_until=until, assigned_to=author)


def reassign(  # noqa: PLR0913 - who, what, to whom, and by whose clock
    conn: Connection, id_: str, to: str, words: str, author: str, scope: Scope, now: datetime, *, table: Timetable
) -> Incident:
    """Somebody hands an incident on: it is nobody's until `to` takes it on, and its ladder goes on. Twice is once.

    Raises:
        UnknownIncidentError, OverError, RacedError: as `acknowledge`.
    """
    found = _open(conn, id_, scope)
    if found.assigned_to == to and not found.acknowledged_at:
        return found
    nobodys = {"acknowledged_at": None, "acknowledged_by": None, "snoozed_until": None}
    due = resumed(found, now, table)
    return _change(conn, found, "reassigned", words, author, now, assigned_to=to, next_step_at=due, **nobodys)


def resolve(
    conn: Connection, id_: str, author: str, note: str, scope: Scope, now: datetime, *, must_say_why: bool = False
) -> Incident:
    """Somebody declares an incident over. Its rule stays quiet in that slice until the figure recovered.

    Raises:
        NoReasonError: the note is blank, and whoever closes it `must_say_why`.
        UnknownIncidentError: there is none in scope.
        OverError: it is over already.
        RacedError: it changed meanwhile; try again.
    """
    if must_say_why and not note.strip():
        raise NoReasonError("closing an incident needs a reason; write what was found or done")
    found = _open(conn, id_, scope)
    over = {"state": "closed", "resolved_at": now, "next_step_at": None, "snoozed_until": None}
    return _change(conn, found, "closed", note.strip() or "closed by hand", author, now, **over)


def take_action(
    conn: Connection,
    new: NewAction,
    author: str,
    now: datetime,
    *,
    catalog: Catalog | None = None,
    zone: ZoneInfo | None = None,
) -> Action:
    """Somebody undertakes something, and the message of the incident that it answers shows it.

    What a review decides is also told in the incident's thread, once: what says the same as before is no news. Where
    another incident of the `catalog` speaks for it the thread is that one's; days are those of the `zone`.

    Raises:
        ActionError: as `record_action`.
        RacedError: the incident changed meanwhile; try again.
    """
    about = read_actions(conn, EVERYTHING, about=new.incident_id) if new.incident_id and new.issue else ()
    decided = [action for action in about if action.issue]
    made = record_action(conn, new, author, now)
    if made.incident_id and not made.issue:
        refresh_message(conn, made.incident_id, f"action {made.id}", now)
    elif made.incident_id:
        before = max(decided, key=lambda action: (action.recorded_at, action.id), default=None)
        if before is None or not before.says_the_same(made):
            found = read_incident(conn, made.incident_id, EVERYTHING)
            kind, words = DECIDED[before is not None], _decision_words(made, before)
            _change(conn, found, kind, words, author, now)
            if catalog and zone and found.is_open and not notified_ids(conn, (found.id,)):
                speaker = speaker_of(found, catalog, open_incidents(conn, EVERYTHING))
                if speaker is not None:
                    _change(conn, speaker, kind, f"{words}, on {part_of(found, catalog, zone)}", author, now)
    return made


def _decision_words(made: Action, before: Action | None) -> str:
    """Which review decided what, and in place of what."""
    whose = "" if made.review == COMPANY else f" of {made.review}"
    instead = f" in place of {_undertaken(before)}" if before else ""
    return f"in the review{whose} for {made.month:%B %Y}: {_undertaken(made)}{instead}"


def _undertaken(action: Action) -> str:
    due = f", due {day_words(action.due_on)}" if action.due_on else ""
    return f"“{action.what}” ({action.owner}{due})"


def complete_action(conn: Connection, action: Action, now: datetime) -> None:
    """Somebody has done what was undertaken."""
    if finish_action(conn, action.id, now) and action.incident_id:
        refresh_message(conn, action.incident_id, f"action {action.id} done", now)


def _open(conn: Connection, id_: str, scope: Scope) -> Incident:
    found = read_incident(conn, id_, scope)
    if not found.is_open:
        over = f"{found.resolved_at:%-d %B %Y at %H:%M} UTC"
        how = "recovered" if found.state == "resolved" else "was closed"
        raise OverError(f"incident {id_} {how} on {over}; there is nothing to do")
    return found


def _change(
    conn: Connection, found: Incident, kind: str, reason: str, author: str, now: datetime, **values: Any
) -> Incident:
    after = replace(found, version=found.version + 1, **values)
    entry = HistoryEntry(found.id, after.version, now, kind, reason, author)
    messages = thread_messages(after, entry, now) if notified_ids(conn, (after.id,)) else ()
    return annotate(conn, after, entry, messages)

"""What a person does to an incident on its page: take it on, or close it. It is recorded, and told in its thread."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from config.errors import EarshotError
from queries.messages.outbox import notified_ids
from queries.scope import Scope
from queries.state.incidents import HistoryEntry, Incident, annotate, incident
from triggers.incidents.ledger import thread_messages


class HandsError(EarshotError):
    """What somebody wanted to do cannot be done any more."""


def acknowledge(conn: Connection, id_: str, scope: Scope, author: str, now: datetime) -> Incident:
    """Take an incident on: its ladder goes no further.

    Raises:
        HandsError: it is over, or somebody has taken it on.
        RacedError: it changed in this moment.
    """
    found = _open(conn, id_, scope)
    if found.acknowledged_at is not None:
        raise HandsError(f"{found.acknowledged_by or 'somebody'} has taken this incident on already; reload the page")
    taken = {"acknowledged_at": now, "acknowledged_by": author, "assigned_to": author}
    taken |= {"next_step_at": None, "snoozed_until": None}
    return _changed(conn, found, taken, "acknowledged", "taken on", author, now)


def close(conn: Connection, id_: str, scope: Scope, author: str, reason: str, now: datetime) -> Incident:
    """Close an incident by hand, with a reason. The same breach opens no other until it has recovered.

    Raises:
        HandsError: it is over, or no reason is given.
        RacedError: it changed in this moment.
    """
    if not reason.strip():
        raise HandsError("closing an incident needs a reason; write what was found or done")
    found = _open(conn, id_, scope)
    over = {"state": "closed", "resolved_at": now, "next_step_at": None, "snoozed_until": None}
    return _changed(conn, found, over, "closed", reason.strip(), author, now)


def _open(conn: Connection, id_: str, scope: Scope) -> Incident:
    found = incident(conn, id_, scope)
    if not found.is_open:
        raise HandsError("this incident is over already; reload the page")
    return found


def _changed(
    conn: Connection, found: Incident, fields: Mapping[str, Any], kind: str, reason: str, author: str, now: datetime
) -> Incident:
    after = replace(found, version=found.version + 1, **fields)
    entry = HistoryEntry(found.id, after.version, now, kind, reason, author)
    is_told = found.id in notified_ids(conn, (found.id,))
    return annotate(conn, after, entry, thread_messages(after, entry, now) if is_told else ())

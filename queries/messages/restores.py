"""After a restore Slack knows more than the state: what was sent since the backup is looked for before it is sent."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid5

from sqlalchemy import Connection, func, insert, select, update

from queries.engine import aware, naive
from queries.messages.outbox import UNFINISHED, QueuedMessage, queue
from queries.state import NAMESPACE, heartbeat, incident, outbox, restored, slack_root

FOUND_AGAIN: Final = timedelta(days=1)
"""How long after a restore the ticks may still find again what the lost state knew."""

UNKNOWN: Final = timedelta(days=30)
"""How old a backup is taken to be that holds no instant at all."""


@dataclass(frozen=True, slots=True)
class Restore:
    """When the state was put back, and the last moment that the backup knows of. Aware UTC."""

    at: datetime
    since: datetime

    @property
    def until(self) -> datetime:
        """Incidents opened later than this were not known to the lost state."""
        return self.at + FOUND_AGAIN


def last_restore(conn: Connection) -> Restore | None:
    """The newest restore."""
    row = conn.execute(select(restored).order_by(restored.c.at.desc()).limit(1)).one_or_none()
    return Restore(aware(row.at), aware(row.since)) if row else None


def mark_restored(conn: Connection, now: datetime, since: datetime | None = None) -> int:
    """Say that the state was put back from a backup; before anything runs on it. Returns how many messages wait.

    Everything unfinished is looked for in Slack before it is sent, and so is each message that a later tick queues of
    an incident from before the restore, because its id is the same as in the lost state. Root messages of open
    incidents are brought up to date, for they may show what the state does not know.
    """
    if since is None:
        # Processes note again and again that they run: the newest heartbeat is about when the copy was made.
        newest = (func.max(heartbeat.c.at), func.max(outbox.c.created_at), func.max(outbox.c.sent_at))
        instants = [instant for column in newest if (instant := conn.execute(select(column)).scalar_one())]
        last = max(instants, default=naive(now - UNKNOWN))
    else:
        last = naive(since)
    # A clock that was ahead when the backup was made must not hide what was sent since.
    conn.execute(insert(restored).values(at=naive(now), since=min(last, naive(now))))
    unsure = {"state": "unsure", "due_at": naive(now)}
    waiting = conn.execute(update(outbox).where(outbox.c.state.in_(UNFINISHED)).values(**unsure)).rowcount
    _show_again(conn, now)
    return waiting


def doubt(conn: Connection) -> int:
    """Have what was queued since the restore, and may have been sent before it, looked for first. Returns how many."""
    restore = last_restore(conn)
    if restore is None:
        return 0
    before = select(incident.c.id).where(incident.c.opened_at < naive(restore.until))
    fresh = (outbox.c.state == "pending") & (outbox.c.attempts == 0) & outbox.c.kind.in_(("root", "reply"))
    unsure = update(outbox).where(fresh, outbox.c.incident_id.in_(before)).values(state="unsure")
    return conn.execute(unsure).rowcount


def _show_again(conn: Connection, now: datetime) -> None:
    # Version 0: what is shown is not known, and any update is newer.
    conn.execute(update(slack_root).values(version=0))
    columns = (incident.c.id, slack_root.c.target, incident.c.episode, incident.c.version)
    posted = select(*columns).join_from(slack_root, incident, incident.c.id == slack_root.c.incident_id)
    for id_, target, episode, version in conn.execute(posted.where(incident.c.state == "open")).all():
        key = str(uuid5(NAMESPACE, json.dumps(["restored", id_, target, now.isoformat()])))
        place = (id_, episode, "update", version, target, None, "pending", version, 0)
        queue(conn, QueuedMessage(key, *place, now, now, None))

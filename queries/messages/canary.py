"""The daily canary: an incident about nothing, whose message shows that messages arrive."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from queries.engine import aware
from queries.state import CANARY, incident, incident_event, outbox

SEEN = "found"
"""The kind of entry that says that the canary's message was found in Slack."""


@dataclass(frozen=True, slots=True)
class Canary:
    """One day's. Instants are aware UTC.

    Args:
        incident_id: its incident.
        message: its outbox id.
        state: its message's.
        queued_at: when it was set out.
        found: whether its message was found in Slack.
        version: its incident's.
    """

    incident_id: str
    message: str
    state: str
    queued_at: datetime
    found: bool
    version: int


def newest_canary(conn: Connection) -> Canary | None:
    """The newest canary."""
    seen = select(incident_event.c.seq).where(incident_event.c.incident_id == incident.c.id)
    columns = (incident.c.id, outbox.c.id, outbox.c.state, outbox.c.created_at)
    query = select(*columns, seen.where(incident_event.c.kind == SEEN).exists(), incident.c.version)
    mine = query.join_from(incident, outbox, outbox.c.incident_id == incident.c.id)
    roots = mine.where(incident.c.rule == CANARY, outbox.c.kind == "root")
    row = conn.execute(roots.order_by(outbox.c.created_at.desc()).limit(1)).one_or_none()
    return Canary(row[0], row[1], row[2], aware(row[3]), bool(row[4]), row[5]) if row else None

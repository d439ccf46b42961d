"""What became of what was to be said of an incident. Who counts as notified is what Slack has, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, Select, and_, func, select

from queries.engine import aware
from queries.state import CHUNK, digest_part, outbox

NotificationState = Literal["notified", "pending", "refused", "superseded"]
_STATES: Final[dict[str, NotificationState]] = {"sent": "notified", "dead": "refused", "superseded": "superseded"}
_BEST: Final = ("notified", "pending", "refused", "superseded")


@dataclass(frozen=True, slots=True)
class Notification:
    """One message about an incident, or the digest that told it in its place.

    Args:
        kind: root or reply.
        version: the incident's version that it tells of.
        at: when it was sent, or is due; aware UTC.
        link: to the message in Slack; empty until it is there.
        error: why Slack refused it.
    """

    kind: str
    version: int
    state: NotificationState
    at: datetime
    link: str
    error: str
    is_digest: bool = False


def read_notifications(conn: Connection, incident: str) -> tuple[Notification, ...]:
    """The messages about one incident, in the order of its versions, the best of each version and kind first."""
    found = (_notification(row) for row in conn.execute(_told((incident,), ("root", "reply"))))
    return tuple(sorted(found, key=lambda one: (one.version, one.kind != "root", _BEST.index(one.state), one.at)))


def notified_states(conn: Connection, incidents: Sequence[str]) -> dict[str, NotificationState]:
    """What became of each incident's own message; what was never queued is absent."""
    states = dict[str, NotificationState]()
    for start in range(0, len(incidents), CHUNK):
        for row in conn.execute(_told(incidents[start : start + CHUNK], ("root",))):
            new = _notification(row).state
            states[row.incident_id] = min(new, states.get(row.incident_id, new), key=_BEST.index)
    return states


def _told(incidents: Sequence[str], kinds: Sequence[str]) -> Select[Any]:
    digest = outbox.alias("digest")
    inside = and_(digest.c.incident_id == digest_part.c.digest_id, digest.c.kind == "digest")
    joined = outbox.outerjoin(digest_part, digest_part.c.outbox_id == outbox.c.id).outerjoin(digest, inside)
    own = (outbox.c.incident_id, outbox.c.kind, outbox.c.version, digest.c.id.label("digest"))
    names = ("state", "due_at", "sent_at", "channel", "ts", "error")
    said = (func.coalesce(digest.c[name], outbox.c[name]).label(name) for name in names)
    return select(*own, *said).select_from(joined).where(outbox.c.incident_id.in_(incidents), outbox.c.kind.in_(kinds))


def _notification(row: Any) -> Notification:
    link = f"https://slack.com/app_redirect?channel={row.channel}&message_ts={row.ts}" if row.ts else ""
    state = _STATES.get(row.state, "pending")
    at = aware(row.sent_at or row.due_at)
    return Notification(row.kind, row.version, state, at, link, row.error or "", row.digest is not None)

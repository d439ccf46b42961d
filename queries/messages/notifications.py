"""What became of what was to be said of an incident. Who counts as notified is what Slack has, and nothing else."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal
from uuid import uuid5

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select, update

from queries.engine import aware
from queries.messages.outbox import QueuedMessage, queue
from queries.state import CHUNK, NAMESPACE, digest_part, incident, outbox, slack_root

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


def refresh_measured(conn: Connection, slots: Mapping[str, date], now: datetime) -> None:
    """Have the messages of open incidents show the figures of their rules' newest slots, once for each slot."""
    mine = (incident.c.state == "open") & incident.c.rule.in_(sorted(slots))
    _refresh(conn, mine, lambda rule: slots[rule].isoformat(), now)


def refresh_message(conn: Connection, incident_id: str, change: str, now: datetime) -> None:
    """Have an incident's message show what is no part of its history, once for each change."""
    _refresh(conn, incident.c.id == incident_id, lambda _: change, now)


def _refresh(conn: Connection, mine: ColumnElement[bool], change: Callable[[str], str], now: datetime) -> None:
    posted = incident.join(slack_root, slack_root.c.incident_id == incident.c.id)
    columns = (incident.c.rule, incident.c.episode, incident.c.version, slack_root.c.target, slack_root.c.incident_id)
    for row in conn.execute(select(*columns).select_from(posted).where(mine)).all():
        key = json.dumps(["measured", row.incident_id, row.target, change(row.rule)])
        place = (row.incident_id, row.episode, "update", row.version, row.target, None, "pending", row.version)
        if queue(conn, QueuedMessage(str(uuid5(NAMESPACE, key)), *place, 0, now, now, None)):
            here = (slack_root.c.incident_id == row.incident_id) & (slack_root.c.target == row.target)
            # It shows this version, and less than it could.
            shown = update(slack_root).where(here, slack_root.c.version >= row.version)
            conn.execute(shown.values(version=row.version - 1))


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

"""What people did in Slack: kept before Slack is told that it arrived, so that none is lost, and done once.

pending -> done, or given_up after too many failures. Whoever does one takes it inside the transaction that writes what
it means: after a crash it is pending again, and of two processes one finds it taken.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from queries.engine import aware, naive
from queries.state import inbound, outbox, slack_root

PENDING, DONE, GIVEN_UP = "pending", "done", "given_up"
MOST_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Arrived:
    """One press, submission or reaction. `id` is the same however often Slack sends it; `body` is its text (JSON)."""

    id: str
    kind: str
    body: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one: the incident it was about, who did it, and what was decided."""

    incident_id: str | None
    author: str | None
    outcome: str


def store(conn: Connection, arrived: Arrived) -> bool:
    """Keep what arrived. False where it is known already: Slack sends some things twice."""
    values = {name: getattr(arrived, name) for name in ("id", "kind", "body")}
    if conn.execute(select(inbound.c.id).where(inbound.c.id == arrived.id)).first() is not None:
        return False
    try:
        # A savepoint: on PostgreSQL a statement that fails would spoil the caller's whole transaction.
        with conn.begin_nested():
            row = {**values, "state": PENDING, "attempts": 0, "received_at": naive(arrived.received_at)}
            conn.execute(insert(inbound).values(row))
    except IntegrityError:
        return False
    return True


def pending(conn: Connection, limit: int = 100) -> tuple[Arrived, ...]:
    """What is still to be done, in the order in which it arrived."""
    waiting = (
        select(inbound).where(inbound.c.state == PENDING).order_by(inbound.c.received_at, inbound.c.id).limit(limit)
    )
    return tuple(Arrived(row.id, row.kind, row.body, aware(row.received_at)) for row in conn.execute(waiting))


def record_handled(conn: Connection, id_: str, done: Done, now: datetime) -> bool:
    """Write what becomes of one, in the transaction that does it. False where somebody else did it. Its text goes."""
    values: dict[str, Any] = {
        "state": DONE,
        # What was typed is in the incident's history by then: here it would be one more place to erase it from.
        "body": "",
        "done_at": naive(now),
        "incident_id": done.incident_id,
        "author": done.author,
        "outcome": done.outcome,
    }
    # Whoever finds it pending does it: a second process waits for the row, and then finds it done.
    guard = (inbound.c.id == id_) & (inbound.c.state == PENDING)
    return conn.execute(update(inbound).where(guard).values(values)).rowcount == 1


def failed(conn: Connection, id_: str, reason: str, now: datetime) -> bool:
    """Count a failure; whether it is given up now, so that it holds up nothing that came later."""
    mine = (inbound.c.id == id_) & (inbound.c.state == PENDING)
    conn.execute(update(inbound).where(mine).values(attempts=inbound.c.attempts + 1, outcome=reason))
    over = {"state": GIVEN_UP, "body": "", "done_at": naive(now)}
    return conn.execute(update(inbound).where(mine, inbound.c.attempts >= MOST_ATTEMPTS).values(over)).rowcount == 1


def waiting(conn: Connection) -> tuple[int, datetime | None]:
    """How many are to be done, and since when the oldest of them is."""
    count, oldest = conn.execute(
        select(func.count(), func.min(inbound.c.received_at)).where(inbound.c.state == PENDING)
    ).one()
    return count, aware(oldest) if oldest else None


def shown_at(conn: Connection, channel: str, ts: str) -> str | None:
    """The incident that the message at a place is about: its root, or a reply in its thread."""
    root = select(slack_root.c.incident_id).where(slack_root.c.channel == channel, slack_root.c.ts == ts)
    if (incident_id := conn.execute(root).scalar()) is not None:
        return str(incident_id)
    reply = select(outbox.c.incident_id).where(outbox.c.channel == channel, outbox.c.ts == ts)
    incident_id = conn.execute(reply.limit(1)).scalar()
    return str(incident_id) if incident_id is not None else None


def places(conn: Connection, incident: str) -> tuple[tuple[str, str], ...]:
    """Channel and ts of every root message of an incident."""
    found = select(slack_root.c.channel, slack_root.c.ts).where(slack_root.c.incident_id == incident)
    return tuple((row.channel, row.ts) for row in conn.execute(found.order_by(slack_root.c.target)))

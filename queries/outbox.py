"""Messages that are owed: who may send which next, what is known of each attempt, and each incident's root message.

pending -> claimed -> sent, superseded or dead; back to pending when it was certainly not sent, to unsure when it may
have been. A claim that is older than the quiet period belongs to a process that died: it is unsure too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, case, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from queries.incidents import CHUNK, aware, naive
from queries.state import heartbeat, lease, outbox, slack_root

Outcome = Literal["sent", "superseded", "dead", "pending", "unsure"]
UNFINISHED: Final = ("pending", "claimed", "unsure")
KINDS: Final = {"root": 0, "reply": 1, "update": 2}
"""In the order in which the messages of one version are sent."""


@dataclass(frozen=True, slots=True)
class Owed:
    """One message to one place. Instants are aware UTC.

    Args:
        kind: root (the incident's message), reply (in its thread) or update (the root shows its present state).
        version: the incident's version that it tells of.
        attempts: claims so far; the newest claim alone may record an outcome.
        due_at: no attempt before; for a claim, when it is given up for dead.
    """

    id: str
    incident_id: str
    episode: int
    kind: str
    step: int
    target: str
    channel: str | None
    state: str
    version: int
    attempts: int
    due_at: datetime
    created_at: datetime
    error: str | None

    @property
    def may_be_sent_already(self) -> bool:
        """Whether an earlier attempt can have reached Slack: then one looks there before posting."""
        return self.state in ("claimed", "unsure")


@dataclass(frozen=True, slots=True)
class Root:
    """An incident's root message: where it stands, its version when it was posted, and the one it shows."""

    incident_id: str
    target: str
    channel: str
    ts: str
    posted_version: int
    version: int


_RANK: Final = case(KINDS, value=outbox.c.kind, else_=9)
_OWED: Final = [outbox.c[name] for name in Owed.__dataclass_fields__]


def owed(conn: Connection) -> tuple[Owed, ...]:
    """Every message that is not finished, oldest first."""
    found = select(*_OWED).where(outbox.c.state.in_(UNFINISHED))
    return tuple(_read(row) for row in conn.execute(found.order_by(outbox.c.created_at, outbox.c.version, _RANK)))


def dead(conn: Connection) -> tuple[Owed, ...]:
    """Messages that Slack will never take, newest first."""
    found = select(*_OWED).where(outbox.c.state == "dead").order_by(outbox.c.created_at.desc())
    return tuple(_read(row) for row in conn.execute(found))


def told(conn: Connection, incidents: Sequence[str]) -> frozenset[str]:
    """Those of `incidents` whose root message was queued."""
    found: set[str] = set()
    for start in range(0, len(incidents), CHUNK):
        some = incidents[start : start + CHUNK]
        query = select(outbox.c.incident_id).where(outbox.c.kind == "root", outbox.c.incident_id.in_(some))
        found.update(conn.execute(query).scalars())
    return frozenset(found)


def sendable(conn: Connection, now: datetime, targets: Iterable[str], limit: int = 100) -> tuple[Owed, ...]:
    """Per incident and target the next message in order, where it is due: none overtakes another of its incident."""
    order = func.row_number().over(
        partition_by=(outbox.c.incident_id, outbox.c.target),
        order_by=(outbox.c.version, _RANK, outbox.c.created_at, outbox.c.id),
    )
    waiting = (
        select(*_OWED, order.label("place"))
        .where(outbox.c.state.in_(UNFINISHED), outbox.c.target.in_(sorted(targets)))
        .subquery()
    )
    first = select(*[waiting.c[name] for name in Owed.__dataclass_fields__]).where(
        waiting.c.place == 1, waiting.c.due_at <= naive(now)
    )
    found = conn.execute(first.order_by(waiting.c.due_at, waiting.c.created_at, waiting.c.id).limit(limit))
    return tuple(_read(row) for row in found)


def next_due(conn: Connection) -> datetime | None:
    """When the next unfinished message may be tried."""
    found = conn.execute(select(func.min(outbox.c.due_at)).where(outbox.c.state.in_(UNFINISHED))).scalar_one()
    return aware(found) if found else None


def claim(conn: Connection, message: Owed, channel: str, now: datetime, until: datetime) -> Owed | None:
    """Take a message for one attempt, given up for dead at `until`. None when another process was first.

    The caller commits before it sends: whatever happens then, the next process knows that there was an attempt.
    """
    taken = (
        update(outbox)
        .where(_as_seen(message))
        .values(
            state="claimed",
            attempts=message.attempts + 1,
            channel=message.channel or channel,
            attempted_at=naive(now),
            due_at=naive(until),
        )
    )
    if conn.execute(taken).rowcount != 1:
        return None
    return _read(conn.execute(select(*_OWED).where(outbox.c.id == message.id)).one())


def record(
    conn: Connection,
    message: Owed,
    outcome: Outcome,
    now: datetime,
    *,
    ts: str | None = None,
    error: str | None = None,
    due_at: datetime | None = None,
) -> bool:
    """Write what became of an attempt. False, and nothing written, when the claim was taken over meanwhile."""
    values: dict[str, Any] = {"state": outcome, "error": error, "due_at": naive(due_at or now)}
    if outcome == "sent":
        values |= {"sent_at": naive(now), "ts": ts}
    return bool(conn.execute(update(outbox).where(_as_seen(message)).values(**values)).rowcount == 1)


def _as_seen(message: Owed) -> ColumnElement[bool]:
    return (outbox.c.id == message.id) & (outbox.c.state == message.state) & (outbox.c.attempts == message.attempts)


def root(conn: Connection, incident: str, target: str) -> Root | None:
    """The root message of an incident at a target, once it was posted."""
    found = select(slack_root).where(slack_root.c.incident_id == incident, slack_root.c.target == target)
    row = conn.execute(found).one_or_none()
    return Root(*row) if row else None


def record_root(conn: Connection, posted: Root) -> None:
    """Remember where the root message stands."""
    if root(conn, posted.incident_id, posted.target) is None:
        values = {name: getattr(posted, name) for name in Root.__dataclass_fields__}
        conn.execute(insert(slack_root).values(**values))


def record_shown(conn: Connection, posted: Root, version: int) -> None:
    """Remember the version that the root message shows now; never an older one."""
    guard = (slack_root.c.incident_id == posted.incident_id) & (slack_root.c.target == posted.target)
    conn.execute(update(slack_root).where(guard, slack_root.c.version < version).values(version=version))


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to do one kind of work, until a time. Whoever takes it next gets a higher fence."""

    name: str
    holder: str
    fence: int
    until: datetime


def held(conn: Connection, name: str) -> Lease | None:
    """Who has, or had, the lease of that name."""
    row = conn.execute(select(lease).where(lease.c.name == name)).one_or_none()
    return Lease(row.name, row.holder, row.fence, aware(row.until)) if row else None


def take(conn: Connection, wanted: Lease, seen: Lease | None) -> bool:
    """Take a lease over from what was `seen` of it; False when somebody else was quicker."""
    values = {"holder": wanted.holder, "fence": wanted.fence, "until": naive(wanted.until)}
    if seen is None:
        try:
            conn.execute(insert(lease).values(name=wanted.name, **values))
        except IntegrityError:
            return False
        return True
    guard = (lease.c.name == seen.name) & (lease.c.fence == seen.fence)
    return bool(conn.execute(update(lease).where(guard).values(**values)).rowcount == 1)


def still_holds(conn: Connection, mine: Lease, until: datetime) -> bool:
    """Prolong a lease inside the transaction that it guards; False when it was taken over."""
    guard = (lease.c.fence == mine.fence) & (lease.c.name == mine.name) & (lease.c.holder == mine.holder)
    return bool(conn.execute(update(lease).where(guard).values(until=naive(until))).rowcount == 1)


def give_back(conn: Connection, mine: Lease, now: datetime) -> None:
    """Let the next process begin at once."""
    guard = (lease.c.name == mine.name) & (lease.c.fence == mine.fence)
    conn.execute(update(lease).where(guard).values(until=naive(now)))


def _read(row: Any) -> Owed:
    values = {**row._mapping}  # noqa: SLF001 - the documented name
    return Owed(**{**values, "due_at": aware(values["due_at"]), "created_at": aware(values["created_at"])})


def beat(conn: Connection, name: str, note: str, now: datetime) -> None:
    """Say that a process lives."""
    values = {"at": naive(now), "note": note}
    if conn.execute(update(heartbeat).where(heartbeat.c.name == name).values(**values)).rowcount == 0:
        conn.execute(insert(heartbeat).values(name=name, **values))

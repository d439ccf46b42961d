"""Messages that are owed: who may send which next, what is known of each attempt, and each incident's root message.

pending -> claimed -> sent, superseded or dead; back to pending when it was certainly not sent, to unsure when it may
have been. A claim that is older than the quiet period belongs to a process that died: it is unsure too.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import uuid5

from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, insert, select, update

from queries.engine import aware, naive
from queries.state import CHUNK, NAMESPACE, incident, outbox, slack_root

Outcome = Literal["sent", "superseded", "dead", "pending", "unsure"]
UNFINISHED: Final = ("pending", "claimed", "unsure")
IN_DOUBT: Final = ("claimed", "unsure")
KINDS: Final = {"root": 0, "digest": 0, "reply": 1, "update": 2}
"""In the order in which the messages of one version are sent."""

DIVERTED: Final = -1
"""The step of a message that goes to a fallback channel, because its own refused it."""


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """One message to one place. Instants are aware UTC.

    Args:
        kind: root (the incident's message), reply (in its thread), update (the root shows its present state), or digest
            (what goes beyond a channel's budget in one message; `incident_id` is then the digest's own id).
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
        return self.state in IN_DOUBT

    @property
    def must_be_looked_for(self) -> bool:
        """An update may be made twice; everything else must not."""
        return self.may_be_sent_already and self.kind != "update"


@dataclass(frozen=True, slots=True)
class DueMessage:
    """A message that may be tried now, and the channel that it goes to."""

    message: QueuedMessage
    channel: str


@dataclass(frozen=True, slots=True)
class PostedMessage:
    """An incident's root message: where it stands, its version when it was posted, and the one it shows."""

    incident_id: str
    target: str
    channel: str
    ts: str
    posted_version: int
    version: int


_RANK: Final = case(KINDS, value=outbox.c.kind, else_=9)
_OWED: Final = [outbox.c[name] for name in QueuedMessage.__dataclass_fields__]
_IN_ORDER: Final = (outbox.c.version, _RANK, outbox.c.created_at, outbox.c.id)


def unsent(conn: Connection) -> tuple[QueuedMessage, ...]:
    """Every message that is not finished, oldest first."""
    found = select(*_OWED).where(outbox.c.state.in_(UNFINISHED))
    return tuple(_read(row) for row in conn.execute(found.order_by(outbox.c.created_at, outbox.c.version, _RANK)))


def dead(conn: Connection) -> tuple[QueuedMessage, ...]:
    """Messages that Slack will never take, newest first."""
    found = select(*_OWED).where(outbox.c.state == "dead").order_by(outbox.c.created_at.desc())
    return tuple(_read(row) for row in conn.execute(found))


def waiting_and_dead(conn: Connection) -> tuple[int, int]:
    """How many messages are not finished, and how many Slack will never take."""
    told = select(outbox.c.state, func.count().label("number")).where(outbox.c.state.in_((*UNFINISHED, "dead")))
    numbers = {row.state: row.number for row in conn.execute(told.group_by(outbox.c.state))}
    return sum(number for state, number in numbers.items() if state != "dead"), numbers.get("dead", 0)


def notified_ids(conn: Connection, incidents: Sequence[str]) -> frozenset[str]:
    """Those of `incidents` whose root message was queued."""
    notified: set[str] = set()
    for start in range(0, len(incidents), CHUNK):
        some = incidents[start : start + CHUNK]
        query = select(outbox.c.incident_id).where(outbox.c.kind == "root", outbox.c.incident_id.in_(some))
        notified.update(conn.execute(query).scalars())
    return frozenset(notified)


def due_messages(
    conn: Connection, now: datetime, channels: Mapping[str, str], limit: int = 100
) -> tuple[DueMessage, ...]:
    """What may be tried now: `limit` messages to look for, and of those to send the first of each channel.

    None overtakes another of its incident. Digests go first, changes of old messages last; the worse before others.

    Args:
        conn: the state.
        now: aware UTC.
        channels: the present channel of each target; the messages of other targets wait.
        limit: messages to look for, a channel.
    """
    if not channels:
        return ()
    first = _first(channels)
    kind, is_sought = first.c.kind, case((_sought(first.c), 1), else_=0)
    order = ((kind != "digest"), (kind == "update"), first.c.severity, first.c.due_at, first.c.created_at, first.c.id)
    # Looking costs a channel nothing of its pace; sending takes a second each, so one message a channel is enough.
    turn = func.row_number().over(partition_by=(first.c.spot, is_sought), order_by=order).label("turn")
    ready = select(first, turn).where(first.c.place == 1, first.c.due_at <= naive(now)).subquery()
    mine = select(*[ready.c[name] for name in QueuedMessage.__dataclass_fields__], ready.c.spot)
    found = mine.where((ready.c.turn == 1) | (_sought(ready.c) & (ready.c.turn <= limit)))
    return tuple(
        DueMessage(_read(row[:-1]), row.spot) for row in conn.execute(found.order_by(ready.c.turn, ready.c.id))
    )


def _first(channels: Mapping[str, str]) -> Any:
    """Unfinished messages with their channel, their incident's severity and their place in its order."""
    place = func.row_number().over(partition_by=(outbox.c.incident_id, outbox.c.target), order_by=_IN_ORDER)
    # Where an attempt was made it is looked for and tried again, although the route may lead elsewhere by now; what
    # belongs in a thread goes to where the root stands.
    spot = func.coalesce(outbox.c.channel, slack_root.c.channel, case(dict(channels), value=outbox.c.target))
    # What is about no incident, such as a direct message, is not made to wait.
    severity = func.coalesce(incident.c.severity, 0)
    posted = and_(slack_root.c.incident_id == outbox.c.incident_id, slack_root.c.target == outbox.c.target)
    messages = outbox.outerjoin(slack_root, posted).outerjoin(incident, incident.c.id == outbox.c.incident_id)
    columns = (spot.label("spot"), severity.label("severity"), place.label("place"))
    unfinished = outbox.c.state.in_(UNFINISHED) & outbox.c.target.in_(sorted(channels))
    return select(*_OWED, *columns).select_from(messages).where(unfinished).subquery()


def _sought(columns: Any) -> ColumnElement[bool]:
    return and_(columns.state.in_(IN_DOUBT), columns.kind != "update")


def overflow(
    conn: Connection, now: datetime, targets: Mapping[str, str], room: tuple[int, int], limit: int
) -> list[str]:
    """The ids of messages that are due, certainly not sent, and for which a channel has no room: the least severe.

    Args:
        conn: the state, with the channel's gate locked.
        now: aware UTC.
        targets: the targets of one channel, with that channel.
        room: how many may go: any, and those of severity 1.
        limit: at most so many.
    """
    first = _first(targets)
    notifies = first.c.kind.in_(("root", "reply")) & (first.c.state == "pending") & (first.c.place == 1)
    order = (first.c.severity, first.c.due_at, first.c.created_at, first.c.id)
    rank = func.row_number().over(order_by=order).label("rank")
    ranked = select(first.c.id, first.c.severity, rank).where(notifies, first.c.due_at <= naive(now)).subquery()
    most = case((ranked.c.severity == 1, room[1]), else_=room[0])
    found = select(ranked.c.id).where(ranked.c.rank > most).order_by(ranked.c.rank.desc()).limit(limit)
    return list(conn.execute(found).scalars())


def due_incidents(conn: Connection, now: datetime, targets: Collection[str]) -> tuple[str, ...]:
    """The incidents with a message that may be sent now, and was certainly not sent before."""
    due = (outbox.c.state == "pending") & (outbox.c.due_at <= naive(now)) & outbox.c.target.in_(sorted(targets))
    return tuple(conn.execute(select(outbox.c.incident_id).where(due).distinct()).scalars())


def postpone(conn: Connection, incidents: Sequence[str], until: datetime) -> None:
    """Keep back what is owed of incidents, and was certainly not sent before, until a time."""
    for start in range(0, len(incidents), CHUNK):
        here = outbox.c.incident_id.in_(incidents[start : start + CHUNK]) & (outbox.c.state == "pending")
        later = update(outbox).where(here, outbox.c.due_at < naive(until))
        conn.execute(later.values(due_at=naive(until)))


def claim(
    conn: Connection, message: QueuedMessage, channel: str, now: datetime, until: datetime
) -> QueuedMessage | None:
    """Take a message for one attempt, given up for dead at `until`. None when another process was first.

    The caller commits before it sends: whatever happens then, the next process knows that there was an attempt.
    """
    values = {"state": "claimed", "attempts": message.attempts + 1, "channel": channel, "attempted_at": naive(now)}
    taken = update(outbox).where(_as_seen(message)).values(**values, due_at=naive(until))
    if conn.execute(taken).rowcount != 1:
        return None
    return _read(conn.execute(select(*_OWED).where(outbox.c.id == message.id)).one())


def record_outcome(
    conn: Connection,
    message: QueuedMessage,
    outcome: Outcome,
    now: datetime,
    *,
    ts: str | None = None,
    error: str | None = None,
    due_at: datetime | None = None,
) -> bool:
    """Write what became of an attempt. False, and nothing written, when the claim was taken over meanwhile."""
    # The guard below is the fence: a process that was frozen, and whose claim another took over, writes nothing.
    values: dict[str, Any] = {"state": outcome, "error": error, "due_at": naive(due_at or now)}
    if outcome == "sent":
        values |= {"sent_at": naive(now), "ts": ts}
    if outcome == "pending":
        # It is nowhere: the next attempt goes where the route leads by then.
        values |= {"channel": None}
    return bool(conn.execute(update(outbox).where(_as_seen(message)).values(**values)).rowcount == 1)


def _as_seen(message: QueuedMessage) -> ColumnElement[bool]:
    return and_(*(outbox.c[name] == getattr(message, name) for name in ("id", "state", "attempts", "version")))


def posted_message(conn: Connection, incident: str, target: str) -> PostedMessage | None:
    """The root message of an incident at a target, once it was posted."""
    found = select(slack_root).where(slack_root.c.incident_id == incident, slack_root.c.target == target)
    row = conn.execute(found).one_or_none()
    return PostedMessage(*row) if row else None


def queue(conn: Connection, message: QueuedMessage) -> bool:
    """Add a message; False where it is there already."""
    if conn.execute(select(outbox.c.id).where(outbox.c.id == message.id)).one_or_none():
        return False
    values = {name: getattr(message, name) for name in QueuedMessage.__dataclass_fields__}
    instants = {"due_at": naive(message.due_at), "created_at": naive(message.created_at)}
    conn.execute(insert(outbox).values(**{**values, **instants}))
    return True


def reroute(conn: Connection, message: QueuedMessage, target: str, now: datetime) -> None:
    """Queue the same message for another target, whose channel may take it."""
    id_ = str(uuid5(NAMESPACE, json.dumps(["diverted", message.id, target])))
    place = (message.incident_id, message.episode, message.kind, DIVERTED, target, None)
    queue(conn, QueuedMessage(id_, *place, "pending", message.version, 0, now, now, message.error))


def refusal(conn: Connection, incident_id: str, target: str) -> str | None:
    """Why Slack refused the incident's root message at a target for good; None where it did not."""
    here = (outbox.c.incident_id == incident_id) & (outbox.c.target == target) & (outbox.c.kind == "root")
    return conn.execute(select(outbox.c.error).where(here, outbox.c.state == "dead")).scalars().first()


def retry_dead(conn: Connection, now: datetime) -> int:
    """Try everything again that Slack refused, after what was wrong is put right. Returns how many messages."""
    again = {"state": "pending", "channel": None, "due_at": naive(now)}
    return conn.execute(update(outbox).where(outbox.c.state == "dead").values(**again)).rowcount


def repost(conn: Connection, posted: PostedMessage, now: datetime) -> None:
    """Somebody deleted the root message: queue it once more."""
    place = (slack_root.c.incident_id == posted.incident_id) & (slack_root.c.target == posted.target)
    # By its ts: of several that find it deleted one queues it again, and a root posted since stays.
    if conn.execute(delete(slack_root).where(place, slack_root.c.ts == posted.ts)).rowcount == 1:
        here = (outbox.c.incident_id == posted.incident_id) & (outbox.c.target == posted.target)
        sent = here & outbox.c.kind.in_(("root", "digest")) & (outbox.c.state == "sent")
        again = {"state": "pending", "channel": None, "due_at": naive(now)}
        conn.execute(update(outbox).where(sent).values(**again))


def refresh_message(conn: Connection, posted: PostedMessage, now: datetime) -> None:
    """Nobody knows which version the root message shows: have it brought up to date."""
    here = (slack_root.c.incident_id == posted.incident_id) & (slack_root.c.target == posted.target)
    conn.execute(update(slack_root).where(here).values(version=0))
    mine = (outbox.c.incident_id == posted.incident_id) & (outbox.c.target == posted.target)
    newest = select(func.max(outbox.c.version)).where(mine, outbox.c.kind == "update").scalar_subquery()
    # The newest alone: an older update would show an older version, and be followed by nothing.
    over = mine & (outbox.c.kind == "update") & (outbox.c.version == newest)
    again = {"state": "pending", "due_at": naive(now)}
    conn.execute(update(outbox).where(over, outbox.c.state.in_(("sent", "superseded"))).values(**again))


@dataclass(frozen=True, slots=True)
class PossibleDuplicate:
    """A message that was sent after more than one attempt: it may stand in Slack twice. `thread` holds replies."""

    id: str
    channel: str
    ts: str
    thread: str | None


def possible_duplicates(conn: Connection, since: datetime) -> tuple[PossibleDuplicate, ...]:
    """The messages sent since an instant that may stand in Slack twice."""
    posted = and_(slack_root.c.incident_id == outbox.c.incident_id, slack_root.c.target == outbox.c.target)
    thread = case((outbox.c.kind == "reply", slack_root.c.ts))
    # One attempt cannot have posted twice.
    twice = (outbox.c.state == "sent") & (outbox.c.attempts > 1) & (outbox.c.kind != "update")
    found = select(outbox.c.id, outbox.c.channel, outbox.c.ts, thread).select_from(outbox.outerjoin(slack_root, posted))
    rows = conn.execute(found.where(twice, outbox.c.sent_at >= naive(since)).order_by(outbox.c.sent_at.desc()))
    return tuple(PossibleDuplicate(*row) for row in rows)


def root_id(conn: Connection, incident_id: str, target: str) -> str | None:
    """The id under which an incident's root message was sent to a target."""
    here = (outbox.c.incident_id == incident_id) & (outbox.c.target == target) & (outbox.c.kind == "root")
    newest = select(outbox.c.id).where(here).order_by(outbox.c.sent_at.desc(), outbox.c.created_at.desc()).limit(1)
    return conn.execute(newest).scalar_one_or_none()


def where_sent(conn: Connection, id_: str) -> str | None:
    """The ts of a message that is recorded as sent."""
    found = select(outbox.c.ts).where(outbox.c.id == id_, outbox.c.state == "sent")
    return conn.execute(found).scalar_one_or_none()


def record_root(conn: Connection, posted: PostedMessage) -> None:
    """Remember where the root message stands."""
    if posted_message(conn, posted.incident_id, posted.target) is None:
        values = {name: getattr(posted, name) for name in PostedMessage.__dataclass_fields__}
        conn.execute(insert(slack_root).values(**values))


def record_shown(conn: Connection, posted: PostedMessage, version: int) -> None:
    """Remember the version that the root message shows now; never an older one."""
    guard = (slack_root.c.incident_id == posted.incident_id) & (slack_root.c.target == posted.target)
    conn.execute(update(slack_root).where(guard, slack_root.c.version < version).values(version=version))


def _read(row: Any) -> QueuedMessage:
    values = dict(zip(QueuedMessage.__dataclass_fields__, row, strict=True))
    return QueuedMessage(**{**values, "due_at": aware(values["due_at"]), "created_at": aware(values["created_at"])})

"""Digests: what goes beyond a channel's budget, told in one message. Who is in it is kept: nothing is dropped."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import uuid5

from sqlalchemy import Connection, func, insert, select, update

from queries.engine import aware, naive
from queries.messages.outbox import PostedMessage, QueuedMessage, queue
from queries.messages.rate_limits import HOUR
from queries.state import CHUNK, NAMESPACE, digest_part, entries, incident, incident_event, outbox, slack_root

OVERFLOW, STANDING, CASES = 0, 1, 2
"""What a digest is made of, as the step of its outbox row: what a channel had no room for; what stood already when its
rule was first looked at; the cases of a rule that has them told together."""

LINES: Final = 12
SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Group:
    """Incidents of one rule and severity in a digest: all, and those that are still open."""

    rule: str
    severity: int
    incidents: int
    open: int


@dataclass(frozen=True, slots=True)
class Worst:
    """One incident of a digest. `sample` is its newest reading, empty where it has none."""

    id: str
    rule: str
    severity: int
    vertical: str | None
    state: str
    slice: str
    account_id: str | None
    sample: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Digest:
    """What a digest tells now. `since` is aware UTC; `rules` counts the groups, also those beyond the listed.

    Args:
        version: grows with each message that it tells.
        escalated: incidents of which a step of the ladder was taken after the first.
        groups: by rule and severity, the worst first.
        worst: a few incidents, open ones first.
        about: OVERFLOW, STANDING or CASES.
        members: the ids of all its incidents, the worst and oldest first.
    """

    id: str
    version: int
    since: datetime
    incidents: int
    open: int
    escalated: int
    rules: int
    groups: tuple[Group, ...]
    worst: tuple[Worst, ...]
    about: int = OVERFLOW
    members: tuple[str, ...] = ()


def current(conn: Connection, targets: Sequence[str], now: datetime) -> tuple[str, str] | None:
    """The id and the target of the digest that a channel's targets have now: one an hour."""
    young = (outbox.c.kind == "digest") & (outbox.c.created_at > naive(now - HOUR)) & (outbox.c.state != "dead")
    young &= outbox.c.step == OVERFLOW
    found = select(outbox.c.incident_id, outbox.c.target).where(young, outbox.c.target.in_(sorted(targets)))
    row = conn.execute(found.order_by(outbox.c.created_at.desc()).limit(1)).one_or_none()
    return (row.incident_id, row.target) if row else None


@dataclass(frozen=True, slots=True)
class CaseDigest:
    """The newest digest of a rule's cases: when it was or will be due (aware UTC), and whether it still waits."""

    id: str
    due_at: datetime
    waits: bool


def newest_case_digest(conn: Connection, rule: str) -> CaseDigest | None:
    """The newest digest that a rule's cases were told in."""
    of_rule = select(digest_part.c.digest_id).join(incident, incident.c.id == digest_part.c.incident_id)
    mine = outbox.c.id.in_(of_rule.where(incident.c.rule == rule)) & (outbox.c.step == CASES)
    newest = select(outbox).where(mine, outbox.c.kind == "digest").order_by(outbox.c.created_at.desc()).limit(1)
    row = conn.execute(newest).one_or_none()
    return CaseDigest(row.id, aware(row.sent_at or row.due_at), row.state == "pending") if row else None


def begin(conn: Connection, channel: str, target: str, now: datetime) -> tuple[str, str]:
    """Queue a new digest. Returns its id and target."""
    id_ = str(uuid5(NAMESPACE, json.dumps(["digest", channel, now.isoformat()])))
    queue(conn, QueuedMessage(id_, id_, 1, "digest", OVERFLOW, target, None, "pending", 1, 0, now, now, None))
    return id_, target


def add_to_digest(conn: Connection, digest: str, messages: Sequence[str]) -> int:
    """Have a digest tell these messages, where they were certainly not sent. Returns how many."""
    done = 0
    for start in range(0, len(messages), CHUNK):
        # Only what was certainly not sent: a message in doubt may stand in Slack, and would be told twice.
        unsent = outbox.c.id.in_(messages[start : start + CHUNK]) & (outbox.c.state == "pending")
        replaced = update(outbox).where(unsent).values(state="superseded")
        rows = conn.execute(replaced.returning(outbox.c.id, outbox.c.incident_id, outbox.c.kind)).all()
        parts = [{"outbox_id": i, "digest_id": digest, "incident_id": about, "kind": kind} for i, about, kind in rows]
        if parts:
            conn.execute(insert(digest_part), parts)
        done += len(parts)
    return done


def refresh_digest(conn: Connection, digest: str, target: str, now: datetime) -> None:
    """Have a digest show what it tells by now, where it stands already; a waiting one will show it anyway."""
    # A waiting one is written when it is sent, from the incidents as they are then.
    waits = select(outbox.c.id).where(outbox.c.id == digest, outbox.c.state == "pending")
    if conn.execute(waits).first() is None:
        version = _parts(conn, digest) + 1
        id_ = str(uuid5(NAMESPACE, json.dumps(["digest", digest, version])))
        queue(
            conn, QueuedMessage(id_, digest, 1, "update", version, target, None, "pending", version, 0, now, now, None)
        )


def followers(conn: Connection, now: datetime, targets: Sequence[str], limit: int) -> Mapping[str, list[str]]:
    """News of incidents that a digest told, by digest. Steps of the ladder are not among them: they name somebody."""
    part, event, mine = digest_part.c, incident_event.c, outbox.alias("digest")
    rooted = select(slack_root.c.ts).where(
        slack_root.c.incident_id == outbox.c.incident_id, slack_root.c.target == outbox.c.target
    )
    names = select(event.seq).where(
        event.incident_id == outbox.c.incident_id, event.seq == outbox.c.version, event.kind == "escalated"
    )
    news = outbox.c.kind.in_(("reply", "update")) & (outbox.c.state == "pending") & (outbox.c.due_at <= naive(now))
    told = digest_part.join(outbox, (part.incident_id == outbox.c.incident_id) & (part.kind == "root"))
    found = select(part.digest_id, outbox.c.id).select_from(told).where(news, outbox.c.target.in_(sorted(targets)))
    # An escalation names a person, whom Slack does not notify when a message is only updated; and news of what has
    # stood for months is worth a reply.
    busy = select(mine.c.id).where(mine.c.id == part.digest_id, mine.c.step == OVERFLOW)
    later = (~names.exists() & busy.exists()) | (outbox.c.kind == "update")
    rows = conn.execute(found.where(~rooted.exists(), later).order_by(part.digest_id).limit(limit))
    by: dict[str, list[str]] = {}
    for digest, message in rows:
        by.setdefault(digest, []).append(message)
    return by


def touching(conn: Connection, digest: str) -> tuple[str, ...]:
    """The digests that tell of the same incidents as one does, itself among them."""
    inside = select(digest_part.c.incident_id).where(digest_part.c.digest_id == digest)
    found = select(digest_part.c.digest_id).where(digest_part.c.incident_id.in_(inside)).distinct()
    return tuple(conn.execute(found.order_by(digest_part.c.digest_id)).scalars())


def is_digest(conn: Connection, id_: str) -> bool:
    """Whether that is a digest's id, and not an incident's."""
    return conn.execute(select(outbox.c.id).where(outbox.c.id == id_, outbox.c.kind == "digest")).first() is not None


def target_of(conn: Connection, digest: str) -> str:
    """Where a digest goes."""
    return str(conn.execute(select(outbox.c.target).where(outbox.c.id == digest)).scalar_one())


def told_by(conn: Connection, incident_id: str) -> str | None:
    """The digest that told an incident in place of a message of its own."""
    root = (digest_part.c.incident_id == incident_id) & (digest_part.c.kind == "root")
    return conn.execute(select(digest_part.c.digest_id).where(root).limit(1)).scalar_one_or_none()


def anchor(conn: Connection, digest: str) -> PostedMessage | None:
    """Where a digest stands."""
    row = conn.execute(select(slack_root).where(slack_root.c.incident_id == digest)).first()
    return PostedMessage(*row) if row else None


def read_digest(conn: Connection, id_: str) -> Digest:
    """What a digest tells now: by rule and severity, the worst first."""
    inside = select(digest_part.c.incident_id).where(digest_part.c.digest_id == id_)
    mine, is_open = incident.c.id.in_(inside), func.count().filter(incident.c.state == "open")
    groups = select(incident.c.rule, incident.c.severity, func.count(), is_open).where(mine)
    order = (incident.c.severity, func.count().desc(), incident.c.rule)
    rows = conn.execute(groups.group_by(incident.c.rule, incident.c.severity).order_by(*order)).all()
    by_rule = tuple(Group(*row) for row in rows)
    began = conn.execute(select(outbox.c.created_at, outbox.c.step).where(outbox.c.id == id_)).one()
    ordered = select(incident.c.id).where(mine).order_by(incident.c.severity, incident.c.opened_at, incident.c.id)
    members = tuple(conn.execute(ordered).scalars())
    climbed = select(func.count()).select_from(incident).where(mine, incident.c.next_step > 1)
    escalated = conn.execute(climbed).scalar_one()
    totals = (sum(g.incidents for g in by_rule), sum(g.open for g in by_rule), escalated, len(by_rule))
    of = incident.c
    columns = (of.id, of.rule, of.severity, of.vertical, of.state, of.slice, of.account_id)
    worst_first = (incident.c.state != "open", incident.c.severity, incident.c.opened_at, incident.c.id)
    worst = conn.execute(select(*columns).where(mine).order_by(*worst_first).limit(SHOWN))
    listed = tuple(Worst(*row, _newest_sample(conn, row.id)) for row in worst)
    told = (by_rule[:LINES], listed, began.step, members)
    return Digest(id_, _parts(conn, id_) + 1, aware(began.created_at), *totals, *told)


def _newest_sample(conn: Connection, id_: str) -> Mapping[str, Any]:
    return next((entry.sample for entry in reversed(entries(conn, id_)) if entry.sample), {})


def _parts(conn: Connection, id_: str) -> int:
    """What any digest told of this one's incidents: it grows with all news that changes what this one shows."""
    inside = select(digest_part.c.incident_id).where(digest_part.c.digest_id == id_)
    count = select(func.count()).select_from(digest_part).where(digest_part.c.incident_id.in_(inside))
    return int(conn.execute(count).scalar_one())

"""Direct messages: to one person, about no incident alone. They go out by the outbox, as everything does."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid5

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import IntegrityError

from queries.engine import aware, naive
from queries.messages.outbox import UNFINISHED, QueuedMessage, queue
from queries.state import NAMESPACE, RacedError, letter, outbox

MAILBOX: Final = "@"
"""Begins the target of a letter: `@NAME` leads to that person's direct messages."""


@dataclass(frozen=True, slots=True)
class DirectMessage:
    """One letter. Instants are aware UTC.

    Args:
        kind: overflow (what was beyond a person's budget), noisy (what a person's rules did), withheld (what was not
            told because its reader may not see it), or review (one that its general manager has not closed).
        person: who gets it.
        about: the Monday of a week, the day of what was withheld, or a review's month: of each kind there is one a
            person and `about`.
    """

    id: str
    kind: str
    person: str
    about: str
    at: datetime


def new_direct_message(kind: str, person: str, about: str, at: datetime) -> DirectMessage:
    """A letter with the id that everybody who means the same one gives it."""
    return DirectMessage(str(uuid5(NAMESPACE, json.dumps(["letter", kind, person, about]))), kind, person, about, at)


def queue_direct_message(conn: Connection, message: DirectMessage) -> bool:
    """Keep and queue a letter; False where it is there. Raises RacedError where another process is at it."""
    if read_direct_message(conn, message.id) is not None:
        return False
    row = {
        "id": message.id,
        "kind": message.kind,
        "person": message.person,
        "about": message.about,
        "at": naive(message.at),
    }
    try:
        conn.execute(insert(letter).values(**row))
    except IntegrityError as error:
        raise RacedError("another process wrote the same letter first") from error
    id_ = str(uuid5(NAMESPACE, json.dumps(["letter sent", message.id])))
    place = (message.id, 1, "root", 0, f"{MAILBOX}{message.person}", None, "pending", 1, 0)
    return queue(conn, QueuedMessage(id_, *place, message.at, message.at, None))


def read_direct_message(conn: Connection, id_: str) -> DirectMessage | None:
    """The letter with that id."""
    row = conn.execute(select(letter).where(letter.c.id == id_)).one_or_none()
    return DirectMessage(row.id, row.kind, row.person, row.about, aware(row.at)) if row else None


def last_sent(conn: Connection, kind: str, person: str) -> datetime | None:
    """When a person last got such a letter."""
    mine = (letter.c.kind == kind) & (letter.c.person == person)
    at = conn.execute(select(func.max(letter.c.at)).where(mine)).scalar_one()
    return aware(at) if at else None


def addressees(conn: Connection) -> frozenset[str]:
    """The people for whom a letter waits."""
    waiting = outbox.c.target.startswith(MAILBOX) & outbox.c.state.in_(UNFINISHED)
    targets = conn.execute(select(outbox.c.target).where(waiting).distinct()).scalars()
    return frozenset(target.removeprefix(MAILBOX) for target in targets)

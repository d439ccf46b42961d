"""The pictures of incidents' root messages: which is wanted, how far it has come, and who is at it.

wanted -> reserved (its file has a name, and does not exist yet) -> uploaded -> ready -> shown; none where there is
nothing to draw. What is refused is unwanted until its file is deleted, and gone then.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, exists, insert, select, update

from queries.engine import aware, naive
from queries.state import incident, picture

OVER: Final = ("shown", "none", "gone")
USABLE: Final = ("ready", "shown")


@dataclass(frozen=True, slots=True)
class QueuedPicture:
    """One picture. Instants are aware UTC; `file` and `upload_url` are the channel's, once it has given them."""

    incident_id: str
    target: str
    state: str
    attempts: int
    due_at: datetime
    created_at: datetime
    file: str | None
    upload_url: str | None
    alt: str | None
    error: str | None

    @property
    def is_usable(self) -> bool:
        """Whether the channel can show it."""
        return self.state in USABLE


_COLUMNS: Final = [picture.c[name] for name in QueuedPicture.__dataclass_fields__]


def want_picture(conn: Connection, incident_id: str, target: str, now: datetime) -> None:
    """An incident's root message was posted: it wants its picture, the one that it had before if it still has one."""
    here = _here(incident_id, target)
    known = conn.execute(select(picture.c.state).where(here)).scalar_one_or_none()
    if known in USABLE:
        conn.execute(update(picture).where(here).values(state="ready", due_at=naive(now), created_at=naive(now)))
        return
    conn.execute(delete(picture).where(here, picture.c.state.in_(OVER)))
    if known is None or known in OVER:
        keys = {"incident_id": incident_id, "target": target, "state": "wanted", "attempts": 0}
        # Digests and letters stand in the outbox as incidents do, and have no picture.
        if conn.execute(select(exists().where(incident.c.id == incident_id))).scalar():
            conn.execute(insert(picture).values(**keys, due_at=naive(now), created_at=naive(now)))


def due_picture(conn: Connection, now: datetime) -> QueuedPicture | None:
    """The picture that has waited longest."""
    waiting = picture.c.state.not_in(OVER) & (picture.c.due_at <= naive(now))
    row = conn.execute(select(*_COLUMNS).where(waiting).order_by(picture.c.due_at, picture.c.incident_id)).first()
    return _read(row) if row else None


def record_picture(
    conn: Connection, seen: QueuedPicture, due_at: datetime, *, attempts: int = 0, **values: Any
) -> QueuedPicture | None:
    """Write how far a picture has come. None, and nothing written, where another process has taken it over.

    Args:
        conn: the state.
        seen: the picture as it was.
        due_at: when it is given up for abandoned.
        attempts: one for a claim: from then on nobody else may write.
        values: its other columns.
    """
    as_seen = _here(seen.incident_id, seen.target) & (picture.c.attempts == seen.attempts)
    changed = {**values, "attempts": seen.attempts + attempts, "due_at": naive(due_at)}
    written = update(picture).where(as_seen, picture.c.state == seen.state).values(**changed)
    return read_picture(conn, seen.incident_id, seen.target) if conn.execute(written).rowcount == 1 else None


def read_picture(conn: Connection, incident_id: str, target: str) -> QueuedPicture | None:
    """The picture of an incident's root message at a target."""
    row = conn.execute(select(*_COLUMNS).where(_here(incident_id, target))).one_or_none()
    return _read(row) if row else None


def usable_file(conn: Connection, incident_id: str, target: str) -> str | None:
    """The file that a root message may show."""
    found = read_picture(conn, incident_id, target)
    return found.file if found and found.is_usable else None


def discard_pictures(conn: Connection, incidents: Collection[str], now: datetime) -> None:
    """Have the pictures of incidents taken down, and whatever file there is of them deleted."""
    theirs = picture.c.incident_id.in_(incidents)
    attempts = picture.c.attempts + 1
    conn.execute(update(picture).where(theirs, picture.c.file.is_(None)).values(state="none", attempts=attempts))
    unwanted = {"state": "unwanted", "attempts": attempts, "due_at": naive(now), "created_at": naive(now)}
    conn.execute(update(picture).where(theirs, picture.c.file.is_not(None)).values(**unwanted))


def _here(incident_id: str, target: str) -> Any:
    return and_(picture.c.incident_id == incident_id, picture.c.target == target)


def _read(row: Any) -> QueuedPicture:
    values = dict(zip(QueuedPicture.__dataclass_fields__, row, strict=True))
    return QueuedPicture(**{**values, "due_at": aware(values["due_at"]), "created_at": aware(values["created_at"])})

"""Who may do a kind of work alone for a while, and when each process last said that it runs."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from queries.engine import aware, naive
from queries.state import heartbeat, lease

ASTRAY: Final = timedelta(minutes=10)
"""What ends later than this from now was given by a clock that is wrong, for no lease is given for so long."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to do one kind of work, until a time. Whoever takes it next gets a higher fence."""

    name: str
    holder: str
    fence: int
    until: datetime

    def astray(self, now: datetime) -> str:
        """What to say where it ends so far ahead that a clock must be wrong; empty where it does not."""
        if self.until - now <= ASTRAY:
            return ""
        what = f"{self.holder.split(' ')[0]} claims the {self.name} until {self.until:%Y-%m-%d %H:%M} UTC"
        return f"{what}, too far ahead; correct that machine's clock (the next tick takes over)"


def lease_holder(conn: Connection, name: str) -> Lease | None:
    """Who has, or had, the lease of that name."""
    row = conn.execute(select(lease).where(lease.c.name == name)).one_or_none()
    return Lease(row.name, row.holder, row.fence, aware(row.until)) if row else None


def astray_lease(conn: Connection, now: datetime) -> str:
    """What to say of a lease that ends too far ahead; empty where none does."""
    held = (Lease(row.name, row.holder, row.fence, aware(row.until)) for row in conn.execute(select(lease)))
    return next((words for each in held if (words := each.astray(now))), "")


def take_lease(conn: Connection, wanted: Lease, seen: Lease | None) -> bool:
    """Take a lease over from what was `seen` of it; False when somebody else was quicker."""
    values = {"holder": wanted.holder, "fence": wanted.fence, "until": naive(wanted.until)}
    if seen is None:
        # Two processes may both have seen none: the name is the key, and the second row is refused.
        try:
            conn.execute(insert(lease).values(name=wanted.name, **values))
        except IntegrityError:
            return False
        return True
    # By the fence and not by the time: clocks differ, and whoever took it since has raised the fence.
    guard = (lease.c.name == seen.name) & (lease.c.fence == seen.fence)
    return bool(conn.execute(update(lease).where(guard).values(**values)).rowcount == 1)


def holds_lease(conn: Connection, mine: Lease, until: datetime) -> bool:
    """Prolong a lease inside the transaction that it guards; False when it was taken over."""
    # It locks the row until the transaction ends, so nobody can take the lease over between the look and the commit.
    guard = (lease.c.fence == mine.fence) & (lease.c.name == mine.name) & (lease.c.holder == mine.holder)
    return bool(conn.execute(update(lease).where(guard).values(until=naive(until))).rowcount == 1)


def release_lease(conn: Connection, mine: Lease, now: datetime) -> None:
    """Let the next process begin at once."""
    guard = (lease.c.name == mine.name) & (lease.c.fence == mine.fence)
    conn.execute(update(lease).where(guard).values(until=naive(now)))


def record_heartbeat(conn: Connection, name: str, note: str, now: datetime) -> None:
    """Say that a process lives."""
    values = {"at": naive(now), "note": note}
    if conn.execute(update(heartbeat).where(heartbeat.c.name == name).values(**values)).rowcount == 0:
        conn.execute(insert(heartbeat).values(name=name, **values))

"""Lock that lets one process evaluate at a time. It only saves work: keys make it correct."""

import logging
import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Engine

from queries.messages import Lease, holds_lease, lease_holder, release_lease, take_lease
from queries.state import RacedError

log: Final = logging.getLogger("triggers")

NAME: Final = "tick"
LENGTH: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class TickLease:
    """A lease that this process holds; `guard` prolongs it inside the transaction that writes."""

    lease: Lease
    now: datetime

    def guard(self, conn: Connection) -> None:
        """Raises RacedError where somebody took over."""
        if not holds_lease(conn, self.lease, self.now + LENGTH):
            raise RacedError("another process has taken over and continues from here")


def acquire(states: Engine, now: datetime) -> TickLease | None:
    """Take the lease, also from a process of this machine that is dead, and one that ends too far ahead to be true.

    None while another process holds it.
    """
    me = holder()
    with states.begin() as conn:
        seen = lease_holder(conn, NAME)
        if seen is not None and seen.holder != me and seen.until > now and _may_live(seen.holder):
            if not (wrong := seen.astray(now)):
                return None
            log.warning("%s", wrong)
        mine = Lease(NAME, me, seen.fence + 1 if seen else 1, now + LENGTH)
        return TickLease(mine, now) if take_lease(conn, mine, seen) else None


def release(states: Engine, tenancy: TickLease, now: datetime) -> None:
    """Let the next process begin at once."""
    with states.begin() as conn:
        release_lease(conn, tenancy.lease, now)


def holder() -> str:
    """This process: its machine, its number and when it started, for numbers come again."""
    return f"{socket.gethostname()} {os.getpid()} {_started(os.getpid())}"


def _may_live(name: str) -> bool:
    """Whether the holder may still run. Of another machine's nobody knows here."""
    host, _, process = name.partition(" ")
    number, _, started = process.partition(" ")
    if host != socket.gethostname() or not number.isdecimal():
        return True
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _started(int(number)) == started


def _started(number: int) -> str:
    """When a process started, in clock ticks since boot; where the system does not say, always the same."""
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8") as stat:  # noqa: PTH123 - one read of a pseudo-file
            return stat.read().rpartition(")")[2].split()[19]
    except OSError:
        return "0"

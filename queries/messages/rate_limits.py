"""How fast each channel may be written to, by all processes together: one row a channel, changed by guarded updates.

Whoever changes a gate and a message in one transaction changes the gate first: so no two can wait for each other.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, case, insert, select, update
from sqlalchemy.exc import IntegrityError

from queries.engine import aware, naive
from queries.state import LIMITED, channel_gate, increment

HOUR: Final = timedelta(hours=1)
BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One channel's. Instants are aware UTC.

    Args:
        next_at: no message before.
        blocked_until: no call at all before: Slack asked for it.
        used: messages that notified since `hour_from`.
    """

    channel: str
    next_at: datetime = BEGINNING
    blocked_until: datetime = BEGINNING
    hour_from: datetime = BEGINNING
    used: int = 0

    @property
    def opens_at(self) -> datetime:
        """When the next message may go."""
        return max(self.next_at, self.blocked_until)

    def used_at(self, now: datetime) -> int:
        """Messages of the present hour that notified."""
        return self.used if now < self.hour_from + HOUR else 0


def make_rate_limits(states: Engine, channels: Iterable[str]) -> None:
    """Make the gates that are missing."""
    with states.connect() as conn:
        there = set(read_rate_limits(conn))
    for channel in sorted(set(channels) - there):
        # A transaction a gate: where another process makes one first, the others are made all the same.
        with suppress(IntegrityError), states.begin() as conn:
            at = dict.fromkeys(("next_at", "blocked_until", "hour_from"), naive(BEGINNING))
            conn.execute(insert(channel_gate).values(channel=channel, used=0, **at))


def read_rate_limits(conn: Connection) -> dict[str, RateLimit]:
    """Every gate by its channel."""
    return {row.channel: _read(row) for row in conn.execute(select(channel_gate))}


def lock_rate_limit(conn: Connection, channel: str) -> RateLimit:
    """A gate, kept from everybody else until the transaction ends."""
    # SQLite knows no `for update` and needs none: its transactions that may write exclude each other from their start.
    return _read(conn.execute(select(channel_gate).where(channel_gate.c.channel == channel).with_for_update()).one())


def try_acquire(conn: Connection, channel: str, now: datetime, spacing: timedelta) -> bool:
    """Take the channel's next place; False when the gate is closed, or another process was quicker."""
    gate = channel_gate.c
    is_open = (gate.channel == channel) & (gate.next_at <= naive(now)) & (gate.blocked_until <= naive(now))
    taken = update(channel_gate).where(is_open).values(next_at=naive(now + spacing))
    return bool(conn.execute(taken).rowcount == 1)


def block_channel(conn: Connection, channel: str, until: datetime) -> None:
    """Keep the channel closed, as Slack asked; never shorter than it was asked before."""
    increment(conn, LIMITED)
    gate = channel_gate.c
    # Two answers may be recorded in either order: only the longer wait satisfies both.
    longer = (gate.channel == channel) & (gate.blocked_until < naive(until))
    conn.execute(update(channel_gate).where(longer).values(blocked_until=naive(until)))


def record_use(conn: Connection, channel: str, now: datetime, spacing: timedelta, *, notified: bool) -> None:
    """A message arrived: the next keeps its distance to the answer too, and one that notified counts for the budget."""
    gate, next_at = channel_gate.c, naive(now + spacing)
    is_over = gate.hour_from <= naive(now - HOUR)
    values: dict[str, Any] = {"next_at": case((gate.next_at < next_at, next_at), else_=gate.next_at)}
    if notified:
        used, since = case((is_over, 1), else_=gate.used + 1), case((is_over, naive(now)), else_=gate.hour_from)
        values |= {"used": used, "hour_from": since}
    conn.execute(update(channel_gate).where(gate.channel == channel).values(**values))


def _read(row: tuple[str, datetime, datetime, datetime, int]) -> RateLimit:
    channel, next_at, blocked_until, hour_from, used = row
    return RateLimit(channel, aware(next_at), aware(blocked_until), aware(hour_from), used)

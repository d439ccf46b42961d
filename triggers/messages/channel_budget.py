"""How fast and how much: one message a second and channel, a budget an hour, and the rest in a digest."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Engine

from config.models import Route
from queries.messages import RateLimit, digests, lock_rate_limit, outbox

SPACING: Final = timedelta(seconds=1.1)
"""Slack takes one message a second and channel; the rest is for what the network does to the distance."""

EXEMPT: Final = 2
"""How many budgets the most severe incidents may use: they go through after the others' is used up."""

AT_ONCE: Final = 1000
"""Messages folded in one transaction: others wait no longer than it takes, and memory stays flat."""

Crash = Callable[[int, str], None]
FOLDING, FOLDED = 10, 11
"""Where a process can die, numbered on from `delivery.CrashPoint`."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel with the routes that lead there, and how many messages an hour may notify it."""

    id: str
    routes: tuple[str, ...]
    hourly: int


@dataclass(frozen=True, slots=True)
class Room:
    """How many messages of their own may still go out this hour: any, and those of severity 1."""

    any: int
    severe: int


def channels(routes: Iterable[Route]) -> tuple[Channel, ...]:
    """The channels of the routes. A budget that routes share is the smallest that one of them asks for."""
    found: dict[str, list[Route]] = {}
    for route in routes:
        if route.channel:
            found.setdefault(route.channel, []).append(route)
    return tuple(Channel(id_, tuple(r.name for r in of), min(r.hourly for r in of)) for id_, of in found.items())


def room(channel: Channel, gate: RateLimit, now: datetime) -> Room:
    """What is left of a channel's budget."""
    used = gate.used_at(now)
    return Room(max(0, channel.hourly - used), max(0, EXEMPT * channel.hourly - used))


def pause(gates: Mapping[str, RateLimit], waiting: Iterable[str], now: datetime) -> timedelta | None:
    """How long until the first of the channels with something to send opens. None when nothing waits."""
    opening = [gates[channel].opens_at for channel in waiting if channel in gates]
    return max(min(opening) - now, timedelta(0)) if opening else None


def fold_overflow(states: Engine, channel: Channel, now: datetime, crash_point: Crash) -> int:
    """Have a digest tell what a channel has no room for, and the news of incidents that a digest told.

    Returns how many messages are told so. Each transaction is whole: a message waits, or a digest tells it.
    """
    done = 0
    while True:
        with states.begin() as conn:
            left = room(channel, lock_rate_limit(conn, channel.id), now)
            folded = _fold_news(conn, channel, now) or _fold_beyond(conn, channel, now, left)
            if folded:
                crash_point(FOLDING, channel.id)
        if not folded:
            return done
        crash_point(FOLDED, channel.id)
        done += folded


def _fold_news(conn: Connection, channel: Channel, now: datetime) -> int:
    """News of incidents that a digest told: it is shown there."""
    done = 0
    for digest, messages in digests.followers(conn, now, channel.routes, AT_ONCE).items():
        done += digests.add_to_digest(conn, digest, messages)
        for touched in digests.touching(conn, digest):
            digests.refresh_digest(conn, touched, digests.target_of(conn, touched), now)
    return done


def _fold_beyond(conn: Connection, channel: Channel, now: datetime, left: Room) -> int:
    """Messages beyond what is left of the budget: the hour's digest tells them."""
    beyond = outbox.overflow(conn, now, dict.fromkeys(channel.routes, channel.id), (left.any, left.severe), AT_ONCE)
    if not beyond:
        return 0
    digest, target = digests.current(conn, channel.routes, now) or digests.begin(
        conn, channel.id, channel.routes[0], now
    )
    done = digests.add_to_digest(conn, digest, beyond)
    digests.refresh_digest(conn, digest, target, now)
    return done

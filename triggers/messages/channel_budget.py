"""How fast and how much: one message a second and channel, a budget an hour, and the rest in a digest. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from config.models import Route
from queries.messages.rate_limits import RateLimit

SPACING: Final = timedelta(seconds=1.1)
"""Slack takes one message a second and channel; the rest is for what the network does to the distance."""

EXEMPT: Final = 2
"""How many budgets the most severe incidents may use: they go through after the others' is used up."""


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

"""What goes beyond a channel's budget: one message that counts it, the worst first, and is kept up to date."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Engine

from config.models import Catalog, Person
from queries.messages import digests, outbox, rate_limits
from queries.messages.digests import Digest, Group, Worst
from queries.state import HistoryEntry
from queries.warehouse import UNKNOWN
from triggers.messages.card import COMPANY, MARKS, Card, news_message, title
from triggers.messages.channel_budget import Channel, Room, room
from triggers.messages.message import Link, Message

AT_ONCE: Final = 1000
"""Messages folded in one transaction: others wait no longer than it takes, and memory stays flat."""

Crash = Callable[[int, str], None]
FOLDING, FOLDED = 10, 11
"""Where a process can die, numbered on from `deliver.Point`."""


def fold_overflow(states: Engine, channel: Channel, now: datetime, crash_point: Crash) -> int:
    """Have a digest tell what a channel has no room for, and the news of incidents that a digest told.

    Returns how many messages are told so. Each transaction is whole: a message waits, or a digest tells it.
    """
    done = 0
    while True:
        with states.begin() as conn:
            left = room(channel, rate_limits.locked(conn, channel.id), now)
            some = _follow(conn, channel, now) or _overflow(conn, channel, now, left)
            if some:
                crash_point(FOLDING, channel.id)
        if not some:
            return done
        crash_point(FOLDED, channel.id)
        done += some


def _overflow(conn: Connection, channel: Channel, now: datetime, left: Room) -> int:
    targets = dict.fromkeys(channel.routes, channel.id)
    found = outbox.overflow(conn, now, targets, (left.any, left.severe), AT_ONCE)
    if not found:
        return 0
    digest, target = digests.current(conn, channel.routes, now) or digests.begin(
        conn, channel.id, channel.routes[0], now
    )
    done = digests.add_to_digest(conn, digest, found)
    digests.refresh_digest(conn, digest, target, now)
    return done


def _follow(conn: Connection, channel: Channel, now: datetime) -> int:
    done = 0
    for digest, messages in digests.followers(conn, now, channel.routes, AT_ONCE).items():
        done += digests.add_to_digest(conn, digest, messages)
        for touched in digests.touching(conn, digest):
            digests.refresh_digest(conn, touched, digests.target_of(conn, touched), now)
    return done


def words(digest: Digest, catalog: Catalog, link: str, verticals: frozenset[str] | None = None) -> Message:
    """The digest's message: how many, of which rules, the worst first. No customer is named."""
    names = {rule.name: rule.label or rule.name for rule in catalog.rules}
    head = f"{digest.incidents:,} incidents in one message"
    lines = [_group(group, names) for group in digest.groups]
    if more := digest.rules - len(digest.groups):
        lines.append(f"and {more} more rules")
    worst = [_worst(one, names, verticals) for one in digest.worst]
    return Message(
        (f"{head}. {_state(digest)} {'; '.join(lines[:3])}",),
        head,
        (_state(digest), "\n".join(lines), "The worst:\n" + "\n".join(worst)),
        footnote=_WHY,
        answers=(Link("Open the dashboard", link),),
    )


_WHY: Final = "The channel had more news than its hourly budget. Each of these is recorded; none is told again."


def _state(digest: Digest) -> str:
    steps = f" For {digest.escalated:,} the next step of the ladder was taken." if digest.escalated else ""
    return f"{digest.open:,} open, {digest.incidents - digest.open:,} over.{steps}"


def _group(group: Group, names: Mapping[str, str]) -> str:
    over = f", {group.open:,} of them open" if group.open != group.incidents else ""
    return f"{group.incidents:,} x {names.get(group.rule, group.rule)} (severity {group.severity}){over}"


def _worst(one: Worst, names: Mapping[str, str], verticals: frozenset[str] | None) -> str:
    """Where it is, unless that lies outside the verticals that the channel may read about."""
    may_be_told = verticals is None or (one.vertical or UNKNOWN) in verticals
    where = one.vertical or COMPANY if may_be_told else "elsewhere"
    return f"{MARKS[one.state]} {names.get(one.rule, one.rule)}, {where} (severity {one.severity})"


def digest_reply(card: Card, entry: HistoryEntry, people: tuple[Person, ...]) -> Message:
    """News of an incident that has no message of its own: a reply to the digest, which must say whose news it is."""
    said = news_message(card, entry, people)
    if card.withheld:
        return said
    return replace(
        said,
        notice=(*said.notice, title(card)),
        sentences=(title(card), *said.sentences),
        answers=(Link("Open the dashboard", card.link),),
    )


def targets(channels: tuple[Channel, ...]) -> Iterator[tuple[str, str]]:
    """Each route with its channel."""
    for channel in channels:
        yield from ((route, channel.id) for route in channel.routes)

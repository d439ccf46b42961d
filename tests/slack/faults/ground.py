"""What the workers of the fault matrix work on: incidents that are owed a message, and what is counted afterwards."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, select

from config.models import Catalog, Route
from queries.engine import journal, shared
from queries.messages import outbox
from queries.state import (
    HistoryEntry,
    Incident,
    Queued,
    TickRecord,
    delivery_id,
    entries,
    open_state,
    read_incident,
    tables,
    write,
)
from queries.warehouse import EVERYTHING
from tests.counterparts.slack import CHANNELS, Slack
from tests.support.company import METRIC, catalog, rule
from triggers.messages import Card

ROUTES: Final = {"delivery": CHANNELS["service-quality"], "accounts": CHANNELS["key-accounts"]}
AMPLE: Final = 100_000
T: Final = datetime(2026, 11, 2, 9, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Ground:
    """One state: SQLite in `folder`, or PostgreSQL at `url`. Each process opens it for itself."""

    folder: Path
    url: str | None

    def open(self) -> Engine:
        return shared(self.url) if self.url else journal(self.folder / "state.db")

    def make(self) -> Engine:
        return open_state(self.folder, self.url)


def routes(hourly: int = AMPLE) -> tuple[Route, ...]:
    return tuple(Route(name=name, channel=channel, hourly=hourly) for name, channel in ROUTES.items())


@cache
def config(hourly: int = AMPLE) -> Catalog:
    """Two routes, each with a channel of its own. Read once: a fork has it."""
    return catalog(rule(), routes=routes(hourly))


def fill(states: Engine, number: int, severity: int = 2) -> tuple[str, ...]:
    """So many incidents, each owed its own message, in turn over the routes. Returns the messages' ids, in order."""
    now, names = datetime.now(UTC), tuple(ROUTES)
    found = [_incident(i, names[i % len(names)], severity) for i in range(number)]
    queued = tuple(_owed(one, now) for one in found)
    history = tuple(HistoryEntry(one.id, 1, T, "opened", "above its limit", None, 1, _SAMPLE) for one in found)
    with states.begin() as conn:
        write(conn, TickRecord(opened=tuple(found), entries=history, queued=queued))
    return tuple(message.id for message in queued)


def _owed(one: Incident, now: datetime) -> Queued:
    id_ = delivery_id(one, "root", 0, one.route)
    return Queued(id_, one.id, 1, "root", 0, one.route, 1, now, now)


_SAMPLE: Final[Mapping[str, Any]] = {
    "tally": [50, 20, 0, 0, 0],
    "value": 0.4,
    "low": 0.27,
    "high": 0.54,
    "p": 0.0004,
    "alpha": 0.001,
    "deff": 1.0,
}


def _incident(number: int, route: str, severity: int) -> Incident:
    return Incident(
        id=f"00000000-0000-4000-8000-{number:012d}",
        rule="defects",
        rule_hash="none",
        slice=f"vertical=V{number}",
        class_="customer",
        severity=severity,
        route=route,
        ladder='[{"after": "0m", "notify": "channel"}]',
        vertical=f"V{number}",
        touchpoint=None,
        account_id=None,
        state="open",
        episode=1,
        opened_at=T + timedelta(seconds=number),
        slot=date(2026, 11, 2),
        resolved_at=None,
        acknowledged_at=None,
        acknowledged_by=None,
        next_step=1,
        next_step_at=None,
        value=0.4,
        n=50,
        origin="live",
        version=1,
    )


@dataclass(frozen=True, slots=True)
class FixedCards:
    """Cards from the state alone."""

    public_url: str = "https://earshot.example"

    def card(self, conn: Connection, id_: str, _: Route | None = None, /) -> Card:
        found = read_incident(conn, id_, EVERYTHING)
        route = Route(name=found.route)
        link, zone = f"{self.public_url}/incident?id={id_}", ZoneInfo("UTC")
        return Card(found, entries(conn, id_), rule(), METRIC, route, None, zone, link)


@dataclass(frozen=True, slots=True)
class Count:
    """Messages owed; those that Slack does not show, and those that it shows twice; those that are not finished."""

    messages: int
    lost: int
    duplicated: int
    owed: int = 0

    def __add__(self, other: "Count") -> "Count":
        ours = (self.messages, self.lost, self.duplicated, self.owed)
        theirs = (other.messages, other.lost, other.duplicated, other.owed)
        return Count(*(a + b for a, b in zip(ours, theirs, strict=True)))


def shown(slack: Slack) -> Counter[str]:
    """How often Slack shows each outbox id, counted there."""
    found = [message for channel in ROUTES.values() for message in slack.history(channel)]
    return Counter(message["metadata"]["event_payload"]["outbox"] for message in found if "metadata" in message)


def count(slack: Slack, states: Engine, messages: tuple[str, ...]) -> Count:
    """A message that a digest tells counts as one; told by both it is duplicated."""
    there, digests_, owed = _times(slack, states, messages)
    twice = sum(n > 1 for n in there.values()) + sum(n > 1 for n in digests_.values())
    return Count(len(messages), sum(not n for n in there.values()), twice, owed)


def times(slack: Slack, states: Engine, messages: tuple[str, ...]) -> Mapping[str, int]:
    """How often each message was told."""
    return _times(slack, states, messages)[0]


def _times(slack: Slack, states: Engine, messages: tuple[str, ...]) -> tuple[Mapping[str, int], Mapping[str, int], int]:
    there = shown(slack)
    with states.connect() as conn:
        part = tables.digest_part.c
        told = {row.outbox_id: row.digest_id for row in conn.execute(select(part.outbox_id, part.digest_id))}
        owed = len(outbox.unsent(conn))
    own = {id_: there[id_] + (there[told[id_]] > 0 if id_ in told else 0) for id_ in messages}
    return own, {digest: there[digest] for digest in told.values()}, owed

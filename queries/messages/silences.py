"""Silences: for a time nothing is told of the incidents that they match. They open and are recorded all the same."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import Connection, insert, select, update

from config import EarshotError
from queries.engine import aware, naive
from queries.messages.outbox import unsent
from queries.state import Incident, incidents_by_id, read_incidents
from queries.state import silence as table
from queries.warehouse import CANONICAL, Scope

LONGEST: Final = timedelta(days=366)


class SilenceError(EarshotError):
    """A silence that cannot be: it matches everything, says no reason, or is over before it begins."""


@dataclass(frozen=True, slots=True)
class Matchers:
    """What a silence mutes: incidents that have every value given; several verticals or touchpoints are either."""

    rule: str | None = None
    route: str | None = None
    verticals: tuple[str, ...] = ()
    touchpoints: tuple[str, ...] = ()
    account: str | None = None

    def match(self, incident: Incident) -> bool:
        """Whether an incident is muted."""
        return (
            self.rule in (None, incident.rule)
            and self.route in (None, incident.route)
            and self.account in (None, incident.account_id)
            and (not self.verticals or incident.vertical in self.verticals)
            and (not self.touchpoints or incident.touchpoint in self.touchpoints)
        )

    def __str__(self) -> str:
        """In words, such as `rule late-orders, vertical Retail`."""
        words = {"rule": self.rule, "route": self.route, "account": self.account}
        words |= {"vertical": " or ".join(self.verticals), "touchpoint": " or ".join(self.touchpoints)}
        return ", ".join(f"{name} {value}" for name, value in words.items() if value)


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence. Instants are aware UTC."""

    id: str
    matchers: Matchers
    reason: str
    author: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Preview:
    """What a silence would mute: the open incidents, and how many opened since a day that it would have muted."""

    open: tuple[Incident, ...]
    earlier: int


def add_silence(
    conn: Connection, matchers: Matchers, reason: str, author: str, starts_at: datetime, ends_at: datetime
) -> Silence:
    """Begin a silence. The same one twice is one.

    Raises:
        SilenceError: it would mute everything, has no reason, or ends before it starts.
    """
    if matchers == Matchers():
        raise SilenceError("a silence must match something; give a rule, route, vertical, touchpoint or account")
    if not reason.strip():
        raise SilenceError("a silence needs a reason; write why nobody needs to be notified")
    if ends_at <= starts_at:
        raise SilenceError("the silence ends before it starts; give a later end")
    if ends_at - starts_at > LONGEST:
        raise SilenceError("the silence lasts more than a year; disable the rule in triggers.toml instead")
    body = json.dumps(asdict(matchers), sort_keys=True)
    # The same words and times give the same id: pressing twice is one silence.
    id_ = str(uuid5(NAMESPACE_URL, f"earshot:silence:{body}|{author}|{naive(starts_at)}|{naive(ends_at)}"))
    made = Silence(id_, matchers, reason.strip(), author, starts_at, ends_at)
    if conn.execute(select(table.c.id).where(table.c.id == id_)).first() is None:
        when = {"starts_at": naive(starts_at), "ends_at": naive(ends_at)}
        conn.execute(insert(table).values(id=id_, matchers=body, reason=made.reason, author=author, **when))
    return made


def refuse_unknown(warehouse: Connection | None, matchers: Matchers) -> None:
    """Refuse what no row of the warehouse names: a silence for a misspelt vertical would mute nothing, unnoticed.

    Raises:
        SilenceError: no account, contact, answer or other row has such a vertical, touchpoint or account.
    """
    values = {"vertical": matchers.verticals, "touchpoint": matchers.touchpoints}
    values["account_id"] = (matchers.account,) if matchers.account else ()
    for column, names in values.items():
        tables = [canonical for canonical in CANONICAL if column in canonical.c]
        for name in names:
            rows = (select(canonical.c[column]).where(canonical.c[column] == name).limit(1) for canonical in tables)
            if warehouse is None or not any(warehouse.execute(query).first() for query in rows):
                noun = column.removesuffix("_id")
                raise SilenceError(f"no {noun} {name!r} in the data; write the name as it is in the source")


def end_silence(conn: Connection, beginning: str, now: datetime) -> Silence:
    """End a silence now, named by the beginning of its id.

    Raises:
        SilenceError: there is none of that id that is not over, or there are several.
    """
    matching = [silence for silence in active_silences(conn, now) if silence.id.startswith(beginning)]
    if len(matching) != 1:
        many = "several silences begin" if matching else "no silence begins"
        raise SilenceError(f"{many} with {beginning!r}; list them with `python -m triggers silence list`")
    conn.execute(update(table).where(table.c.id == matching[0].id).values(ends_at=naive(now)))
    return matching[0]


def active_silences(conn: Connection, now: datetime) -> tuple[Silence, ...]:
    """The silences that are not over, the next to end first."""
    query = select(table).where(table.c.ends_at > naive(now)).order_by(table.c.ends_at, table.c.id)
    silences = []
    for row in conn.execute(query):
        body = json.loads(row.matchers)
        # JSON has no tuples; without them equal matchers would not be equal.
        verticals, touchpoints = (tuple(body.pop(name, ())) for name in ("verticals", "touchpoints"))
        matchers = Matchers(**body, verticals=verticals, touchpoints=touchpoints)
        silences.append(
            Silence(row.id, matchers, row.reason, row.author, aware(row.starts_at), aware(row.ends_at)),
        )
    return tuple(silences)


def preview(conn: Connection, matchers: Matchers, scope: Scope, since: datetime) -> Preview:
    """What a silence with these matchers mutes now, and what it would have muted since a day."""
    muted = [incident for incident in read_incidents(conn, scope, since=since) if matchers.match(incident)]
    still_open = tuple(incident for incident in muted if incident.is_open)
    return Preview(still_open, sum(incident.opened_at >= since for incident in muted))


def silenced(found: Incident, by: Sequence[Silence], now: datetime) -> Silence | None:
    """The silence that mutes an incident now: of several the last to end."""
    active = (silence for silence in by if silence.starts_at <= now < silence.ends_at and silence.matchers.match(found))
    # Several may mute it; the message says until when, and that is when the last of them ends.
    return max(active, key=lambda silence: silence.ends_at, default=None)


def muted(conn: Connection, now: datetime) -> frozenset[str]:
    """The ids of the incidents whose messages are owed and held back by a silence now."""
    active = active_silences(conn, now)
    if not active:
        return frozenset()
    owing = incidents_by_id(conn, tuple({message.incident_id for message in unsent(conn)}))
    return frozenset(id_ for id_, found in owing.items() if silenced(found, active, now))

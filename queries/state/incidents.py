"""Incidents and their history: reads, and one guarded write for everything that a tick finds."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import Connection, RowMapping, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from config import EarshotError
from queries.engine import aware, naive
from queries.state import tables
from queries.state.evaluations import Evaluated, Remembered, RuleError, RuleVersion
from queries.warehouse import Scope

NAMESPACE: Final[UUID] = uuid5(NAMESPACE_URL, "https://earshot.invalid/incident")
OPEN: Final = "open"
CANARY: Final = "canary"
"""The rule of incidents that are about nothing: the watchdog's. No list holds them."""

# Every id in a list is a parameter, of which SQLite and PostgreSQL take only so many in a statement.
CHUNK: Final = 500

# A slice's value may hold any letter, line ends too, and those that mean something there come after a backslash.
_PART: Final = re.compile(r"(?:\\.|[^|\\])+", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


class RacedError(EarshotError):
    """Another process changed the same incident, slot or lease first. Nothing was written; try again."""


SHORTEST_ID: Final = 6
"""So many letters of an id are enough where no other one begins with them."""


class UnknownIncidentError(EarshotError):
    """There is no such incident, or the reader may not see it."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One breach from opening to closing. Instants are aware UTC.

    Args:
        slice: `column=value|column=value`, empty for the whole company; `table=source/id` for an event.
        state: open, resolved (recovered), or closed (by hand, or because its rule, data or time went away).
        opened_at: when it became knowable: its slot's as_of.
        value: the metric's value when it opened, or the last one told since.
        origin: live, or backfill for what the first run found in the past.
        snoozed_until: nobody is told more before; the incident stays open.
        assigned_to: whose it is: who took it on, or who was named.
    """

    id: str
    rule: str
    rule_hash: str
    slice: str
    class_: str
    severity: int
    route: str
    ladder: str
    vertical: str | None
    touchpoint: str | None
    account_id: str | None
    state: str
    episode: int
    opened_at: datetime
    slot: date
    resolved_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    next_step: int
    next_step_at: datetime | None
    value: float | None
    n: int | None
    origin: str
    version: int
    snoozed_until: datetime | None = None
    assigned_to: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the breach still holds, as far as is known."""
        return self.state == OPEN

    @property
    def is_case(self) -> bool:
        """Whether it is about one row, or one fault of the data, and no figure."""
        return self.n == 1 and self.value is None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of an incident's history. `sample` is what was known: ids and counts only."""

    incident_id: str
    seq: int
    at: datetime
    kind: str
    reason: str
    author: str | None = None
    generation: int | None = None
    sample: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Queued:
    """One message to one place, to be delivered after the transaction."""

    id: str
    incident_id: str
    episode: int
    kind: str
    step: int
    target: str
    version: int
    due_at: datetime
    created_at: datetime
    state: str = "pending"


@dataclass(frozen=True, slots=True)
class DigestPart:
    """A message that a digest tells in its place."""

    outbox_id: str
    digest_id: str
    incident_id: str
    kind: str


@dataclass(frozen=True, slots=True)
class TickRecord:
    """Everything one tick writes, in one transaction. `changed` incidents come with the version they were read at.

    `errors` are all rules that could not be evaluated; None where they are as they were.
    """

    slots: tuple[Evaluated, ...] = ()
    versions: tuple[RuleVersion, ...] = ()
    instances: tuple[Remembered, ...] = ()
    opened: tuple[Incident, ...] = ()
    changed: tuple[tuple[int, Incident], ...] = ()
    entries: tuple[HistoryEntry, ...] = ()
    queued: tuple[Queued, ...] = ()
    parts: tuple[DigestPart, ...] = ()
    baselines: tuple[Any, ...] = ()
    escalations: tuple[Any, ...] = ()
    errors: tuple[RuleError, ...] | None = None


def incident_id(rule: str, slice_: str, slot: date | None) -> str:
    """The id that everybody who finds the same breach gives it. An event's has no slot: its key is for ever."""
    # JSON keeps the parts apart: joined by a sign, a rule and a slice that hold the sign could make one id of two.
    return str(uuid5(NAMESPACE, json.dumps([rule, slice_, slot.isoformat() if slot else None])))


def slice_key(by: Sequence[str], values: Sequence[str]) -> str:
    """A slice as text, such as `vertical=retail|touchpoint=repair`; the whole company is the empty text."""
    escaped = (value.replace("\\", "\\\\").replace("|", "\\|") for value in values)
    return "|".join(f"{name}={value}" for name, value in zip(by, escaped, strict=True))


@lru_cache(maxsize=65536)
def slice_values(key: str) -> Mapping[str, str]:
    """The values in a slice's text by their column; a backslash keeps the letter after it from meaning anything."""
    pairs = (part.partition("=") for part in _PART.findall(key))
    return MappingProxyType({name: _ESCAPED.sub(r"\1", value) for name, _, value in pairs})


def map_slice(key: str, change: Callable[[str, str], str]) -> str:
    """A slice's text with each value as `change(column, value)` gives it; what it leaves alone stays as it was."""

    def part(match: re.Match[str]) -> str:
        name, equals, value = match[0].partition("=")
        before = _ESCAPED.sub(r"\1", value)
        after = change(name, before) if equals else before
        return match[0] if after == before else slice_key([name], [after])

    return _PART.sub(part, key)


def delivery_id(incident: Incident, kind: str, step: int, target: str) -> str:
    """The id of one message to one place."""
    return str(uuid5(NAMESPACE, json.dumps([incident.id, incident.episode, kind, step, target])))


def read_incidents(
    conn: Connection,
    scope: Scope,
    state_: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[Incident, ...]:
    """Incidents in scope that were open at some time in [since, until), the newest first; without the watchdog's."""
    table = tables.incident
    query = select(table).where(scope.where(table), table.c.rule != CANARY)
    if state_ is not None:
        query = query.where(table.c.state == state_)
    if since is not None:
        query = query.where((table.c.resolved_at.is_(None)) | (table.c.resolved_at >= naive(since)))
    if until is not None:
        query = query.where(table.c.opened_at < naive(until))
    # The id decides among incidents of one tick, which have one instant: a list must not change its order by itself.
    rows = conn.execute(query.order_by(table.c.opened_at.desc(), table.c.id)).mappings()
    return tuple(_incident(row) for row in rows)


def open_incidents(conn: Connection, scope: Scope) -> tuple[Incident, ...]:
    """Incidents in scope whose breach holds, the newest first."""
    return read_incidents(conn, scope, OPEN)


def read_incident(conn: Connection, id_: str, scope: Scope) -> Incident:
    """One incident, by its id or how it begins. Raises UnknownIncidentError where there is none in scope, or two."""
    table = tables.incident
    mine = table.c.id.startswith(id_, autoescape=True) if len(id_) >= SHORTEST_ID else table.c.id == id_
    rows = conn.execute(select(table).where(mine, scope.where(table)).limit(2)).mappings().all()
    if len(rows) != 1:
        what = f"no incident {id_}" if not rows else f"several incidents begin with {id_}"
        raise UnknownIncidentError(f"{what}; list them with `python -m triggers incidents`")
    return _incident(rows[0])


def incidents_by_id(conn: Connection, ids: Sequence[str]) -> dict[str, Incident]:
    """Those of `ids` that were recorded, open or not: an event opens once, for ever."""
    table, by_id = tables.incident, dict[str, Incident]()
    for start in range(0, len(ids), CHUNK):
        rows = conn.execute(select(table).where(table.c.id.in_(ids[start : start + CHUNK]))).mappings()
        by_id.update((row["id"], _incident(row)) for row in rows)
    return by_id


def entries(conn: Connection, id_: str) -> tuple[HistoryEntry, ...]:
    """An incident's history, oldest first."""
    return histories(conn, (id_,)).get(id_, ())


def histories(conn: Connection, ids: Sequence[str]) -> dict[str, tuple[HistoryEntry, ...]]:
    """The history of each of `ids` that has one, oldest first."""
    table, found = tables.incident_event, dict[str, tuple[HistoryEntry, ...]]()
    for start in range(0, len(ids), CHUNK):
        mine = table.c.incident_id.in_(ids[start : start + CHUNK])
        for row in conn.execute(select(table).where(mine).order_by(table.c.seq)).mappings():
            sample = json.loads(row["sample"]) if row["sample"] else None
            entry = HistoryEntry(**{**row, "at": aware(row["at"]), "sample": sample})
            found[entry.incident_id] = (*found.get(entry.incident_id, ()), entry)
    return found


def write(conn: Connection, record: TickRecord) -> None:
    """Write what a tick found. The caller's transaction makes it all or nothing.

    Raises:
        RacedError: somebody else wrote the slot, incident, event or message, or changed an incident; roll back.
    """
    try:
        # A slot first: where two processes evaluated the same one, the second fails here, before it changed anything.
        _insert(conn, tables.eval_slot, record.slots)
        _insert(conn, tables.rule_version, record.versions)
        _insert(conn, tables.baseline, record.baselines)
        _replace_instances(conn, record.instances)
        # Before the new ones: a slice has one open incident at most, and the one it had may be closed by this tick.
        for seen, changed in record.changed:
            update_incident(conn, changed, seen)
        _insert(conn, tables.incident, record.opened)
        _insert(conn, tables.incident_event, record.entries)
        _insert(conn, tables.outbox, record.queued)
        for digest in {part.digest_id for part in record.parts}.difference(message.id for message in record.queued):
            # A digest that waits has other words now: who is about to send the old ones must lose it.
            waits = (tables.outbox.c.id == digest) & (tables.outbox.c.state == "pending")
            fuller = update(tables.outbox).where(waits).values(version=tables.outbox.c.version + 1)
            if conn.execute(fuller).rowcount != 1:
                raise RacedError("a digest was sent while cases were added to it; nothing was written")
        _insert(conn, tables.digest_part, record.parts)
        _insert(conn, tables.escalation, record.escalations)
        if record.errors is not None:
            conn.execute(delete(tables.rule_error))
            _insert(conn, tables.rule_error, record.errors)
    except IntegrityError as error:
        raise RacedError("another process evaluated the same slots first; nothing was written") from error


def update_incident(conn: Connection, changed: Incident, seen: int) -> None:
    """Store an incident as it is now. Raises RacedError unless the stored one is still at the version `seen`."""
    table = tables.incident
    guard = (table.c.id == changed.id) & (table.c.version == seen)
    if conn.execute(update(table).where(guard).values(_row(changed))).rowcount != 1:
        raise RacedError(f"incident {changed.id} was changed by somebody else; try again")


def annotate(conn: Connection, changed: Incident, entry: HistoryEntry, queued: Iterable[Queued] = ()) -> Incident:
    """Store an incident's next version with the event that made it and the messages that tell it."""
    update_incident(conn, changed, changed.version - 1)
    _insert(conn, tables.incident_event, (entry,))
    _insert(conn, tables.outbox, tuple(queued))
    return changed


def _replace_instances(conn: Connection, instances: tuple[Remembered, ...]) -> None:
    # Delete and insert in one transaction is an upsert in every dialect.
    table = tables.instance
    for start in range(0, len(instances), CHUNK):
        some = instances[start : start + CHUNK]
        for rule in {instance.rule for instance in some}:
            slices = [instance.slice for instance in some if instance.rule == rule]
            conn.execute(delete(table).where(table.c.rule == rule, table.c.slice.in_(slices)))
    _insert(conn, table, instances)


_DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "outbox": {"attempts": 0},
}


def _insert(conn: Connection, table: Table, values: Sequence[Any]) -> None:
    if values:
        conn.execute(insert(table), [{**_DEFAULTS.get(table.name, {}), **_row(value)} for value in values])


def _row(value: Any) -> dict[str, Any]:
    row = {field.name.rstrip("_"): _stored(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Incident):
        row["open_key"] = f"{value.rule}|{value.slice}" if value.is_open else None
    return row


def _stored(value: Any) -> Any:
    if isinstance(value, datetime):
        return naive(value)
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True, allow_nan=False)
    return value


def _incident(row: RowMapping) -> Incident:
    values: dict[str, Any] = {
        name: aware(value) if isinstance(value, datetime) else value for name, value in row.items()
    }
    # open_key only lets the database refuse a second open incident of a slice; `class` is a word of Python.
    values.pop("open_key")
    return Incident(class_=values.pop("class"), **values)

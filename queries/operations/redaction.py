"""Take an erased account or person out of the state, and have what Slack shows brought up to date."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import uuid5

from sqlalchemy import Column, Connection, Table, delete, insert, select, union, update

from queries.instants import naive
from queries.scope import EVERYTHING
from queries.state import NAMESPACE, HistoryEntry, Incident, annotate, incidents_by_id, tables
from queries.state.incidents import incidents

REASON: Final = "what it was about has been erased"

TEXTS: Final = (
    tables.incident_event.c.reason,
    tables.action.c.what,
    tables.decision.c.decision,
    tables.override.c.reason,
    tables.silence.c.reason,
    tables.outbox.c.error,
    tables.heartbeat.c.note,
    tables.inbound.c.body,
)
"""What people or processes wrote: the key, and the account's name, go wherever they stand as words."""

VALUES: Final = (
    tables.incident_event.c.sample,
    tables.instance.c.body,
    tables.silence.c.matchers,
    tables.decision.c.issue,
    tables.rule_version.c.body,
)
"""JSON or a slice: the key goes where it is a whole value."""

MAY_BE_POSTED: Final = ("sent", "claimed", "unsure")


@dataclass(frozen=True, slots=True)
class Redaction:
    """What goes.

    Args:
        hash: the tombstone; its beginning stands where the key stood.
        at: when the key was erased, naive UTC: for one erasure a message is updated once, however often it is run.
        keys: the ids.
        name: the account's name, where it was known.
        account: the account's id, None for a person.
        may_be_named: whether any message with accounts in it may have named it.
    """

    hash: str
    at: datetime
    keys: frozenset[str]
    name: str | None
    account: str | None
    may_be_named: bool

    @property
    def mark(self) -> str:
        """What stands in the place of a key."""
        return f"erased-{self.hash[:8]}"


@dataclass(frozen=True, slots=True)
class Redacted:
    """Incidents whose slice was redacted, other texts that changed, and messages that are due to be updated."""

    incidents: int
    texts: int
    messages: int


def redact(conn: Connection, what: Redaction, now: datetime) -> Redacted:
    """Take the keys out of the state. Incidents stay; one that is open and about the key is closed."""
    mine = [
        incident
        for incident in incidents(conn, EVERYTHING)
        if _is_own(incident, what) or _slice(incident, what) != incident.slice
    ]
    for incident in mine:
        # The samples first: they are found by the slice, which closing rewrites.
        _forget_samples(conn, incident, what)
        _close(conn, incident, what, now)
    instances = _forget_instances(conn, what)
    texts = sum(_rewrite(conn, column, _Words(what)) for column in TEXTS)
    values = sum(_rewrite(conn, column, _Values(what.keys, what.mark)) for column in VALUES)
    changed = {incident.id for incident in mine}
    return Redacted(len(mine), instances + texts + values, _queue(conn, changed, what, now))


def _is_own(found: Incident, what: Redaction) -> bool:
    return what.account is not None and found.account_id == what.account


def _slice(found: Incident, what: Redaction) -> str:
    """An incident's slice without the keys. That of a case names a row of the account, so all of it goes."""
    if _is_own(found, what):
        return f"{found.slice.partition('=')[0]}={what.mark}/{found.id[:8]}"
    return _Values(what.keys, what.mark).slice(found.slice)


def _close(conn: Connection, found: Incident, what: Redaction, now: datetime) -> None:
    account = None if _is_own(found, what) else found.account_id
    after = replace(found, slice=_slice(found, what), account_id=account, version=found.version + 1)
    if found.is_open:
        after = replace(after, state="closed", resolved_at=now, next_step_at=None)
    kind = "closed" if found.is_open else "redacted"
    annotate(conn, after, HistoryEntry(found.id, after.version, now, kind, REASON))


def _forget_samples(conn: Connection, found: Incident, what: Redaction) -> None:
    """An incident's own samples repeat its slice."""
    table = tables.incident_event
    change = _Values(frozenset({found.slice}), _slice(found, what))
    for seq, sample in conn.execute(select(table.c.seq, table.c.sample).where(table.c.incident_id == found.id)).all():
        if sample and (after := change(sample)) != sample:
            same = (table.c.incident_id == found.id) & (table.c.seq == seq)
            conn.execute(update(table).where(same).values(sample=after))


def _forget_instances(conn: Connection, what: Redaction) -> int:
    """What a rule remembers of a slice that is no more."""
    table, change = tables.instance, _Values(what.keys, what.mark)
    gone = [row for row in conn.execute(select(table.c.rule, table.c.slice)) if change.slice(row.slice) != row.slice]
    for rule, slice_ in gone:
        conn.execute(delete(table).where(table.c.rule == rule, table.c.slice == slice_))
    return len(gone)


def _any_of(texts: Collection[str]) -> str:
    # The longest first: of several that fit a pattern takes the first, and `A1` would leave the end of `A1-2`.
    return "|".join(map(re.escape, sorted(texts, key=len, reverse=True)))


class _Words:
    """Replaces keys and name where they stand as words."""

    def __init__(self, what: Redaction) -> None:
        self._mark = what.mark
        self._found = re.compile(rf"(?<![\w-])(?:{_any_of({*what.keys, *filter(None, (what.name,))})})(?![\w-])")

    def __call__(self, text: str) -> str:
        return self._found.sub(self._mark, text)


class _Values:
    """Replaces keys where they are a whole value of JSON or of a slice."""

    def __init__(self, keys: Collection[str], mark: str) -> None:
        self._keys, self._mark = keys, mark
        sliced = {form for key in keys for form in (key, key.replace("\\", "\\\\").replace("|", "\\|"))}
        self._found = re.compile(rf"(?<=[=/])(?:{_any_of(sliced)})(?=[|/]|\Z)")

    def slice(self, text: str) -> str:
        """`vertical=retail|account_id=A1` or `revenue=source/A1/2026-01-01`, without the keys."""
        return self._found.sub(lambda _: self._mark, text)

    def __call__(self, text: str) -> str:
        try:
            said = json.loads(text)
        except ValueError:
            return self.slice(text)
        after = self._value(said)
        return json.dumps(after, sort_keys=True) if after != said else text

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._mark if value in self._keys else self.slice(value)
        if isinstance(value, list):
            return [self._value(one) for one in value]
        if isinstance(value, dict):
            return {name: self._value(one) for name, one in value.items()}
        return value


def _rewrite(conn: Connection, column: Column[Any], change: "_Words | _Values") -> int:
    """Change a column wherever it holds a key. Returns how many rows did."""
    table: Table = column.table
    keys = list(table.primary_key)
    changed = 0
    for *key, before in conn.execute(select(*keys, column).where(column.is_not(None))).all():
        if (after := change(before)) != before:
            same = (one == value for one, value in zip(keys, key, strict=True))
            changed += conn.execute(update(table).where(*same).values({column.name: after})).rowcount
    return changed


def _queue(conn: Connection, changed: set[str], what: Redaction, now: datetime) -> int:
    """Have each root message that may show the key shown anew, from the data without it.

    The version asked for is one more than there is, so that no message on its way can stand in for the update.
    """
    message, root = tables.outbox, tables.slack_root
    # What was claimed or is in doubt may stand in Slack without a row that says where.
    tried = select(message.c.incident_id, message.c.target)
    tried = tried.where(message.c.kind == "root", message.c.state.in_(MAY_BE_POSTED))
    places = sorted(
        (id_, target) for id_, target in conn.execute(union(tried, select(root.c.incident_id, root.c.target)))
    )
    known = incidents_by_id(conn, sorted({id_ for id_, _ in places}))
    rows = [
        _update(known[id_], target, what, now)
        for id_, target in places
        if id_ in known and (id_ in changed or (what.may_be_named and known[id_].account_id is None))
    ]
    present = set(conn.scalars(select(message.c.id).where(message.c.id.in_([row["id"] for row in rows]))))
    new = [row for row in rows if row["id"] not in present]
    if new:
        conn.execute(insert(message), new)
    return len(new)


def _update(found: Incident, target: str, what: Redaction, now: datetime) -> dict[str, Any]:
    name = json.dumps([found.id, "erased", what.hash, what.at.isoformat(), target])
    version = found.version + 1
    return {
        "id": str(uuid5(NAMESPACE, name)),
        "incident_id": found.id,
        "episode": found.episode,
        "kind": "update",
        "step": version,
        "target": target,
        "state": "pending",
        "version": version,
        "attempts": 0,
        "due_at": naive(now),
        "created_at": naive(now),
    }

"""Erase an account or a person for ever: from the warehouse, from the state, and from what Slack shows."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, insert, select, update

from config.models import Catalog
from queries.engine import vacuum
from queries.loading.publish import derive, generation_key, record_generation
from queries.operations.redaction import Redacted, Redaction, redact
from queries.warehouse import Kind, LoadReport, Touched, Warehouse, hash_of, latest, nothing_touched, tables

BY: Final = "queries forget"
"""Stands where a generation names its source; no source can be called so."""

_EMPTY_ZONE: Final = "UTC"
"""Of a warehouse that holds nothing: the first source loaded brings its own."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was erased.

    Args:
        generation: the one published without it; no older one is left.
        rows: rows removed from the canonical tables.
        facts: rows that stay, without their person and comment.
        people: people of the account that were erased with it.
        quarantined: rows removed from the quarantine.
        was_known: whether anything of it was there.
        redacted: what became of the state.
    """

    generation: int
    rows: int
    facts: int
    people: int
    quarantined: int
    was_known: bool
    redacted: Redacted


@dataclass(frozen=True, slots=True)
class _Erased:
    """What the warehouse knew of the key. `at` is when it was erased: later runs that find nothing do not move it."""

    people: frozenset[str]
    name: str | None
    rows: int
    facts: int
    quarantined: int
    at: datetime
    again: bool

    @property
    def found(self) -> bool:
        return bool(self.rows or self.facts or self.quarantined)


def forget(
    warehouse: Warehouse,
    states: Engine,
    kind: Kind,
    key: str,
    catalog: Catalog,
    now: datetime,
    say: Callable[[str], None] = print,
) -> Forgotten:
    """Erase a key. What was stopped half-way is finished by running it again; a second time changes nothing more.

    Of an account every row goes, and its people with it. Of a person the person's row goes, and facts lose the person
    and the comment. A tombstone keeps both out of every later load. The state is changed after the warehouse, so that
    no message is brought up to date from data that still holds the key.

    Args:
        warehouse: rewritten; every older generation is removed at once.
        states: incidents stay, with a redacted slice; messages that may have named the key are due to be updated.
        kind: what the key is of.
        key: the account_id or person_id. One that is not there gets its tombstone all the same.
        catalog: what the new generation is computed by.
        now: aware UTC.
        say: told what was done.
    """
    at = now.replace(tzinfo=None)
    with warehouse.draft(say) as draft:
        touched = nothing_touched(draft.conn)
        erased = _erase(draft.conn, kind, key, at, touched)
        before = latest(draft.conn)
        derive(draft.conn, catalog, touched if before else None)
        basis = generation_key(before.zone if before else _EMPTY_ZONE, catalog)
        record_generation(draft.conn, draft.number, basis, BY, LoadReport(BY).json(), at)
        draft.erase()
    say(_told_rows(kind, key, erased))
    done = _redact(states, kind, key, erased, now)
    say(
        f"state: {done.incidents:,} incidents and {done.texts:,} texts redacted; "
        f"{done.messages:,} Slack messages are due to be updated by `python -m triggers run`"
    )
    people = len(erased.people) if kind == "account" else 0
    return Forgotten(draft.number, erased.rows, erased.facts, people, erased.quarantined, erased.found, done)


def _erase(conn: Connection, kind: Kind, key: str, now: datetime, touched: Touched) -> _Erased:
    # A person is erased by its key alone: one that the warehouse does not hold may still stand in the quarantine.
    people = frozenset({key})
    if kind == "account":
        members = select(tables.person.c.person_id).where(tables.person.c.account_id == key)
        people = frozenset(conn.scalars(members))
    name = conn.scalar(select(tables.account.c.name).where(tables.account.c.account_id == key))
    # Before the rows go: the facts of other accounts are found by the people of this one.
    facts = _without_people(conn, kind, key, now)
    rows = _remove(conn, kind, key, touched)
    quarantined = _clear_quarantine(conn, key if kind == "account" else None, people)
    was_there = bool(rows or facts or quarantined)
    tombstone = tables.erased
    kept = conn.scalar(select(tombstone.c.at).where(tombstone.c.hash == hash_of(kind, key)))
    at = now if kept is None or was_there else kept
    hashes = {hash_of(kind, key), *(hash_of("person", person) for person in people)}
    conn.execute(delete(tombstone).where(tombstone.c.hash.in_(hashes)))
    conn.execute(insert(tombstone), [{"hash": hash_, "at": at} for hash_ in sorted(hashes)])
    return _Erased(people, name if kind == "account" else None, rows, facts, quarantined, at, kept is not None)


def _without_people(conn: Connection, kind: Kind, key: str, now: datetime) -> int:
    """Facts lose the person and what the person wrote; of an account's people, also the facts of other accounts."""
    changed = 0
    person = tables.person
    for table in tables.CANONICAL:
        if "person_id" not in table.c or table is person:
            continue
        mine = table.c.person_id == key
        if kind == "account":
            those = select(person.c.person_id).where(person.c.account_id == key)
            mine = table.c.person_id.in_(those) & (table.c.account_id != key)
        gone = {name: None for name in ("person_id", "comment") if name in table.c}
        changed += conn.execute(update(table).where(mine).values(**gone, loaded_at=now)).rowcount
    return changed


def _remove(conn: Connection, kind: Kind, key: str, touched: Touched) -> int:
    if kind == "person":
        own = [(tables.person, tables.person.c.person_id == key)]
    else:
        # Children before parents: at no moment does a row refer to one that is gone.
        parents_last = reversed(tables.CANONICAL)
        own = [(table, table.c.account_id == key) for table in parents_last if "account_id" in table.c]
    removed = 0
    for table, mine in own:
        # Noted before they go: afterwards nothing says which days must be computed anew.
        touched.note(conn, table, mine)
        removed += conn.execute(delete(table).where(mine)).rowcount
    return removed


def _clear_quarantine(conn: Connection, account: str | None, people: frozenset[str]) -> int:
    """Remove the rejected rows of the account or the people: they hold the rows as they were read."""
    table = tables.quarantine
    keys = (table.c.source, table.c.table_name, table.c.key, table.c.row)
    rejected = {tuple(row) for row in conn.execute(select(*keys)) if _holds(row.row, account, people)}
    gone = 0
    for values in rejected:
        same = (column == value for column, value in zip(keys, values, strict=True))
        gone += conn.execute(delete(table).where(*same)).rowcount
    return gone


def _holds(row: str, account: str | None, people: frozenset[str]) -> bool:
    try:
        said: Any = json.loads(row)
    except ValueError:
        return False
    if not isinstance(said, dict):
        return False
    whose, who = (str(said.get(name, "")).strip() for name in ("account_id", "person_id"))
    return (account is not None and whose == account) or who in people


def _redact(states: Engine, kind: Kind, key: str, erased: _Erased, now: datetime) -> Redacted:
    keys = erased.people | {key}
    may_be_named = kind == "account" and (erased.found or erased.again)
    what = Redaction(hash_of(kind, key), erased.at, keys, erased.name, key if kind == "account" else None, may_be_named)
    with states.begin() as conn:
        done = redact(conn, what, now)
    # Deleted and changed rows stay in the file until their pages are used again.
    vacuum(states)
    return done


def _told_rows(kind: Kind, key: str, erased: _Erased) -> str:
    if not erased.found:
        return f"nothing of {kind} {key} was in the warehouse; later loads leave it out"
    parts = (
        f"{erased.rows:,} rows removed",
        f"{erased.facts:,} rows without their person",
        f"{erased.quarantined:,} rows removed from the quarantine",
    )
    return f"{kind} {key} is erased: {', '.join(parts)}; older generations are gone, and later loads leave it out"

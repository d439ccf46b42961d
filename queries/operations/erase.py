"""Erase accounts and people for ever: from the warehouse, from the state, and from what Slack shows.

What is to go is noted in the state before anything is touched. An erasure that was stopped, wherever it was, is
finished by whatever finds the note: the next erasure, the next start of the rules, or a restore.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, insert, select, true, update

from config import EarshotError
from config.models import Catalog
from queries.engine import vacuum
from queries.loading.publish import derive, generation_key, record_generation
from queries.loading.sandbox import remove_left_copies
from queries.operations.redaction import Redacted, Redaction, redact
from queries.state import erasure
from queries.warehouse import (
    Kind,
    LoadReport,
    NewGeneration,
    NoWarehouseError,
    Touched,
    Warehouse,
    as_key,
    hash_of,
    latest,
    nothing_touched,
    tables,
)

BY: Final = "queries forget"
"""Stands where a generation names its source; no source can be called so."""

_EMPTY_ZONE: Final = "UTC"
"""Of a warehouse that holds nothing: the first source loaded brings its own."""

Say = Callable[[str], None]


class NoKeyError(EarshotError):
    """An erasure needs a key."""


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


@dataclass(slots=True)
class _Erasure:
    """One key on its way out: what is to be looked for, and what the warehouse lost.

    `at` is when it was erased (naive UTC): later runs that find nothing do not move it.
    """

    kind: Kind
    key: str
    at: datetime
    people: set[str] = field(default_factory=set)
    name: str | None = None
    rows: int = 0
    facts: int = 0
    quarantined: int = 0
    again: bool = False

    @property
    def hash(self) -> str:
        return hash_of(self.kind, self.key)

    @property
    def was_known(self) -> bool:
        return bool(self.rows or self.facts or self.quarantined)

    def look_up(self, conn: Connection) -> None:
        """Note the people and the name of an account, as long as the warehouse knows them."""
        # A person is erased by its key alone: one that the warehouse does not hold may still stand in the quarantine.
        if self.kind == "person":
            self.people.add(self.key)
            return
        person, account = tables.person.c, tables.account.c
        self.people.update(conn.scalars(select(person.person_id).where(person.account_id == self.key)))
        self.name = conn.scalar(select(account.name).where(account.account_id == self.key)) or self.name

    def take_people_out(self, conn: Connection, now: datetime) -> int:
        """Facts lose the person and what the person wrote; of an account's people, also the facts of other accounts."""
        changed = 0
        for table in tables.CANONICAL:
            if "person_id" not in table.c or table is tables.person:
                continue
            theirs = table.c.person_id.in_(self.people)
            # An account's own facts go as a whole; those of a person stay, whosever they are.
            others = table.c.account_id != self.key if self.kind == "account" else true()
            gone = {name: None for name in ("person_id", "comment") if name in table.c}
            changed += conn.execute(update(table).where(theirs, others).values(**gone, loaded_at=now)).rowcount
        return changed

    def remove_rows(self, conn: Connection, touched: Touched) -> int:
        """Of an account whatever is of it, of a person the person's own row."""
        column = f"{self.kind}_id"
        # Children before parents: at no moment does a row refer to one that is gone.
        of_key = [tables.person] if self.kind == "person" else [t for t in reversed(tables.CANONICAL) if column in t.c]
        removed = 0
        for table in of_key:
            # Noted before they go: afterwards nothing says which days must be computed anew.
            touched.note(conn, table, table.c[column] == self.key)
            removed += conn.execute(delete(table).where(table.c[column] == self.key)).rowcount
        return removed

    def clear_quarantine(self, conn: Connection) -> int:
        """Remove the rejected rows of the account or the people: they hold the rows as they were read."""
        table, removed = tables.quarantine, 0
        keys = (table.c.source, table.c.table_name, table.c.key, table.c.row)
        theirs = {("person_id", person) for person in self.people}
        if self.kind == "account":
            theirs |= {("account_id", self.key)}
        for rejected in {tuple(row) for row in conn.execute(select(*keys))}:
            try:
                said: Any = json.loads(rejected[-1])
            except ValueError:
                continue
            if isinstance(said, dict) and theirs & {(name, str(value).strip()) for name, value in said.items()}:
                same = (column == value for column, value in zip(keys, rejected, strict=True))
                removed += conn.execute(delete(table).where(*same)).rowcount
        return removed

    def words(self) -> str:
        """What the warehouse lost."""
        if not self.was_known:
            return f"the warehouse had no {self.kind} {self.key}; later loads leave it out"
        parts = (
            f"{self.rows:,} rows removed",
            f"{self.facts:,} rows separated from the person",
            f"{self.quarantined:,} rows removed from the quarantine",
        )
        said = f"{self.kind} {self.key} is erased: {', '.join(parts)}"
        return f"{said}; older generations are removed, and later loads leave it out"


def forget(
    warehouse: Warehouse,
    states: Engine,
    kind: Kind,
    key: str,
    catalog: Catalog,
    now: datetime,
    say: Say = print,
) -> Forgotten:
    """Erase a key, and finish what was stopped before. A second time changes nothing more.

    Of an account every row goes, and its people with it. Of a person the person's row goes, and facts lose the person
    and the comment. A tombstone keeps both out of every later load. The state is changed after the warehouse, so that
    no message is brought up to date from data that still holds the key.

    Args:
        warehouse: rewritten; every older generation is removed at once.
        states: incidents stay, with a redacted slice; messages that may have named the key are due to be updated.
        kind: what the key is of.
        key: the account_id or person_id, as `as_key` stores it. One that is not there gets its tombstone all the same.
        catalog: what the new generation is computed by.
        now: aware UTC.
        say: told what was done.

    Raises:
        NoKeyError: the key is empty or blank.
    """
    stored = as_key(key)
    # As it was given, too: rows may have been loaded when keys were still stored as they came.
    intend(warehouse, states, [(kind, form) for form in {key: None, stored: None}], now)
    return finish_erasures(warehouse, states, catalog, now, say)[hash_of(kind, stored)]


def intend(warehouse: Warehouse, states: Engine, keys: Sequence[tuple[Kind, str]], now: datetime) -> None:
    """Note what is to be erased, with all that it can be found by. From here on it is erased whatever happens.

    Raises:
        NoKeyError: a key is empty or blank.
    """
    if any(not as_key(key) for _, key in keys):
        raise NoKeyError("an erasure needs a key; write --account ID or --person ID, with the id as it is in your data")
    erasures = {new.hash: new for kind, key in keys for new in [_Erasure(kind, key, now.replace(tzinfo=None))]}
    with suppress(NoWarehouseError), warehouse.pin() as pin:
        for new in erasures.values():
            new.look_up(pin.conn)
    with states.begin() as conn:
        for noted in _noted(conn):
            # A run that was stopped may have known more: its warehouse still held the account.
            if noted.hash in erasures:
                erasures[noted.hash].people |= noted.people
                erasures[noted.hash].name = erasures[noted.hash].name or noted.name
        conn.execute(delete(erasure).where(erasure.c.hash.in_(erasures)))
        for new in erasures.values():
            body = {"kind": new.kind, "key": new.key, "people": sorted(new.people), "name": new.name}
            conn.execute(insert(erasure).values(hash=new.hash, at=new.at, body=json.dumps(body)))


def _noted(conn: Connection) -> list[_Erasure]:
    rows = conn.execute(
        select(erasure.c.at, erasure.c.body).where(erasure.c.body.is_not(None)).order_by(erasure.c.hash)
    )
    bodies = [(at, json.loads(body)) for at, body in rows]
    return [_Erasure(body["kind"], body["key"], at, set(body["people"]), body["name"]) for at, body in bodies]


def noted_keys(conn: Connection) -> list[tuple[Kind, str]]:
    """The keys whose erasure has begun and is not finished."""
    return [(noted.kind, noted.key) for noted in _noted(conn)]


def finish_erasures(
    warehouse: Warehouse,
    states: Engine,
    catalog: Catalog,
    now: datetime,
    say: Say = print,
    tombstones: Mapping[str, datetime] | None = None,
) -> dict[str, Forgotten]:
    """Erase all that is noted, by the hash of its key. Nothing is done where nothing is noted.

    Args:
        warehouse: written anew once, however much is noted.
        states: what is noted stands in it; redacted in one transaction.
        catalog: what the new generation is computed by.
        now: aware UTC.
        say: told what was done.
        tombstones: more of them (hash: when, naive UTC), of keys that nobody knows any more.
    """
    with states.connect() as conn:
        erasures = _noted(conn)
        is_unfinished = conn.execute(select(erasure.c.hash)).first() is not None
    number = 0
    if erasures or tombstones:
        with warehouse.draft(say) as draft:
            _erase(draft, erasures, tombstones or {}, catalog, now.replace(tzinfo=None))
        number = draft.number
    forgotten = {}
    with states.begin() as conn:
        for done in erasures:
            say(done.words())
            account = done.key if done.kind == "account" else None
            may_be_named = account is not None and (done.was_known or done.again)
            what = Redaction(done.hash, done.at, account, frozenset(done.people), done.name, may_be_named)
            redacted = redact(conn, what, now)
            say(
                f"state: {redacted.incidents:,} incidents and {redacted.texts:,} texts redacted; "
                f"{redacted.messages:,} Slack messages will be updated by `python -m triggers run`"
            )
            people = len(done.people) if account else 0
            figures = (done.rows, done.facts, people, done.quarantined, done.was_known)
            forgotten[done.hash] = Forgotten(number, *figures, redacted)
        conn.execute(update(erasure).where(erasure.c.hash.in_(forgotten)).values(body=None))
    if is_unfinished:
        # What a load that was killed had copied of its input, and rows that stay in a file until their pages are used.
        remove_left_copies()
        vacuum(states, erasure.metadata)
        with states.begin() as conn:
            conn.execute(delete(erasure).where(erasure.c.body.is_(None)))
    return forgotten


def _erase(
    draft: NewGeneration,
    erasures: Sequence[_Erasure],
    tombstones: Mapping[str, datetime],
    catalog: Catalog,
    now: datetime,
) -> None:
    conn, touched, marks = draft.conn, nothing_touched(draft.conn), dict(tombstones)
    present = {row.hash: row.at for row in conn.execute(select(tables.erased.c.hash, tables.erased.c.at))}
    for each in erasures:
        each.look_up(conn)
        # Before the rows go: the facts of other accounts are found by the people of this one.
        each.facts = each.take_people_out(conn, now)
        each.quarantined = each.clear_quarantine(conn)
        each.rows = each.remove_rows(conn, touched)
        each.again = each.hash in present
        each.at = present[each.hash] if each.again and not each.was_known else each.at
        marks |= dict.fromkeys({each.hash, *(hash_of("person", person) for person in each.people)}, each.at)
    new = [{"hash": hash_, "at": at} for hash_, at in sorted(marks.items()) if present.get(hash_) != at]
    if new:
        conn.execute(delete(tables.erased).where(tables.erased.c.hash.in_(marks)))
        conn.execute(insert(tables.erased), [{"hash": hash_, "at": at} for hash_, at in sorted(marks.items())])
    before = latest(conn)
    derive(conn, catalog, touched if before and not draft.is_anew else None)
    basis = generation_key(before.zone if before else _EMPTY_ZONE, catalog)
    record_generation(conn, draft.number, basis, BY, LoadReport(BY).json(), now)
    draft.erase()

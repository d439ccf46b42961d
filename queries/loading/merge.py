"""How accepted rows come into the warehouse: by key, only what is new or differs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    DateTime,
    FromClause,
    Select,
    Table,
    and_,
    delete,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    union_all,
    update,
)

from queries.engine import append
from queries.loading.quarantine import COMPANY_WIDE
from queries.warehouse import Touched, accepted, stamps, tables, temporary

Row = ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Merged:
    """What a load did to one table, in rows."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0

    @property
    def differs(self) -> bool:
        """Whether the table is not as it was."""
        return bool(self.added or self.changed or self.removed)


@dataclass(frozen=True, slots=True)
class Merging:
    """What is the same for every table of one load. `touched` is None where everything is computed anew anyway."""

    conn: Connection
    source: str
    now: datetime
    snapshot: bool
    touched: Touched | None


def merge(merging: Merging, table: Table, staged: Table) -> Merged:
    """Bring the accepted rows of a table in: new ones added, others replaced where a column differs.

    `first_loaded_at` stays what it was; `loaded_at` moves only where the row differs. Of a company-wide table the rows
    that another source owns stay as they are.
    """
    good = int(merging.conn.execute(select(func.count()).where(staged.c.reason.is_(None))).scalar_one())
    empty = select(literal(1)).where(staged.c.vertical.is_(None)) if "vertical_filled" in table.c else None
    rows = accepted(table, staged, fill=empty is not None and _any(merging, empty)).where(staged.c.reason.is_(None))
    if table.name in COMPANY_WIDE:
        # Two sources may know one account; whoever brought it first keeps it, or each load would take it from the
        # other.
        other, key = table.alias(), _key_names(table)[0]
        rows = rows.where(not_(exists().where(other.c[key] == staged.c[key], other.c.source != merging.source)))
    if not _any(merging, select(literal(1)).where(_own(merging, table))):
        # Nothing of this source is there: no row needs to be looked up.
        added = append(merging.conn, table, rows.add_columns(*stamps(merging.now)))
        _note_new(merging, table, added)
        return Merged(added=added, unchanged=good - added)
    return _replace(merging, table, rows, good)


def withdraw(merging: Merging, table: Table) -> Merged:
    """Remove every row of the source from a table."""
    return Merged(removed=_remove(merging, table, _own(merging, table)))


def _own(merging: Merging, table: FromClause) -> Row:
    return table.c.source == merging.source


def _any(merging: Merging, rows: Select[Any]) -> bool:
    return merging.conn.execute(rows.limit(1)).first() is not None


def _replace(merging: Merging, table: Table, rows: Select[Any], good: int) -> Merged:
    arriving = rows.subquery("arriving_row")
    changed, before = _changed(merging, table, arriving)
    absent = and_(_own(merging, table), not_(exists().where(_same(arriving, table, _key_names(table)))))
    removed = _remove(merging, table, absent) if merging.snapshot else 0
    # Noted before they go: the day that a row leaves is to be computed anew as well as the one it comes to.
    if before:
        _note_and_delete(merging, table, changed)
    there, names = table.alias(), _key_names(table)
    placed = (
        select(
            *arriving.c,
            func.coalesce(changed.c.first_loaded_at, merging.now).label("first_loaded_at"),
            stamps(merging.now)[1],
        )
        .select_from(arriving.outerjoin(changed, _same(arriving, changed, names)))
        .where(not_(exists().where(_same(there, arriving, names))))
    )
    written = append(merging.conn, table, placed)
    _note_new(merging, table, written)
    return Merged(written - before, before, good - written, removed)


def _changed(merging: Merging, table: Table, arriving: FromClause) -> tuple[Table, int]:
    """The keys of the rows that are there and differ, with the time they first came; and their number."""
    names = _key_names(table)
    changed = _keys("changed", table, Column("first_loaded_at", DateTime))
    changed.create(merging.conn)
    differs = [table.c[n].is_distinct_from(arriving.c[n]) for n in arriving.c.keys() if n not in (*names, "source")]  # noqa: SIM118
    rows = (
        select(*(table.c[name] for name in names), table.c.first_loaded_at)
        .select_from(table.join(arriving, _same(table, arriving, names)))
        .where(_own(merging, table), or_(false(), *differs))
    )
    return changed, append(merging.conn, changed, rows)


def _remove(merging: Merging, table: Table, which: Row) -> int:
    """Remove rows; a company-wide row that another source's rows refer to passes to that source."""
    gone = _keys("gone", table)
    gone.create(merging.conn)
    number = append(merging.conn, gone, select(*(table.c[name] for name in _key_names(table))).where(which))
    if number and table.name in COMPANY_WIDE:
        number -= _hand_over(merging, table, gone)
    if number:
        _note_and_delete(merging, table, gone)
    return number


def _hand_over(merging: Merging, table: Table, gone: Table) -> int:
    """Give what others refer to to one of them. Returns how many rows stay."""
    key = _key_names(table)[0]
    referring = [(child, c) for child in tables.CANONICAL for c in child.c if c.info.get("refers") == table.name]
    foreign = (
        select(child.c[c.name].label("key"), child.c.source.label("source")).where(child.c.source != merging.source)
        for child, c in referring
    )
    users = union_all(*foreign).subquery()
    heir = select(func.min(users.c.source)).where(users.c.key == table.c[key]).scalar_subquery()
    handed = and_(exists().where(gone.c[key] == table.c[key]), exists().where(users.c.key == table.c[key]))
    merging.conn.execute(update(table).where(handed).values(source=heir, loaded_at=merging.now))
    kept = table.alias()
    stays = exists().where(kept.c[key] == gone.c[key], kept.c.source != merging.source)
    return merging.conn.execute(delete(gone).where(stays)).rowcount


def _note_and_delete(merging: Merging, table: Table, keys: Table) -> None:
    which = exists().where(_same(keys, table, _key_names(table)))
    _note(merging, table, which)
    merging.conn.execute(delete(table).where(which))


def _note_new(merging: Merging, table: Table, number: int) -> None:
    if number:
        _note(merging, table, and_(_own(merging, table), table.c.loaded_at == merging.now))


def _note(merging: Merging, table: Table, which: Row) -> None:
    if merging.touched is not None:
        merging.touched.note(merging.conn, table, which)


def _same(left: FromClause, right: FromClause, names: list[str]) -> Row:
    return and_(true(), *(left.c[name] == right.c[name] for name in names))


def _key_names(table: Table) -> list[str]:
    return [column.name for column in table.primary_key]


def _keys(what: str, table: Table, *more: Column[Any]) -> Table:
    return temporary(f"{what}_{table.name}", *(Column(c.name, c.type) for c in table.primary_key), *more)

"""What the rows of a load are held to beyond the row itself: keys that stand once, and references that exist."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, and_, exists, func, literal, not_, select, true, update

from queries.engine import append
from queries.sql_functions import hash64
from queries.warehouse import Stage, tables, temporary

COMPANY_WIDE = frozenset({"account", "person"})
"""The tables whose key does not hold the source."""


def reject_invalid_rows(stage: Stage, leaving: Collection[str]) -> None:
    """Give every staged row that cannot stand its reason.

    Args:
        stage: the staged tables; their own mistakes already have a reason.
        leaving: the sources whose present rows go with this load: a snapshot's own, a replaced sample's.
    """
    for table, staged in stage:
        _reject_repeated(stage, table, staged)
        for column in table.c:
            if parent := column.info.get("refers"):
                _reject_unknown(stage, staged, column.name, tables.warehouse.tables[parent], leaving)


def _reject_repeated(stage: Stage, table: Table, staged: Table) -> None:
    # All copies go: nothing says which one is right.
    names = [column.name for column in table.primary_key if column.name != "source"]
    repeated = temporary(f"repeated_{table.name}", *(Column(name, staged.c[name].type) for name in names))
    repeated.create(stage.conn)
    keys = [staged.c[name] for name in names]
    copies = select(*keys).where(_suspect(staged, names)).group_by(*keys).having(func.count() > 1)
    if not append(stage.conn, repeated, copies):
        return
    same = and_(*(staged.c[name] == repeated.c[name] for name in names))
    reason = f"same key twice in one load; keep one row for each {' and '.join(names)}"
    stage.conn.execute(_unless_rejected(staged, exists().where(same)).values(reason=reason))


def _suspect(staged: Table, names: list[str]) -> ColumnElement[bool]:
    # Numbers are grouped in a quarter of the memory that their texts take. That two different texts share a number
    # does no harm: the caller groups what is left by the texts themselves.
    text = func.concat_ws("|", *(staged.c[name] for name in names)) if len(names) > 1 else staged.c[names[0]]
    mark = hash64(text)
    complete = and_(*(staged.c[name].is_not(None) for name in names))
    return and_(complete, mark.in_(select(mark).where(complete).group_by(mark).having(func.count() > 1)))


def _reject_unknown(stage: Stage, staged: Table, column: str, parent: Table, leaving: Collection[str]) -> None:
    # Each place where the key may be is a condition of its own: joined by OR, PostgreSQL would look row by row.
    value = staged.c[column]
    missing: list[ColumnElement[bool]] = [value.is_not(None)]
    key = next(column.name for column in parent.primary_key if column.name != "source")
    if parent.name in stage.tables:
        arriving = stage.tables[parent.name].alias()
        missing.append(not_(exists().where(arriving.c[key] == value, arriving.c.reason.is_(None))))
    # In place the rows that are there are the staged ones, with those that were rejected.
    if not stage.in_place:
        present = parent.alias()
        same_source = true() if parent.name in COMPANY_WIDE else present.c.source == staged.c.source
        stays = present.c.source.not_in(sorted(leaving))
        missing.append(not_(exists().where(present.c[key] == value, same_source, stays)))
    reason = literal(f"unknown {parent.name} '") + value + "'"
    stage.conn.execute(_unless_rejected(staged, and_(*missing)).values(reason=reason))


def _unless_rejected(staged: Table, wrong: ColumnElement[bool]) -> Any:
    return update(staged).where(staged.c.reason.is_(None), wrong)

"""Where the rows of one load wait to be judged, before anybody sees them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    DateTime,
    FromClause,
    MetaData,
    Select,
    String,
    Table,
    func,
    literal,
    select,
    text,
)

from queries.engine import append, arriving, insert_arrow
from queries.warehouse import tables as warehouse_tables
from queries.warehouse.verticals import covers, vertical_periods

LOADED: Final = frozenset({"first_loaded_at", "loaded_at", "vertical_filled"})
"""The columns that are filled when a row passes from the stage to its table."""

_VERDICT: Final = ("reason", "row")


@dataclass(frozen=True, slots=True)
class Stage:
    """One table per canonical table that the source fills: its columns, `reason` (null: accepted) and `row`.

    `conn` sees the stage and the committed warehouse; `schema` is where the stage's tables are (None: temporary).
    `in_place`: an empty warehouse's own tables are the stage, so that ten million rows are written once.
    """

    conn: Connection
    schema: str | None
    in_place: bool = False
    tables: dict[str, Table] = field(default_factory=dict)

    def fill(self, name: str, rows: pa.RecordBatchReader, now: datetime) -> int:
        """Bring a table's rows in. Returns their number."""
        if self.in_place:
            return self._fill_in_place(warehouse_tables.warehouse.tables[name], rows, now)
        target = self.tables[name] = self.table(name)
        target.create(self.conn)
        count = insert_arrow(self.conn, target, rows)
        # Without statistics PostgreSQL takes a new table for a small one, and would join millions in nested loops.
        if self.conn.dialect.name == "postgresql":
            self.conn.execute(text(f'analyze "{target.name}"'))
        return count

    def _fill_in_place(self, table: Table, rows: pa.RecordBatchReader, now: datetime) -> int:
        target = Table(table.name, MetaData(), *_columns(table), *(Column(name, String) for name in _VERDICT))
        self.tables[table.name] = target
        added = (f'add column "{name}" varchar' for name in _VERDICT)
        # Also a row that lacks what it needs waits here for its verdict.
        self._alter(target, *added, *(f'alter column "{name}" drop not null' for name in _required(table)))
        count = 0
        for part in arriving(self.conn, target, rows):
            verdict = (part.c[name] for name in _VERDICT)
            staged = accepted(table, part, fill=False).add_columns(*stamps(now), *verdict)
            count += append(self.conn, target, staged)
        return count

    def leave(self) -> None:
        """Where the stage is the warehouse's own tables: take out what was not accepted, and the stage's columns."""
        for target in self.tables.values() if self.in_place else ():
            self.conn.execute(target.delete().where(target.c.reason.is_not(None)))
            required = _required(warehouse_tables.warehouse.tables[target.name])
            dropped = (f'drop column "{name}"' for name in _VERDICT)
            self._alter(target, *dropped, *(f'alter column "{name}" set not null' for name in required))

    def _alter(self, table: Table, *how: str) -> None:
        self.conn.execute(text("; ".join(f'alter table "{table.name}" {part}' for part in how)))

    def table(self, name: str, what: str = "stage") -> Table:
        """A table of the stage with the columns of that canonical table."""
        wanted = [column for column in _columns(warehouse_tables.warehouse.tables[name]) if column.name not in LOADED]
        verdict = [Column(column, String) for column in _VERDICT]
        prefixes = [] if self.schema else ["TEMPORARY"]
        return Table(f"{what}_{name}", MetaData(), *wanted, *verdict, schema=self.schema, prefixes=prefixes)

    def __iter__(self) -> Iterator[tuple[Table, Table]]:
        """Canonical table and stage table, parents before children."""
        return ((table, self.tables[table.name]) for table in warehouse_tables.CANONICAL if table.name in self.tables)


def accepted(table: Table, rows: FromClause, *, fill: bool) -> Select[Any]:
    """Staged rows in the columns of their table, with the vertical that the account's history gives if `fill`."""
    columns = {c.name: rows.c[c.name] for c in table.c if c.name in rows.c}
    if "vertical_filled" not in table.c:
        return select(*columns.values())
    columns["vertical_filled"] = rows.c.vertical.is_(None).label("vertical_filled")
    if not fill:
        return select(*columns.values())
    period = vertical_periods()
    columns["vertical"] = func.coalesce(rows.c.vertical, period.c.vertical).label("vertical")
    return select(*columns.values()).select_from(rows.outerjoin(period, covers(period, rows)))


def stamps(now: datetime) -> list[ColumnElement[datetime]]:
    """When a row came that comes for the first time."""
    return [literal(now, DateTime).label(name) for name in ("first_loaded_at", "loaded_at")]


def _required(table: Table) -> list[str]:
    return [column.name for column in table.c if not column.nullable]


def _columns(table: Table) -> list[Column[Any]]:
    return [Column(column.name, column.type) for column in table.c]

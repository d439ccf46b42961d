"""Rows that a load did not let in, each with its reason."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Date,
    DateTime,
    Double,
    Integer,
    String,
    Table,
    and_,
    delete,
    exists,
    func,
    literal,
    not_,
    select,
    true,
)

from queries.engine import append, insert_arrow
from queries.warehouse import LOADED, Stage, tables, temporary

WAITS: Final = "unknown "
"""How the reasons begin that a later load can cure: what the row refers to may still come."""

_COLUMNS: Final = ("source", "table_name", "key", "reason", "row")
_QUOTED: Final = re.compile(r"'[^']*'")
_ROWS_AT_ONCE: Final = 10_000


def count_reasons(stage: Stage) -> Counter[str]:
    """How many staged rows have which reason: `contact: unknown account '…'`."""
    counts: Counter[str] = Counter()
    for table, staged in stage:
        reason = staged.c.reason
        for text, number in stage.conn.execute(
            select(reason, func.count()).where(reason.is_not(None)).group_by(reason)
        ):
            counts[f"{table.name}: {without_values(text)}"] += number
    return counts


def without_values(reason: str) -> str:
    """A reason without the value it quotes, to count by: `unknown account '…'`."""
    return _QUOTED.sub("'…'", reason)


def write_quarantine(conn: Connection, stage: Stage, source: str, now: datetime, *, snapshot: bool) -> int:
    """Put the rejected rows away and let go of those that came again: of a snapshot all, else those of the same key.

    Returns how many rows of the quarantine came or went.
    """
    arriving = _texts("arriving_quarantine", *_COLUMNS)
    arriving.create(conn)
    for table, staged in stage:
        _collect(conn, arriving, table, staged, source)
    there, new = tables.quarantine, arriving
    same = and_(*(there.c[name] == new.c[name] for name in _COLUMNS))
    outdated = true() if snapshot else _came_again(conn, stage)
    gone = conn.execute(delete(there).where(there.c.source == source, not_(exists().where(same)), outdated)).rowcount
    rows = select(*new.c, literal(now, DateTime).label("loaded_at")).where(not_(exists().where(same)))
    return gone + append(conn, there, rows)


def bring_back(conn: Connection, stage: Stage, source: str, now: datetime) -> int:
    """Stage again what waits in the quarantine for the row it refers to, unless its key arrives anew."""
    there = tables.quarantine
    waiting = select(there.c.table_name, there.c.row).where(there.c.source == source, there.c.reason.startswith(WAITS))
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, row in conn.execute(waiting).all():
        rows.setdefault(name, []).append(json.loads(row))
    return sum(_stage_again(stage, tables.warehouse.tables[name], found, now) for name, found in rows.items())


def _texts(name: str, *columns: str) -> Table:
    return temporary(name, *(Column(column, String) for column in columns))


def _collect(conn: Connection, arriving: Table, table: Table, staged: Table, source: str) -> None:
    rejected = conn.execute(select(staged).where(staged.c.reason.is_not(None))).mappings()
    for rows in iter(lambda: rejected.fetchmany(_ROWS_AT_ONCE), []):
        records = [_record(table, row, source) for row in rows]
        insert_arrow(conn, arriving, pa.Table.from_pylist(records, _TEXTS).to_reader())


_TEXTS: Final = pa.schema([(name, pa.string()) for name in _COLUMNS])


def _record(table: Table, row: Mapping[Any, Any], source: str) -> dict[str, str]:
    key = "|".join("" if row[name] is None else str(row[name]) for name in _own_key(table))
    # Without what a load adds: the same row put away twice is the same.
    names = [column.name for column in table.c if column.name not in LOADED and row[column.name] is not None]
    values = {name: row[name] for name in names}
    return {
        "source": source,
        "table_name": table.name,
        "key": key,
        "reason": row["reason"],
        "row": row["row"] or json.dumps(values, ensure_ascii=False, default=str),
    }


def _own_key(table: Table) -> list[str]:
    return [column.name for column in table.primary_key if column.name != "source"]


def _came_again(conn: Connection, stage: Stage) -> ColumnElement[bool]:
    """Whether the key of a quarantined row is among the rows of this load, accepted or not."""
    seen = _texts("seen_key", "table_name", "key")
    seen.create(conn)
    for table, staged in stage:
        key = func.concat_ws("|", *(staged.c[name] for name in _own_key(table)))
        quarantined = tables.quarantine.alias()
        keys = select(literal(table.name).label("table_name"), key.label("key")).where(
            exists().where(quarantined.c.table_name == table.name, quarantined.c.key == key)
        )
        append(conn, seen, keys)
    return exists().where(seen.c.table_name == tables.quarantine.c.table_name, seen.c.key == tables.quarantine.c.key)


def _stage_again(stage: Stage, table: Table, rows: list[dict[str, Any]], now: datetime) -> int:
    if table.name not in stage.tables:
        stage.fill(table.name, _arrow(table, []).to_reader(), now)
    staged = stage.tables[table.name]
    again = stage.table(table.name, "again")
    again.create(stage.conn)
    insert_arrow(stage.conn, again, _arrow(table, rows).to_reader())
    newer = exists().where(*(staged.c[name] == again.c[name] for name in _own_key(table)))
    return append(stage.conn, staged, select(again).where(not_(newer)))


def _arrow(table: Table, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as they stand in the quarantine: instants and days as text."""
    columns = [column for column in table.c if column.name not in LOADED]
    arrays = []
    for column in columns:
        is_text = isinstance(column.type, Date | DateTime)
        values = pa.array([row.get(column.name) for row in rows], pa.string() if is_text else _kept(column))
        arrays.append(values.cast(_kept(column)))
    return pa.Table.from_arrays(arrays, [column.name for column in columns])


def _kept(column: Column[Any]) -> pa.DataType:
    return next(arrow for kind, arrow in _ARROW if isinstance(column.type, kind))


_ARROW: Final[tuple[tuple[type[Any], pa.DataType], ...]] = (
    (String, pa.string()),
    (DateTime, pa.timestamp("us")),
    (Date, pa.date32()),
    (Boolean, pa.bool_()),
    (Integer, pa.int64()),
    (Double, pa.float64()),
)

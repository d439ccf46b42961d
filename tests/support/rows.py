"""Rows put into a warehouse all at once: DuckDB takes half a second for a thousand that come one by one."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import Boolean, Connection, Date, DateTime, Double, Integer, SmallInteger, String, Table

from queries.engine import insert_arrow

_ARROW: Final = {
    String: pa.string(), DateTime: pa.timestamp("us"), Date: pa.date32(), Boolean: pa.bool_(),
    Double: pa.float64(), SmallInteger: pa.int16(), Integer: pa.int64(),
}  # fmt: skip


def put(conn: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows; what none of them names is left to the table."""
    named = {name for row in rows for name in row}
    if not rows:
        return
    arrays = {
        column.name: pa.array(
            [row.get(column.name) for row in rows],
            next(arrow for kind, arrow in _ARROW.items() if isinstance(column.type, kind)),
        )
        for column in table.c
        if column.name in named
    }
    assert named == set(arrays), f"{table.name} has no {named - set(arrays)}"
    insert_arrow(conn, table, pa.table(arrays).to_reader())

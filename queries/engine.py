"""The engines and the few places where their dialects differ."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Double,
    Engine,
    Table,
    create_engine,
    event,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

MEMORY_LIMIT: Final = "1GB"


def embedded(file: Path, *, read_only: bool, memory_limit: str = MEMORY_LIMIT) -> Engine:
    """DuckDB over one file. One process may write, or many may read: never both."""
    options = {"memory_limit": memory_limit, "preserve_insertion_order": "false", "temp_directory": str(file.parent / "spill")}
    return create_engine(f"duckdb:///{file}", connect_args={"read_only": read_only, "config": options})


def shared(url: str) -> Engine:
    """PostgreSQL through psycopg 3."""
    return create_engine(url, pool_pre_ping=True)


def journal(file: Path) -> Engine:
    """SQLite for the state: write-ahead log, every commit on disk, writers wait for each other."""
    engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": 30})
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _set_pragmas(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


class epoch(GenericFunction[float]):  # noqa: N801 - SQL functions are written in lower case
    """Seconds since 1970 of a naive UTC instant."""

    type = Double()
    inherit_cache = True


@compiles(epoch, "postgresql")
def _epoch_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"extract(epoch from {compiler.process(element.clauses, **kw)})"


class quantile(GenericFunction[float]):  # noqa: N801
    """The exact quantile `q` of a column, interpolated: `quantile(column, q)` with a Python number q."""

    type = Double()
    inherit_cache = True


@compiles(quantile, "duckdb")
def _quantile_duckdb(element: Any, compiler: Any, **kw: Any) -> str:
    column, share = element.clauses
    return f"quantile_cont({compiler.process(column, **kw)}, {float(share.value)!r})"


@compiles(quantile, "postgresql")
def _quantile_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    column, share = element.clauses
    return f"percentile_cont({float(share.value)!r}) within group (order by {compiler.process(column, **kw)})"


def whole(total: ColumnElement[Any]) -> ColumnElement[int]:
    """A sum of integers as BIGINT: DuckDB would make it HUGEINT, which is slow to store and to read."""
    return total.cast(BigInteger)


def insert_arrow(conn: Connection, table: Table, data: pa.RecordBatchReader) -> int:
    """Append Arrow batches to a table; the batches' names choose the columns. Returns the number of rows."""
    if conn.dialect.name == "duckdb":
        return _insert_duckdb(conn, table, data)
    return _insert_postgresql(conn, table, data)


def _insert_duckdb(conn: Connection, table: Table, data: pa.RecordBatchReader) -> int:
    native = conn.connection.driver_connection
    columns = ", ".join(f'"{name}"' for name in data.schema.names)
    native.register("arriving", data)
    try:
        found = native.execute(f'insert into "{table.name}" ({columns}) select {columns} from arriving').fetchone()
    finally:
        native.unregister("arriving")
    return int(found[0])


def _insert_postgresql(conn: Connection, table: Table, data: pa.RecordBatchReader) -> int:
    native = conn.connection.driver_connection
    columns = ", ".join(f'"{name}"' for name in data.schema.names)
    rows = 0
    with native.cursor().copy(f'copy "{table.name}" ({columns}) from stdin') as copy:
        for batch in data:
            rows += batch.num_rows
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                copy.write_row(row)
    return rows


def fetch_arrow(conn: Connection, statement: Any) -> pa.Table:
    """Run a SELECT and return its rows as an Arrow table."""
    result = conn.execute(statement)
    names, rows = list(result.keys()), result.fetchall()
    return pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent reading: on PostgreSQL a REPEATABLE READ transaction; a DuckDB generation never changes."""
    with engine.connect() as conn:
        if conn.dialect.name == "postgresql":
            conn = conn.execution_options(isolation_level="REPEATABLE READ")
            conn.execute(text("set transaction read only"))
        yield conn

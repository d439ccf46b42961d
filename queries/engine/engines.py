"""The engines and the few places where their dialects differ."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count, islice
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import Any, Final

import duckdb
import pyarrow as pa
from pyarrow import csv
from sqlalchemy import (
    Connection,
    Engine,
    Executable,
    FromClause,
    MetaData,
    PrimaryKeyConstraint,
    Select,
    Table,
    column,
    create_engine,
    event,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy import table as table_clause
from sqlalchemy.exc import DataError, ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.compiler import compiles

from config import EarshotError

STORE_ERRORS: Final = (SQLAlchemyError, OSError)
"""What is raised where a store is away, or refuses a statement."""

LACKING: Final = ProgrammingError
"""What is raised where a statement asks for a table or a column that the store does not have."""

NOT_COMPUTED: Final = (DataError, LACKING)
"""What is raised where a statement meets a value that it cannot compute with, or asks for what is lacking."""

MEMORY_LIMIT: Final = "1GB"
READING_LIMIT: Final = "512MB"
"""What whoever only reads may take: half a gigabyte more made no question of ten million contacts much faster."""

ARRIVING: Final = "arriving"
BUSY_S: Final = 30.0
"""How long a process waits for another one that writes the state."""

_COUNTS: Final = count()
_SLICE: Final = 8
"""Batches a statement."""


def embedded(file: Path, *, read_only: bool, memory_limit: str = MEMORY_LIMIT) -> Engine:
    """DuckDB over one file. One process may write, or many may read: never both."""
    options = {
        "memory_limit": memory_limit,
        "preserve_insertion_order": "false",
        "temp_directory": str(spill_of(file)),
    }
    connect = {"read_only": read_only, "config": options}
    # Where nothing is written nothing is to be undone: a reader who found all in a cache asks the engine for nothing.
    return create_engine(
        f"duckdb:///{file}", connect_args=connect, pool_reset_on_return=None if read_only else "rollback"
    )


def spill_of(file: Path) -> Path:
    """Where the engine of a file puts what its memory cannot hold: its own place, since the names in it would clash."""
    return file.parent / f"spill-{os.getpid()}-{file.stem}"


def shared(url: str) -> Engine:
    """PostgreSQL through psycopg 3."""
    return create_engine(url, pool_pre_ping=True)


def journal(file: Path) -> Engine:
    """SQLite for the state: write-ahead log, every commit on disk, writers wait for each other.

    A connection with the execution option `reading` sees one state for as long as it lasts, and keeps nobody waiting.
    """
    engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": BUSY_S})
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


class ChangeCount:
    """What differs after every change of a state in SQLite. Of other databases nothing is known."""

    def __init__(self, engine: Engine) -> None:
        # One connection of its own: SQLite counts what others than the one that asks have committed since it began.
        self._number = next(_COUNTS)
        self._asking = Lock()
        self._own: sqlite3.Connection | None = None
        if engine.dialect.name == "sqlite":
            self._own = sqlite3.connect(str(engine.url.database), check_same_thread=False, isolation_level=None)

    def now(self) -> tuple[int, int] | None:
        """Which count it is, and where it stands."""
        if self._own is None:
            return None
        with self._asking:
            return self._number, int(self._own.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        """Let the database go."""
        if self._own is not None:
            self._own.close()


@contextmanager
def disposing(engine: Engine) -> Iterator[Engine]:
    """An engine whose connections are closed when the block ends, however it ends."""
    try:
        yield engine
    finally:
        engine.dispose()


def one_at_a_time(conn: Connection, what: str) -> None:
    """Until the transaction ends nobody else does the same. SQLite's transactions are alone anyway."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("select pg_advisory_xact_lock(hashtext(:what))"), {"what": what})


def _begin(connection: Connection) -> None:
    is_reader = connection.get_execution_options().get("reading", False)
    # A plain BEGIN that writes later may find the state changed since it read it, and fails without waiting.
    connection.exec_driver_sql("BEGIN" if is_reader else "BEGIN IMMEDIATE")


def _set_pragmas(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    for pragma in (f"busy_timeout={BUSY_S * 1000:.0f}", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    _write_ahead(connection)


def _write_ahead(connection: Any) -> None:
    # SQLite waits for everybody but those who turn a new file into a write-ahead log at the same time.
    until = monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if monotonic() > until:
                raise
            sleep(BUSY_S / 1000)
        else:
            return


@compiles(PrimaryKeyConstraint, "duckdb")
def _no_key_on_duckdb(*_: Any, **__: Any) -> None:
    """The load sees to it that keys are unique; an index of ten million text keys would cost a gigabyte of memory."""


def insert_arrow(conn: Connection, table: Table, data: pa.RecordBatchReader) -> int:
    """Append Arrow batches to a table; the batches' names choose the columns. Returns the number of rows."""
    if conn.dialect.name == "duckdb":
        return sum(append(conn, table, select(rows)) for rows in arriving(conn, table, data))
    return _insert_postgresql(conn, table, data)


def append(conn: Connection, table: Table, rows: Select[Any]) -> int:
    """Append the rows of a SELECT to a table, by the names of its columns. Returns their number."""
    statement = insert(table).from_select(list(rows.selected_columns.keys()), rows)
    return conn.execute(statement, execution_options={"preserve_rowcount": True}).rowcount


def arriving(conn: Connection, table: Table, data: pa.RecordBatchReader) -> Iterator[FromClause]:
    """Arrow batches as something DuckDB can select from once, in the types of a table's columns of the same names.

    In slices: one statement over the whole stream would keep it all in memory until its end.
    """
    native: Any = conn.connection.driver_connection
    batches = iter(data)
    while (first := next(batches, None)) is not None:
        part = pa.RecordBatchReader.from_batches(data.schema, chain((first,), islice(batches, _SLICE - 1)))
        native.register(ARRIVING, part)
        try:
            yield table_clause(ARRIVING, *(column(name, table.c[name].type) for name in data.schema.names))
        finally:
            # After an error the connection may be gone before this is.
            with suppress(duckdb.ConnectionException):
                native.unregister(ARRIVING)


def _insert_postgresql(conn: Connection, table: Table, data: pa.RecordBatchReader) -> int:
    """COPY of CSV that Arrow writes: text in quotes, so that an empty text stays apart from a null."""
    # A detached connection has no other.
    native: Any = conn.connection.dbapi_connection
    preparer = conn.dialect.identifier_preparer
    target = preparer.format_table(table)
    columns = ", ".join(preparer.quote_identifier(name) for name in data.schema.names)
    rows, options = 0, csv.WriteOptions(include_header=False)
    with native.cursor() as cursor, cursor.copy(f"copy {target} ({columns}) from stdin (format csv)") as copy:
        for batch in data:
            rows += batch.num_rows
            buffer = pa.BufferOutputStream()
            csv.write_csv(batch, buffer, options)
            copy.write(memoryview(buffer.getvalue()))
    return rows


def fetch_arrow(conn: Connection, statement: Executable) -> pa.Table:
    """Run a SELECT and return its rows as an Arrow table, typed also where it is empty."""
    result = conn.execute(statement)
    cursor: Any = result.cursor
    if conn.dialect.name == "duckdb":
        found: pa.Table = cursor.to_arrow_table()
        result.close()
        return found
    names = list(result.keys())
    types = [_ARROW.get(found.type_code) for found in cursor.description]
    columns = list(zip(*result.fetchall(), strict=True)) or [()] * len(names)
    arrays = [pa.array(values, type=kind) for values, kind in zip(columns, types, strict=True)]
    return pa.Table.from_arrays(arrays, names=names)


_ARROW: Final = {
    16: pa.bool_(),
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    25: pa.string(),
    700: pa.float32(),
    701: pa.float64(),
    1043: pa.string(),
    1082: pa.date32(),
    1114: pa.timestamp("us"),
}
"""PostgreSQL's type numbers."""


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent reading: on PostgreSQL a REPEATABLE READ transaction; a DuckDB generation never changes."""
    snapshot = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with engine.connect().execution_options(**snapshot) as conn:
        if snapshot:
            conn.execute(text("set transaction read only"))
        yield conn


@contextmanager
def recovering(conn: Connection) -> Iterator[None]:
    """What a statement within cannot compute ends the block, and not the reading that it is a part of."""
    if conn.dialect.name == "postgresql":
        with conn.begin_nested():
            yield
        return
    try:
        yield
    except NOT_COMPUTED:
        # DuckDB has no savepoints; what is read is a generation, which the next transaction finds as it was.
        conn.rollback()
        raise


@contextmanager
def connected(engine: Engine, **options: Any) -> Iterator[Connection]:
    """A connection that an error ends: after a full disk DuckDB cannot even roll back, and the pool would log that."""
    with engine.connect().execution_options(**options) as conn:
        try:
            yield conn
        except BaseException:
            conn.invalidate()
            raise


@contextmanager
def attached(engine: Engine, file: Path) -> Iterator[Connection]:
    """A second connection to a DuckDB file with another, empty file beside it under the name `stage`.

    DuckDB writes to one file a transaction, so each statement here is its own.
    """
    with connected(engine, isolation_level="AUTOCOMMIT") as conn:
        path = str(file).replace("'", "''")
        conn.execute(text(f"attach '{path}' as stage"))
        yield conn
        conn.execute(text("detach stage"))


def rewrite(source: Path, target: Path, memory_limit: str = MEMORY_LIMIT) -> None:
    """Write a DuckDB file anew, without the space where deleted rows still stand."""
    with (
        disposing(embedded(target, read_only=False, memory_limit=memory_limit)) as engine,
        connected(engine) as conn,
    ):
        path = str(source).replace("'", "''")
        conn.execute(text(f"attach '{path}' as old (read_only)"))
        name = conn.execute(text("select current_database()")).scalar_one()
        conn.execute(text(f'copy from database old to "{name}"'))
        conn.commit()
        conn.execute(text("detach old"))
        conn.commit()
        # On a full disk DuckDB leaves rows in the log beside the file when it closes, and says nothing; this says it.
        conn.execute(text("checkpoint"))


def vacuum(engine: Engine, ours: MetaData) -> None:
    """Have PostgreSQL and SQLite write our tables anew, without what was deleted. Others in the database stay.

    Raises:
        EarshotError: on SQLite, somebody reads all the while and keeps the log from being emptied.
    """
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            present, quoted = set(inspect(conn).get_table_names()), conn.dialect.identifier_preparer.quote
            names = ", ".join(quoted(table.name) for table in ours.sorted_tables if table.name in present)
            # The statistics, too, hold values of the rows.
            conn.execute(text(f"vacuum (full, analyze) {names}"))
        return
    # A Connection would begin a transaction, in which SQLite refuses.
    native: Any = engine.raw_connection()
    try:
        native.driver_connection.execute("vacuum")
        (is_busy, *_) = native.driver_connection.execute("pragma wal_checkpoint(truncate)").fetchone()
    finally:
        native.close()
    if is_busy:
        raise EarshotError("the state's log still holds what was deleted, because it is being read; run this again")

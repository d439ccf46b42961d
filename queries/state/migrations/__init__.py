"""The state's older versions, and the way from each to the next."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, MetaData, inspect, text
from sqlalchemy.schema import CreateColumn

FOLDER: Final = Path(__file__).parent
FIRST: Final = "0001"
"""The tables as they were before versions were noted."""


def config(conn: Connection | None = None) -> Config:
    """What alembic needs to know; everything is done in the connection's transaction."""
    made = Config()
    made.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    made.attributes["connection"] = conn
    return made


def upgrade(conn: Connection, to: str = "head") -> None:
    """Bring the tables from the version that is noted up to another one."""
    command.upgrade(config(conn), to)


def note_version(conn: Connection, version: str) -> None:
    """Note a version without changing a table."""
    command.stamp(config(conn), version)


def complete(conn: Connection, tables: MetaData) -> None:
    """Add the tables and columns that are missing; the columns must allow null."""
    tables.create_all(conn)
    quote = conn.dialect.identifier_preparer.quote
    for table in tables.sorted_tables:
        there = {column["name"] for column in inspect(conn).get_columns(table.name)}
        for column in table.c:
            if column.name not in there:
                added = CreateColumn(column).compile(dialect=conn.dialect)
                conn.execute(text(f"alter table {quote(table.name)} add column {added}"))

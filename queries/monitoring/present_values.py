"""Which values a column has of late: a condition on any other one meets no row."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, func, select

from queries.warehouse import UNKNOWN, relation

YEAR: Final = timedelta(days=365)


def present_values(
    conn: Connection, table: str, columns: Collection[str], dated_by: str, as_of: datetime
) -> Mapping[str, frozenset[str]]:
    """The values of each column, as text, in the newest year that has rows at all; none where there is no row.

    Args:
        conn: one generation of the warehouse.
        table: a relation.
        columns: of it; where one is missing in a row its value is "unknown".
        dated_by: the instant or day that dates a row.
        as_of: nothing that happened later is read, aware UTC.
    """
    rows = relation(table, as_of, tuple(dict.fromkeys((*columns, dated_by))))
    newest = conn.execute(select(func.max(rows.c[dated_by]))).scalar()
    if newest is None or not columns:
        return {column: frozenset() for column in columns}
    named = [rows.c[column] for column in columns]
    found = conn.execute(select(*named).where(rows.c[dated_by] > newest - YEAR).distinct()).all()
    by_column = zip(columns, zip(*found, strict=True), strict=True)
    return {
        column: frozenset(UNKNOWN if value is None else as_text(value) for value in values)
        for column, values in by_column
    }


def as_text(value: object) -> str:
    """A value as a condition and a column have it alike."""
    return str(value).lower() if isinstance(value, bool) else str(value)

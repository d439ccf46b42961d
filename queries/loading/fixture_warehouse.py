"""A warehouse of a few rows written by hand, for as long as a test of a rule takes."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Date, DateTime, Table, insert
from sqlalchemy.exc import IntegrityError, StatementError

from config import EarshotError
from config.models import Catalog
from queries.loading.publish import derive, generation_key, record_generation
from queries.warehouse import EmbeddedWarehouse, LoadReport, Pin, tables

Row = Mapping[str, Any]
SOURCE: Final = "test"
WRITABLE: Final = {
    table.name: frozenset(c.name for c in table.c if not c.info.get("made") or c.name == "source")
    for table in tables.CANONICAL
}
"""The columns of each table that may be written."""


@contextmanager
def open_fixture(catalog: Catalog, zone: str, rows: Sequence[tuple[str, Row]], now: datetime) -> Iterator[Pin]:
    """A DuckDB warehouse that holds these rows of canonical tables, and nothing after the block.

    Accounts that rows name need no row of their own. Ids, sources and the days of instants are filled in. An instant
    without a zone is one of `zone`; a bare day is its noon.

    Args:
        catalog: what rollups and design effects are made by.
        zone: the reporting zone.
        rows: each with the name of its table.
        now: when they were loaded, aware UTC.

    Raises:
        EarshotError: the rows contradict each other.
    """
    with TemporaryDirectory() as folder:
        made = EmbeddedWarehouse(Path(folder))
        try:
            with made.draft(lambda _: None) as draft:
                for table, filled in _filled(rows, ZoneInfo(zone), now):
                    draft.conn.execute(insert(table), filled)
                derive(draft.conn, catalog, None)
                record_generation(
                    draft.conn, draft.number, generation_key(zone, catalog), SOURCE, LoadReport(SOURCE).json(), now
                )
            with made.pin() as pin:
                yield pin
        except (IntegrityError, StatementError) as error:
            said = str(error.orig).partition("\n")[0]
            raise EarshotError(f"the rows cannot be stored: {said}; correct them") from error
        finally:
            made.close()


def missing(table: str, row: Row) -> tuple[str, ...]:
    """The columns that a row of a table must still be given."""
    needed = (c for c in _table(table).c if not c.nullable and not c.info.get("made") and c.name != "id")
    return tuple(c.name for c in needed if c.name not in row)


def domain(table: str, column: str) -> tuple[str, ...]:
    """The values that a column allows; empty where it allows any."""
    return tuple(_table(table).c[column].info.get("domain", ()))


def _table(name: str) -> Table:
    return next(table for table in tables.CANONICAL if table.name == name)


def _filled(
    rows: Sequence[tuple[str, Row]], zone: ZoneInfo, now: datetime
) -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    """The rows of each table, accounts first."""
    known = {row["account_id"] for name, row in rows if name == "account"}
    named = dict.fromkeys(row["account_id"] for _, row in rows if "account_id" in row)
    accounts = [("account", {"account_id": id_, "name": id_}) for id_ in named if id_ not in known]
    every = [*accounts, *rows]
    for table in tables.CANONICAL:
        own = [row for name, row in every if name == table.name]
        if own:
            full = [_full(table, row, i, zone, now) for i, row in enumerate(own, start=1)]
            # The embedded warehouse has no keys of its own that would refuse them.
            keys = Counter(tuple((column.name, row[column.name]) for column in table.primary_key) for row in full)
            key, number = keys.most_common(1)[0]
            if number > 1:
                told = ", ".join(f"{name} {value}" for name, value in key)
                raise EarshotError(f"two rows of {table.name} have the same key ({told}); give each its own")
            yield table, full


def _full(table: Table, row: Row, number: int, zone: ZoneInfo, now: datetime) -> dict[str, Any]:
    """A row with every column of its table."""
    loaded = now.replace(tzinfo=None)
    made = {"source": SOURCE, "id": f"{table.name}-{number}", "first_loaded_at": loaded, "loaded_at": loaded}
    instants = {}
    for column in table.c:
        at = row.get(column.name)
        if isinstance(column.type, DateTime) and isinstance(at, date):
            local = at if isinstance(at, datetime) else datetime.combine(at, time(12))
            aware = local if local.tzinfo else local.replace(tzinfo=zone)
            instants[column.name] = aware.astimezone(UTC).replace(tzinfo=None)
    values = {**made, **row, **instants}
    dated = {c.name: instants.get(c.info["day_of"]) for c in table.c if "day_of" in c.info}
    days = {name: at.replace(tzinfo=UTC).astimezone(zone).date() if at else None for name, at in dated.items()}
    full: dict[str, Any] = {c.name: values.get(c.name) for c in table.c}
    # A datetime is a date to Python: where a day is meant, its time of day has to go.
    dates = (c.name for c in table.c if isinstance(c.type, Date))
    whole = {name: date.fromordinal(full[name].toordinal()) for name in dates if isinstance(full[name], datetime)}
    return {**full, **whole, **days}

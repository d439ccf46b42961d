"""Sources of a few rows, loaded as real ones are, into either engine."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Table, select

from config.models import Catalog, Source
from config.reading import read_catalog
from queries.loading.load import LoadRequest, load
from queries.warehouse import COLUMNS, EmbeddedWarehouse, LoadReport, SharedWarehouse, Warehouse
from queries.warehouse import tables as warehouse_tables
from tests.support.offering import write_source

CATALOG: Final[Catalog] = read_catalog(Path(__file__).parents[2] / "config", COLUMNS)
NOW: Final = datetime(2026, 3, 10, 9, tzinfo=UTC)

ACCOUNTS: Final = "account_id,name\nA1,Acme & Sons\nA2,Beta\nA10,Gamma\n"
HISTORY: Final = "account_id,valid_from,vertical\nA1,2025-01-01,Retail\nA2,2025-01-01,Energy\nA10,2025-01-01,Energy\n"
PEOPLE: Final = "person_id,account_id,role\nP1,A1,user\nP2,A2,user\nP3,A10,influencer\n"
REVENUE: Final = "account_id,month,amount\nA1,2026-01-01,100\nA2,2026-01-01,200\n"
JOURNEYS: Final = (
    "id,account_id,journey_type,started_at,promised_at,ended_at,outcome,recorded_at\n"
    "J1,A1,installation,2026-02-01 09:00,2026-02-08 09:00,2026-02-07 09:00,reached,2026-02-07 10:00\n"
    "J2,A2,repair,2026-02-02 09:00,2026-02-09 09:00,2026-02-12 09:00,failed,2026-02-12 11:00\n"
)
CONTACTS: Final = (
    "id,account_id,person_id,journey_id,touchpoint,direction,occurred_at,recorded_at\n"
    "C1,A1,P1,J1,visit,out,2026-02-03 09:00,2026-02-03 10:00\n"
    "C2,A2,P2,J2,hotline,in,2026-02-04 09:00,2026-02-04 12:00\n"
    "C3,A2,P1,J2,hotline,in,2026-02-05 09:00,2026-02-07 09:00\n"
    "C4,A10,P3,,hotline,in,2026-02-06 09:00,2026-02-06 10:00\n"
    "C5,A9,,,hotline,in,2026-02-06 09:00,2026-02-06 10:00\n"
    "C6,A1,P1,,hotline,sideways,2026-02-06 09:00,2026-02-06 10:00\n"
    "C7,A2,P2,,hotline,sideways,2026-02-06 09:00,2026-02-06 10:00\n"
)
RESPONSES: Final = (
    "id,account_id,person_id,journey_id,touchpoint,kind,status,scale,score,comment,invited_at,responded_at\n"
    "R1,A1,P1,J1,visit,transaction,answered,nps,2,late,2026-02-07 09:00,2026-02-09 09:00\n"
    "R2,A2,P2,J2,hotline,transaction,answered,nps,9,fine,2026-02-12 09:00,2026-02-13 09:00\n"
)
DEFECTS: Final = (
    "id,account_id,journey_id,code,occurred_at\nD1,A1,J1,late,2026-02-04 09:00\nD2,A2,J2,late,2026-02-10 09:00\n"
)

COMPANY: Final[Mapping[str, str]] = {
    "account": ACCOUNTS,
    "account_history": HISTORY,
    "person": PEOPLE,
    "revenue": REVENUE,
    "journey": JOURNEYS,
    "contact": CONTACTS,
    "response": RESPONSES,
    "defect": DEFECTS,
}
"""Three accounts; P1 of A1 also wrote about A2. C5 is of nobody known; C6 and C7 have an impossible direction."""


def order(folder: Path, tables: Mapping[str, str], name: str = "crm", mode: str = "snapshot") -> LoadRequest:
    """A source whose files are these tables, column for column."""
    folder.mkdir(parents=True, exist_ok=True)
    selects = {table: f"select * from {table}" for table in tables}
    made = write_source(folder, selects, {f"{table}.csv": text for table, text in tables.items()})
    changes: dict[str, Any] = {"name": name, "mode": mode, "max_rejected": 0.5, "max_removed": 1.0}
    return LoadRequest(
        Source.model_validate({**made.model_dump(), **changes}), folder / "source", folder / "data", CATALOG
    )


def bring(warehouse: Warehouse, wanted: LoadRequest, now: datetime = NOW) -> LoadReport:
    """Load quietly."""
    return load(warehouse, wanted, now, lambda _: None)


def opened(folder: Path, url: str | None) -> Warehouse:
    """A warehouse in the folder, or at the URL."""
    return SharedWarehouse(url) if url else EmbeddedWarehouse(folder / "warehouse")


def rows(conn: Connection, table: Table, *columns: str) -> list[tuple[Any, ...]]:
    """A table's rows in those columns, sorted."""
    return sorted((tuple(row) for row in conn.execute(select(*(table.c[name] for name in columns)))), key=str)


def contents(conn: Connection, but: frozenset[str] = frozenset({"generation"})) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in the warehouse but when it came."""
    hidden = {"loaded_at", "first_loaded_at"}
    tables = (table for table in warehouse_tables.warehouse.sorted_tables if table.name not in but)
    return {t.name: rows(conn, t, *(c.name for c in t.c if c.name not in hidden)) for t in tables}

"""What a source delivers: a small made-up company's rows, whole, as they stood on a day, or only what a day brought."""

import json
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, func, select

from config.models import Calendar, Catalog, Guard, ReviewSettings
from config.reading import read_source
from queries.loading.load import LoadRequest, load
from queries.warehouse import ROLLUPS, LoadReport, Warehouse
from queries.warehouse import tables as warehouse_tables

Row = dict[str, Any]
Rows = dict[str, list[Row]]

START: Final = datetime(2026, 1, 1)  # noqa: DTZ001 - the warehouse stores naive UTC
NOW: Final = datetime(2026, 6, 1, 9, tzinfo=UTC)
VERTICALS: Final = ("Payments", "Lending", None)
GUARD: Final = Guard(
    route="analysts", owner="cx-analyst", severity=3, every=timedelta(days=14), window=timedelta(days=56)
)
CATALOG: Final = Catalog(
    metrics=(),
    goals=(),
    rules=(),
    routes=(),
    people=(),
    audiences=(),
    calendar=Calendar(),
    review=ReviewSettings(),
    guard=GUARD,
)
LATE: Final = {
    "journey": ("ended_at", ("ended_at", "outcome")),
    "contact": ("answered_at", ("answered_at",)),
    "response": ("responded_at", ("responded_at", "status", "score", "scale", "comment")),
    "defect": ("resolved_at", ("resolved_at",)),
}
"""When a row's late columns become known, and which they are."""

AT: Final = {"journey": "started_at", "contact": "occurred_at", "response": "invited_at", "defect": "occurred_at"}
UNTIL_THEN: Final = {"outcome": "open", "status": "invited"}
COMPUTED: Final = (
    "journey_fact",
    "account_month",
    "account_answer",
    *(t.name for tables in ROLLUPS.values() for t in tables),
)
WHEN_LOADED: Final = ("first_loaded_at", "loaded_at")


def company(days: int = 40, accounts: int = 6, journeys: int = 60, seed: int = 3) -> Rows:
    """A company's rows in every canonical table; the verticals of half the facts are left to the account's history."""
    draw = random.Random(seed)
    rows: Rows = {table.name: [] for table in warehouse_tables.CANONICAL}
    for number in range(accounts):
        _account(rows, f"A{number}", draw, days)
    for number in range(journeys):
        _journey(rows, f"J{number}", draw, days, accounts)
    rows["fx_rate"].append({"currency": "USD", "month": date(2026, 1, 1), "rate": 0.9})
    rows["condition"].append({"id": "C1", "name": "strike", "kind": "external", "starts_at": START + timedelta(days=3)})
    rows["instrument"].append({"instrument": "relationship", "version": "1", "pattern": "past"})
    return rows


def _account(rows: Rows, key: str, draw: random.Random, days: int) -> None:
    rows["account"].append({"account_id": key, "name": f"Company {key}", "since": date(2020, 1, 1)})
    moves = [date(2025, 1, 1), START.date() + timedelta(days=draw.randrange(1, days))]
    for since, vertical in zip(moves, draw.sample(VERTICALS[:2], 2), strict=True):
        rows["account_history"].append(
            {"account_id": key, "valid_from": since, "vertical": vertical, "tier": "gold", "annual_revenue": 1e6}
        )
    rows["person"] += [{"person_id": f"{key}-p{n}", "account_id": key, "role": "user"} for n in range(2)]
    currency = "USD" if int(key[1:]) % 2 else None
    revenue = {"account_id": key, "month": date(2026, 1, 1), "amount": draw.random() * 1e5, "currency": currency}
    rows["revenue"].append(revenue)


def _journey(rows: Rows, key: str, draw: random.Random, days: int, accounts: int) -> None:
    account = f"A{draw.randrange(accounts)}"
    start = START + timedelta(seconds=draw.randrange(days * 86_400))
    end = start + timedelta(seconds=draw.randrange(60, 20 * 86_400)) if draw.random() < 0.8 else None
    own = {"account_id": account, "vertical": draw.choice(VERTICALS), "recorded_at": start + timedelta(hours=1)}
    rows["journey"].append(
        {
            "id": key,
            **own,
            "journey_type": draw.choice(("installation", "repair")),
            "started_at": start,
            "promised_at": start + timedelta(days=10),
            "ended_at": end,
            "outcome": draw.choice(("reached", "failed")) if end else "open",
        }
    )
    for number in range(draw.randrange(6)):
        _contact(rows, f"{key}-c{number}", own | {"journey_id": key}, draw, start)
    if draw.random() < 0.3:
        at = start + timedelta(days=draw.randrange(30))
        rows["defect"].append(
            {"id": f"{key}-d", **own, "journey_id": key, "code": "late", "severity": 2, "occurred_at": at}
        )
    _response(rows, f"{key}-r", own | {"journey_id": key}, draw, start)


def _contact(rows: Rows, key: str, own: Row, draw: random.Random, start: datetime) -> None:
    at = start + timedelta(seconds=draw.randrange(15 * 86_400))
    rows["contact"].append(
        {
            "id": key,
            **own,
            "person_id": f"{own['account_id']}-p{draw.randrange(2)}",
            "touchpoint": draw.choice(("visit", "order")),
            "channel": draw.choice(("phone", "mail", None)),
            "direction": draw.choice(("in", "out")),
            "occurred_at": at,
            "answered_at": at + timedelta(hours=draw.randrange(1, 200)) if draw.random() < 0.5 else None,
            "emotion": draw.choice((-2, -1, 0, 1, 2, None)),
            "context_seen": draw.choice((True, False, None)),
        }
    )


def _response(rows: Rows, key: str, own: Row, draw: random.Random, start: datetime) -> None:
    invited = start + timedelta(days=draw.randrange(20))
    answered = invited + timedelta(days=draw.randrange(15)) if draw.random() < 0.6 else None
    rows["response"].append(
        {
            "id": key,
            **own,
            "person_id": f"{own['account_id']}-p0",
            "kind": "transaction" if len(rows["response"]) % 3 else "relationship",
            "instrument": "after",
            "status": "answered" if answered else "invited",
            "scale": "nps" if answered else None,
            "score": draw.randrange(11) if answered else None,
            "comment": f'said "so", {key}\non two lines' if answered else None,
            "invited_at": invited,
            "responded_at": answered,
        }
    )


def as_of(rows: Rows, at: datetime) -> Rows:
    """The rows as their source had them at an instant; what has no event was always there."""
    return {
        name: [_as_of(name, row, at) for row in found if name not in AT or row[AT[name]] < at]
        for name, found in rows.items()
    }


def _as_of(name: str, row: Row, at: datetime) -> Row:
    if name not in LATE or (known := row.get(LATE[name][0])) is None or known < at:
        return row
    return row | {column: UNTIL_THEN.get(column) for column in LATE[name][1]}


def brought(rows: Rows, since: datetime | None, until: datetime) -> Rows:
    """The rows that are new or differ between two instants; from the beginning, all of them."""
    before = {
        name: {json.dumps(row, default=str) for row in found}
        for name, found in (as_of(rows, since) if since else {}).items()
    }
    return {
        name: [row for row in found if json.dumps(row, default=str) not in before.get(name, ())]
        for name, found in as_of(rows, until).items()
    }


@dataclass(frozen=True, slots=True)
class Delivery:
    """A source's folder and its files."""

    folder: Path
    data: Path

    def order(
        self,
        catalog: Catalog = CATALOG,
        zone: str | None = None,
        *,
        replace_sample: bool = False,
        allow_removal: bool = False,
    ) -> LoadRequest:
        source = read_source(self.folder)
        return LoadRequest(source, self.folder, self.data, catalog, zone, replace_sample, allow_removal)

    def load(self, warehouse: Warehouse, now: datetime = NOW, **more: Any) -> LoadReport:
        return load(warehouse, self.order(**more), now, lambda _: None)


def deliver(
    place: Path, rows: Mapping[str, Sequence[Row]], *, name: str = "crm", mode: str = "snapshot", **more: Any
) -> Delivery:
    """Write a source called `name` below `place` whose inputs hold these rows, replacing what it delivered before."""
    folder, data = place / name, place / f"{name}-data"
    for made in (folder, data):
        made.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.sql"), *data.iterdir()):
        old.unlink()
    head = {"zone": "UTC", "mode": mode, "max_rejected": 1.0, "max_removed": 1.0} | more
    lines = [f"{key} = {json.dumps(value)}" for key, value in head.items()]
    for table, found in rows.items():
        lines += [f"[inputs.{table}]", f'file = "{table}.parquet"', 'format = "parquet"']
        pq.write_table(_arrow(table, found), data / f"{table}.parquet")
        (folder / f"{table}.sql").write_text(f"SELECT {', '.join(_given(table))} FROM {table}")
    (folder / "source.toml").write_text("\n".join(lines))
    return Delivery(folder, data)


def _given(table: str) -> list[str]:
    return [column.name for column in warehouse_tables.warehouse.tables[table].c if not column.info.get("made")]


def _arrow(table: str, rows: Sequence[Row]) -> pa.Table:
    columns = warehouse_tables.warehouse.tables[table].c
    fields = [(name, _KINDS[type(columns[name].type).__name__]) for name in _given(table)]
    return pa.Table.from_pylist([{name: row.get(name) for name, _ in fields} for row in rows], pa.schema(fields))


_KINDS: Final = {
    "String": pa.string(),
    "DateTime": pa.timestamp("us"),
    "Date": pa.date32(),
    "Boolean": pa.bool_(),
    "SmallInteger": pa.int16(),
    "Integer": pa.int32(),
    "Double": pa.float64(),
}

Held = dict[str, list[tuple[Any, ...]]]


def held(warehouse: Warehouse, without: Collection[str] = (), tables: Collection[str] | None = None) -> Held:
    """Every row of the warehouse but the generations', in one order, without some columns."""
    with warehouse.pin() as pin:
        names = tables or [name for name in warehouse_tables.warehouse.tables if name not in {"generation", "erased"}]
        return {name: rows_of(pin.conn, name, without) for name in names}


def rows_of(conn: Connection, table: str, without: Collection[str] = ()) -> list[tuple[Any, ...]]:
    columns = [column for column in warehouse_tables.warehouse.tables[table].c if column.name not in without]
    return sorted((tuple(map(_plain, row)) for row in conn.execute(select(*columns))), key=str)


def _plain(value: Any) -> Any:
    """Sums of fractions differ in their last digits with the order of the rows."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def column(warehouse: Warehouse, table: str, name: str, key: str = "id") -> dict[str, Any]:
    """A column's values by the rows' key."""
    with warehouse.pin() as pin:
        columns = warehouse_tables.warehouse.tables[table].c
        return {row[0]: row[1] for row in pin.conn.execute(select(columns[key], columns[name]))}


def count(warehouse: Warehouse, table: str) -> int:
    """The number of a table's rows."""
    with warehouse.pin() as pin:
        return int(pin.conn.scalar(select(func.count()).select_from(warehouse_tables.warehouse.tables[table])) or 0)


def aside(warehouse: Warehouse) -> list[tuple[str, str, str]]:
    """Table, key and reason of every row in the quarantine."""
    with warehouse.pin() as pin:
        there = warehouse_tables.quarantine.c
        found = pin.conn.execute(select(there.table_name, there.key, there.reason))
        return sorted((row.table_name, row.key, row.reason) for row in found)


def number(warehouse: Warehouse) -> int:
    """The generation that readers get."""
    with warehouse.pin() as pin:
        return pin.generation.number

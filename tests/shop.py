"""A shop's books as CSV files: what tests of the load change line by line, and everything a warehouse then holds."""

import csv
import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, func, select

from config.catalog import Catalog
from config.reading import read_catalog, read_source
from queries import schema
from queries.generations import EmbeddedWarehouse, SharedWarehouse, Warehouse
from queries.load import Order, load
from queries.relations import COLUMNS
from queries.summary import Summary

CONFIG: Final = Path(__file__).parents[1] / "config"
FIRST: Final = datetime(2025, 9, 1, tzinfo=UTC)
NOW: Final = datetime(2026, 2, 1, 6, tzinfo=UTC)
LATER: Final = NOW + timedelta(days=1)
WHEN_LOADED: Final = frozenset({"first_loaded_at", "loaded_at"})

Line = dict[str, str]
Books = dict[str, list[Line]]
Content = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Shop:
    """A source of its own with its files, all below one folder. `settings` are lines of its source.toml."""

    folder: Path
    books: Books
    name: str = "shop"
    mode: str = "append"
    zone: str = "Europe/Berlin"
    settings: Mapping[str, str] = field(default_factory=dict)
    selects: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> Path:
        return self.folder / "sources" / self.name

    @property
    def data(self) -> Path:
        return self.folder / f"{self.name}-data"

    def write(self) -> None:
        """Write the files and the source. What is no longer in the books is no longer there."""
        for folder in (self.source, self.data):
            folder.mkdir(parents=True, exist_ok=True)
            for file in folder.iterdir():
                file.unlink()
        for table, lines in self.books.items():
            write_csv(self.data / f"{table}.csv", lines)
            (self.source / f"{table}.sql").write_text(self.selects.get(table, f"select * from {table}"), encoding="utf-8")
        (self.source / "source.toml").write_text("\n".join(self._described()), encoding="utf-8")

    def _described(self) -> Iterator[str]:
        yield from (f'zone = "{self.zone}"', f'mode = "{self.mode}"')
        yield from (f"{name} = {value}" for name, value in self.settings.items())
        for table in self.books:
            yield f'[inputs.{table}]\nfile = "{table}.csv"\nformat = "csv"'

    def order(self, catalog: Catalog | None = None, **options: Any) -> Order:
        return Order(read_source(self.source), self.source, self.data, catalog or our_catalog(), **options)

    def load(self, warehouse: Warehouse, now: datetime = NOW, catalog: Catalog | None = None, **options: Any) -> Summary:
        """Write the files and load them."""
        self.write()
        return load(warehouse, self.order(catalog, **options), now, lambda _: None)


@cache
def our_catalog() -> Catalog:
    return read_catalog(CONFIG, COLUMNS)


def write_csv(file: Path, lines: list[Line]) -> None:
    names = list(dict.fromkeys(name for line in lines for name in line))
    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, names, restval="")
        writer.writeheader()
        writer.writerows(lines)


def open_at(place: Path | str) -> Warehouse:
    """The warehouse in a folder, or in the database of a URL."""
    return SharedWarehouse(place) if isinstance(place, str) else EmbeddedWarehouse(place, "512MB")


def content(warehouse: Warehouse, without: Collection[str] = ()) -> Content:
    """Every row of every table but the generations', in an order of its own, without the columns named."""
    with warehouse.pin() as pin:
        return content_of(pin.conn, without)


def content_of(conn: Connection, without: Collection[str] = ()) -> Content:
    tables = [table for table in schema.warehouse.tables.values() if table is not schema.generation]
    return {table.name: rows_of(conn, table.name, without) for table in tables}


def rows_of(conn: Connection, table: str, without: Collection[str] = ()) -> list[tuple[Any, ...]]:
    columns = [column for column in schema.warehouse.tables[table].c if column.name not in without]
    return sorted((tuple(map(_plain, row)) for row in conn.execute(select(*columns))), key=repr)


def _plain(value: Any) -> Any:
    """Sums of doubles differ in their last digits with the order of the rows."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def column(warehouse: Warehouse, table: str, name: str, key: str = "id") -> dict[str, Any]:
    """A column's value by the rows' key."""
    with warehouse.pin() as pin:
        columns = schema.warehouse.tables[table].c
        return {row[0]: row[1] for row in pin.conn.execute(select(columns[key], columns[name]))}


def generation(warehouse: Warehouse) -> int:
    with warehouse.pin() as pin:
        return pin.generation.number


def same(left: Content, right: Content) -> None:
    """Table by table, so that what differs is short enough to be read."""
    assert left.keys() == right.keys()
    for table, rows in left.items():
        assert rows == right[table], table


def count(warehouse: Warehouse, table: str) -> int:
    with warehouse.pin() as pin:
        return int(pin.conn.scalar(select(func.count()).select_from(schema.warehouse.tables[table])) or 0)


def quarantined(warehouse: Warehouse) -> list[tuple[str, str, str]]:
    """Table, key and reason of every row that was not let in."""
    with warehouse.pin() as pin:
        there = schema.quarantine.c
        return sorted(tuple(row) for row in pin.conn.execute(select(there.table_name, there.key, there.reason)))


# What a shop writes down.


def few() -> Books:
    """Three accounts and four contacts: what a test changes by hand."""
    at = {"journey_id": "J1", "touchpoint": "visit", "direction": "in"}
    return {
        "account": [{"account_id": key, "name": f"Account {key}"} for key in ("A", "B", "C")],
        "journey": [
            {"id": "J1", "account_id": "A", "journey_type": "order", "started_at": "2025-10-01 09:00:00", "ended_at": ""}
        ],
        "contact": [
            {"id": f"c{i}", "account_id": account, **at, "occurred_at": f"2025-10-0{i} 10:00:00", "vertical": "North"}
            for i, account in enumerate("AABC", start=1)
        ],
    }


ACCOUNTS: Final = 12
TOUCHPOINTS: Final = ("order", "call", "visit", "repair")


def books(journeys: int = 60, seed: int = 1, prefix: str = "") -> Books:
    """All eleven tables. Every other account moves from North to South in the middle; a third of the facts say nothing
    of their vertical. `prefix` begins every key."""
    dice = random.Random(seed)
    found: Books = {table.name: [] for table in schema.CANONICAL}
    for i in range(ACCOUNTS):
        _add_account(found, f"{prefix}A{i}", i)
    for i in range(journeys):
        _add_journey(found, dice, prefix, i)
    found["fx_rate"] = [{"currency": "USD", "month": f"2025-{month:02}-01", "rate": "0.9"} for month in (10, 11, 12)]
    found["condition"] = [
        {"id": f"{prefix}strike", "name": "Strike", "kind": "external", "starts_at": "2025-10-06", "ends_at": ""}
    ]
    found["instrument"] = [{"instrument": f"{prefix}survey", "version": "1", "pattern": "past", "cadence": "monthly"}]
    return found


def _add_account(found: Books, account: str, i: int) -> None:
    found["account"].append({"account_id": account, "name": f"Account {account}, Ltd", "since": "2020-01-01"})
    first = {"account_id": account, "valid_from": "2020-01-01", "valid_to": "", "vertical": "North", "tier": "key"}
    found["account_history"].append(first)
    if i % 2:
        found["account_history"].append({**first, "valid_from": "2025-10-15", "vertical": "South"})
    for k in range(2):
        found["person"].append({"person_id": f"{account}-{k}", "account_id": account, "role": "user"})
    for month in (10, 11, 12):
        amount = {"amount": str(1000 * i + month), "currency": "EUR", "share_of_wallet": "0.5"}
        found["revenue"].append({"account_id": account, "month": f"2025-{month}-01", **amount})


def _add_journey(found: Books, dice: random.Random, prefix: str, i: int) -> None:
    key, account, start = f"{prefix}J{i}", f"{prefix}A{dice.randrange(ACCOUNTS)}", FIRST + _span(dice, 100)
    shared = {"account_id": account, "vertical": dice.choice(("North", "West", ""))}
    ended = start + _span(dice, 20) if dice.random() < 0.8 else None
    found["journey"].append(
        {
            "id": key,
            **shared,
            "journey_type": dice.choice(("order", "repair")),
            "started_at": _stamp(start),
            "promised_at": _stamp(start + timedelta(days=10)),
            "ended_at": _stamp(ended),
            "outcome": dice.choice(("reached", "failed")) if ended else "open",
        }
    )
    for k in range(dice.randrange(1, 6)):
        found["contact"].append(_contact(dice, f"{key}-{k}", key, shared, start + _span(dice, 15)))
    if dice.random() < 0.6:
        found["response"].append(_response(dice, key, shared, start + _span(dice, 20)))
    if dice.random() < 0.3:
        failed = {"code": "late", "severity": str(dice.randrange(1, 6)), "occurred_at": _stamp(start + _span(dice, 30))}
        found["defect"].append({"id": f"{key}-d", "journey_id": key, **shared, **failed})


def _contact(dice: random.Random, key: str, journey: str, shared: Line, at: datetime) -> Line:
    return {
        "id": key,
        "journey_id": journey if dice.random() < 0.9 else "",
        "person_id": f"{shared['account_id']}-{dice.randrange(2)}",
        **shared,
        "touchpoint": dice.choice(TOUCHPOINTS),
        "channel": dice.choice(("mail", "phone", "")),
        "direction": dice.choice(("in", "out")),
        "occurred_at": _stamp(at),
        "answered_at": _stamp(at + _span(dice, 3)) if dice.random() < 0.4 else "",
        "issue_code": dice.choice(("bill", "")),
        "emotion": dice.choice(("-2", "-1", "0", "1", "2", "")),
    }


def _response(dice: random.Random, journey: str, shared: Line, at: datetime) -> Line:
    scale, low, high = dice.choice([(name, *ends) for name, ends in schema.SCALES.items()])
    answered = dice.random() < 0.7
    return {
        "id": f"{journey}-r",
        "journey_id": journey,
        "person_id": f"{shared['account_id']}-0",
        **shared,
        "touchpoint": dice.choice((*TOUCHPOINTS, "")),
        "kind": dice.choice(("transaction", "relationship")),
        "status": "answered" if answered else "invited",
        "scale": scale,
        "score": str(dice.randint(low, high)) if answered else "",
        "comment": dice.choice(("two\nlines, \"quoted\"", "", "fine")) if answered else "",
        "invited_at": _stamp(at),
        "responded_at": _stamp(at + _span(dice, 9)) if answered else "",
    }


def _span(dice: random.Random, days: int) -> timedelta:
    return timedelta(seconds=dice.randrange(days * 86_400))


def _stamp(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else ""


"""Generations of the warehouse: each load publishes a new one at once, and a reader keeps the one it began with.

With each is kept what its load did, in figures.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from sqlalchemy import Connection, select, text
from sqlalchemy.schema import CreateColumn, CreateTable, DropTable

from config import EarshotError
from queries.warehouse import rollups as _rollups  # noqa: F401 - its tables are among those that are made here
from queries.warehouse import tables
from queries.warehouse.staging import Stage

NOTHING_LOADED: Final = "nothing is loaded yet; run `python -m queries load SOURCE --data DIR` or `make run`"


class NoWarehouseError(EarshotError):
    """Nothing has been loaded yet."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One published state of the warehouse. `published_at` is naive UTC."""

    number: int
    published_at: datetime
    zone: str
    calendar_hash: str
    metrics_hash: str
    source: str


@dataclass(frozen=True, slots=True)
class TableSummary:
    """One table's rows: read from the source, and what became of them."""

    read: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    quarantined: int = 0


@dataclass(frozen=True, slots=True)
class LoadReport:
    """A whole load. `reasons` counts the quarantined rows, `erased` those that may not come back, `refilled` the facts
    whose vertical moved with their account's history; `stages` holds the seconds of each part, `settle` those after
    which the source is complete.
    """

    source: str
    sample: bool = False
    published: bool = True
    tables: Mapping[str, TableSummary] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    erased: int = 0
    refilled: int = 0
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    settle: float = 0.0

    def total(self, what: str) -> int:
        """A figure of all tables together, such as `total("added")`."""
        return sum(getattr(table, what) for table in self.tables.values())

    @property
    def quarantined(self) -> int:
        """The rows that were not let in."""
        return self.total("quarantined")

    def json(self) -> str:
        """The summary as it is kept with the generation."""
        return json.dumps(asdict(self), ensure_ascii=False)

    def lines(self) -> Iterator[str]:
        """The summary as it is printed."""
        heads = ("table", "read", "added", "changed", "unchanged", "removed", "quarantined")
        yield "".join(f"{head:>{16 if head == 'table' else 13}}" for head in heads)
        for name, table in self.tables.items():
            yield f"{name:>16}" + "".join(f"{getattr(table, head):>13,}" for head in heads[1:])
        yield from (f"quarantined {number:,}: {reason}" for reason, number in self.reasons.items())
        if self.refilled:
            yield f"{self.refilled:,} rows moved to the vertical that the account's history now gives"
        if self.erased:
            yield f"{self.erased:,} rows of erased accounts and people were left out"


@dataclass(frozen=True, slots=True)
class Pin:
    """A generation held for one page run or one tick: every read of it sees the same data."""

    conn: Connection
    generation: Generation


class NewGeneration:
    """A generation in the making. Nobody sees it before its block ends; `discard()` leaves the old one in place."""

    def __init__(
        self, conn: Connection, number: int, stage: Callable[[bool], AbstractContextManager[Stage]], *, is_anew: bool
    ) -> None:
        self.conn, self.number, self._stage, self.kept, self.erasing = conn, number, stage, True, False
        self.is_anew = is_anew
        """Whether everything has to be computed anew, not only what this change touches."""

    def stage(self, *, empty: bool) -> AbstractContextManager[Stage]:
        """Where rows wait to be judged; `empty`: the warehouse holds no rows yet."""
        return self._stage(empty)

    def discard(self) -> None:
        """Publish nothing."""
        self.kept = False

    def erase(self) -> None:
        """Publish a generation that is written anew, and leave no older one: what was deleted must be gone."""
        self.erasing = True


class Warehouse(Protocol):
    """Where canonical rows and rollups live."""

    def pin(self) -> AbstractContextManager[Pin]:
        """Hold the current generation. Raises NoWarehouseError before the first load."""
        ...

    def draft(self, say: Callable[[str], None] = ...) -> AbstractContextManager[NewGeneration]:
        """Make the next generation; waits for another writer and says who it is."""
        ...

    def listening(self, heard: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `heard`, from another thread, soon after a new generation is published, for as long as the block runs.

        It may be called for nothing, and where the system tells nobody it is not called at all: look now and then too.
        """
        ...

    def close(self) -> None:
        """Let go of every connection."""
        ...


def latest(conn: Connection) -> Generation | None:
    """The newest generation this connection sees."""
    table = tables.generation
    row = conn.execute(select(table).order_by(table.c.number.desc()).limit(1)).one_or_none()
    if row is None:
        return None
    return Generation(row.number, row.published_at, row.zone, row.calendar_hash, row.metrics_hash, row.source)


def summaries(conn: Connection) -> tuple[dict[str, Any], ...]:
    """The summaries of all generations, the oldest first."""
    table = tables.generation
    return tuple(json.loads(text) for text in conn.scalars(select(table.c.summary).order_by(table.c.number)))


def settle(conn: Connection) -> timedelta:
    """How long after an event every source loaded is complete: the longest of them, as of each one's newest load."""
    newest = {summary["source"]: summary.get("settle", 0.0) for summary in summaries(conn)}
    return timedelta(seconds=max(newest.values(), default=0.0))


def sample_sources(conn: Connection) -> frozenset[str]:
    """The sources that were ever loaded as a generated sample."""
    return frozenset(str(summary["source"]) for summary in summaries(conn) if summary.get("sample"))


def pinned(conn: Connection) -> Pin:
    """The newest generation, as a reader holds it. Raises NoWarehouseError before the first load."""
    found = latest(conn)
    if found is None:
        raise NoWarehouseError(NOTHING_LOADED)
    return Pin(conn, found)


_KEPT: Final = (*tables.CANONICAL, tables.quarantine, tables.erased, tables.generation)
"""What sources and people brought. Everything else is computed from it."""


def make_tables(conn: Connection) -> bool:
    """Bring the tables to how they are declared, in a writer's transaction: make tables and columns that are missing.

    What a new column holds is null until its source is loaded again; a computed table is emptied for it. Returns
    whether everything has to be computed anew.
    """
    # SQLAlchemy's own way asks the catalogue table by table, which takes DuckDB more than a second.
    found = conn.execute(
        text("select table_name, column_name from information_schema.columns where table_schema = current_schema()")
    )
    known: dict[str, set[str]] = {}
    for table_name, column_name in found:
        known.setdefault(table_name, set()).add(column_name)
    is_anew = False
    for table in tables.warehouse.sorted_tables:
        missing = [column for column in table.c if column.name not in known.get(table.name, ())]
        if table.name in known and missing and table in _KEPT:
            for column in missing:
                declared = CreateColumn(column).compile(conn)
                conn.execute(text(f"alter table {table.name} add column {declared}"))
        elif missing:
            if table.name in known:
                conn.execute(DropTable(table))
            conn.execute(CreateTable(table))
            is_anew |= table not in _KEPT
    return is_anew

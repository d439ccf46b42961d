"""What a load did, in figures: printed when it ends and kept with its generation."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, select

from queries.warehouse import tables as warehouse_tables


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
            yield f"{self.refilled:,} facts moved to the vertical that their account's history now says"
        if self.erased:
            yield f"{self.erased:,} rows of erased accounts and people stayed out"


def kept(conn: Connection) -> tuple[dict[str, Any], ...]:
    """The summaries of all generations, the oldest first."""
    table = warehouse_tables.generation
    return tuple(json.loads(text) for text in conn.scalars(select(table.c.summary).order_by(table.c.number)))


def settle(conn: Connection) -> timedelta:
    """How long after an event every source loaded is complete: the longest of them, as of each one's newest load."""
    newest = {summary["source"]: summary.get("settle", 0.0) for summary in kept(conn)}
    return timedelta(seconds=max(newest.values(), default=0.0))


def sample_sources(conn: Connection) -> frozenset[str]:
    """The sources that were ever loaded as a generated sample."""
    return frozenset(str(summary["source"]) for summary in kept(conn) if summary.get("sample"))

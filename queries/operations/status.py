"""What is in the warehouse, how new it is and what was not let in: the lines that `queries status` prints."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, literal, select

from queries.engine import epoch, quantile
from queries.loading.quarantine import without_values
from queries.operations.output import aligned
from queries.warehouse import NoWarehouseError, Pin, Warehouse, tables

GENERATIONS: Final = 5
"""How many of the newest generations are listed."""

REASONS: Final = 20
"""How many reasons of the quarantine are listed."""

NOTHING: Final = "-"

_EVENTS: Final = {
    "journey": ("ended_at", "started_at"),
    "contact": ("occurred_at",),
    "response": ("responded_at", "invited_at"),
    "defect": ("resolved_at", "occurred_at"),
    "condition": ("starts_at",),
}
"""The instants of a row, the last thing that happened first: that is what its source has last learnt of."""


@dataclass(frozen=True, slots=True)
class SourceFreshness:
    """One table of one source. Lags are in seconds from the event to when the source learnt it, None where unknown.

    `newest` is the newest event, naive UTC.
    """

    source: str
    table: str
    rows: int
    newest: datetime | None = None
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """How many rows are in quarantine for one reason; names and keys in it are left out."""

    source: str
    table: str
    reason: str
    rows: int


def status_lines(warehouse: Warehouse, now: datetime) -> tuple[str, ...]:
    """The state of the warehouse in words. `now` is aware UTC."""
    try:
        with warehouse.pin() as pin:
            figures = _tables(source_freshness(pin.conn), now.astimezone(UTC).replace(tzinfo=None))
            lines = [*_generations(pin), "", *figures, "", *_quarantine(rejected(pin.conn))]
            erased = pin.conn.scalar(select(func.count()).select_from(tables.erased))
    except NoWarehouseError as error:
        return (str(error),)
    if erased:
        lines.append(f"erased: {erased:,} accounts and people stay out of every load")
    return tuple(lines)


def source_freshness(conn: Connection) -> tuple[SourceFreshness, ...]:
    """Rows, newest event and lags of every source and table that has rows, in order of source."""
    rows = []
    for table in tables.CANONICAL:
        source = table.c.source
        figures: list[ColumnElement[Any]] = [func.count()]
        if table.name in _EVENTS:
            event = func.coalesce(*(table.c[name] for name in _EVENTS[table.name]), literal(None))
            lag = epoch(table.c.recorded_at) - epoch(event)
            figures += [func.max(event), *(quantile(lag, q) for q in (0.5, 0.9, 0.99))]
        groups = conn.execute(select(source, *figures).group_by(source))
        rows += [SourceFreshness(group[0], table.name, *group[1:]) for group in groups]
    return tuple(sorted(rows, key=lambda row: row.source))


def rejected(conn: Connection) -> tuple[Rejected, ...]:
    """The quarantine by reason, the most frequent first."""
    table = tables.quarantine
    keys = (table.c.source, table.c.table_name, table.c.reason)
    counts: Counter[tuple[str, str, str]] = Counter()
    for source, name, reason, rows in conn.execute(select(*keys, func.count()).group_by(*keys)):
        counts[source, name, without_values(reason)] += rows
    return tuple(Rejected(*key, rows) for key, rows in sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def _generations(pin: Pin) -> Iterator[str]:
    table = tables.generation
    number = pin.generation.number
    yield f"generation {number}, days in {pin.generation.zone}"
    newest = select(table).order_by(table.c.number.desc()).limit(GENERATIONS)
    for row in pin.conn.execute(newest):
        yield f"  {row.number:>4}  published {row.published_at:%Y-%m-%d %H:%M} UTC  by {row.source}"
    count = pin.conn.scalar(select(func.count()).select_from(table)) or 0
    if count > GENERATIONS:
        yield f"  and {count - GENERATIONS:,} older"


def _tables(sources: Sequence[SourceFreshness], now: datetime) -> Iterator[str]:
    if not sources:
        yield "no rows"
        return
    heads = ("source", "table", "rows", "newest event", "age", "lag p50", "p90", "p99")
    rows: list[tuple[str, ...]] = [heads]
    for source in sources:
        newest = f"{source.newest:%Y-%m-%d %H:%M}" if source.newest else NOTHING
        age = lag_text((now - source.newest).total_seconds()) if source.newest else NOTHING
        lags = (lag_text(lag) if lag is not None else NOTHING for lag in (source.p50, source.p90, source.p99))
        rows.append((source.source, source.table, f"{source.rows:,}", newest, age, *lags))
    for line in aligned(rows, right=range(2, len(heads))):
        yield line.rstrip()
    yield "lag: from the event until the source recorded it (recorded_at)"


def lag_text(seconds: float) -> str:
    """A time in its largest fitting unit, such as `36 h` or `12 d`; what lies ahead is negative."""
    size, sign = abs(seconds), "-" if seconds <= -0.5 else ""
    for unit, length, most in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 72)):
        if size < length * most:
            return f"{sign}{size / length:.0f} {unit}"
    return f"{sign}{timedelta(seconds=size) / timedelta(days=1):,.0f} d"


def _quarantine(reasons: Sequence[Rejected]) -> Iterator[str]:
    if not reasons:
        yield "quarantine: empty"
        return
    yield f"quarantine: {sum(reason.rows for reason in reasons):,} rows"
    for rows in reasons[:REASONS]:
        yield f"  {rows.rows:>9,}  {rows.source} {rows.table}: {rows.reason}"
    if len(reasons) > REASONS:
        yield f"  and {len(reasons) - REASONS:,} more reasons"

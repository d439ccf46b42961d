"""The last part of every change to the warehouse: what is computed from the facts, and the generation's own row."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy import Connection, insert

from config.models import Catalog
from queries.warehouse import Generation, Touched, calendar_hash, rollups, tables, write_calendar


@dataclass(frozen=True, slots=True)
class GenerationKey:
    """What a generation is computed by. Another basis is another generation."""

    zone: str
    calendar_hash: str
    metrics_hash: str


def generation_key(zone: str, catalog: Catalog) -> GenerationKey:
    """The basis that a catalogue gives."""
    metrics_hash = sha256("".join(metric.model_dump_json() for metric in catalog.metrics).encode()).hexdigest()[:16]
    return GenerationKey(zone, calendar_hash(catalog.calendar), metrics_hash)


def has_generation_key(generation: Generation, basis: GenerationKey) -> bool:
    """Whether a generation was computed by this basis."""
    return basis == GenerationKey(generation.zone, generation.calendar_hash, generation.metrics_hash)


def derive(conn: Connection, catalog: Catalog, touched: Touched | None) -> None:
    """Compute calendar, journeys, rollups and design effects: all of them, or what was touched."""
    from queries.metrics import write_design_effects  # noqa: PLC0415 - statistics take a third of a second

    write_calendar(conn, catalog.calendar)
    if touched is None:
        rollups.rebuild_rollups(conn)
    else:
        rollups.refresh_rollups(conn, touched)
    write_design_effects(conn, catalog)


def record_generation(
    conn: Connection, number: int, basis: GenerationKey, source: str, summary: str, now: datetime
) -> None:
    """Write the generation's row; from the end of the draft on it is what readers get."""
    row = {
        "number": number,
        "published_at": now,
        "zone": basis.zone,
        "calendar_hash": basis.calendar_hash,
        "metrics_hash": basis.metrics_hash,
        "source": source,
        "summary": summary,
    }
    conn.execute(insert(tables.generation).values(row))

"""What the rules would have done: the tick that runs live, over the past, against a state that nobody keeps."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from config.catalog import Catalog
from config.errors import EarshotError
from queries.export import cell
from queries.generations import Pin
from queries.incidents import Entry, Incident, entries, incidents
from queries.scope import EVERYTHING
from queries.state import passing_state
from triggers.slots import midnight
from triggers.tick import tick

HEAD: Final = ("rule", "slice", "class", "opened_at", "resolved_at", "value", "n")


@dataclass(frozen=True, slots=True)
class Row:
    """One incident that would have been. Instants are aware UTC; `resolved_at` is None while it holds at the end."""

    rule: str
    slice: str
    class_: str
    opened_at: datetime
    resolved_at: datetime | None
    value: float | None
    n: int | None

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as CSV cells, in the order of HEAD."""
        over = instant(self.resolved_at) if self.resolved_at else None
        parts = (self.rule, self.slice, self.class_, instant(self.opened_at), over, self.value, self.n)
        return tuple(cell(part) for part in parts)


def backtest(pin: Pin, catalog: Catalog, since: date, until: date) -> tuple[Row, ...]:
    """The incidents that would have opened in [since, until), oldest first, with nothing known before it happened.

    The whole past is replayed from the first day of data on, so that what held already at `since` does not open there.
    `opened_at` is when the breach was knowable: its slot's end and the time the data takes to settle.

    Args:
        pin: the generation to read.
        catalog: its enabled rules are tested.
        since: the first day, in the reporting zone.
        until: the day after the last one; nothing that happened from then on is read.
    """
    zone = ZoneInfo(pin.generation.zone)
    states = passing_state()
    try:
        tick(states, pin, catalog, midnight(until, zone))
        with states.connect() as conn:
            found = incidents(conn, EVERYTHING, until=midnight(until, zone))
            opened = (incident for incident in found if incident.opened_at >= midnight(since, zone))
            rows = tuple(_row(incident, entries(conn, incident.id)[0]) for incident in opened)
    finally:
        states.dispose()
    return tuple(sorted(rows, key=lambda row: (row.opened_at, row.rule, row.slice)))


def only(catalog: Catalog, rule: str | None) -> Catalog:
    """The catalogue with one rule alone, turned on. Raises EarshotError where there is no such rule."""
    if rule is None:
        return catalog
    found = [r.model_copy(update={"enabled": True}) for r in catalog.rules if r.name == rule]
    if not found:
        names = ", ".join(r.name for r in catalog.rules)
        raise EarshotError(f"no rule named {rule!r}; the rules are {names}")
    return catalog.model_copy(update={"rules": tuple(found)})


def to_csv(rows: Iterable[Row]) -> str:
    """The rows as CSV with a header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEAD)
    writer.writerows(row.cells for row in rows)
    return out.getvalue()


def instant(at: datetime) -> str:
    """An instant in ISO 8601, UTC, to the second."""
    return at.astimezone(UTC).replace(microsecond=0).isoformat()


def _row(incident: Incident, opening: Entry) -> Row:
    """An incident with the value that opened it, not the worst that it came to."""
    sample = opening.sample or {}
    n = round(sample["tally"][0]) if "tally" in sample else incident.n
    return Row(
        incident.rule,
        incident.slice,
        incident.class_,
        incident.opened_at,
        incident.resolved_at,
        sample.get("value"),
        n,
    )

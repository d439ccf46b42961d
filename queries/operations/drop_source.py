"""Take a source out of the warehouse, as if it had never been loaded."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from time import perf_counter

from config.errors import EarshotError
from config.models import Catalog
from queries.loading.load import withdraw_all
from queries.loading.merge import Merging
from queries.loading.publish import derive, generation_key, record_generation
from queries.loading.sources import sources
from queries.warehouse import (
    NOTHING_LOADED,
    Generation,
    LoadReport,
    NewGeneration,
    NoWarehouseError,
    TableSummary,
    Touched,
    Warehouse,
    latest,
    nothing_touched,
    refill,
)


class UnknownSourceError(EarshotError):
    """The warehouse holds nothing of that source."""


def drop(
    warehouse: Warehouse, source: str, catalog: Catalog, now: datetime, say: Callable[[str], None] = print
) -> LoadReport:
    """Publish a generation without a source's rows. `now` is aware UTC.

    An account or person that rows of another source refer to stays, and belongs to that source from now on.

    Raises:
        UnknownSourceError: nothing of the source is there.
        NoWarehouseError: nothing was ever loaded.
    """
    began = perf_counter()
    with warehouse.draft(say) as draft:
        before, present = latest(draft.conn), sources(draft.conn)
        if before is None:
            raise NoWarehouseError(NOTHING_LOADED)
        if source not in present:
            rest = f"the warehouse holds {', '.join(sorted(present))}" if present else "the warehouse is empty"
            raise UnknownSourceError(f"there is nothing of source {source!r} to drop; {rest}")
        say(f"removing the rows of {source}")
        # None has everything computed anew: where no other source is left, that is the quicker way to nothing.
        touched = nothing_touched(draft.conn) if present - {source} else None
        gone = withdraw_all(Merging(draft.conn, source, now.replace(tzinfo=None), snapshot=True, touched=touched))
        removed = {name: TableSummary(removed=merged.removed) for name, merged in gone.items() if merged.removed}
        summary = _published(draft, before, LoadReport(source, tables=removed), catalog, now, touched)
    return replace(summary, seconds=round(perf_counter() - began, 2))


def _published(
    draft: NewGeneration,
    before: Generation,
    summary: LoadReport,
    catalog: Catalog,
    now: datetime,
    touched: Touched | None,
) -> LoadReport:
    """Compute what follows from the facts that are left. The days keep the zone that they were made in."""
    at = now.replace(tzinfo=None)
    refilled = refill(draft.conn, touched, at) if touched else 0
    report = replace(summary, refilled=refilled)
    derive(draft.conn, catalog, touched)
    record_generation(draft.conn, draft.number, generation_key(before.zone, catalog), summary.source, report.json(), at)
    return report

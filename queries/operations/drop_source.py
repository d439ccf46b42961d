"""Take a source out of the warehouse, as if it had never been loaded."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from time import perf_counter

from config import EarshotError
from config.models import Catalog
from queries.loading.load import withdraw_all
from queries.loading.merge import Merging
from queries.loading.publish import derive, generation_key, record_generation
from queries.loading.sources import sources
from queries.warehouse import (
    NOTHING_LOADED,
    LoadReport,
    NoWarehouseError,
    TableSummary,
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
    began, at = perf_counter(), now.replace(tzinfo=None)
    with warehouse.draft(say) as draft:
        before, present = latest(draft.conn), sources(draft.conn)
        if before is None:
            raise NoWarehouseError(NOTHING_LOADED)
        if source not in present:
            rest = f"the warehouse holds {', '.join(sorted(present))}" if present else "the warehouse is empty"
            raise UnknownSourceError(f"no source {source!r} to drop; {rest}")
        say(f"removing the rows of {source}")
        # None has everything computed anew: where no other source is left, that is the quicker way to nothing.
        touched = nothing_touched(draft.conn) if present - {source} and not draft.is_anew else None
        gone = withdraw_all(Merging(draft.conn, source, at, snapshot=True, touched=touched))
        removed = {name: TableSummary(removed=merged.removed) for name, merged in gone.items() if merged.removed}
        refilled = refill(draft.conn, touched, at) if touched else 0
        report = LoadReport(source, tables=removed, refilled=refilled)
        derive(draft.conn, catalog, touched)
        # The days keep the zone that they were made in.
        basis = generation_key(before.zone, catalog)
        record_generation(draft.conn, draft.number, basis, source, report.json(), at)
    return replace(report, seconds=round(perf_counter() - began, 2))

"""Bring a source's rows into a new generation of the warehouse, or leave the old one as it is."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Final

import pyarrow as pa
from sqlalchemy import Connection, func, select, union

from config.catalog import Catalog, Source
from config.errors import EarshotError
from queries import schema
from queries.erasure import withhold
from queries.generations import Draft, Generation, Warehouse, latest
from queries.judge import judge
from queries.merge import Merged, Merging, merge, withdraw
from queries.publish import Basis, basis_of, derive, has_basis, record
from queries.quarantine import bring_back, count_reasons, write_quarantine
from queries.sandbox import staged
from queries.segments import FILLED, fill, refill, stale
from queries.stage import Stage
from queries.summary import Summary, TableSummary, sample_sources
from queries.touched import Touched, nothing_touched

Say = Callable[[str], None]

_EVERY_S: Final = 5.0
"""How often a long read says how far it is."""


class LoadRefusedError(EarshotError):
    """The load would spoil the warehouse, and was stopped before anybody saw it."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to load: a source, its folder, where its files are, and how the warehouse is set up.

    `zone` is the reporting zone of the settings, None for the zone of the first source ever loaded.
    """

    source: Source
    folder: Path
    data: Path
    catalog: Catalog
    zone: str | None = None
    replace_sample: bool = False


@dataclass(frozen=True, slots=True)
class _Clock:
    """The seconds that each stage of a load took, said as it begins."""

    say: Say
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.say(name)
        began = perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + perf_counter() - began, 3)


def load(warehouse: Warehouse, order: Order, now: datetime, say: Say = print) -> Summary:
    """Load a source. Rows by key: new ones are added, those that differ replaced, a snapshot's absent ones removed.

    Nothing is published when nothing changed. `now` is aware UTC.

    Raises:
        LoadRefusedError: too many rows are wrong, or the source does not mix with what is there.
        EarshotError: inputs, mapping or storage are not as they must be.
    """
    began, clock = perf_counter(), _Clock(say)
    with warehouse.draft(say) as draft:
        summary = _drafted(draft, order, now.replace(tzinfo=None), clock)
        clock.say("publishing" if summary.published else "nothing changed: the warehouse stays as it is")
    return replace(summary, seconds=round(perf_counter() - began, 2))


def _drafted(draft: Draft, order: Order, now: datetime, clock: _Clock) -> Summary:
    conn, source = draft.conn, order.source
    before, present = latest(conn), sources(conn)
    samples = _samples_to_leave(order, present & sample_sources(conn), present)
    zone = _zone(order, before, present - samples)
    touched = nothing_touched(conn) if present - samples else None
    merging = Merging(conn, source.name, now, source.mode == "snapshot", touched)
    with draft.stage(empty=not present) as stage:
        read = _read(stage, order, zone, now, clock)
        erased = _hold(stage, conn, order, samples, now, clock)
        rejected = _rejected(stage)
        _refuse_too_many(stage, source, sum(read.values()), sum(rejected.values()))
        with clock.stage("writing the quarantine"):
            moved = write_quarantine(conn, stage, source.name, now, snapshot=merging.snapshot)
        reasons = dict(count_reasons(stage).most_common())
        merged = _settle(merging, stage, clock) if stage.in_place else _merge(merging, stage, samples, clock)
        refilled = _refill(conn, touched, now) if touched else 0
    tables = {name: _table(name, read, rejected, merged) for name in merged if name in read or merged[name].differs}
    basis = basis_of(zone, order.catalog)
    summary = Summary(source.name, source.sample, True, tables, reasons, erased, refilled, 0.0, clock.seconds)
    differs = moved or refilled or any(table.differs for table in merged.values())
    if not differs and before is not None and has_basis(before, basis):
        draft.discard()
        return replace(summary, published=False)
    with clock.stage("computing journeys, rollups and the calendar"):
        derive(conn, order.catalog, touched)
    record(conn, draft.number, basis, source.name, summary.json(), now)
    return summary


def sources(conn: Connection) -> frozenset[str]:
    """The sources that have rows in the warehouse."""
    every = union(*(select(table.c.source).distinct() for table in (*schema.CANONICAL, schema.quarantine)))
    return frozenset(conn.scalars(every))


def _samples_to_leave(order: Order, samples: frozenset[str], present: frozenset[str]) -> frozenset[str]:
    """A real source and the sample never mix: figures of both together mean nothing."""
    if order.source.sample:
        if real := sorted(present - samples):
            message = f"the warehouse holds {', '.join(real)}; the sample does not mix with it: set EARSHOT_DATA to another folder"
            raise LoadRefusedError(message)
        return frozenset()
    if samples and not order.replace_sample:
        message = f"the warehouse holds the sample; add --replace-sample to replace it by {order.source.name}"
        raise LoadRefusedError(message)
    return samples


def _zone(order: Order, before: Generation | None, staying: frozenset[str]) -> str:
    """The reporting zone. Days are made at load: another zone needs every source again."""
    wanted = order.zone or (before.zone if before and staying else order.source.zone)
    if before is None or before.zone == wanted or not staying:
        return wanted
    if staying == {order.source.name} and order.source.mode == "snapshot":
        return wanted
    drops = " && ".join(f"python -m queries drop {name}" for name in sorted(staying))
    message = f"the days in the warehouse are those of {before.zone}, not {wanted}; set zone back, or {drops} and load again"
    raise LoadRefusedError(message)


def _read(stage: Stage, order: Order, zone: str, now: datetime, clock: _Clock) -> dict[str, int]:
    read: dict[str, int] = {}
    with staged(order.source, order.folder, order.data, zone, clock.say) as tables:
        for item in tables:
            with clock.stage(f"reading {item.table}"):
                read[item.table] = stage.fill(item.table, _told(item.rows, item.table, clock.say), now)
    return read


def _told(rows: pa.RecordBatchReader, table: str, say: Say) -> pa.RecordBatchReader:
    def batches() -> Iterator[pa.RecordBatch]:
        count, said = 0, perf_counter()
        for batch in rows:
            count += batch.num_rows
            if perf_counter() - said > _EVERY_S:
                said = perf_counter()
                say(f"reading {table}: {count:,} rows so far")
            yield batch

    return pa.RecordBatchReader.from_batches(rows.schema, batches())


def _hold(
    stage: Stage, conn: Connection, order: Order, samples: frozenset[str], now: datetime, clock: _Clock
) -> int:
    """Hold the staged rows to what goes beyond one row. Returns how many may not come back."""
    snapshot = order.source.mode == "snapshot"
    with clock.stage("checking keys and references"):
        if not snapshot:
            bring_back(conn, stage, order.source.name, now)
        erased = withhold(stage)
        judge(stage, samples | {order.source.name} if snapshot else samples)
    return erased


def _rejected(stage: Stage) -> Counter[str]:
    found: Counter[str] = Counter()
    for table, rows in stage:
        count = select(func.count()).where(rows.c.reason.is_not(None))
        found[table.name] = int(stage.conn.execute(count).scalar_one())
    return found


def _refuse_too_many(stage: Stage, source: Source, read: int, rejected: int) -> None:
    if rejected <= source.max_rejected * read:
        return
    top = "; ".join(f"{number:,} x {reason}" for reason, number in count_reasons(stage).most_common(3))
    message = (
        f"{rejected:,} of {read:,} rows of {source.name} are wrong, more than the share of {source.max_rejected:g} that "
        f"source.toml allows: {top}. Nothing was loaded; correct the source or raise max_rejected"
    )
    raise LoadRefusedError(message)


def _merge(merging: Merging, stage: Stage, samples: frozenset[str], clock: _Clock) -> dict[str, Merged]:
    merged: dict[str, Merged] = {}
    for sample in samples:
        withdraw_all(replace(merging, source=sample))
    for table in schema.CANONICAL:
        if table.name in stage.tables:
            with clock.stage(f"merging {table.name}"):
                merged[table.name] = merge(merging, table, stage.tables[table.name])
        elif merging.snapshot:
            merged[table.name] = withdraw(merging, table)
    return merged


def _settle(merging: Merging, stage: Stage, clock: _Clock) -> dict[str, Merged]:
    """The rows are where they belong, in a warehouse that was empty."""
    conn = merging.conn
    with clock.stage("taking out what was rejected"):
        stage.leave()
    with clock.stage("filling verticals from the accounts' history"):
        for facts in FILLED:
            fill(conn, facts)
    counts = {table.name: conn.scalar(select(func.count()).select_from(table)) for table, _ in stage}
    return {name: Merged(added=int(count or 0)) for name, count in counts.items()}


def withdraw_all(merging: Merging) -> dict[str, Merged]:
    """Remove every row of a source, also those in quarantine."""
    gone = {table.name: withdraw(merging, table) for table in schema.CANONICAL}
    there = schema.quarantine
    merging.conn.execute(there.delete().where(there.c.source == merging.source))
    return gone


def _refill(conn: Connection, touched: Touched, now: datetime) -> int:
    moved = 0
    for facts in FILLED:
        touched.note(conn, facts, stale(facts, touched.accounts))
        moved += refill(conn, facts, touched.accounts, now)
    return moved


def _table(name: str, read: dict[str, int], rejected: Counter[str], merged: dict[str, Merged]) -> TableSummary:
    m = merged[name]
    return TableSummary(read.get(name, 0), m.added, m.changed, m.unchanged, m.removed, rejected[name])

"""Bring a source's rows into a new generation of the warehouse, or leave the old one as it is."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final

import pyarrow as pa
from sqlalchemy import func, select

from config.models import Catalog, Source
from queries.loading.inputs import lines_of
from queries.loading.limits import DEFAULT_LIMITS, Limits
from queries.loading.merge import Merged, Merging, merge, withdraw
from queries.loading.publish import derive, generation_key, has_generation_key, record_generation
from queries.loading.quarantine import (
    bring_back,
    count_reasons,
    reject_invalid_rows,
    rejected_rows,
    write_quarantine,
)
from queries.loading.sandbox import staged
from queries.loading.sources import LoadRefusedError, reporting_zone, samples_to_leave, sources
from queries.warehouse import (
    FILLED,
    LoadReport,
    NewGeneration,
    Stage,
    TableSummary,
    Warehouse,
    drop_erased,
    fill,
    latest,
    nothing_touched,
    refill,
    spelled_alike,
    unfilled,
    vertical_names,
)
from queries.warehouse import tables as warehouse_tables

Say = Callable[[str], None]

FEW: Final = 10
"""Fewer rows than these may go from one table, whatever their share: most tables of a few rows are kept by hand."""

_EVERY_S: Final = 5.0
"""How often a long read says how far it is."""


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What to load: a source, its folder, where its files are, and how the warehouse is set up.

    `zone` is the reporting zone of the settings, None for the zone of the first source ever loaded. `allow_removal`: a
    snapshot may lack more of what it delivered before than its source states.
    """

    source: Source
    folder: Path
    data: Path
    catalog: Catalog
    zone: str | None = None
    replace_sample: bool = False
    allow_removal: bool = False
    limits: Limits = DEFAULT_LIMITS

    @property
    def snapshot(self) -> bool:
        """Whether what the source does not deliver any more is gone."""
        return self.source.mode == "snapshot"


@dataclass(frozen=True, slots=True)
class _Clock:
    """The seconds that each stage of a load took; a stage is said as it begins."""

    say: Say
    began: float = field(default_factory=perf_counter)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.say(name)
        began = perf_counter()
        yield
        self.seconds[name] = round(perf_counter() - began, 3)

    def counted(self, rows: pa.RecordBatchReader, table: str) -> pa.RecordBatchReader:
        """The same rows; a long read says how far it is."""

        def batches() -> Iterator[pa.RecordBatch]:
            count, said = 0, perf_counter()
            for batch in rows:
                count += batch.num_rows
                if perf_counter() - said > _EVERY_S:
                    said = perf_counter()
                    self.say(f"reading {table}: {count:,} rows so far")
                yield batch

        return pa.RecordBatchReader.from_batches(rows.schema, batches())

    def total(self) -> float:
        return round(perf_counter() - self.began, 2)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What the staged rows were found to be: rows read, rejected and withheld by table, and the reasons."""

    read: Counter[str]
    rejected: Counter[str]
    reasons: Counter[str]
    erased: int

    def report(self, source: Source, merged: dict[str, Merged], refilled: int, seconds: dict[str, float]) -> LoadReport:
        """The load in figures; a table that was neither read nor changed is left out."""
        tables = {
            name: TableSummary(self.read[name], m.added, m.changed, m.unchanged, m.removed, self.rejected[name])
            for name, m in merged.items()
            if m.differs or name in self.read
        }
        return LoadReport(
            source.name,
            sample=source.sample,
            tables=tables,
            reasons=dict(self.reasons.most_common()),
            erased=self.erased,
            refilled=refilled,
            stages=seconds,
            settle=source.settle.total_seconds(),
        )


def load(warehouse: Warehouse, order: LoadRequest, now: datetime, say: Say = print) -> LoadReport:
    """Load a source. Rows by key: new ones are added, those that differ replaced, a snapshot's absent ones removed.

    Nothing is published when nothing changed. `now` is aware UTC.

    Raises:
        LoadRefusedError: too many rows are wrong or missing, or the source does not mix with what is there.
        EarshotError: inputs, mapping or storage are not as they must be.
    """
    clock = _Clock(say)
    with warehouse.draft(say) as draft:
        summary = _drafted(draft, order, now.replace(tzinfo=None), clock)
        empty: dict[str, list[str]] = {}
        for metric in order.catalog.metrics:
            if table := unfilled(draft.conn, metric.table, metric.columns):
                empty.setdefault(table, []).append(metric.name)
        for table, metrics in empty.items():
            say(f"no row of {table} is loaded, so {', '.join(metrics)} stay{'s' if len(metrics) == 1 else ''} empty")
        for names in spelled_alike(vertical_names(draft.conn)):
            say(f"verticals that differ only in case or spaces: {names}; write each in one way in the source's SELECT")
        say("publishing" if summary.published else "nothing changed; the warehouse is unchanged")
    return replace(summary, seconds=clock.total())


def _drafted(draft: NewGeneration, order: LoadRequest, now: datetime, clock: _Clock) -> LoadReport:
    conn, source = draft.conn, order.source
    before, present = latest(conn), sources(conn)
    samples = samples_to_leave(conn, source, present, replace=order.replace_sample)
    basis = generation_key(reporting_zone(source, order.zone, before, present - samples), order.catalog)
    touched = nothing_touched(conn) if present - samples and not draft.is_anew else None
    merging = Merging(conn, source.name, now, order.snapshot, touched)
    with draft.stage(empty=not present) as stage:
        verdict = _judged(stage, merging, order, basis.zone, samples, clock)
        with clock.stage("writing the quarantine"):
            lines = partial(lines_of, source, order.data)
            moved = write_quarantine(conn, stage, source.name, now, lines, snapshot=order.snapshot)
        merged = _merge(merging, stage, samples, clock)
        if not order.allow_removal:
            _refuse_removal(source, merged)
        refilled = refill(conn, touched, now) if touched else 0
    summary = verdict.report(source, merged, refilled, clock.seconds)
    differs = moved or refilled or any(table.differs for table in merged.values())
    # The same rows by another calendar or other metrics make other figures: that is worth a generation.
    if not differs and not draft.is_anew and before and has_generation_key(before, basis):
        draft.discard()
        return replace(summary, published=False)
    with clock.stage("computing journeys, rollups and the calendar"):
        derive(conn, order.catalog, touched)
    record_generation(conn, draft.number, basis, source.name, replace(summary, seconds=clock.total()).json(), now)
    return summary


def _judged(
    stage: Stage, merging: Merging, order: LoadRequest, zone: str, samples: frozenset[str], clock: _Clock
) -> _Verdict:
    """Read the source into the stage, and give every row that cannot stand its reason. Raises LoadRefusedError."""
    read = _read(stage, order, zone, merging.now, clock)
    with clock.stage("checking keys and references"):
        # A snapshot brings again what waits in the quarantine, so only rows added bit by bit are taken back from it.
        back = 0 if order.snapshot else bring_back(merging.conn, stage, merging.source, merging.now)
        # Before references are looked at: what hangs on an erased account goes with it and is no mistake of the source.
        erased = drop_erased(stage)
        reject_invalid_rows(stage, samples | {merging.source} if order.snapshot else samples)
    rejected: Counter[str] = Counter()
    for table, judged_rows in stage:
        count = select(func.count()).where(judged_rows.c.reason.is_not(None))
        rejected[table.name] = int(stage.conn.execute(count).scalar_one())
    verdict = _Verdict(read, rejected, count_reasons(stage), erased)
    judged, wrong, most = read.total() + back, rejected.total(), order.source.max_rejected
    if wrong > most * judged:
        top = "; ".join(f"{number:,} x {reason}" for reason, number in verdict.reasons.most_common(3))
        share = f"{wrong:,} of {judged:,} rows of {merging.source} are invalid, more than the allowed share of {most:g}"
        advice = (
            "nothing was loaded; `python -m queries quarantine` lists them; correct the source, or raise max_rejected"
        )
        rows = rejected_rows(stage, merging.source, partial(lines_of, order.source, order.data))
        raise LoadRefusedError(f"{share}: {top}; {advice} in its source.toml", rows)
    return verdict


def _read(stage: Stage, order: LoadRequest, zone: str, now: datetime, clock: _Clock) -> Counter[str]:
    read: Counter[str] = Counter()
    with staged(order.source, order.folder, order.data, zone, now, clock.say, order.limits) as tables:
        for item in tables:
            with clock.stage(f"reading {item.table}"):
                read[item.table] = stage.fill(item.table, clock.counted(item.rows, item.table), now)
            clock.say(f"{item.table}: {read[item.table]:,} rows in {clock.seconds[f'reading {item.table}']:.1f} s")
    return read


def _refuse_removal(source: Source, merged: Mapping[str, Merged]) -> None:
    """An export that failed, was cut off, or is one file short delivers less, and not by a little.

    Each table counts by itself, too: an empty one would drown among the rows of the others.
    """
    gone = Counter({name: table.removed for name, table in merged.items()})
    had = Counter({name: table.removed + table.changed + table.unchanged for name, table in merged.items()})
    lost = {"rows": (gone.total(), had.total()), "accounts": (gone["account"], had["account"])}
    named = {f"rows of {n}": (k, had[n]) for n, k in gone.items() if n != "account" and (k >= FEW or k == had[n])}
    for what, (less, before) in (lost | named).items():
        if less > source.max_removed * before:
            share = f"{less:,} of the {before:,} {what} of {source.name} would be removed"
            advice = "nothing was loaded; check that its files are complete, or load with --allow-removal"
            raise LoadRefusedError(f"{share}, more than the allowed share of {source.max_removed:g}: {advice}")


def _merge(merging: Merging, stage: Stage, samples: frozenset[str], clock: _Clock) -> dict[str, Merged]:
    if stage.in_place:
        # The rows are where they belong, in a warehouse that was empty.
        with clock.stage("taking out what was rejected"):
            stage.leave()
        with clock.stage("filling verticals from the accounts' history"):
            for facts in FILLED:
                fill(merging.conn, facts)
        counts = {table.name: select(func.count()).select_from(table) for table, _ in stage}
        return {name: Merged(added=int(merging.conn.scalar(count) or 0)) for name, count in counts.items()}
    merged: dict[str, Merged] = {}
    for sample in samples:
        withdraw_all(replace(merging, source=sample))
    for table in warehouse_tables.CANONICAL:
        if table.name in stage.tables:
            with clock.stage(f"merging {table.name}"):
                merged[table.name] = merge(merging, table, stage.tables[table.name])
        elif merging.snapshot:
            merged[table.name] = withdraw(merging, table)
    return merged


def withdraw_all(merging: Merging) -> dict[str, Merged]:
    """Remove every row of a source, also those in quarantine."""
    gone = {table.name: withdraw(merging, table) for table in warehouse_tables.CANONICAL}
    there = warehouse_tables.quarantine
    merging.conn.execute(there.delete().where(there.c.source == merging.source))
    return gone

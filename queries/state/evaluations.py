"""What was evaluated: the slots of each rule, the rules as they were then, and what each slice of a rule remembers.

What is measured once for a version of a rule stands here too: the frozen baselines of a chart, and how sure it must be.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select

from queries.engine import aware, naive
from queries.state import tables

MISSED_SLOTS: Final = 3
"""A rule that missed so many of its slots is not evaluated any more."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """An instance as stored: `body` is the evaluator's own text."""

    rule: str
    slice: str
    state: str
    health: str
    slot: date | None
    body: str
    incident_id: str | None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One slot of one rule, evaluated on one generation."""

    rule: str
    slot: date
    generation: int
    rule_hash: str
    origin: str
    evaluated_at: datetime


@dataclass(frozen=True, slots=True)
class Newest:
    """How far a rule was evaluated, on which generation, and when that was first done."""

    slot: date
    generation: int
    evaluated_at: datetime


@dataclass(frozen=True, slots=True)
class RuleVersion:
    """A rule as it was when it was evaluated, with its metric."""

    hash: str
    rule: str
    body: str
    author: str | None
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class StoredBaseline:
    """A chart's baseline in one slice: its days [since, until) and the text of its tally."""

    rule_hash: str
    slice: str
    since: date
    until: date
    tally: str
    frozen_at: datetime


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a null replay found for a version of a rule.

    Args:
        rule_hash: the version's name.
        alpha: what a tail must be below in one slot of one slice.
        found: the false alarms a year, all slices together, that it makes without any change.
        low: the lower end of their 95% interval.
        high: the upper end.
        years: how many years were replayed.
        slices: how many slices there were.
        calibrated_at: when, aware UTC.
    """

    rule_hash: str
    alpha: float
    found: float
    low: float
    high: float
    years: float
    slices: int
    calibrated_at: datetime


@dataclass(frozen=True, slots=True)
class RuleError:
    """A rule, or one of its slices, that could not be evaluated: why in one line, and since when, aware UTC.

    An empty slice is all of them.
    """

    rule: str
    slice: str
    reason: str
    since: datetime

    @property
    def where(self) -> str:
        """The rule, and its slice where only that is concerned."""
        return f"{self.rule} ({self.slice})" if self.slice else self.rule


def remembered(conn: Connection) -> tuple[Remembered, ...]:
    """Every instance that is not as it began."""
    return tuple(Remembered(*row) for row in conn.execute(select(tables.instance)))


def newest_slots(conn: Connection) -> dict[str, Newest]:
    """Per rule the newest slot evaluated, on the newest generation it was evaluated on."""
    table = tables.eval_slot
    newest = select(table.c.rule, func.max(table.c.slot).label("slot")).group_by(table.c.rule).subquery()
    same_slot = (table.c.rule == newest.c.rule) & (table.c.slot == newest.c.slot)
    # Of the rows of one slot the last to come wins below: that of the newest generation.
    rows = conn.execute(select(table).join_from(newest, table, same_slot).order_by(table.c.generation))
    return {row.rule: Newest(row.slot, row.generation, aware(row.evaluated_at)) for row in rows}


def evaluated_at(conn: Connection) -> Mapping[str, datetime]:
    """When each rule was last evaluated, aware UTC."""
    table = tables.eval_slot
    newest = select(table.c.rule, func.max(table.c.evaluated_at)).group_by(table.c.rule)
    return {rule: aware(at) for rule, at in conn.execute(newest)}


def rule_errors(conn: Connection) -> tuple[RuleError, ...]:
    """What could not be evaluated when that was last tried, in order of the rules."""
    table = tables.rule_error
    rows = conn.execute(select(table).order_by(table.c.rule, table.c.slice))
    return tuple(RuleError(row.rule, row.slice, row.reason, aware(row.since)) for row in rows)


def rule_version(conn: Connection, hash_: str) -> RuleVersion | None:
    """A rule as it was under that hash."""
    row = conn.execute(select(tables.rule_version).where(tables.rule_version.c.hash == hash_)).one_or_none()
    return RuleVersion(row.hash, row.rule, row.body, row.author, aware(row.stored_at)) if row else None


def rule_hashes(conn: Connection) -> frozenset[str]:
    """The hashes of all stored rule versions."""
    return frozenset(conn.execute(select(tables.rule_version.c.hash)).scalars())


def baselines(conn: Connection) -> Mapping[str, tuple[StoredBaseline, ...]]:
    """Every frozen baseline, by the version's name."""
    # By version and not by rule: with another limit or metric the days before would be another baseline.
    by_rule: dict[str, tuple[StoredBaseline, ...]] = {}
    for row in conn.execute(select(tables.baseline)):
        stored = StoredBaseline(row.rule_hash, row.slice, row.since, row.until, row.tally, aware(row.frozen_at))
        by_rule[row.rule_hash] = (*by_rule.get(row.rule_hash, ()), stored)
    return by_rule


def frozen_days(conn: Connection, rule_hash: str, slice_: str) -> tuple[date, date] | None:
    """The days [since, until) of the baseline that a version of a rule froze in a slice; None where it has none."""
    table = tables.baseline
    row = conn.execute(
        select(table.c.since, table.c.until).where(table.c.rule_hash == rule_hash, table.c.slice == slice_)
    ).first()
    return (row.since, row.until) if row else None


def tally_text(tally: tuple[float, ...]) -> str:
    """A tally as it is stored."""
    return json.dumps(list(tally))


def calibrations(conn: Connection) -> Mapping[str, Calibration]:
    """Every calibration, by the version's name."""
    rows = conn.execute(select(tables.calibration)).mappings()
    return {row["rule_hash"]: Calibration(**{**row, "calibrated_at": aware(row["calibrated_at"])}) for row in rows}


def store_calibration(conn: Connection, new: Calibration) -> None:
    """Store a calibration in the place of an older one of the same version."""
    values = {name: getattr(new, name) for name in Calibration.__dataclass_fields__}
    conn.execute(delete(tables.calibration).where(tables.calibration.c.rule_hash == new.rule_hash))
    conn.execute(insert(tables.calibration).values(**{**values, "calibrated_at": naive(new.calibrated_at)}))

"""What was measured once for a version of a rule: the frozen baselines of a chart, and how sure it must be."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, delete, insert, select

from queries.instants import aware, naive
from queries.state.tables import baseline, calibration


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


def baselines(conn: Connection) -> Mapping[str, tuple[StoredBaseline, ...]]:
    """Every frozen baseline, by the version's name."""
    # By version and not by rule: with another limit or metric the days before would be another baseline.
    by_rule: dict[str, tuple[StoredBaseline, ...]] = {}
    for row in conn.execute(select(baseline)):
        stored = StoredBaseline(row.rule_hash, row.slice, row.since, row.until, row.tally, aware(row.frozen_at))
        by_rule[row.rule_hash] = (*by_rule.get(row.rule_hash, ()), stored)
    return by_rule


def tally_text(tally: tuple[float, ...]) -> str:
    """A tally as it is stored."""
    return json.dumps(list(tally))


def calibrations(conn: Connection) -> Mapping[str, Calibration]:
    """Every calibration, by the version's name."""
    rows = conn.execute(select(calibration)).mappings()
    return {row["rule_hash"]: Calibration(**{**row, "calibrated_at": aware(row["calibrated_at"])}) for row in rows}


def store_calibration(conn: Connection, new: Calibration) -> None:
    """Store a calibration in the place of an older one of the same version."""
    values = {name: getattr(new, name) for name in Calibration.__dataclass_fields__}
    conn.execute(delete(calibration).where(calibration.c.rule_hash == new.rule_hash))
    conn.execute(insert(calibration).values(**{**values, "calibrated_at": naive(new.calibrated_at)}))

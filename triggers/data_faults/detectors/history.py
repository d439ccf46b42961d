"""What detectors look at, and the fault that they find: a table's rows by day and week, its slices, exact tails.

Weeks stand oldest first. Counts vary more than Poisson counts do: a dispersion is how many times as much, and both
counts are divided by it.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Final, Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from queries.monitoring.row_profiles import Breakdown, Profile
from queries.statistics.estimates import Floats

Kind = Literal[
    "publication-lag",
    "right-censoring",
    "collection-change",
    "sampling-change",
    "copied-period",
    "duplicated-rows",
    "swapped-dates",
    "padded-promise",
]

Names = tuple[tuple[str, str], ...]
"""Columns and their values, the vertical first: some of a table's rows; () is all."""


@dataclass(frozen=True, slots=True)
class DataFault:
    """One thing that is wrong with the data.

    Args:
        kind: which of the eight.
        table: whose rows.
        names: which of them.
        since: the first day that it spoils.
        until: the day after the last one, as far as is known.
        reason: one sentence with the figures that show it.
    """

    kind: Kind
    table: str
    names: Names
    since: date
    until: date
    reason: str

    @property
    def place(self) -> str:
        """Which rows as text, such as "vertical=Retail, channel=phone"; "" is all."""
        return ", ".join(f"{column}={value}" for column, value in self.names)

    @property
    def vertical(self) -> str | None:
        """The only vertical concerned, if it is one."""
        return dict(self.names).get("vertical")

    @property
    def touchpoint(self) -> str | None:
        """The only touchpoint or journey type concerned, if it is one."""
        return next((value for column, value in self.names if column in ("touchpoint", "journey_type")), None)


ALPHA: Final = 1e-6
"""How rarely each detector may be wrong in one look."""

BEFORE: Final = 26
"""Weeks that a change of mix or promise is compared with."""

NEAR: Final = 8
"""Weeks of rows that a silence is compared with."""

SILENT: Final = 0.05
"""The part of the usual rows up to which a week is silent."""

_AFTER: Final = 13

BASELINE_WEEKS: Final = 26
"""So long before a window a change still matters to what the window is compared with."""

_HISTORY: Final = 60  # weeks looked at before the baseline
_LEAST_WEEKS: Final = 8


@dataclass(frozen=True, slots=True)
class RowHistory:
    """What a detector is given.

    Args:
        profile: of one table.
        end: the place of the first day that is not read.
        concern: the first place that concerns the window or its baseline.
        weeks: how many weeks before the end are looked at.
    """

    profile: Profile
    end: int
    concern: int
    weeks: int

    def day(self, place: int) -> date:
        return self.profile.first + timedelta(days=place)

    def day_words(self, place: int) -> str:
        """A day as it is read."""
        day = self.day(place)
        return f"{day.day} {day:%B %Y}"

    def place(self, day: date) -> int:
        return (day - self.profile.first).days

    @property
    def until(self) -> date:
        return self.day(self.end)

    def week(self, number: int) -> int:
        """The place of a week's first day; weeks count up to the one that ends the look."""
        return self.end - 7 * (self.weeks - number)

    def weekly(self, counts: Floats) -> Floats:
        """Sums by week: shape (weeks, ...)."""
        part = counts[self.week(0) : self.end]
        return np.asarray(part.reshape(self.weeks, 7, *counts.shape[1:]).sum(axis=1), dtype=np.float64)

    @property
    def concerned(self) -> int:
        """The first week that concerns the window or its baseline."""
        return max(0, (self.concern - self.week(0)) // 7)

    def found(self, kind: Kind, names: Names, since: int, reason: str, until: int | None = None) -> DataFault:
        """The artefact that spoils the rows `names` from one place up to another, or up to the end."""
        end = self.end if until is None else until
        return DataFault(kind, self.profile.table, names, self.day(since), self.day(end), reason)


def row_history(profile: Profile, since: date, until: date) -> RowHistory | None:
    """What there is to see for the window [since, until); None where there are too few weeks to tell anything."""
    end = min((until - profile.first).days, profile.days)
    concern = max((since - profile.first).days - 7 * BASELINE_WEEKS, 0)
    weeks = min(end // 7, (end - concern) // 7 + _HISTORY)
    return RowHistory(profile, end, concern, weeks) if weeks >= _LEAST_WEEKS else None


@dataclass(frozen=True, slots=True)
class Cell:
    """One slice of a table and the slice it is a part of.

    Args:
        names: what its rows have in common.
        daily: rows by day.
        whole: the same of what it is a part of.
    """

    names: Names
    daily: Floats
    whole: Floats

    @property
    def called(self) -> str:
        """As a part of a sentence: " of Retail, phone", or nothing."""
        return " of " + ", ".join(value for _, value in self.names) if self.names else ""


@dataclass(frozen=True, slots=True)
class Cells:
    """Every slice of a table, and the rows of each before each day: shape (days + 1, cells)."""

    cells: tuple[Cell, ...]
    sums: Floats


@lru_cache(maxsize=16)
def every(profile: Profile) -> Cells:
    """The large ones, and each channel, touchpoint, instrument or journey type: everywhere, and in each vertical."""
    total, cells = everywhere(profile).daily, list(large(profile))
    for breakdown in profile.slices:
        column = breakdown.columns[1]
        verticals, kinds = daily_by(breakdown, ("vertical",)), daily_by(breakdown, (column,))
        if len(kinds) > 1:
            cells += (Cell(((column, key[0]),), daily, total) for key, daily in kinds.items())
        if len(kinds) > 1 and len(verticals) > 1:
            for i, key in enumerate(breakdown.cells):
                names = ("vertical", key[0]), (column, key[1])
                cells.append(Cell(names, breakdown.counts[:, i], verticals[key[:1]]))
    sums = np.zeros((profile.days + 1, len(cells)))
    np.cumsum(np.stack([cell.daily for cell in cells], axis=1), axis=0, out=sums[1:])
    return Cells(tuple(cells), sums)


@lru_cache(maxsize=16)
def everywhere(profile: Profile) -> Cell:
    """All rows."""
    total = np.asarray(profile.sources.counts.sum(axis=1), dtype=np.float64)
    return Cell((), total, total)


@lru_cache(maxsize=16)
def large(profile: Profile) -> tuple[Cell, ...]:
    """All rows, each source where there are several, and each vertical."""
    total = everywhere(profile)
    sources = daily_by(profile.sources, ("source",))
    verticals = daily_by(profile.slices[0], ("vertical",))
    parts = [(("source", key[0]), daily) for key, daily in sources.items() if len(sources) > 1]
    parts += [(("vertical", key[0]), daily) for key, daily in verticals.items() if len(verticals) > 1]
    return (total, *(Cell((name,), daily, total.daily) for name, daily in parts))


def daily_by(breakdown: Breakdown, names: tuple[str, ...]) -> dict[tuple[str, ...], Floats]:
    """Daily counts by some of the columns, in order of their values."""
    at = [breakdown.columns.index(name) for name in names]
    keys = [tuple(cell[i] for i in at) for cell in breakdown.cells]
    found = sorted(set(keys))
    index = np.array([found.index(key) for key in keys], dtype=np.intp)
    return {key: breakdown.counts[:, index == i].sum(axis=1) for i, key in enumerate(found)}


def few(seen: float, others: float, share: float, dispersion: float) -> float:
    """The chance of at most `seen` of seen + others, were each in its part with probability `share`."""
    x, n = seen / dispersion, (seen + others) / dispersion
    return float(scipy.special.betainc(n - x, x + 1, 1 - share)) if n > x else 1.0


def at_least(seen: float, expected: float, dispersion: float) -> float:
    """The chance of a Poisson count of `seen` or more."""
    return float(scipy.special.gammainc(seen / dispersion, expected / dispersion)) if seen > 0 else 1.0


def at_most(seen: float, expected: float, dispersion: float) -> float:
    """The chance of a Poisson count of `seen` or fewer."""
    return float(scipy.special.gammaincc(seen / dispersion + 1, expected / dispersion))


def dispersion(weekly: Floats) -> float:
    """How much more a weekly count varies from week to week than a Poisson count does; at least 1."""
    change, size = np.diff(weekly) ** 2, weekly[1:] + weekly[:-1]
    known = size > 0
    return max(1.0, float(np.median(change[known] / size[known])) / 0.455) if known.any() else 1.0


def first_full_week(weekly: Floats) -> int:
    """The week from which rows come at half their later level or more: what is before is the beginning of the data."""
    seen = weekly[weekly > 0]
    return int(np.argmax(weekly >= 0.5 * np.median(seen))) if len(seen) else len(weekly)


def runs(flags: NDArray[np.bool_], begin: int) -> NDArray[np.int64]:
    """The stretches of true flags from `begin` on, as rows of [first, last)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags[begin:].astype(np.int8), [0]))))
    return edges.reshape(-1, 2) + begin


def sides(weekly: Floats, splits: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The sums of up to 26 weeks before and up to 13 weeks after each split: shape (splits, ...)."""
    sums = np.concatenate((np.zeros((1, *weekly.shape[1:])), weekly.cumsum(axis=0)))
    before = sums[splits] - sums[np.maximum(splits - BEFORE, 0)]
    return before, sums[np.minimum(splits + _AFTER, len(weekly))] - sums[splits]

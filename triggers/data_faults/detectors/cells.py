"""Some of a table's rows and how they are spread over days."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from queries.monitoring.row_profiles import Breakdown, Profile
from queries.statistics.estimates import Floats
from triggers.data_faults.detectors.fault import Names


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
    """The large and the small ones."""
    cells = large(profile) + tuple(_small(profile))
    sums = np.zeros((profile.days + 1, len(cells)))
    np.cumsum(np.stack([cell.daily for cell in cells], axis=1), axis=0, out=sums[1:])
    return Cells(cells, sums)


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


def _small(profile: Profile) -> Iterator[Cell]:
    """Each channel, touchpoint, instrument or journey type: everywhere, and within each vertical."""
    total = everywhere(profile).daily
    for breakdown in profile.slices:
        column = breakdown.columns[1]
        verticals, kinds = daily_by(breakdown, ("vertical",)), daily_by(breakdown, (column,))
        if len(kinds) > 1:
            yield from (Cell(((column, key[0]),), daily, total) for key, daily in kinds.items())
        if len(kinds) > 1 and len(verticals) > 1:
            for i, cell in enumerate(breakdown.cells):
                names = ("vertical", cell[0]), (column, cell[1])
                yield Cell(names, breakdown.counts[:, i], verticals[cell[:1]])


def daily_by(breakdown: Breakdown, names: tuple[str, ...]) -> dict[tuple[str, ...], Floats]:
    """Daily counts by some of the columns, in order of their values."""
    at = [breakdown.columns.index(name) for name in names]
    keys = [tuple(cell[i] for i in at) for cell in breakdown.cells]
    found = sorted(set(keys))
    index = np.array([found.index(key) for key in keys], dtype=np.intp)
    return {key: breakdown.counts[:, index == i].sum(axis=1) for i, key in enumerate(found)}

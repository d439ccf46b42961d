"""A span whose days equal those of an earlier one."""

from collections.abc import Iterator
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from queries.statistics.estimates import Floats
from triggers.data_faults.detectors.history import ALPHA, Cell, DataFault, RowHistory, everywhere, runs

_LEAST_COPIED: Final = 7  # days


def copied_periods(look: RowHistory) -> Iterator[DataFault]:
    """Of all rows, or else of each vertical."""
    parts = look.profile.slices[0]
    verticals = np.array([cell[0] for cell in parts.cells], dtype=object)
    names = sorted(set(verticals[parts.counts[: look.end].any(axis=0)].tolist()))
    found = _copied(look, everywhere(look.profile), parts.counts, len(names) + 1)
    if found or len(names) < 2:
        yield from [found] if found else []
        return
    for name in names:
        own = parts.counts[:, verticals == name]
        one = _copied(look, Cell((("vertical", name),), own, own), own, len(names) + 1)
        yield from [one] if one else []


def _copied(look: RowHistory, cell: Cell, counts: Floats, looks: int) -> DataFault | None:
    """The strongest run of days each of which equals, cell for cell, the day so many days before it."""
    days = counts[: look.end]
    # One number for each day: equal days have equal ones, and different days nearly always not.
    factors = np.random.default_rng(1).integers(1, 2**63, days.shape[1], dtype=np.uint64)
    same: NDArray[np.uint64] = (days.astype(np.uint64) * factors).sum(axis=1, dtype=np.uint64)
    doubt, targets = _doubt(days, same), np.arange(look.concern, look.end)
    enough = -log(ALPHA / (looks * len(targets) * look.end))
    apart = _repeating(same, doubt, targets, enough)
    sums = np.concatenate(([0.0], doubt.cumsum()))
    heaviest = [(*_heaviest(same, sums, max(look.concern, lag), lag), lag) for lag in apart]
    weight, first, last, lag = max(heaviest, default=(0.0, 0, 0, 0))
    if weight < enough or last - first < _LEAST_COPIED:
        return None
    figures = f"{last - first} days in a row with the same counts, {cell.daily[first:last].sum():.0f} rows"
    what = f"{look.profile.table} rows{cell.called} from {look.day(first)} repeat those from {look.day(first - lag)}"
    return look.found("copied-period", cell.names, first, f"{what}: {figures}", last)


def _repeating(same: NDArray[np.uint64], doubt: Floats, targets: NDArray[np.int64], enough: float) -> list[int]:
    """How many days apart days are equal so often that a run of them may tell."""
    tells = targets[doubt[targets] > 0]
    day, source = np.nonzero(same[tells][:, None] == same[None, :])
    apart = tells[day] - source
    late = apart >= _LEAST_COPIED
    return np.flatnonzero(np.bincount(apart[late], doubt[tells[day[late]]]) >= enough).tolist()


def _heaviest(same: NDArray[np.uint64], sums: Floats, begin: int, lag: int) -> tuple[float, int, int]:
    """The run of equal days with the most doubt: its sum, its first place and the place after its last."""
    found = runs(same[begin:] == same[begin - lag : len(same) - lag], 0) + begin
    if not len(found):
        return 0.0, 0, 0
    weights = sums[found[:, 1]] - sums[found[:, 0]]
    first, last = found[np.flatnonzero(weights == weights.max())[-1]].tolist()
    return float(weights.max()), first, last


def _doubt(days: Floats, same: NDArray[np.uint64]) -> Floats:
    """For each day how surprising an equal day would be (minus the log of its chance); 0 for an empty day.

    The chance is that of two Poisson counts to be equal in every cell, and no less than how often days of the same
    weekday are equal anyway.
    """
    chance, rows = np.zeros(len(days)), days.sum(axis=1)
    for weekday in range(7):
        own = slice(weekday, None, 7)
        alone = float(np.log(special.ive(0, 2 * days[own].mean(axis=0))).sum())
        _, times = np.unique(same[own][rows[own] > 0], return_counts=True)
        pairs, equal = float(times.sum() * (times.sum() - 1)), float((times * (times - 1)).sum())
        chance[own] = -max(alone, log((equal + 2) / (pairs + 2)))
    return np.where(rows > 0, chance, 0.0)

"""A span whose days equal those of an earlier one."""

from collections.abc import Iterator
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from triggers.data_faults.detectors.history import ALPHA, Cell, DataFault, RowHistory, everywhere, runs

_LEAST_COPIED: Final = 7  # days
_WEEKS_AROUND: Final = 8
_NEVER: Final = 1e-300

_Floats = NDArray[np.float64]


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


def _copied(look: RowHistory, cell: Cell, counts: _Floats, looks: int) -> DataFault | None:
    """The strongest run of days each of which equals, cell for cell, the day so many days before it."""
    days = counts[: look.end]
    # One number for each day: equal days have equal ones, and different days nearly always not.
    factors = np.random.default_rng(1).integers(1, 2**63, days.shape[1], dtype=np.uint64)
    same: NDArray[np.uint64] = (days.astype(np.uint64) * factors).sum(axis=1, dtype=np.uint64)
    targets = np.arange(look.concern, look.end)
    # Hardly ever are so many days equal at all: to weigh how surprising each would be takes far longer than to see it.
    if len(_often(same, targets, np.ones(look.end), _LEAST_COPIED)) == 0:
        return None
    doubt = _doubt(days, same)
    enough = -log(ALPHA / (looks * len(targets) * look.end))
    apart = _often(same, targets[doubt[targets] > 0], doubt, enough)
    sums = np.concatenate(([0.0], doubt.cumsum()))
    heaviest = [(*_heaviest(same, sums, max(look.concern, lag), lag), lag) for lag in apart]
    weight, first, last, lag = max(heaviest, default=(0.0, 0, 0, 0))
    if weight < enough or last - first < _LEAST_COPIED:
        return None
    figures = f"{last - first} days in a row with the same counts, {cell.daily[first:last].sum():.0f} rows"
    when = f"from {look.day_words(first)} repeat those from {look.day_words(first - lag)}"
    what = f"{look.profile.table} rows{cell.called} {when}"
    return look.found("copied-period", cell.names, first, f"{what}: {figures}", last)


def _often(same: NDArray[np.uint64], targets: NDArray[np.int64], weights: _Floats, enough: float) -> list[int]:
    """How many days apart days are equal so often that a run of them may tell: their weights come to enough."""
    day, source = np.nonzero(same[targets][:, None] == same[None, :])
    apart = targets[day] - source
    late = apart >= _LEAST_COPIED
    return np.flatnonzero(np.bincount(apart[late], weights[targets[day[late]]]) >= enough).tolist()


def _heaviest(same: NDArray[np.uint64], sums: _Floats, begin: int, lag: int) -> tuple[float, int, int]:
    """The run of equal days with the most doubt: its sum, its first place and the place after its last."""
    found = runs(same[begin:] == same[begin - lag : len(same) - lag], 0) + begin
    if not len(found):
        return 0.0, 0, 0
    weights = sums[found[:, 1]] - sums[found[:, 0]]
    first, last = found[np.flatnonzero(weights == weights.max())[-1]].tolist()
    return float(weights.max()), first, last


def _doubt(days: _Floats, same: NDArray[np.uint64]) -> _Floats:
    """For each day how surprising an equal day would be (minus the log of its chance); 0 for an empty day.

    The chance is that of two Poisson counts to be equal in every cell, and no less than how often days of the same
    weekday are equal anyway: in all the data, a week apart, and just before or just after that day. What a quota fills
    is equal for as long as the quota stands, whenever it was last changed.
    """
    chance, rows = np.zeros(len(days)), days.sum(axis=1)
    weekly = (same[7:] == same[:-7])[rows[7:] > 0]
    usual = log((weekly.sum() + 2) / (len(weekly) + 2))
    for weekday in range(7):
        own = slice(weekday, None, 7)
        alone = float(np.log(special.ive(0, 2 * days[own].mean(axis=0))).sum())
        _, times = np.unique(same[own][rows[own] > 0], return_counts=True)
        pairs, equal = float(times.sum() * (times.sum() - 1)), float((times * (times - 1)).sum())
        chance[own] = max(alone, log((equal + 2) / (pairs + 2)), usual)
    return np.where(rows > 0, -np.maximum(chance, np.log(np.maximum(_nearby(same), _NEVER))), 0.0)


def _nearby(same: NDArray[np.uint64]) -> _Floats:
    """For each day the part of the days of its weekday just before it, or just after, that equal it.

    One of them may be its copy and is left out; of how many are looked at, the number with the largest part counts.
    """
    part = np.zeros(len(same))
    for side in (same, same[::-1]):
        equal, share = np.zeros(len(same)), np.zeros(len(same))
        for weeks in range(1, _WEEKS_AROUND + 1):
            equal[7 * weeks :] += side[7 * weeks :] == side[: -7 * weeks]
            if weeks > 1:
                share = np.maximum(share, (equal - 1) / (weeks - 1))
        part = np.maximum(part, share if side is same else share[::-1])
    return part

"""A span whose days equal those of an earlier one."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from queries.monitoring.row_profiles import Profile
from triggers.data_faults.detectors.history import ALPHA, Cell, DataFault, Names, RowHistory

_LEAST_COPIED: Final = 7  # days
_WEEKS_AROUND: Final = 8
_NEVER: Final = 1e-300

_Floats = NDArray[np.float64]
_Places = NDArray[np.int64]


def copied_periods(look: RowHistory) -> Iterator[DataFault]:
    """Of all rows, or else of each vertical."""
    parts = _parts(look.profile)
    seen = [part for part in parts[1:] if part.counts[: look.end].any()]
    found = _copied(look, parts[0], len(seen) + 1)
    if found or len(seen) < 2:
        yield from [found] if found else []
        return
    for part in seen:
        one = _copied(look, part, len(seen) + 1)
        yield from [one] if one else []


@dataclass(frozen=True, slots=True)
class _Part:
    """Some of a table's rows.

    Args:
        names: what they have in common.
        counts: by day and cell.
        same: one number for each day: equal days have equal ones, and different days nearly always not.
        order: the days by that number, equal ones by their own order.
    """

    names: Names
    counts: _Floats
    same: NDArray[np.uint64]
    order: _Places

    @classmethod
    def of(cls, names: Names, counts: _Floats) -> "_Part":
        factors = np.random.default_rng(1).integers(1, 2**63, counts.shape[1], dtype=np.uint64)
        same: NDArray[np.uint64] = (counts.astype(np.uint64) * factors).sum(axis=1, dtype=np.uint64)
        return cls(names, counts, same, np.argsort(same, kind="stable"))


@lru_cache(maxsize=16)
def _parts(profile: Profile) -> tuple[_Part, ...]:
    """All rows, and those of each vertical."""
    counts = profile.slices[0].counts
    verticals = np.array([cell[0] for cell in profile.slices[0].cells], dtype=object)
    own = (_Part.of((("vertical", name),), counts[:, verticals == name]) for name in sorted(set(verticals.tolist())))
    return (_Part.of((), counts), *own)


def _copied(look: RowHistory, part: _Part, looks: int) -> DataFault | None:
    """The strongest run of days each of which equals, cell for cell, the day so many days before it."""
    later, apart = _pairs(part, look.concern, look.end)
    days, same = part.counts[: look.end], part.same[: look.end]
    often, enough = np.bincount(apart), -log(ALPHA / (looks * (look.end - look.concern) * look.end))
    # Hardly ever are so many days equal at all: to weigh how surprising each would be takes far longer than to see it.
    if often.max(initial=0) < _LEAST_COPIED:
        return None
    usual = _usual(days, same)
    if np.bincount(apart, (days.sum(axis=1) > 0)[later]).max() * -usual < enough:
        return None
    doubt = _doubt(days, same, usual)
    weights = np.bincount(apart, doubt[later])
    told = np.flatnonzero(weights[apart] >= enough)
    weight, first, last, lag = _heaviest(later[told], apart[told], doubt)
    if weight < enough or last - first < _LEAST_COPIED:
        return None
    figures = f"{last - first} days in a row with the same counts, {days[first:last].sum():.0f} rows"
    when = f"from {look.day_words(first)} repeat those from {look.day_words(first - lag)}"
    what = f"{look.profile.table} rows{Cell(part.names, days, days).called} {when}"
    return look.found("copied-period", part.names, first, f"{what}: {figures}", last)


def _pairs(part: _Part, begin: int, end: int) -> tuple[_Places, _Places]:
    """Each day in [begin, end) with each that it equals a week or more before: its place, and how many days apart."""
    days = np.arange(begin, end)
    ordered = part.same[part.order]
    first = np.searchsorted(ordered, part.same[days])
    many = np.searchsorted(ordered, part.same[days], side="right") - first
    later = np.repeat(days, many)
    nth = np.arange(len(later)) - np.repeat(many.cumsum() - many, many)
    apart = later - part.order[np.repeat(first, many) + nth]
    late = apart >= _LEAST_COPIED
    return later[late], apart[late]


def _heaviest(later: _Places, apart: _Places, doubt: _Floats) -> tuple[float, int, int, int]:
    """Of the runs of days in a row, equal to those so many days before, the one with the most doubt.

    Its sum, its first place, the place after its last, and how many days apart.
    """
    size = len(doubt) + 1
    lines = np.sort(apart * size + later)
    begins = np.flatnonzero(np.diff(lines, prepend=-2) != 1)
    first, sums = lines[begins] % size, np.concatenate(([0.0], doubt.cumsum()))
    last = first + np.diff(begins, append=len(lines))
    found = (sums[last] - sums[first], first, last, lines[begins] // size)
    return max(zip(*(part.tolist() for part in found), strict=True), default=(0.0, 0, 0, 0))


def _usual(days: _Floats, same: NDArray[np.uint64]) -> float:
    """How often a day equals the one a week before it, if it has rows: the log of the chance."""
    weekly = (same[7:] == same[:-7])[days[7:].any(axis=1)]
    return log((weekly.sum() + 2) / (len(weekly) + 2))


def _doubt(days: _Floats, same: NDArray[np.uint64], usual: float) -> _Floats:
    """For each day how surprising an equal day would be (minus the log of its chance); 0 for an empty day.

    The chance is that of two Poisson counts to be equal in every cell, and no less than how often days of the same
    weekday are equal anyway: in all the data, a week apart, and just before or just after that day. What a quota fills
    is equal for as long as the quota stands, whenever it was last changed.
    """
    chance, rows = np.zeros(len(days)), days.sum(axis=1)
    for weekday in range(7):
        own = slice(weekday, None, 7)
        alone = float(np.log(scipy.special.ive(0, 2 * days[own].mean(axis=0))).sum())
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

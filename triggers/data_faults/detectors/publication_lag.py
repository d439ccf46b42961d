"""Publication lag: rows that are still on their way."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from triggers.data_faults.detectors.history import (
    ALPHA,
    BEFORE,
    NEAR,
    SILENT,
    Cell,
    DataFault,
    RowHistory,
    at_most,
    dispersion,
    few,
    first_full_week,
    large,
)

_LAGGING: Final = 0.5
_TAPERS: Final = 0.8
_FULL: Final = 0.85  # of the usual level: a week that has so many rows is complete


def publication_lags(look: RowHistory) -> Iterator[DataFault]:
    """Of all rows, or else of each source and vertical."""
    cells = [cell for cell in large(look.profile) if cell.daily[: look.end].any()]
    for cell in cells:
        found = _lag(look, cell, ALPHA / len(cells))
        if found:
            yield found
            if not cell.names:
                return


def _lag(look: RowHistory, cell: Cell, alpha: float) -> DataFault | None:
    weekly = look.weekly(cell.daily)
    usual = _usual_level(weekly)
    if usual is None or weekly[-2] <= SILENT * usual:
        return None
    noise = dispersion(weekly[-BEFORE - 8 : -8])
    is_short = weekly[-1] <= _LAGGING * usual and at_most(float(weekly[-1]), usual, noise) < alpha
    if not is_short or not _tapers(look, cell, usual, noise):
        return None
    first = look.weeks - 1
    while first > 0 and weekly[first - 1] < _FULL * usual:
        first -= 1
    weeks = look.weeks - first
    figures = f"{weekly[first:].sum():.0f} where {usual * weeks:.0f} were expected, ever fewer"
    reason = f"{look.profile.table} rows{cell.called} of the last {7 * weeks} days are still arriving: {figures}"
    return look.found("publication-lag", cell.names, look.week(first), reason)


def _usual_level(weekly: NDArray[np.float64]) -> float | None:
    """Rows a week to be expected now: the level of two months ago, or less if the year before had fewer just now."""
    before = weekly[first_full_week(weekly) :]
    if len(before) < NEAR + 10:
        return None
    usual = float(before[-NEAR - 8 : -8].mean())
    if len(before) >= 52 + NEAR + 8:
        then = float(before[-52 - NEAR - 8 : -52 - 8].mean())
        usual *= min(1.0, float(before[-53]) / then) if then > 0 else 1.0
    return usual if usual > 0 else None


def _tapers(look: RowHistory, cell: Cell, usual: float, noise: float) -> bool:
    """Whether the last days have fewer rows than the days just before them: a fall to a lower level has not."""
    before, newest = (float(week) for week in look.weekly(cell.daily)[-2:])
    if before < _FULL * usual:
        return newest <= _TAPERS * before and few(newest, before, 0.5, noise) < 0.01
    pattern = cell.daily[look.end - 7 * (NEAR + 8) : look.end - 56].reshape(NEAR, 7).sum(axis=0)
    late, share = float(cell.daily[look.end - 3 : look.end].sum()), float(pattern[4:].sum() / max(pattern.sum(), 1))
    return late < 0.7 * share * newest and few(late, newest - late, share, noise) < 0.01

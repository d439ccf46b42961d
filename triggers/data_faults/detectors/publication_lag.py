"""Publication lag: rows that are still on their way."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from queries.monitoring.row_profiles import YOUNG
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
    first_full_week,
    large,
)

_LAGGING: Final = 0.5
_LEFT: Final = 0.3  # of the usual level: what is there of the last days while rows are on their way
_CLEARER: Final = 10.0  # by how much the log-likelihood of ever fewer rows must beat that of a step
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
    figures = f"{weekly[first:].sum():.0f} instead of {usual * weeks:.0f} expected, and decreasing"
    reason = f"{look.profile.table} rows{cell.called} of the last {7 * weeks} days are still arriving: {figures}"
    return look.found("publication-lag", cell.names, look.week(first), reason)


def _usual_level(weekly: NDArray[np.float64]) -> float | None:
    """Rows a week to be expected now: the level of two months ago, or less if the year before had fewer just now."""
    before = weekly[first_full_week(weekly) :]
    if len(before) < YOUNG:
        return None
    usual = float(before[-NEAR - 8 : -8].mean())
    if len(before) >= 52 + NEAR + 8:
        then = float(before[-52 - NEAR - 8 : -52 - 8].mean())
        usual *= min(1.0, float(before[-53]) / then) if then > 0 else 1.0
    return usual if usual > 0 else None


def _tapers(look: RowHistory, cell: Cell, usual: float, noise: float) -> bool:
    """Whether there are ever fewer rows up to the end, where hardly any are left.

    A fall to a lower level, on whatever day, is one step: ever fewer must be far likelier than the best of those.
    """
    from scipy.optimize import isotonic_regression  # noqa: PLC0415 - takes long, and few weeks are short

    pattern = cell.daily[look.end - 7 * (NEAR + 8) : look.end - 56].reshape(NEAR, 7).sum(axis=0)
    due = np.maximum(np.resize(usual * pattern / max(pattern.sum(), 1), 7 * NEAR), 1e-6)
    seen = cell.daily[look.end - 7 * NEAR : look.end]
    falling = isotonic_regression(seen / due, weights=due, increasing=False).x
    rows, expected = seen.cumsum(), due.cumsum()
    steps = _fit(rows, expected) + _fit(rows[-1] - rows, expected[-1] - expected)
    clearer = float(scipy.special.xlogy(seen, falling).sum()) - float(steps.max())
    return bool(falling[-1] <= _LEFT and clearer >= _CLEARER * noise)


def _fit(seen: NDArray[np.float64], due: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the best single level adds to the log-likelihood of Poisson counts."""
    return np.asarray(scipy.special.xlogy(seen, seen / np.maximum(due, 1e-6)), dtype=np.float64)

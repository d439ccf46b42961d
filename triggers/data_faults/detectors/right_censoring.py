"""Right censoring: cases that are not decided yet."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from queries.monitoring.row_profiles import AGES
from triggers.data_faults.detectors.history import ALPHA, Cell, DataFault, RowHistory, at_most, dispersion, everywhere

RECENT: Final = 56
"""Days within which ends may have stopped: what lasts longer is how things are."""

_YEAR: Final = 364
_LEAST: Final = 28  # days of older ends to compare with, at least
_LEAST_OLDER: Final = 100  # ends of them
_DECIDED: Final = 0.5
_LOOKS: Final = 20  # verticals, about
_CLEARER: Final = 10.0  # by how much the log-likelihood of a stop must beat that of slower journeys
HISTORY: Final = RECENT + _LEAST
"""Days of data that it takes to tell."""


def right_censoring(look: RowHistory) -> Iterator[DataFault]:
    """Journeys of every age that stop ending on one day: all, or else those of each vertical."""
    ages = look.profile.ages
    if ages is None or look.end < HISTORY:
        return
    if fault := _undecided(look, everywhere(look.profile), ages.counts.sum(axis=1)):
        yield fault
        return
    for i, name in enumerate(cell[0] for cell in ages.cells if len(ages.cells) > 1):
        counts = ages.counts[:, i]
        daily = counts.sum(axis=1)
        if fault := _undecided(look, Cell((("vertical", name),), daily, daily), counts):
            yield fault


def _undecided(look: RowHistory, cell: Cell, ages: NDArray[np.float64]) -> DataFault | None:
    """Compares the ends of the last weeks with those that the journeys then open would have had as things were before.

    Journeys that have become slower end late too, but those begun before end as ever: a stop must be clearer than that.
    """
    first = max(0, look.end - RECENT - _YEAR - AGES)
    begun = ages[first : look.end]
    ended = begun[:, : AGES - 1]  # of longer ones the day of the end is not known
    open_ = begun.sum(axis=1)[:, None] - np.cumsum(ended, axis=1) + ended
    starts = np.arange(first, look.end)
    on = starts[:, None] + np.arange(AGES - 1)  # the day on which a journey has that age
    stop = look.end - RECENT
    older = on < stop
    past = np.where(older, ended, 0).sum(axis=0)
    if past.sum() < _LEAST_OLDER:
        return None
    rate = past / np.maximum(np.where(older, open_, 0).sum(axis=0), 1)
    # Of journeys begun before, no end is known that is of the last weeks or of as many before them.
    new = slice(-(2 * RECENT + AGES), None)
    on, ended, open_ = on[new], ended[new], open_[new]
    recent = (on >= stop) & (on < look.end)
    seen, due = np.where(recent, ended, 0), np.where(recent, open_ * rate, 0)
    # What each day saw and should have seen, by the day and by the day on which the journeys began.
    by_day = (np.bincount((on[recent] - stop), weights=part[recent], minlength=RECENT) for part in (seen, due))
    since_day = _gain(*(part[::-1].cumsum()[::-1] for part in by_day))[:-6]
    since_start = _gain(*(part.sum(axis=1)[::-1].cumsum()[::-1] for part in (seen, due)))
    noise, best = dispersion(look.weekly(cell.daily)), int(np.argmax(since_day))
    if (since_day[best] - since_start.max()) / noise < _CLEARER:
        return None
    place = stop + best
    ends, expected = float(seen[on >= place].sum()), float(due[on >= place].sum())
    usual = ended[(on < stop) & (on >= stop - RECENT)].sum() * 7 / RECENT
    newest = ended[(on >= look.end - 7) & (on < look.end)].sum()
    if max(ends / expected, newest / max(usual, 1)) > _DECIDED or at_most(ends, expected, noise) >= ALPHA / _LOOKS:
        return None
    what = f"hardly any journeys{cell.called} have ended since {look.day_words(place)}, regardless of their start"
    reason = f"{what}: {newest:.0f} in the last week instead of the usual {usual:.0f}"
    return look.found("right-censoring", cell.names, place, reason)


def _gain(seen: NDArray[np.float64], due: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much likelier so few are where the rate has fallen to what was seen, as a logarithm."""
    gain = scipy.special.xlogy(seen, seen / np.maximum(due, 1e-9)) - seen + due
    return np.asarray(np.where(seen < due, gain, 0.0), dtype=np.float64)

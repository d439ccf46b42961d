"""Right censoring: cases that are not decided yet."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from queries.monitoring.row_profiles import AGES
from triggers.data_faults.detectors.history import ALPHA, Cell, DataFault, RowHistory, at_most, dispersion, everywhere

_YOUNG: Final = 28  # days
_YEAR: Final = 364
_LEAST_OLDER: Final = 100  # journeys whose ends are known, to compare with
_DECIDED: Final = 0.5
_LOOKS: Final = 20  # verticals, about


def right_censoring(look: RowHistory) -> Iterator[DataFault]:
    """Young journeys of which far fewer are decided than used to be at their age: all, or else of each vertical."""
    ages = look.profile.ages
    if ages is None:
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
    """Compares the ends that journeys of the last 28 days have with those that older ones had at the same age."""
    until = look.end - AGES - _YOUNG
    older = ages[max(0, until - _YEAR) : max(0, until)].sum(axis=0)
    if older.sum() < _LEAST_OLDER:
        return None
    decided = (older.cumsum() / older.sum())[:AGES]  # the part that had ended by each age
    young = np.arange(look.end - _YOUNG, look.end)
    seen = sum(float(ages[day, : look.end - day].sum()) for day in young)
    expected = float((ages[young].sum(axis=1) * decided[look.end - 1 - young]).sum())
    noise = dispersion(look.weekly(cell.daily))
    if seen > _DECIDED * expected or at_most(seen, expected, noise) >= ALPHA / _LOOKS:
        return None
    figures = f"{seen:.0f} of {ages[young].sum():.0f} have ended where {expected:.0f} would have by their age"
    reason = f"journeys{cell.called} begun since {look.day(int(young[0]))} are not decided yet: {figures}"
    return look.found("right-censoring", cell.names, int(young[0]), reason)

"""Dates whose day and month are swapped."""

from collections.abc import Iterator
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

from queries.statistics.estimates import Floats
from triggers.data_faults.detectors.history import (
    ALPHA,
    Cell,
    DataFault,
    RowHistory,
    at_least,
    at_most,
    dispersion,
    large,
)

_TWELVE: Final = 12  # days of a month whose number is also that of a month
_LOST: Final = 0.3
_MONTHS: Final = 24  # in a look at most, about

_Places = NDArray[np.int64]


def swapped_dates(look: RowHistory) -> Iterator[DataFault]:
    """Of all rows, or else of each source and vertical, by month."""
    first = look.day(look.concern).replace(day=1)
    months = [date(first.year + i // 12, i % 12 + 1, 1) for i in range(first.month - 1, first.month + _MONTHS)]
    # A month can be told by its first twelve days, which must all be in the look.
    whole = [month for month in months if month >= look.profile.first and month.replace(day=13) <= look.until]
    for cell in large(look.profile):
        expected = _expected(cell.daily[: look.end])
        faults = [fault for month in whole if (fault := _swapped(look, cell, month, expected))]
        yield from faults
        if faults and not cell.names:
            return


def _expected(daily: Floats) -> Floats:
    """For each day the mean of the same weekday up to five weeks before and after it, without the extremes."""
    size, reach = len(daily), 35
    wide = np.concatenate((np.full(reach, np.nan), daily, np.full(reach, np.nan)))
    near = np.stack([wide[reach + 7 * k : reach + 7 * k + size] for k in range(-5, 6) if k])
    known = np.isfinite(near).sum(axis=0)
    filled = np.nan_to_num(near)
    low, high = np.where(np.isfinite(near), near, np.inf).min(axis=0), filled.max(axis=0)
    middle = (filled.sum(axis=0) - np.where(np.isfinite(low), low, 0) - high) / np.maximum(known - 2, 1)
    return np.where(known > 2, middle, np.nan)


def _swapped(look: RowHistory, cell: Cell, month: date, expected: Floats) -> DataFault | None:
    """Rows lost from the days 1 to 12 of a month that turn up on the day of that number in other months."""
    numbers = [number for number in range(1, _TWELVE + 1) if number != month.month]
    home = np.array(numbers) + look.place(month) - 1
    away = np.array([look.place(date(month.year, number, month.month)) for number in numbers])
    inside = (away >= 0) & (away < look.end)
    to = away[inside]
    if not len(to) or not np.isfinite(expected[home]).all() or not np.isfinite(expected[to]).all():
        return None
    lost = expected[home].sum() - cell.daily[home].sum()
    gained = cell.daily[to].sum() - expected[to].sum()
    due = lost * expected[home[inside]].sum() / max(expected[home].sum(), 1)
    if lost < _LOST * expected[home].sum() or not 0.5 * due <= gained <= 2 * due:
        return None
    if not _is_sure(look, cell, (home, to), expected):
        return None
    rows = f"{lost:.0f} rows missing there, {gained:.0f} too many on day {month.month} of other months"
    what = f"{look.profile.table} rows{cell.called} of 1 to 12 {month:%B %Y} seem to have day and month swapped"
    return look.found("swapped-dates", cell.names, int(home[0]), f"{what}: {rows}", int(home[-1]) + 1)


def _is_sure(look: RowHistory, cell: Cell, both: tuple[_Places, _Places], expected: Floats) -> bool:
    """Whether the days lack more, and those where they turn up have more, than chance gives."""
    (seen, due), (more, usual) = ((float(cell.daily[at].sum()), float(expected[at].sum())) for at in both)
    noise = dispersion(look.weekly(cell.daily))
    alpha = ALPHA / _MONTHS
    return at_most(seen, due, noise) < alpha and at_least(more, usual, noise) < alpha

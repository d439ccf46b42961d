"""Dates whose day and month are swapped."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
from numpy.typing import NDArray

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
_WEEKS_AROUND: Final = 8

_Places = NDArray[np.int64]
_Floats = NDArray[np.float64]


def swapped_dates(look: RowHistory) -> Iterator[DataFault]:
    """Of all rows, or else of each source and vertical, by month."""
    first = look.day(look.concern).replace(day=1)
    months = [date(first.year + i // 12, i % 12 + 1, 1) for i in range(first.month - 1, first.month + _MONTHS)]
    # A month can be told by its first twelve days, which must all be in the look.
    whole = [month for month in months if month >= look.profile.first and month.replace(day=13) <= look.until]
    able = [move for month in whole if len((move := _Move.of(look, month)).to)]
    cells = large(look.profile)
    of_cells = np.stack([cell.daily[: look.end] for cell in cells])
    for cell, daily, expected in zip(cells, of_cells, _expected(look, of_cells), strict=True):
        is_known = np.isfinite(expected)
        moves = [move for move in able if is_known[move.home].all() and is_known[move.to].all()]
        parts = _parts(daily, expected, moves)
        found = [_swapped(look, cell, i, moves, parts, expected) for i in np.flatnonzero(parts).tolist()]
        faults = [fault for fault in found if fault]
        yield from faults
        if faults and not cell.names:
            return


def _expected(look: RowHistory, daily: _Floats) -> _Floats:
    """For each cell and day the mean of the same weekday up to eight weeks before and after it, without the extremes.

    Days up to the twelfth are left out: whichever months are swapped, the others are as they were.
    """
    size, reach = daily.shape[1], 7 * _WEEKS_AROUND
    days = np.datetime64(look.profile.first) + np.arange(size)
    sound = np.where(days - days.astype("M8[M]") < np.timedelta64(_TWELVE, "D"), np.nan, daily)
    wide = np.pad(sound, ((0, 0), (reach, reach)), constant_values=np.nan)
    around = range(-_WEEKS_AROUND, _WEEKS_AROUND + 1)
    near = np.stack([wide[:, reach + 7 * k : reach + 7 * k + size] for k in around if k])
    known = np.isfinite(near).sum(axis=0)
    extremes = np.nan_to_num(np.fmin.reduce(near)) + np.nan_to_num(np.fmax.reduce(near))
    middle = (np.nansum(near, axis=0) - extremes) / np.maximum(known - 2, 1)
    return np.where(known > 2, middle, np.nan)


@dataclass(frozen=True, slots=True)
class _Move:
    """What happens if day and month of the days 1 to 12 of a month are swapped.

    Args:
        month: its first day.
        home: the places of these days, but of the one that is its own month's number.
        there: for each whether the day on which its rows turn up is in the look.
        to: the places of those that are.
    """

    month: date
    home: _Places
    there: NDArray[np.bool_]
    to: _Places

    @classmethod
    def of(cls, look: RowHistory, month: date) -> "_Move":
        numbers = [number for number in range(1, _TWELVE + 1) if number != month.month]
        home = np.array(numbers) + look.place(month) - 1
        away = np.array([look.place(date(month.year, number, month.month)) for number in numbers])
        there = (away >= 0) & (away < look.end)
        return cls(month, home, there, away[there])


def _parts(daily: _Floats, expected: _Floats, moves: Sequence[_Move]) -> _Floats:
    """Of each month the part of its rows that moved, all months together: they take rows from, and give to, each other.

    What is too little to matter is 0.
    """
    if not moves:
        return np.zeros(0)
    effect = np.zeros((len(daily), len(moves)))
    for i, move in enumerate(moves):
        effect[move.home, i] -= expected[move.home]
        effect[move.to, i] += expected[move.home[move.there]]
    days = np.flatnonzero(effect.any(axis=1))
    spread = np.sqrt(np.maximum(expected[days], 1))
    over = (daily[days] - expected[days]) / spread
    found = np.minimum(np.linalg.lstsq(effect[days] / spread[:, None], over, rcond=None)[0], 1.0)
    return np.asarray(np.where(found >= _LOST, found, 0.0), dtype=np.float64)


def _swapped(
    look: RowHistory,
    cell: Cell,
    which: int,
    moves: Sequence[_Move],
    parts: _Floats,
    expected: _Floats,
) -> DataFault | None:
    """Rows lost from the days 1 to 12 of a month that turn up on the day of that number in other months."""
    move, others = moves[which], expected.copy()
    for part, other in zip(parts.tolist(), moves, strict=True):
        if other is not move:
            others[other.home] -= part * expected[other.home]
            others[other.to] += part * expected[other.home[other.there]]
    home, to = move.home, move.to
    daily, own = cell.daily[: look.end], expected[home]
    brought = others[home] - own  # by other months; less than nothing where a day's own rows went
    lost = float(own.sum() - np.maximum(daily[home] - np.maximum(brought, 0), 0).sum())
    gained, due = float((daily[to] - others[to]).sum()), float(parts[which] * own[move.there].sum())
    if lost < _LOST * own.sum() or not 0.5 * due <= gained <= 2 * due:
        return None
    noise, alpha = dispersion(look.weekly(cell.daily)), ALPHA / _MONTHS
    stayed = max(float(own.sum()) - lost, 0.0)
    if at_most(stayed, float(own.sum()), noise) >= alpha:
        return None
    if at_least(float(daily[to].sum()), float(np.maximum(others[to], 0).sum()), noise) >= alpha:
        return None
    rows = f"{lost:.0f} rows missing there, {gained:.0f} too many on day {move.month.month} of other months"
    what = f"{look.profile.table} rows{cell.called} of 1 to 12 {move.month:%B %Y} seem to have day and month swapped"
    return look.found("swapped-dates", cell.names, int(home[0]), f"{what}: {rows}", int(home[-1]) + 1)

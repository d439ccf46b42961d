"""The counts of a rule's slices over any span of days: a cube, added up. Pure."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from config.models import Condition
from queries.metrics import HOUR, Coded, Cube, Ints

Slice = tuple[str, ...]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
TALLY: Final = 5


class Counts(Protocol):
    """The counts of a rule's slices over any span of days that was read."""

    @property
    def slices(self) -> tuple[Slice, ...]:
        """The values of the rule's `by`, in the order of the columns."""
        ...

    def spans(self, since: Sequence[date], until: Sequence[date], /) -> Floats:
        """The tallies of each [since, until): shape (spans, slices, 5)."""
        ...


@dataclass(frozen=True, slots=True)
class Late:
    """What rows counted before all of them was known, less what they count now. Rows in the order of their days.

    Args:
        days: the ordinal of each row's date, shape (rows,).
        columns: the place of its slice.
        hours: whole hours since 1970, UTC, at the start of which it was not known yet.
        tallies: the difference, shape (rows, 5).
        hour: a window's end -> the hour in which it is read.
    """

    days: Ints
    columns: Ints
    hours: Ints
    tallies: Floats
    hour: Callable[[date], int]

    def add(self, found: Floats, since: Sequence[date], until: Sequence[date]) -> None:
        """Turn the tallies of windows, shape (windows, slices, 5), into what was known when each was read."""
        for i, (first, end) in enumerate(zip(since, until, strict=True)):
            begin, stop = np.searchsorted(self.days, (first.toordinal(), end.toordinal())).tolist()
            unknown = begin + np.flatnonzero(self.hours[begin:stop] >= self.hour(end))
            np.add.at(found[i], self.columns[unknown], self.tallies[unknown])

    def chosen(self, which: Bools) -> "Late":
        """Some of the rows."""
        return replace(
            self,
            days=self.days[which],
            columns=self.columns[which],
            hours=self.hours[which],
            tallies=self.tallies[which],
        )


@dataclass(frozen=True, slots=True)
class History:
    """The counts of one figure by slice, added up over the days.

    Args:
        first_day: the ordinal of the first day.
        slices: the values of the rule's `by`, in the order of the array.
        sums: shape (days + 1, slices, 5); `sums[i]` holds all days before `first_day + i`.
        late: what was not known yet when a window was read.
    """

    first_day: int
    slices: tuple[Slice, ...]
    sums: Floats
    late: Late | None = None

    def spans(self, since: Sequence[date], until: Sequence[date]) -> Floats:
        """The tallies of each [since, until): shape (spans, slices, 5)."""
        found = np.asarray(self.sums[self._places(until)] - self.sums[self._places(since)], dtype=np.float64)
        if self.late is not None:
            self.late.add(found, since, until)
        return found

    def _places(self, days: Sequence[date]) -> Ints:
        ordinals = np.array([day.toordinal() for day in days], dtype=np.int64)
        return np.clip(ordinals - self.first_day, 0, len(self.sums) - 1)

    @property
    def days(self) -> Floats:
        """The tallies of each day: shape (days, slices, 5)."""
        return np.diff(self.sums, axis=0)

    def without(self, blank: Bools) -> "History":
        """The same without some days: `blank` has shape (days, slices)."""
        if not blank.any():
            return self
        days = np.where(blank[:, :, None], 0.0, self.days)
        late = self.late.chosen(~blank[self.late.days - self.first_day, self.late.columns]) if self.late else None
        return replace(self, sums=_summed(days), late=late)


def slice_history(
    cube: Cube, figure: str, by: Sequence[str], where: Sequence[Condition] = (), known: Collection[Slice] = ()
) -> History:
    """Add up a cube to the slices of a rule.

    Args:
        cube: counts by day and the values of its dimensions.
        figure: the name of the tally in the cube.
        by: the dimensions that make a slice.
        where: asks for values of the cube's dimensions only (`is_plain`).
        known: slices that get a place even where the cube has no row of them.
    """
    kept = _kept(cube, where)
    days, tallies = cube.days[kept], cube.tallies[figure][kept]
    slices, at = _sliced([cube.dims[name] for name in by], kept, known)
    first = int(days.min()) if len(days) else 0
    length = int(days.max()) - first + 1 if len(days) else 0
    cells = np.zeros((length * len(slices), TALLY))
    where_to = (days - first) * len(slices) + at
    for part in range(TALLY):
        cells[:, part] = np.bincount(where_to, weights=tallies[:, part], minlength=len(cells))
    return History(first, slices, _summed(cells.reshape(length, len(slices), TALLY)))


def slices_of(cube: Cube, by: Sequence[str], where: Sequence[Condition]) -> tuple[Slice, ...]:
    """The slices of which a cube has a row."""
    return _sliced([cube.dims[name] for name in by], _kept(cube, where), ())[0]


def with_late(
    counts: History, late: Cube, figure: str, by: Sequence[str], where: Sequence[Condition], hour: Callable[[date], int]
) -> History:
    """A history that knows of each row only what was known when its window was read.

    Args:
        counts: as known now; it has a place for every slice of `late`.
        late: the corrections, with the hour as a dimension (`queries.metrics.cube`).
        figure: the name of the tally.
        by: the dimensions that make a slice.
        where: as in `history`.
        hour: a window's end -> the hour since 1970, UTC, in which it is read.
    """
    kept = _kept(late, where)
    slices, at = _sliced([late.dims[name] for name in by], kept, counts.slices)
    if slices != counts.slices:
        raise ValueError(figure)
    hours = late.column(HOUR)[kept].astype(np.int64)
    order = np.argsort(late.days[kept], kind="stable")
    rows = late.days[kept][order], at[order], hours[order], late.tallies[figure][kept][order]
    return replace(counts, late=Late(*rows, hour))


def _summed(days: Floats) -> Floats:
    sums = np.zeros((len(days) + 1, *days.shape[1:]))
    np.cumsum(days, axis=0, out=sums[1:])
    return sums


def _sliced(columns: Sequence[Coded], kept: Bools, known: Collection[Slice]) -> tuple[tuple[Slice, ...], Ints]:
    """The slices in order, and the place of each row's."""
    mixed = np.zeros(int(kept.sum()), dtype=np.int64)
    for column in columns:
        mixed = mixed * len(column.values) + column.codes[kept]
    found, rows = np.unique(mixed, return_inverse=True)
    keys = _decoded(columns, found) if columns else [()] * len(found)
    slices = tuple(sorted({*keys, *known}))
    places = {key: place for place, key in enumerate(slices)}
    where_to = np.array([places[key] for key in keys], dtype=np.int64)
    return slices, where_to[rows] if len(keys) else np.zeros(0, dtype=np.int64)


def _decoded(columns: Sequence[Coded], mixed: Ints) -> list[Slice]:
    parts: list[list[str]] = []
    for column in reversed(columns):
        mixed, codes = np.divmod(mixed, max(len(column.values), 1))
        texts = [str(value).lower() if isinstance(value, bool) else str(value) for value in column.values]
        parts.append([texts[code] for code in codes.tolist()])
    return list(zip(*reversed(parts), strict=True))


def is_plain(condition: Condition) -> bool:
    """Whether a condition only names values, so that it can be met by choosing cells of a cube."""
    others = (value for name, value in condition if name not in {"column", "any_of"})
    names = condition.any_of or ()
    return bool(names) and all(isinstance(v, str) for v in names) and all(value is None for value in others)


def _kept(cube: Cube, where: Sequence[Condition]) -> Bools:
    kept = np.ones(len(cube.days), dtype=bool)
    for condition in where:
        column = cube.dims[condition.column]
        wanted = np.array([value in (condition.any_of or ()) for value in column.values], dtype=bool)
        kept &= wanted[column.codes] if len(wanted) else False
    return kept

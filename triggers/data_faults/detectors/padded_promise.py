"""Promises that are padded: they hide that customers wait longer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from triggers.data_faults.detectors.history import DataFault, RowHistory, first_full_week, sides

_PADDED: Final = 1.10
_SLOWER: Final = 1.05
_LEAST: Final = 20  # journeys on either side


@dataclass(frozen=True, slots=True)
class _Change:
    """Sums on both sides of a week: n, sum and squares of the days promised and of those taken; of these also late."""

    before: NDArray[np.float64]
    after: NDArray[np.float64]
    past: NDArray[np.float64]
    now: NDArray[np.float64]

    @property
    def is_padded(self) -> bool:
        """Whether promises grew at a stroke while journeys took longer and fewer were late."""
        if min(side[0] for side in (self.before, self.after, self.past, self.now)) < _LEAST:
            return False
        grew, slowed = _mean(self.after) / _mean(self.before), _mean(self.now) / _mean(self.past)
        is_longer = grew >= _PADDED and _welch(self.before, self.after) > 6
        is_slower = slowed >= _SLOWER and _welch(self.past, self.now) > 2
        return bool(is_longer and is_slower and _late(self.now) < _late(self.past))

    def __str__(self) -> str:
        promised = f"promised {_mean(self.before):.1f} days before and {_mean(self.after):.1f} since"
        took = f"took {_mean(self.past):.1f} and {_mean(self.now):.1f}"
        return f"{promised}, {took}, late {_late(self.past):.0%} and {_late(self.now):.0%}"


def padded_promises(look: RowHistory) -> Iterator[DataFault]:
    """By vertical and journey type."""
    promises, transits = look.profile.promises, look.profile.transits
    if promises is None or transits is None:
        return
    ended = {cell: i for i, cell in enumerate(transits.cells)}
    for i, cell in enumerate(promises.cells):
        promised = look.weekly(promises.counts[:, i])
        splits = np.arange(max(look.concerned, first_full_week(promised[:, 0]) + 4), look.weeks - 2)
        if cell not in ended or not len(splits):
            continue
        took = look.weekly(transits.counts[:, ended[cell]])
        best = int(np.argmax(_welch(*sides(promised, splits))))
        split = splits[best : best + 1]
        change = _Change(*(side[0] for weekly in (promised, took) for side in sides(weekly, split)))
        if change.is_padded:
            since = look.week(int(split[0]))
            what = f"promised times for {cell[1]} in {cell[0]} have been longer since about {look.day_words(since)}"
            names = ("vertical", cell[0]), ("journey_type", cell[1])
            yield look.found("padded-promise", names, since, f"{what}: {change}")


def _mean(moments: NDArray[np.float64]) -> float:
    return float(moments[1] / max(moments[0], 1))


def _late(moments: NDArray[np.float64]) -> float:
    return float(moments[3] / max(moments[0], 1))


def _welch(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many standard errors a mean grew; the last axis holds n, sum and sum of squares. 0 under two cases."""
    errors, means = np.zeros(before.shape[:-1]), []
    for moments in (before, after):
        n = np.maximum(moments[..., 0], 1)
        mean = moments[..., 1] / n
        errors += np.maximum(moments[..., 2] / n - mean**2, 1e-4 * mean**2) / n
        means.append(mean)
    known = (np.minimum(before[..., 0], after[..., 0]) >= 2) & (errors > 0)
    return np.where(known, (means[1] - means[0]) / np.sqrt(np.where(known, errors, 1.0)), 0.0)

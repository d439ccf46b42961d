"""Counts by week, oldest first, and the exact tails of counts that vary more than Poisson counts do.

A dispersion is how many times as much: both counts are divided by it.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from queries.statistics.estimates import Floats

ALPHA: Final = 1e-6
"""How rarely each detector may be wrong in one look."""

BEFORE: Final = 26
"""Weeks that a change of mix or promise is compared with."""

NEAR: Final = 8
"""Weeks of rows that a silence is compared with."""

SILENT: Final = 0.05
"""The part of the usual rows up to which a week is silent."""

_AFTER: Final = 13


def few(seen: float, others: float, share: float, dispersion: float) -> float:
    """The chance of at most `seen` of seen + others, were each in its part with probability `share`."""
    x, n = seen / dispersion, (seen + others) / dispersion
    return float(special.betainc(n - x, x + 1, 1 - share)) if n > x else 1.0


def at_least(seen: float, expected: float, dispersion: float) -> float:
    """The chance of a Poisson count of `seen` or more."""
    return float(special.gammainc(seen / dispersion, expected / dispersion)) if seen > 0 else 1.0


def at_most(seen: float, expected: float, dispersion: float) -> float:
    """The chance of a Poisson count of `seen` or fewer."""
    return float(special.gammaincc(seen / dispersion + 1, expected / dispersion))


def dispersion(weekly: Floats) -> float:
    """How much more a weekly count varies from week to week than a Poisson count does; at least 1."""
    change, size = np.diff(weekly) ** 2, weekly[1:] + weekly[:-1]
    known = size > 0
    return max(1.0, float(np.median(change[known] / size[known])) / 0.455) if known.any() else 1.0


def first_full_week(weekly: Floats) -> int:
    """The week from which rows come at half their later level or more: what is before is the beginning of the data."""
    seen = weekly[weekly > 0]
    return int(np.argmax(weekly >= 0.5 * np.median(seen))) if len(seen) else len(weekly)


def runs(flags: NDArray[np.bool_], begin: int) -> Iterator[tuple[int, int]]:
    """The stretches of true flags from `begin` on, as [first, last)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags[begin:].astype(np.int8), [0]))))
    yield from ((int(a) + begin, int(b) + begin) for a, b in edges.reshape(-1, 2))


def sides(weekly: Floats, splits: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The sums of up to 26 weeks before and up to 13 weeks after each split: shape (splits, ...)."""
    sums = np.concatenate((np.zeros((1, *weekly.shape[1:])), weekly.cumsum(axis=0)))
    before = sums[splits] - sums[np.maximum(splits - BEFORE, 0)]
    return before, sums[np.minimum(splits + _AFTER, len(weekly))] - sums[splits]

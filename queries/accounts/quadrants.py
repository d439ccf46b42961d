"""The portfolio's quadrants: how good a relationship is, how much of its wallet an account spends with us. Pure.

Every account has few answers and few months, so the scatter of its own is shrunk towards that of all: its variance and
the pooled one are averaged, weighed by the account's degrees of freedom and by PRIOR (Smyth, Linear models and
empirical Bayes methods, Stat. Appl. Genet. Mol. Biol. 3, 2004), and its mean has a t distribution with both together.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]

Quadrant = Literal["Model", "Growth", "At Risk", "Dangling"]
QUADRANTS: Final[tuple[Quadrant, ...]] = ("Model", "Growth", "At Risk", "Dangling")
"""Good relationship and high value; good and low; poor and high; poor and low."""

PRIOR: Final = 4.0
"""How many degrees of freedom the scatter of all accounts is worth beside an account's own."""

BOUNDARY: Final = 0.2
"""An account that lies in another quadrant with more than this probability is on a boundary."""

QUARTER: Final = 3
YEAR: Final = 12
LEAST_SPREAD: Final = 0.005
"""A share of wallet that never moves is still known to half a percent only."""

_NORMAL: Final = 1.4826
_PRECISE: Final = 0.975


@dataclass(frozen=True, slots=True)
class Positions:
    """Where accounts stand on one axis; arrays of the shape (accounts,), NaN where nothing is known.

    Args:
        value: in the unit of the axis.
        error: the standard error of it.
        freedom: the degrees of freedom of the error.
    """

    value: Floats
    error: Floats
    freedom: Floats

    def ends(self) -> tuple[Floats, Floats]:
        """The 95% interval."""
        half = stdtrit(self.freedom, _PRECISE) * self.error
        return self.value - half, self.value + half

    def above(self, cut: float) -> Floats:
        """The probability that an account lies at the cut-off or above it."""
        return np.asarray(stdtr(self.freedom, (self.value - cut) / self.error), dtype=np.float64)


def scores(n: Floats, total: Floats, squares: Floats) -> Positions:
    """The mean score of accounts.

    Args:
        n: the answers of each account; the other two are the sums of their scores and of the squares of these.
        total: see `n`.
        squares: see `n`.
    """
    answered = n > 0
    mean = np.divide(total, n, out=np.full(len(n), np.nan), where=answered)
    apart = np.maximum(np.where(answered, squares - total * np.nan_to_num(mean), 0.0), 0.0)
    freedom = np.maximum(n - 1, 0.0)
    pooled = apart.sum() / max(freedom.sum(), 1.0)
    variance = (apart + PRIOR * pooled) / (freedom + PRIOR)
    error = np.sqrt(variance / np.maximum(n, 1.0))
    return Positions(mean, np.where(answered, np.maximum(error, 1e-6), np.nan), freedom + PRIOR)


def shares(months: Floats) -> Positions:
    """The mean share of wallet of the newest three of these months: shape (accounts, months), oldest first."""
    newest = months[:, -QUARTER:]
    known = np.isfinite(newest).sum(axis=1)
    mean = _mean(newest)
    spread, freedom = _scatter(months[:, -YEAR - 1 :])
    error = np.maximum(spread, LEAST_SPREAD) / np.sqrt(np.maximum(known, 1))
    return Positions(mean, np.where(known > 0, error, np.nan), freedom)


def growth(months: Floats) -> Positions:
    """How the newest three months' revenue stands to that of the same three a year before, as a change: 0.1 is a tenth.

    Args:
        months: in one currency at one rate; shape (accounts, months), oldest first. NaN is not known.
    """
    nothing = np.full(len(months), np.nan)
    if months.shape[1] < YEAR + QUARTER:
        return Positions(nothing, nothing, np.full(len(months), PRIOR))
    now, before = months[:, -QUARTER:], months[:, -YEAR - QUARTER : -YEAR]
    level = _mean(months[:, -YEAR:])
    comparable = np.isfinite(now).all(axis=1) & np.isfinite(before).all(axis=1) & (before.sum(axis=1) > 0) & (level > 0)
    scale = np.where(comparable, level, 1.0)
    spread, freedom = _scatter(np.where(comparable[:, None], months[:, -YEAR - 1 :], np.nan) / scale[:, None])
    ratio = np.divide(now.sum(axis=1), before.sum(axis=1), out=nothing.copy(), where=comparable)
    error = np.maximum(ratio, 0.1) * np.maximum(spread, LEAST_SPREAD) * np.sqrt(2 / QUARTER)
    return Positions(ratio - 1, np.where(comparable, error, np.nan), freedom)


def _mean(values: Floats) -> Floats:
    known = np.isfinite(values)
    number = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    out = np.full(len(values), np.nan)
    return np.asarray(np.divide(total, number, out=out, where=number > 0), dtype=np.float64)


def _scatter(months: Floats) -> tuple[Floats, Floats]:
    """How far a month lies from its neighbours by chance, robustly: a level that falls once is no scatter."""
    steps = np.diff(months, axis=1)
    known = np.isfinite(steps)
    middle = _median(steps)
    own = _NORMAL * _median(np.abs(steps - middle[:, None])) / np.sqrt(2)
    count = np.where(np.isfinite(own), known.sum(axis=1), 0).astype(np.float64)
    usual = float(np.median(own[np.isfinite(own)])) if np.isfinite(own).any() else 0.0
    variance = (count * np.nan_to_num(own) ** 2 + PRIOR * usual**2) / (count + PRIOR)
    return np.sqrt(variance), count + PRIOR


def _median(values: Floats) -> Floats:
    """Of each line, NaN left out; NaN where a line has nothing."""
    ordered = np.sort(values, axis=1)  # NaN sorts last
    number = np.isfinite(values).sum(axis=1)
    low, high = (np.maximum(number - 1, 0) // 2, np.minimum(number // 2, max(values.shape[1] - 1, 0)))
    line = np.arange(len(values))
    middle = (ordered[line, low] + ordered[line, high]) / 2 if values.shape[1] else np.full(len(values), np.nan)
    return np.where(number > 0, middle, np.nan)


def odds(good: Floats, high: Floats) -> Floats:
    """The probability of each of QUADRANTS: shape (accounts, 4), NaN where an axis is not known.

    Args:
        good: the probability that the relationship is good.
        high: the probability that the value is high; both are taken as independent of one another.
    """
    return np.stack([good * high, good * (1 - high), (1 - good) * high, (1 - good) * (1 - high)], axis=1)

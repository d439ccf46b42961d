"""Where a change of a figure comes from, or its distance to a limit: the parts of the cells of a dimension. Pure.

Kitagawa (Components of a difference between two rates, JASA 50, 1955) splits the change of a rate into what the cells'
weights did (mix) and what their rates did (rate), each at the mean of the two windows: the parts of all cells sum to
the change. Mix is taken from the figure's own mean, so that a cell of average rate that grows adds none. Shares, and
balances and means of scores, are sums over rows and split like this; medians do not. Without an earlier window the
distance to the limit is split, all of it rate. Of a dimension that only bad rows have, such as a defect's code, cells
have a numerator of their own and the denominator of all rows: all of it is rate. Each dimension splits the whole
change: parts of two dimensions are never added.

A cell stands out where its part is surely greater than an even spread makes it, and by a fifth of the change at least.
Even is the change by the cells' weights or, of what only bad rows have, by what they had of the earlier window. The
error is a jackknife over accounts (Efron and Stein, Annals of Statistics 9, 1981; for few clusters MacKinnon, Nielsen
and Webb, Journal of Econometrics 232, 2023), and never below that of independent rows; a single account is weighed by
how widely the others scatter. The p of a one-sided t is adjusted over the cells of a dimension (Benjamini and Hochberg,
JRSS B 57, 1995).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import scipy  # its parts are loaded when they are first asked for, and scipy.stats takes a second
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

Q: Final = 0.05
"""The share of marked cells that are expected to be marked by chance."""
FLOOR: Final = 0.2
"""The part of the change, beyond an even spread, below which nothing is worth naming."""
FEWEST: Final = 5
"""Rows below which a cell is not tested."""


@dataclass(frozen=True, slots=True)
class Window:
    """The rows of one window, summed; scores are in the figure's unit, and higher is worse.

    `size`, `total` and `squares` are the number of rows and the sums of their scores and squares: shape (accounts, 1).
    `n` and `y` are the rows and the scores of each cell: shape (accounts, cells). Of what only bad rows have, a row
    with m values is one m-th of a row in each.
    """

    size: Floats
    total: Floats
    squares: Floats
    n: Floats
    y: Floats

    def summed(self) -> "Window":
        """All accounts together: without the axis of the accounts."""
        return Window(*(getattr(self, one.name).sum(axis=0) for one in fields(self)))

    def by_account(self) -> "Window":
        """All accounts together, with a cell for each."""
        size, total, squares = (one.sum(axis=0) for one in (self.size, self.total, self.squares))
        return Window(size, total, squares, self.size[:, 0], self.total[:, 0])

    def without_each(self) -> "Window":
        """All accounts but one, for each of them."""
        return Window(*(getattr(self, one.name).sum(axis=0) - getattr(self, one.name) for one in fields(self)))

    @property
    def level(self) -> Floats:
        """The figure."""
        return _ratio(self.total, self.size)

    @property
    def variance(self) -> Floats:
        """Of the scores of single rows."""
        return np.maximum(_ratio(self.squares, self.size) - self.level**2, 0.0)


@dataclass(frozen=True, slots=True)
class Split:
    """A change by the cells of a dimension: arrays of shape (cells,), in the figure's unit.

    `even` is what an even spread makes of a cell, `half` half the width of its part's 95% interval, and `p` how likely
    a part so far above that is by chance, adjusted over the cells.
    """

    mix: Floats
    rate: Floats
    even: Floats
    half: Floats
    p: Floats

    @property
    def part(self) -> Floats:
        """What each cell adds to the change."""
        return self.mix + self.rate

    @property
    def stands_out(self) -> Bools:
        """The cells whose part is surely and notably greater than an even spread makes it."""
        change = self.part.sum()
        return np.asarray((self.p <= Q) & (change > 0) & (self.part - self.even >= FLOOR * change))


def split(now: Window, before: Window | None, limit: float = 0.0, *, of_bad_rows: bool = False) -> Split:
    """The change from `before`, of the same accounts and cells, or without it the distance to `limit`.

    Args:
        now: by account.
        before: by account.
        limit: as the scores.
        of_bad_rows: whether only bad rows have the dimension; only an earlier window tells what is usual of them.
    """
    both = (now,) if before is None else (now, before)
    sums, others = [one.summed() for one in both], [one.without_each() for one in both]
    found = _parts(sums, limit, of_bad_rows=of_bad_rows)
    _, _, _, scale, least = found
    left = _parts(others, limit, of_bad_rows=of_bad_rows)
    # Beside the account that is left out a cell has another weight, which is no error of what its rows are like.
    error = np.sqrt(np.maximum(_jackknife((left[0] + left[1] - left[2]) * _over(left[3])), least))
    half = np.sqrt(np.maximum(_jackknife(left[0] + left[1]), least * scale**2))
    freedom = np.any([one.n > 0 for one in both], axis=0).sum(axis=0) - 1.0
    return _weighed(found, half, error, freedom, np.sum([one.n for one in sums], axis=0))


def split_by_account(now: Window, before: Window | None, limit: float = 0.0) -> Split:
    """As `split`, with a cell for each account; the windows' own cells have no part in it."""
    sums = [one.by_account() for one in (now, before) if one is not None]
    found = mix, rate, even, scale, least = _parts(sums, limit, of_bad_rows=False)
    strange = _ratio((mix + rate - even) ** 2, least * scale**2)
    freedom = np.full(even.shape, (least > 0).sum() - 2.0)
    # How widely the others scatter, as a multiple of what independent rows do.
    wider = np.maximum(_ratio(strange.sum() - strange, np.maximum(freedom, 0.0) + 1), 1.0)
    error = np.sqrt(least * wider)
    return _weighed(found, error * scale, error, freedom, np.sum([one.n for one in sums], axis=0))


_Parts = tuple[Floats, Floats, Floats, Floats, Floats]


def _parts(windows: Sequence[Window], limit: float, *, of_bad_rows: bool) -> _Parts:
    """Of cells, on the last axis of the windows' parts: mix, rate and the even spread; and how it is tested.

    That is the scale by which a part beyond an even spread is divided, so that it is a difference of rates, or of
    shares of the bad rows; and the variance of this difference if all rows were alike and independent.
    """
    now, before = windows[0], windows[1] if len(windows) > 1 else None
    held = before.level if before else np.full_like(now.level, limit)
    change, none = now.level - held, np.zeros_like(now.n)
    if of_bad_rows:
        part, shares = _ratio(now.y, now.size), _ratio(now.y, now.total)
        if before is None:
            return none, change * shares, change * shares, none, none
        past = _ratio(before.y, before.size)
        # Where nothing was bad before nobody knows what is usual.
        usual, scale = np.where(held > 0, _ratio(past, held), shares), np.where(held > 0, now.level, 0.0) + none
        both = _ratio(now.y + before.y, now.total + before.total)
        least = both * (1 - both) * (_over(now.total) + _over(before.total))
        return none, part - past, change * usual, scale, least
    weight, own = _ratio(now.n, now.size), _ratio(now.y, now.n)
    noise = weight * (1 - weight) * now.variance * _over(now.size)
    if before is None:
        return none, weight * (own - held), weight * change, weight, noise * _over(weight) ** 2
    earlier, past = _ratio(before.n, before.size), _ratio(before.y, before.n)
    # A cell that a window lacks had there the rate of the other: all that it adds is mix.
    own, past = np.where(now.n > 0, own, past), np.where(before.n > 0, past, own)
    middle = (weight + earlier) / 2
    mix = (weight - earlier) * ((own + past) / 2 - (now.level + held) / 2)
    noise += earlier * (1 - earlier) * before.variance * _over(before.size)
    return mix, middle * (own - past), middle * change, middle, noise * _over(middle) ** 2


def _jackknife(others: Floats) -> Floats:
    """The variance of a figure of all accounts, from the figures without each: shape (accounts, cells)."""
    many = len(others)
    return np.asarray((many - 1) / many * ((others - others.mean(axis=0)) ** 2).sum(axis=0), dtype=np.float64)


def _weighed(found: _Parts, spread: Floats, error: Floats, freedom: Floats, rows: Floats) -> Split:
    """A split with its intervals, and the p of the cells that can be tested."""
    mix, rate, even, scale, _ = found
    degrees, p = np.maximum(freedom, 1.0), np.ones_like(mix)
    able = (freedom >= 2) & (rows >= FEWEST) & (error > 0) & (scale > 0)
    if able.any():
        beyond = (mix + rate - even)[able] / (scale * error)[able]
        p[able] = scipy.stats.false_discovery_control(scipy.special.stdtr(degrees[able], -beyond))
    return Split(mix, rate, even, spread * scipy.special.stdtrit(degrees, 0.975), p)


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Nothing of nothing is nothing."""
    return np.asarray(part / np.where(whole > 0, whole, np.inf), dtype=np.float64)


def _over(whole: Floats) -> Floats:
    return _ratio(np.ones_like(whole), whole)

"""Two samples of one metric: how far apart, how surely, and the same within strata. Pure and vectorised over rows.

Tallies are arrays whose last axis is (n, plus, minus, total, squares), as in `Tally`. Sources: Miettinen & Nurminen
1985 and Farrington & Manning 1990 (score test of a difference of shares), Gart & Nam 1990 (its correction for
skewness), Newcombe 1998b, method 10, and Zou & Donner 2008 (intervals), Welch 1947 (means), Mantel & Haenszel 1959
(weights of strata).
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

import numpy as np
import scipy

from config import EarshotError
from config.models import Metric
from queries.statistics.estimates import ALPHA, Floats, Tally, interval, likeliest_minus, sample_variance, values

Ends = tuple[float, float]
Deff = float | Floats
NOWHERE: Final[Ends] = (float("nan"), float("nan"))


@dataclass(frozen=True, slots=True)
class _Law:
    """What is expected of the gap of each stratum where the truth is the limit: its variance and third moment.

    `wobble` is the sum of variance²/df of the two sides (Welch); 0 where the variance is not estimated by itself.
    """

    variance: Floats
    third: Floats
    wobble: Floats


def gaps(metric: Metric, left: Floats, right: Floats) -> Floats:
    """Value of the left less value of the right, in the metric's unit; arrays (rows, 5) -> (rows,).

    NaN where a side has no rows. Raises EarshotError for a quantile.
    """
    missing = (left[:, 0] <= 0) | (right[:, 0] <= 0)
    return np.where(missing, np.nan, values(metric, left) - values(metric, right))


def gap_tails(
    metric: Metric,
    left: Floats,
    right: Floats,
    floor: float = 0.0,
    deff_left: Deff = 1.0,
    deff_right: Deff = 1.0,
) -> Floats:
    """One-sided p that the left is *not* worse than the right by more than `floor`; arrays (rows, 5) -> (rows,).

    Small: the left is surely worse. `floor` is in the metric's unit and not negative; worse is lower for a metric
    whose good direction is up. A share and a balance get the score test at the likeliest shares that differ by the
    floor, and where the law of the gap leans towards firing also its correction for skewness: the larger p counts. A
    mean gets Welch's t; a side whose values are all alike borrows the other's variance. Each side counts as n/deff
    rows. 1 where nothing can be computed. Raises EarshotError for a count or a quantile.
    """
    return stratified_tails(metric, left[None], right[None], floor, deff_left, deff_right)


def stratified_gaps(metric: Metric, left: Floats, right: Floats) -> Floats:
    """The gap within strata, averaged with Mantel-Haenszel weights; arrays (strata, rows, 5) -> (rows,).

    A stratum without rows on either side weighs nothing (a mean: under two rows); NaN where none is left.
    """
    _refuse_inexact(metric)
    weights = _weights(metric, left[..., 0], right[..., 0])
    return np.asarray(_average(weights, _centres(metric, left) - _centres(metric, right)) * metric.factor)


def stratified_tails(
    metric: Metric,
    left: Floats,
    right: Floats,
    floor: float = 0.0,
    deff_left: Deff = 1.0,
    deff_right: Deff = 1.0,
) -> Floats:
    """`gap_tails` of the gap within strata; arrays (strata, rows, 5) -> (rows,), deffs per row or per stratum and row.

    The variance is that of each stratum at its own likeliest shares, all strata differing by the floor.
    """
    _refuse_inexact(metric)
    sign = -1.0 if metric.good == "up" else 1.0
    limit = sign * max(floor, 0.0) / metric.factor
    with np.errstate(all="ignore"):
        weights = _weights(metric, left[..., 0], right[..., 0])
        gap = _average(weights, _centres(metric, left) - _centres(metric, right))
        law = _LAWS[metric.shape](_shrunk(left, deff_left), _shrunk(right, deff_right), limit)
        shares, distance = weights / weights.sum(axis=0), sign * (gap - limit)
        spread, third, wobble = (
            np.where(shares > 0, shares**power * moment, 0.0).sum(axis=0)
            for power, moment in ((2, law.variance), (3, law.third), (4, law.wobble))
        )
        freedom = np.where(wobble > 0, spread**2 / np.where(wobble > 0, wobble, 1.0), np.inf)
        welch = scipy.special.stdtr(freedom, -distance / np.sqrt(spread))
        tails = np.where(wobble > 0, welch, skewed_tails(distance, spread, sign * third))
    return np.where(np.isfinite(tails), np.clip(tails, 0.0, 1.0), 1.0)


def gap_interval(
    metric: Metric,
    left: Tally,
    right: Tally,
    deff_left: float = 1.0,
    deff_right: float = 1.0,
) -> Ends:
    """The 95% interval of left less right for display, in the metric's unit; (NaN, NaN) where there is none.

    Share: Newcombe's method 10. Balance: the same square-and-add of adjusted Wald intervals; count: of Garwood's.
    Mean: Welch. Raises EarshotError for a quantile.
    """
    if metric.shape == "quantile":
        _refuse_inexact(metric)
    if left.n <= 0 or right.n <= 0:
        return NOWHERE
    sides = (left, max(deff_left, 1.0)), (right, max(deff_right, 1.0))
    if metric.shape == "mean":
        low, high = _welch(*sides)
        return low * metric.factor, high * metric.factor
    (one, one_low, one_high), (two, two_low, two_high) = (interval(metric, *side) for side in sides)
    gap = one - two
    low = gap - sqrt((one - one_low) ** 2 + (two_high - two) ** 2)
    high = gap + sqrt((one_high - one) ** 2 + (two - two_low) ** 2)
    return low * metric.factor, high * metric.factor


def skewed_tails(distance: Any, variance: Any, third: Any) -> Floats:
    """P(at least `distance`) of a sum with mean 0 by its second and third moment; never under the normal tail.

    The Cornish-Fisher correction of Gart & Nam 1990: at a few hits in a small sample the plain normal tail is wrong by
    powers of ten. NaN without variance.
    """
    plain = distance / np.sqrt(variance)
    lean = third / variance**1.5 / 6
    inside = 1 + 4 * lean * (lean + plain)
    bent = 2 * (lean + plain) / (1 + np.sqrt(np.maximum(inside, 0.0)))
    return np.asarray(scipy.special.ndtr(-np.where(inside >= 0, np.minimum(bent, plain), plain)), dtype=np.float64)


def _refuse_inexact(metric: Metric) -> None:
    if metric.shape not in _LAWS:
        wrong = f"{metric.name} is a {metric.shape}: no law says how sure a difference of two is"
        raise EarshotError(f"{wrong}; use a share, a balance or a mean")


def _centres(metric: Metric, tallies: Floats) -> Floats:
    n = np.where(tallies[..., 0] > 0, tallies[..., 0], np.nan)
    sums = {"share": tallies[..., 1], "balance": tallies[..., 1] - tallies[..., 2], "mean": tallies[..., 3]}
    return np.asarray(sums[metric.shape] / n, dtype=np.float64)


def _weights(metric: Metric, left: Floats, right: Floats) -> Floats:
    least = 2 if metric.shape == "mean" else 1
    both = (left >= least) & (right >= least)
    return np.where(both, left * right / np.maximum(left + right, 1), 0.0)


def _average(weights: Floats, of: Floats) -> Floats:
    total = weights.sum(axis=0)
    summed = np.where(weights > 0, weights * of, 0.0).sum(axis=0)
    return np.where(total > 0, summed / np.where(total > 0, total, 1.0), np.nan)


def _shrunk(tallies: Floats, deff: Deff) -> Floats:
    """What n/deff independent rows would have shown, and as a sixth column the n before that."""
    divided = tallies / np.maximum(deff, 1.0)[..., None]
    return np.concatenate([divided, tallies[..., :1]], axis=-1)


def _share_law(left: Floats, right: Floats, limit: float) -> _Law:
    size = left[..., 0], right[..., 0]
    first = likeliest_shares(left[..., 1], size[0], right[..., 1], size[1], limit)
    chances = first, np.clip(first - limit, 0.0, 1.0)
    one, two = (p * (1 - p) / n for p, n in zip(chances, size, strict=True))
    variance = one + two
    third = one * (1 - 2 * chances[0]) / size[0] - two * (1 - 2 * chances[1]) / size[1]
    return _Law(variance, third, np.zeros_like(variance))


def likeliest_shares(hits: Any, size: Any, others: Any, others_size: Any, limit: float) -> Floats:
    """The likeliest share of the first sample among those where first less second = `limit`.

    The closed root of the cubic in Farrington & Manning 1990, appendix; broadcast; NaN where a size is 0.
    """
    if limit == 0:
        return np.asarray((hits + others) / (size + others_size), dtype=np.float64)
    ratio = others_size / size
    one, two = hits / size, others / others_size
    a = 1 + ratio
    b = -(a + one + ratio * two + limit * (ratio + 2))
    c = limit**2 + limit * (2 * one + a) + one + ratio * two
    d = -one * limit * (1 + limit)
    v = b**3 / (3 * a) ** 3 - b * c / (6 * a**2) + d / (2 * a)
    u = np.where(v < 0, -1.0, 1.0) * np.sqrt(np.maximum(b**2 / (3 * a) ** 2 - c / (3 * a), 0.0))
    angle = np.arccos(np.clip(np.where(u == 0, 0.0, v / np.where(u == 0, 1.0, u**3)), -1.0, 1.0))
    root = np.asarray(2 * u * np.cos((np.pi + angle) / 3) - b / (3 * a), dtype=np.float64)
    return np.clip(root, max(limit, 0.0), min(1.0, 1 + limit))


def _balance_law(left: Floats, right: Floats, limit: float) -> _Law:
    gap = _likeliest_balance(left, right, limit)
    laws = [_balance_moments(*side) for side in ((left, gap), (right, gap - limit))]
    (one, lean), (two, other) = laws
    return _Law(one + two, lean - other, np.zeros_like(one))


def _likeliest_balance(left: Floats, right: Floats, limit: float) -> Floats:
    """The likeliest balance of the left where left less right = `limit`: no closed form, so a golden-section search."""
    low = np.full(left.shape[:-1], max(-1.0, limit - 1))
    high = np.full(left.shape[:-1], min(1.0, limit + 1))
    for _ in range(_SECTIONS):
        step = _GOLDEN * (high - low)
        at = high - step, low + step
        first, second = (_plausible(left, gap) + _plausible(right, gap - limit) for gap in at)
        low, high = np.where(first < second, at[0], low), np.where(first < second, high, at[1])
    return np.asarray((low + high) / 2, dtype=np.float64)


def _plausible(tallies: Floats, gap: Floats) -> Floats:
    """The greatest log-likelihood of a sample whose balance is `gap`."""
    n, plus, minus = (tallies[..., i] for i in range(3))
    down = likeliest_minus(n, plus, minus, gap)
    parts = (plus, down + gap), (minus, down), (n - plus - minus, 1 - 2 * down - gap)
    return np.asarray(
        sum(scipy.special.xlogy(np.maximum(k, 0.0), np.maximum(p, _TINY)) for k, p in parts), dtype=np.float64
    )


def _balance_moments(tallies: Floats, gap: Floats) -> tuple[Floats, Floats]:
    n, plus, minus = (tallies[..., i] for i in range(3))
    either = 2 * likeliest_minus(n, plus, minus, gap) + gap
    return (either - gap**2) / n, (gap - 3 * gap * either + 2 * gap**3) / n**2


def _mean_law(left: Floats, right: Floats, _limit: float) -> _Law:
    spreads = _spread(left), _spread(right)
    lent = np.where(spreads[0] > 0, *spreads), np.where(spreads[1] > 0, *spreads[::-1])
    one, two = (spread / side[..., 0] for spread, side in zip(lent, (left, right), strict=True))
    wobble = one**2 / (left[..., 0] - 1) + two**2 / (right[..., 0] - 1)
    known = (left[..., 0] > 1) & (right[..., 0] > 1) & (one + two > 0)
    return _Law(np.where(known, one + two, np.nan), np.zeros_like(one), np.where(known, wobble, np.nan))


def _spread(tallies: Floats) -> Floats:
    """Variance of the values; the last column is the number of rows before the design effect."""
    size, total, squares, n = (tallies[..., i] for i in (0, 3, 4, 5))
    mean = total / size
    found = np.maximum(squares / size - mean**2, 0.0) * n / (n - 1)
    # Sums of values that are all alike differ from their square by rounding only.
    return np.where(found > 1e-12 * (1 + mean**2), found, 0.0)


def _welch(one: tuple[Tally, float], two: tuple[Tally, float]) -> Ends:
    gap = one[0].total / one[0].n - two[0].total / two[0].n
    sizes = [tally.n / deff for tally, deff in (one, two)]
    if min(sizes) <= 1:
        return NOWHERE
    parts = [sample_variance(tally) / size for (tally, _), size in zip((one, two), sizes, strict=True)]
    if sum(parts) == 0:
        return gap, gap
    freedom = sum(parts) ** 2 / sum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
    half = float(scipy.special.stdtrit(freedom, 1 - ALPHA / 2)) * sqrt(sum(parts))
    return gap - half, gap + half


_SECTIONS: Final = 36
_GOLDEN: Final = (sqrt(5) - 1) / 2
_TINY: Final = 1e-300
_LAWS: Final = {"share": _share_law, "balance": _balance_law, "mean": _mean_law}

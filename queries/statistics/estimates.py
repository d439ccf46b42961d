"""From counts to figures that say how sure they are. Pure; every function is finite or says "none".

Sources: Wilson 1927 and Newcombe 1998 (shares), Bonett & Price 2012 (balances, adjusted Wald), Tango 1998 (score test
of a difference within one sample), Garwood 1936 (counts), Conover 1999, section 3.2 (quantiles).
"""

from dataclasses import astuple, dataclass
from math import ceil, floor, isfinite, sqrt
from statistics import NormalDist
from typing import Any, Final, Literal

import numpy as np
import scipy  # its parts are loaded when they are first asked for, and scipy.stats takes a second
from numpy.typing import NDArray

from config import EarshotError
from config.models import Metric

ALPHA: Final = 0.05
Z: Final = NormalDist().inv_cdf(1 - ALPHA / 2)

Floats = NDArray[np.float64]
Status = Literal["ok", "too_few", "immature", "no_data", "private"]
Side = Literal["below", "above"]


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums that can be added over days and slices: all there is to know about a share, balance, mean or count.

    `n` rows; `plus` and `minus` of them on either side; `total` and `squares` are the sums of the value and its square.
    """

    n: float = 0
    plus: float = 0
    minus: float = 0
    total: float = 0
    squares: float = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure in the metric's unit with its 95% interval; all three are None where there is nothing to say."""

    n: int
    value: float | None
    low: float | None
    high: float | None
    status: Status


def estimate(metric: Metric, tally: Tally, deff: float = 1.0) -> Estimate:
    """The figure a tally amounts to. `deff` is the design effect: the interval is that of n/deff independent rows."""
    n = round(tally.n)
    if (status := _status(n, metric.min_n)) != "ok":
        return Estimate(n, None, None, None, status)
    return bounded(n, metric.factor, *interval(metric, tally, max(deff, 1.0)))


def bounded(n: int, factor: float, value: float, low: float, high: float) -> Estimate:
    """A figure in its unit, without what is not finite and with the interval around the value."""
    if not isfinite(value):
        return Estimate(n, None, None, None, "no_data")
    if not (isfinite(low) and isfinite(high)):
        return Estimate(n, value * factor, None, None, "ok")
    ends = sorted((min(low, value) * factor, max(high, value) * factor))
    return Estimate(n, value * factor, ends[0], ends[1], "ok")


def empty(n: int, min_n: int) -> Estimate:
    """The figure that is not there: no rows, or fewer than `min_n`."""
    return Estimate(n, None, None, None, "no_data" if n == 0 else _status(n, min_n))


def _status(n: int, min_n: int) -> Status:
    if n == 0:
        return "no_data"
    return "too_few" if n < min_n else "ok"


def interval(metric: Metric, tally: Tally, deff: float) -> tuple[float, float, float]:
    """A figure with the ends of its 95% interval, before the metric's factor. Raises EarshotError for a quantile."""
    if metric.shape == "share":
        return wilson(tally.plus, tally.n, deff)
    if metric.shape == "balance":
        return adjusted_wald(tally.plus, tally.minus, tally.n, deff)
    if metric.shape == "mean":
        return t_interval(tally, deff)
    if metric.shape == "count":
        return garwood(tally.n, deff)
    raise EarshotError(f"{metric.name} is a quantile; it cannot be computed from counts: read it with `measure`")


def wilson(plus: float, n: float, deff: float = 1.0) -> tuple[float, float, float]:
    """A share with its Wilson interval."""
    share, pull = plus / n, Z**2 * deff / n
    middle, half = share + pull / 2, Z * sqrt(share * (1 - share) * deff / n + pull**2 / (4 * Z**2))
    return share, (middle - half) / (1 + pull), (middle + half) / (1 + pull)


def adjusted_wald(plus: float, minus: float, n: float, deff: float = 1.0) -> tuple[float, float, float]:
    """The difference of two shares of one sample (-1..1) with its adjusted Wald interval: n+3, +3/4 on either side."""
    size = n / deff + 3
    up, down = (plus / deff + 0.75) / size, (minus / deff + 0.75) / size
    half = Z * sqrt((up + down - (up - down) ** 2) / size)
    return (plus - minus) / n, max(up - down - half, -1.0), min(up - down + half, 1.0)


def t_interval(tally: Tally, deff: float = 1.0) -> tuple[float, float, float]:
    """A mean with its t interval; without one below two rows."""
    mean = tally.total / tally.n
    size = tally.n / deff
    if tally.n < 2 or size <= 1:
        return mean, float("nan"), float("nan")
    half = float(scipy.special.stdtrit(size - 1, 1 - ALPHA / 2)) * sqrt(sample_variance(tally) / size)
    return mean, mean - half, mean + half


def sample_variance(tally: Tally) -> float:
    """The variance of the values; n at least 2."""
    return max(tally.squares - tally.total**2 / tally.n, 0.0) / (tally.n - 1)


def garwood(n: float, deff: float = 1.0) -> tuple[float, float, float]:
    """A count with its exact Poisson interval."""
    size = n / deff
    low = float(scipy.special.gammaincinv(size, ALPHA / 2)) if size > 0 else 0.0
    return n, low * deff, float(scipy.special.gammaincinv(size + 1, 1 - ALPHA / 2)) * deff


def ranks(n: int, q: float, deff: float = 1.0) -> tuple[int, int]:
    """The ranks (from 1) of the ordered values that hold the quantile `q` between them with 95% confidence."""
    size = max(floor(n / deff), 1)
    low, high = (float(edge) for edge in scipy.stats.binom.ppf([ALPHA / 2, 1 - ALPHA / 2], size, q))
    stretch = n / size
    return max(floor(low * stretch), 1), min(ceil((high + 1) * stretch), n)


def values(metric: Metric, tallies: Floats) -> Floats:
    """The figures of many tallies, in the metric's unit, without intervals or floors: NaN without rows."""
    n = np.where(tallies[:, 0] > 0, tallies[:, 0], np.nan)
    numerators = {"share": tallies[:, 1], "balance": tallies[:, 1] - tallies[:, 2], "mean": tallies[:, 3]}
    if metric.shape == "count":
        return _array(tallies[:, 0] * metric.factor)
    if metric.shape not in numerators:
        raise EarshotError(f"{metric.name} is a quantile; it cannot be computed from counts: read it with `measure`")
    return _array(numerators[metric.shape] / n * metric.factor)


def tail(metric: Metric, tally: Tally, limit: float, deff: float = 1.0) -> float:
    """One-sided p of the sample if the truth were at `limit`: small when it must be on the bad side.

    The bad side of a metric whose good direction is up is below the limit. Exact binomial for a share, score test for
    a balance (Tango 1998), t for a mean, Poisson for a count; `n/deff` rows, rounded against firing. 1 without rows.
    """
    return float(tails(metric, np.array([astuple(tally)], dtype=np.float64), limit, deff)[0])


def tails(metric: Metric, tallies: Floats, limit: float, deff: float | Floats = 1.0) -> Floats:
    """`tail` of many tallies at once: rows of (n, plus, minus, total, squares)."""
    if metric.shape not in _TAILS:
        raise EarshotError(f"{metric.name} is a quantile; compare the share beyond the limit instead")
    side: Side = "below" if metric.good == "up" else "above"
    bound = limit / metric.factor
    with np.errstate(all="ignore"):
        found = _TAILS[metric.shape](tallies, bound, np.maximum(deff, 1.0), side)
    enough = (tallies[:, 0] > 0) & np.isfinite(found)
    return np.where(enough, np.clip(found, 0.0, 1.0), 1.0)


def _share_tail(tallies: Floats, limit: float, deff: Any, side: Side) -> Floats:
    n, plus = tallies[:, 0], tallies[:, 1]
    size = np.maximum(np.round(n / deff), 1)
    hits = plus / np.maximum(n, 1) * size
    return binomial_tails(size, hits, limit, side)


def binomial_tails(size: Any, hits: Any, chance: Any, side: Side) -> Floats:
    """P(at most `hits`) or P(at least `hits`) of Binomial(size, chance), broadcast; hits rounded against firing."""
    chance = np.clip(chance, 0.0, 1.0)
    if side == "below":
        most = np.ceil(hits - _ROUNDING)
        return _array(
            np.where(most < size, scipy.special.betainc(np.maximum(size - most, 1), most + 1, 1 - chance), 1.0)
        )
    least = np.floor(hits + _ROUNDING)
    return _array(np.where(least > 0, scipy.special.betainc(np.maximum(least, 1), size - least + 1, chance), 1.0))


def _balance_tail(tallies: Floats, limit: float, deff: Any, side: Side) -> Floats:
    n, plus, minus = (tallies[:, i] / deff for i in range(3))
    gap = min(max(limit, -1.0), 1.0)
    down = likeliest_minus(n, plus, minus, gap)
    spread = np.sqrt(np.maximum(2 * down + gap - gap**2, 0.0) / n)
    distance = (plus - minus) / n - gap
    z = np.where(spread > 0, distance / spread, np.sign(np.round(distance, 12)) * np.inf)
    return _array(scipy.special.ndtr(z if side == "below" else -z))


def likeliest_minus(n: Floats, plus: Floats, minus: Floats, gap: float | Floats) -> Floats:
    """The likeliest share of `minus` among those where share(plus) - share(minus) = gap (Tango 1998)."""
    b = plus + minus + (plus - minus) * gap - 2 * n * gap
    root = np.sqrt(np.maximum(b**2 + 8 * n * minus * gap * (1 - gap), 0.0))
    return np.clip((b + root) / (4 * n), np.maximum(0.0, -gap), (1 - gap) / 2)


def _mean_tail(tallies: Floats, limit: float, deff: Any, side: Side) -> Floats:
    n, total, squares = tallies[:, 0], tallies[:, 3], tallies[:, 4]
    size = n / deff
    spread = np.sqrt(np.maximum(squares - total**2 / n, 0.0) / (n - 1) / size)
    distance = total / n - limit
    t = np.where(spread > 0, distance / spread, np.sign(np.round(distance, 12)) * np.inf)
    tailed = scipy.special.stdtr(size - 1, t if side == "below" else -t)
    return _array(np.where((n >= 2) & (size > 1), tailed, 1.0))


def _count_tail(tallies: Floats, limit: float, deff: Any, side: Side) -> Floats:
    size, rate = tallies[:, 0] / deff, max(limit, 0.0) / deff
    if side == "below":
        return _array(scipy.special.pdtr(np.ceil(size - _ROUNDING), rate))
    least = np.floor(size + _ROUNDING)
    return _array(np.where(least > 0, scipy.special.pdtrc(least - 1, rate), 1.0))


def _array(values: Any) -> Floats:
    return np.asarray(values, dtype=np.float64)


_ROUNDING: Final = 1e-9
_TAILS: Final = {"share": _share_tail, "balance": _balance_tail, "mean": _mean_tail, "count": _count_tail}

"""Control charts: is the present level on the bad side of a frozen baseline by more than chance? Pure.

A chart reads the `periods` of its lookback, oldest first, an array (T, rows, 5) of tallies in the order of `Tally`; the
`baseline` tallies (rows, 5) and the design effects `deffs` (rows,), by which every n is divided. It says something
about the last period only. `alpha` is the false-alarm probability of one slot. A baseline is a sample too: tail charts
count its error in (as if the period had n·n0/(n + n0) rows); the CUSUM does not and needs a large one.

Sources: Laney 2002 (p'), Lucas & Saccucci 1990 (EWMA), Steiner, Cook, Farewell & Treasure 2000 (binomial CUSUM),
Brook & Evans 1972 (run length by Markov chain), Reynolds & Stoumbos 1999 (Bernoulli CUSUM), Benneyan 2001 (g-chart).
"""

from dataclasses import dataclass
from functools import lru_cache
from math import floor, log, log1p, log2
from typing import Any, Final

import numpy as np
import scipy

from config import EarshotError
from config.models import Metric
from queries.statistics.differences import skewed_tails
from queries.statistics.estimates import Floats, binomial_tails, values

LAMBDA: Final = 0.2
EVENTS: Final = 3


@dataclass(frozen=True, slots=True)
class Signal:
    """What a chart says of the last period, each an array (rows,); NaN where baseline or period has no rows.

    `level`: the present level, in the metric's unit; `bad`: how far it lies on the bad side of the baseline (negative:
    on the good side); `strength`: a signal from 1 on; `n`: the rows behind the level.
    """

    level: Floats
    bad: Floats
    strength: Floats
    n: Floats


@dataclass(frozen=True, slots=True)
class _Weighed:
    """Weighted sums of periods, and the variance and third moment of their mean in units of one row's."""

    tallies: Floats
    variance: Floats
    third: Floats


def p_chart(
    periods: Floats, baseline: Floats, deffs: Floats, metric: Metric, alpha: float, spread: Floats | float = 1.0
) -> Signal:
    """The last period against the baseline: exact binomial for a share, normal for a balance, t for a mean (x-bar).

    `spread` is Laney's sigma_z (`laney_spread`): how much more the baseline's own periods vary than their n explains.
    It holds what clusters add, so the greater of its square and the design effect counts. Balance and mean take their
    variance from the baseline. Strength: log p / log alpha.
    """
    last = periods[-1]
    deff = np.maximum(np.maximum(deffs, 1.0), np.asarray(spread) ** 2)
    with np.errstate(all="ignore"):
        if metric.shape == "share":
            found = _binomial(_bad(last, metric), last[:, 0], deff, _Reference.of(baseline, deffs, metric))
        else:
            share = deff / last[:, 0]
            found = _moment_tails(_Weighed(last, share, share**2), baseline, deffs, metric)
        return _signal(metric, last, last[:, 0], baseline, _strength(found, alpha))


def laney_spread(periods: Floats, metric: Metric) -> Floats:
    """Laney's sigma_z of each row over the baseline's own periods (T, rows, 5): at least 1; 1 where it can't be told.

    The mean moving range of the standardised periods over 1.128.
    """
    whole = periods.sum(axis=0)
    with np.errstate(all="ignore"):
        sizes = np.where(periods[..., 0] > 0, periods[..., 0], np.nan)
        centres = np.stack([_centre(metric, period) for period in periods])
        z = (centres - _centre(metric, whole)) / np.sqrt(_moments(metric, whole, whole[:, 0])[0] / sizes)
        ranges = np.abs(np.diff(z, axis=0))
        known = np.isfinite(ranges)
        mean = np.where(known, ranges, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.asarray(np.maximum(mean / _D2, 1.0), dtype=np.float64)


def ewma(
    periods: Floats, baseline: Floats, deffs: Floats, metric: Metric, alpha: float, weight: float = LAMBDA
) -> Signal:
    """The exponentially weighted mean of the rows against the baseline: small lasting shifts. Share, balance, mean.

    Each period counts by its rows, `1 - weight` less for every period of age; an empty one only ages the others. With
    equal n this is the usual recursion from the baseline with its exact variance, freed from the weight of its start.
    Normal tail with a correction for skewness (a mean: t); `n` is the number of equally weighted rows of that
    precision. Strength: log p / log alpha.
    """
    ages = np.arange(len(periods))[::-1]
    fading = ((1 - weight) ** ages)[:, None]
    deff = np.maximum(deffs, 1.0)
    sizes = periods[..., 0]
    with np.errstate(all="ignore"):
        total, square, cube = ((fading**power * sizes).sum(axis=0) for power in (1, 2, 3))
        tallies = (fading[..., None] * periods).sum(axis=0)
        mixed = _Weighed(tallies, square / total**2 * deff, cube / total**3 * deff**2)
        found = _strength(_moment_tails(mixed, baseline, deffs, metric), alpha)
        return _masked(_signal(metric, tallies, total**2 / square, baseline, found), sizes[-1] > 0)


def cusum(periods: Floats, baseline: Floats, deffs: Floats, metric: Metric, alpha: float, shift: float) -> Signal:
    """The binomial CUSUM on period counts, to the bad side: small shifts, soonest. Shares only (EarshotError else).

    Scores are log-likelihood ratios of the baseline's share p0 and p1, `shift` (metric's unit, > 0) to its bad side,
    over the design effect; the limit h gives an average run length of 1/alpha periods at the row's median n. A baseline
    is a sample too, and the sum adds up its error: p0 is one standard error to its bad side. The sum starts again at
    zero where it has fallen by h from its height: as much evidence for the return as for the alarm. Level and n are
    those of the periods since the sum last was zero (the likely start), or of the last period.
    Strength: sum / h.
    """
    _refuse(metric, "a CUSUM")
    if not shift > 0:
        raise EarshotError(f"a CUSUM of {metric.name} needs a shift above 0; state the smallest one worth finding")
    deff = np.maximum(deffs, 1.0)
    base = np.minimum(_Reference.of(baseline, deffs, metric).upper, _MOST)
    worse = np.minimum(base + shift / metric.factor, 1 - (1 - base) / 10)
    gain, cost = np.log(worse / base), np.log((1 - base) / (1 - worse))
    hits = _bad(periods, metric)
    scores = (hits * gain - (periods[..., 0] - hits) * cost) / deff
    limits = _limits(base, worse, _typical(periods[..., 0] / deff), 1 / max(alpha, _TINY))
    height, since = _climb(scores, periods, limits)
    return _masked(_signal(metric, since, since[:, 0], baseline, height / limits), periods[-1, :, 0] > 0)


def g_chart(
    periods: Floats, baseline: Floats, deffs: Floats, metric: Metric, alpha: float, events: int = EVENTS
) -> Signal:
    """Rare bad events: were the last `events` of them bought with too few rows? Shares only (EarshotError else).

    From the last day back until at least `events` bad events are collected: n rows with k events, and the exact p of
    so many. Under `events` of them in the lookback: strength 0, level and n of all of it.
    """
    _refuse(metric, "a g-chart")
    backwards = np.cumsum(periods[::-1], axis=0)
    enough = _bad(backwards, metric) >= events - _ROUNDING
    reached = enough.any(axis=0)
    at = np.where(reached, enough.argmax(axis=0), len(periods) - 1)
    tallies = np.take_along_axis(backwards, at[None, :, None], axis=0)[0]
    with np.errstate(all="ignore"):
        reference = _Reference.of(baseline, deffs, metric)
        found = _binomial(_bad(tallies, metric), tallies[:, 0], np.maximum(deffs, 1.0), reference)
    strength = np.where(reached, _strength(found, alpha), 0.0)
    return _signal(metric, tallies, tallies[:, 0], baseline, strength)


@lru_cache(maxsize=8192)
def decision_limit(base: float, worse: float, n: int, run_length: float) -> float:
    """The limit h of the binomial CUSUM whose in-control average run length is `run_length` periods of `n` rows.

    `base` < `worse` are the shares of bad events. h is the least that has the run length, and at most its log, since
    the sum's exponential is a likelihood ratio. It rises with the run length: widths are powers of two, and the first
    is taken that puts the limit into the upper half of its states, so that a finer one never reaches beyond it.
    """
    bound = min(max(log(run_length), _LEAST_LIMIT), _GREATEST_LIMIT)
    width = 2.0 ** floor(log2(2 * bound / _STATES))
    while True:
        lengths = _run_lengths(width, base, worse, n, base, run_length)
        states = min(int(np.searchsorted(lengths, run_length)) + 1, _STATES)
        # Where one step up passes every limit, they are all alike.
        if states >= _STATES // 2 or lengths[0] == lengths[-1] or width * _STATES <= _LEAST_LIMIT:
            return min(states * width, bound)
        width /= 2


def average_run_length(limit: float, base: float, worse: float, n: int, truth: float) -> float:
    """Periods of `n` rows until the CUSUM for `base` against `worse` reaches `limit`, at the share `truth`; or inf."""
    return float(_run_lengths(limit / _STATES, base, worse, n, truth)[-1])


@lru_cache(maxsize=4096)
def _run_lengths(width: float, base: float, worse: float, n: int, truth: float, enough: float = np.inf) -> Floats:
    """The average run length to each limit of 1 to _STATES widths: rising, by one Markov chain for all of them.

    Brook & Evans 1972: a chain over equal steps of the sum. A sum that lands between two states goes to both by
    nearness: rounding misses by a quarter where counts are few, and never moves where steps are small. States are
    left out one by one from zero on (Grassmann, Taksar & Heyman 1985), up to one that has `enough`, if they differ;
    the others are inf. Nothing is subtracted, no digit lost.
    """
    hits = np.arange(n + 1)
    chances = scipy.stats.binom.pmf(hits, n, truth)
    kept = chances > _NEVER * chances.max()
    hits, chances = hits[kept], chances[kept]
    gain, cost = log1p((worse - base) / base), -log1p((base - worse) / (1 - base))
    steps = (hits * gain - (n - hits) * cost) / width
    steps = np.where(np.abs(steps - np.round(steps)) <= _ROUNDING * np.abs(np.round(steps)), np.round(steps), steps)
    whole = np.trunc(steps)
    # How likely the sum moves by each number of states, -_STATES to _STATES.
    kernel = np.zeros(2 * _STATES + 1)
    for landing, nearness in ((whole, 1 - np.abs(steps - whole)), (whole + np.sign(steps), np.abs(steps - whole))):
        at = np.clip(landing, -_STATES, _STATES).astype(np.int64) + _STATES
        kernel += np.bincount(at, chances * nearness, len(kernel))
    states = np.arange(_STATES)
    moves = kernel[np.arange(_STATES + 1) - states[:, None] + _STATES]
    moves[:, 0], moves[:, -1] = np.cumsum(kernel)[_STATES - states], np.cumsum(kernel[::-1])[states]
    lengths, periods, begins = np.full(_STATES, np.inf), np.ones(_STATES), np.eye(1, _STATES + 1)[0]
    onward, returns = np.zeros((_STATES, _STATES + 1)), np.zeros((_STATES, _STATES))
    for state in range(_STATES):
        # With the ways through all states left out so far; to add them to every move each time takes far longer.
        on = moves[state, state + 1 :] + returns[state, :state] @ onward[:state, state + 1 :]
        back = moves[state + 1 :, state] + returns[state + 1 :, :state] @ onward[:state, state]
        if (leaves := on.sum()) <= _TINY * periods[state]:
            break
        periods[state] /= leaves
        onward[state, state + 1 :], returns[state + 1 :, state] = on / leaves, back
        lengths[state] = begins[state] * periods[state]
        if enough <= lengths[: state + 1].sum() > lengths[0]:
            break
        begins[state + 1 :] += begins[state] * onward[state, state + 1 :]
        periods[state + 1 :] += back * periods[state]
    return np.cumsum(lengths)


@dataclass(frozen=True, slots=True)
class _Reference:
    """The baseline's share of bad events, half an event added to either side, and the independent rows behind it."""

    share: Floats
    size: Floats

    @classmethod
    def of(cls, baseline: Floats, deffs: Floats, metric: Metric) -> "_Reference":
        size = baseline[:, 0] / np.maximum(deffs, 1.0)
        hits = _bad(baseline, metric) / np.maximum(deffs, 1.0)
        return cls((hits + 0.5) / (size + 1), size)

    @property
    def upper(self) -> Floats:
        """The share that one would wrongly think too high in one case of six: a sum adds up the baseline's error."""
        return self.share + np.sqrt(self.share * (1 - self.share) / (self.size + 1))


def _bad(tallies: Floats, metric: Metric) -> Floats:
    return tallies[..., 1] if metric.good == "down" else tallies[..., 0] - tallies[..., 1]


def _binomial(hits: Floats, n: Floats, deff: Floats, reference: _Reference) -> Floats:
    size = np.maximum(np.round(1 / (deff / n + 1 / reference.size)), 1)
    return binomial_tails(size, hits / n * size, reference.share, "above")


def _moment_tails(mixed: _Weighed, baseline: Floats, deffs: Floats, metric: Metric) -> Floats:
    """One-sided p of a weighted mean against the baseline, both with their error."""
    sign = -1.0 if metric.good == "up" else 1.0
    size = baseline[:, 0] / np.maximum(deffs, 1.0)
    variance, third = _moments(metric, baseline, size)
    distance = sign * (_centre(metric, mixed.tallies) - _centre(metric, baseline))
    spread = variance * (mixed.variance + 1 / size)
    if metric.shape == "mean":
        found = np.where((size > 1) & (spread > 0), scipy.special.stdtr(size - 1, -distance / np.sqrt(spread)), 1.0)
    else:
        found = skewed_tails(distance, spread, sign * third * (mixed.third - 1 / size**2))
    return np.where(np.isfinite(found), found, 1.0)


def _moments(metric: Metric, tallies: Floats, size: Floats) -> tuple[Floats, Floats]:
    """Variance and third moment of one row; counts of few rows are drawn from the edges, as in their intervals."""
    n = tallies[:, 0]
    if metric.shape == "mean":
        variance = np.maximum(tallies[:, 4] - tallies[:, 3] ** 2 / n, 0.0) / (n - 1)
        return variance, np.zeros_like(variance)
    up, down = tallies[:, 1] / n, tallies[:, 2] / n
    if metric.shape == "share":
        p = (up * size + 0.5) / (size + 1)
        return p * (1 - p), p * (1 - p) * (1 - 2 * p)
    up, down = ((part * size + 0.75) / (size + 3) for part in (up, down))
    gap, either = up - down, up + down
    return either - gap**2, gap - 3 * gap * either + 2 * gap**3


def _centre(metric: Metric, tallies: Floats) -> Floats:
    if metric.shape not in {"share", "balance", "mean"}:
        _refuse(metric, "a chart")
    return values(metric, tallies) / metric.factor


def _refuse(metric: Metric, chart: str) -> None:
    if metric.shape != "share":
        raise EarshotError(f"{metric.name} is a {metric.shape}, which {chart} cannot read; use a share")


def _typical(sizes: Floats) -> Floats:
    """The median size of each row's periods that have any; 1 without."""
    ordered = np.sort(np.where(sizes > 0, sizes, np.inf), axis=0)
    count = np.maximum((sizes > 0).sum(axis=0), 1)
    middle = np.take_along_axis(ordered, ((count - 1) // 2)[None], axis=0)[0]
    return np.where(np.isfinite(middle), np.maximum(np.round(middle), 1), 1.0)


def _limits(base: Floats, worse: Floats, sizes: Floats, run_length: float) -> Floats:
    """One chain for each distinct row, sizes to a tenth of themselves: the only loop over rows, cached."""
    steps = np.round(1.1 ** np.round(np.log(sizes) / np.log(1.1)))
    gaps = _digits(np.maximum(worse - base, _TINY))
    rows = np.stack([_digits(base), _digits(base) + gaps, np.maximum(steps, 1.0)], axis=1)
    distinct, back = np.unique(rows, axis=0, return_inverse=True)
    length = float(_digits(np.array([run_length]))[0])
    found = [decision_limit(float(p), float(q), round(n), length) for p, q, n in distinct]
    return np.array(found, dtype=np.float64)[back.reshape(-1)]


def _digits(numbers: Floats) -> Floats:
    power = 10.0 ** (np.floor(np.log10(numbers)) - 2)
    return np.asarray(np.round(numbers / power) * power, dtype=np.float64)


def _climb(scores: Floats, periods: Floats, limits: Floats) -> tuple[Floats, Floats]:
    """The sum after the last period, and the tallies since it last was zero (or of the last period)."""
    height, peak = np.zeros_like(limits), np.zeros_like(limits)
    since = np.zeros_like(periods[-1])
    for score, period in zip(scores, periods, strict=True):
        height = height + score
        peak = np.maximum(peak, height)
        up = height > np.maximum(peak - limits, 0.0)
        height, peak = np.where(up, height, 0.0), np.where(up, peak, 0.0)
        since = np.where(up[:, None], since + period, 0.0)
    return height, np.where((height > 0)[:, None], since, periods[-1])


def _strength(found: Floats, alpha: float) -> Floats:
    return np.asarray(np.log(np.maximum(found, _TINY)) / log(alpha), dtype=np.float64)


def _signal(metric: Metric, tallies: Floats, n: Floats, baseline: Floats, strength: Floats) -> Signal:
    sign = -1.0 if metric.good == "up" else 1.0
    level = values(metric, tallies)
    bad = sign * (level - values(metric, baseline)) + 0.0
    return _masked(Signal(level, bad, strength, n), (tallies[:, 0] > 0) & (baseline[:, 0] > 0))


def _masked(signal: Signal, known: Any) -> Signal:
    return Signal(*(np.where(known, part, np.nan) for part in (signal.level, signal.bad, signal.strength, signal.n)))


_STATES: Final = 200
_LEAST_LIMIT: Final = 1e-4
_GREATEST_LIMIT: Final = 700.0  # the log of the longest run length that a floating-point number holds
_NEVER: Final = 1e-20
_ROUNDING: Final = 1e-9
_TINY: Final = 1e-300
_MOST: Final = 0.99  # a baseline beyond it has nowhere worse to go
_D2: Final = 1.128
"""The mean range of two standard normal values."""

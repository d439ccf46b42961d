"""A fall of a monthly figure below its own past, and how often so deep a one comes by chance.

A fall is how far the better one of the two newest months lies below the median of the twelve before them: one bad month
is none. Its depth is the mean of the two, the worse one counted as at most twice the better: a mean tells a fall from
chance sooner than the better month alone does. The depth is weighed by the spread of the twelve around their median,
1.4826 times their median absolute deviation (Hampel, The influence curve and its role in robust estimation, JASA 69,
1974). Of twelve months that is rough: it may well come out at two thirds of what it is, or a quarter more. So each is
shrunk towards the middle one of all series, by as much as series alike would differ in it (Efron and Morris, Data
analysis using Stein's estimator and its generalizations, JASA 70, 1975, on the logarithms): where all series scatter
alike they have one spread, where some scatter ten times as widely as others nearly their own.

What falls every year is no loss. Where two years are known, the same two months a year before are looked at, and where
three are, those of two years before as well. Only a month that lay deep below the level of its year in each of them, by
itself or with its neighbour, has a season, and its mean is what it is held against now; else it was chance and is left
out. That is an estimate after a preliminary test (Bancroft, On biases in estimation due to the use of preliminary tests
of significance, Annals of Mathematical Statistics 15, 1944). Without one every account has the seasons that its noise
drew, and factors that are mostly chance are better left at one (Miller and Williams, Shrinkage estimators of time
series seasonal factors and their effect on forecasting accuracy, International Journal of Forecasting 19, 2003): a loss
in months that happened to be low a year before would be found late. How deep is weighed by what the same month differs
by from one year to the next, since a season widens the spread around the median.

Null replay: where nothing changed, the newest months are like the twelve before them. So fourteen months are drawn from
the twelve of a series that is drawn too (Efron, Bootstrap methods: another look at the jackknife, Annals of Statistics
7, 1979), the newest two with what they were in the years before, and judged in the same way; p is how often that shows
a fall weighing as much (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 4.4). What a few
draws show to be common is drawn no more (Besag and Clifford, Sequential Monte Carlo p-values, Biometrika 78, 1991). A
series whose months scatter widely keeps its wide draws together, so heavy tails are those of the data.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = tuple[NDArray[np.int64], NDArray[np.int64]]

YEAR: Final = 12
NEWEST: Final = 2
"""The months that must all lie below those before them."""

NOISELESS: Final = 0.005
"""The spread of a figure that never moves: half a percent."""

_NORMAL: Final = 1.4826
_ROUGH: Final = 0.125
"""The variance of the logarithm of such a spread of twelve normal months."""

_WORSE: Final = 2.0
_YEARS: Final = 2
"""So many years before may show a season."""
_WHOLE: Final = 11
"""A year of which so many months are known says what its months were."""
_ALONE, _TOGETHER = 3.0, 2.0
"""So many spreads deep a month, and two together, were no chance a year before; in two years, each by a root less."""

_DRAWN, _FEWEST, _MOST = 20, 2_000, 400_000


@dataclass(frozen=True, slots=True)
class Falls:
    """How far series lie below their past. Arrays have the shape (series,) unless said otherwise; NaN is not known.

    Args:
        newest: the place of the newest known month; -1 without any.
        fall: of the better one of the newest months, as a part of the level, what the season explains left out.
        depth: the same of both.
        level: the median of the twelve months before the newest two.
        highest: the highest such median of the last year, which a fall that lasts does not pull down.
        since: how far the newest months lie below that, as a part of it.
        past: these months as parts of the level, shape (series, 12).
        before: what the same month one and two years before each of them was, as a part of the level of its own year,
            shape (series, 2, 12).
        scatter: the spread of single months, shrunk.
        noise: what of it is no season: the spread by which the same month differs from year to year, where it is known.
        spread: what a fall is weighed by: where a season is left out, the scatter of the years before comes on top.
    """

    newest: NDArray[np.int64]
    fall: Floats
    depth: Floats
    level: Floats
    highest: Floats
    since: Floats
    past: Floats
    before: Floats
    scatter: Floats
    noise: Floats
    spread: Floats

    def by_chance(self, which: NDArray[np.int64], least: float) -> Floats:
        """How often a fall that weighs as much comes by chance, for some of the series.

        Args:
            which: their places, shape (some,).
            least: the p that must be told from none: the less, the more is drawn.
        """
        size = int(np.clip(_DRAWN / least, _FEWEST, _MOST))
        few = max(size // _DRAWN, _FEWEST)
        found = self._replayed(which, few)
        # What some twenty of a few draws show is common, and not drawn again.
        if (rare := found < _DRAWN / few).any():
            found[rare] = self._replayed(which[rare], size)
        return found

    def _replayed(self, which: NDArray[np.int64], size: int) -> Floats:
        """The same from so many draws."""
        able = np.flatnonzero(np.isfinite(self.fall))
        dice = default_rng(size)
        one = able[dice.integers(len(able), size=size)]
        # The known ones first: NaN sorts last.
        order, count = np.argsort(self.past, axis=1), np.isfinite(self.past).sum(axis=1)
        months = np.take_along_axis(self.past, order, axis=1)
        before = np.take_along_axis(self.before, order[:, None, :], axis=2)
        weight = self.depth[which] / self.spread[which] * (1 - 1e-9)

        def places(series: NDArray[np.int64], times: int) -> Places:
            return series[:, None], (dice.random((len(series), times)) * count[series, None]).astype(np.int64)

        # No level lies above a series' best month, and a season only makes a fall lighter: few draws can weigh enough,
        # and the others need no past.
        at = places(one, NEWEST)
        best = np.nan_to_num(months).max(axis=1)
        heavy = _weight(months[at], best[one], self.scatter[one]) >= weight.min()
        one, at = one[heavy], (at[0][heavy], at[1][heavy])
        # What is drawn as newest has its own season: a month that is low every year is no fall here either.
        then = np.moveaxis(before[at[0], :, at[1]], 2, 1)
        season, wider = _season(then, self.noise[one])
        newest = _against(months[at], season)
        weights = np.sort(_weight(newest, np.median(months[places(one, YEAR)], axis=1), self.scatter[one] * wider))
        beyond = len(weights) - np.searchsorted(weights, weight)
        return np.asarray((1 + beyond) / (1 + size), dtype=np.float64)


def falls(months: Floats, min_n: int) -> Falls:
    """The falls of series.

    Args:
        months: shape (series, months), oldest first; NaN is not known. Those after the newest known one are left out.
        min_n: how many of the twelve months before the newest two must be known.
    """
    known = np.isfinite(months)
    width = months.shape[1]
    newest = np.where(known.any(axis=1), width - 1 - np.argmax(known[:, ::-1], axis=1), -1)
    back = (1 + _YEARS) * YEAR + NEWEST
    padded = np.pad(months, ((0, 0), (back, 0)), constant_values=np.nan)
    line = np.take_along_axis(padded, newest[:, None] + 1 + np.arange(back), axis=1)
    before, now = line[:, -NEWEST - YEAR : -NEWEST], line[:, -NEWEST:]
    level = _median(before)
    level = np.where((np.isfinite(before).sum(axis=1) >= min_n) & (level > 0), level, np.nan)
    past = before / level[:, None]
    own = np.maximum(_NORMAL * _median(np.abs(past - 1)), NOISELESS)
    able = np.isfinite(level) & np.isfinite(now).all(axis=1)
    scatter, then = _shrunk(own, able), _years_before(line)
    noise = _noise(past, then[:, :, :YEAR], scatter)
    season, wider = _season(then[:, :, YEAR:], noise)
    parts = _against(now / np.where(able, level, 1.0)[:, None], season)
    highest = np.fmax.reduce(
        [level, *(_median(line[:, -NEWEST - YEAR - past : -NEWEST - past]) for past in range(1, YEAR + 1))]
    )
    return Falls(
        newest,
        np.where(able, 1 - parts.max(axis=1), np.nan),
        np.where(able, _depth(parts), np.nan),
        level,
        highest,
        np.where(able, 1 - now.max(axis=1) / np.where(able, highest, 1.0), np.nan),
        past,
        then[:, :, :YEAR],
        scatter,
        noise,
        scatter * wider,
    )


def _depth(parts: Floats) -> Floats:
    """How far two months lie below what is expected, both as parts of it: shape (series, 2)."""
    better, worse = 1 - parts.max(axis=1), 1 - parts.min(axis=1)
    return np.asarray((better + np.minimum(worse, _WORSE * np.maximum(better, 0.0))) / 2, dtype=np.float64)


def _weight(newest: Floats, level: Floats, spread: Floats) -> Floats:
    """What the fall of two months below a level weighs; none where the level is nothing."""
    # A series that is mostly nothing has draws that are all nothing.
    parts = newest / np.where(level > 0, level, 1.0)[:, None]
    return np.asarray(np.where(level > 0, _depth(parts), 0.0) / spread, dtype=np.float64)


def _shrunk(own: Floats, able: NDArray[np.bool_]) -> Floats:
    """The spreads of series, nearer to the middle one by what is chance in their differences."""
    if not able.any():
        return own
    logs = np.log(own)
    middle, truly = np.median(logs[able]), max(float(np.var(logs[able])) - _ROUGH, 0.0)
    return np.asarray(np.exp(middle + truly / (truly + _ROUGH) * (logs - middle)), dtype=np.float64)


def _years_before(line: Floats) -> Floats:
    """What the months of the newest fourteen were in each year before, as parts of its level: (series, years, 14)."""
    found = np.full((len(line), _YEARS, YEAR + NEWEST), np.nan)
    for year in range(_YEARS):
        start = (_YEARS - 1 - year) * YEAR
        level = _median(line[:, start : start + YEAR])
        whole = (np.isfinite(line[:, start : start + YEAR]).sum(axis=1) >= _WHOLE) & (level > 0)
        found[whole, year] = line[whole, start : start + YEAR + NEWEST] / level[whole, None]
    return found


def _noise(past: Floats, before: Floats, scatter: Floats) -> Floats:
    """How widely months scatter that have their season in common: by their differences from one year to the next."""
    differences = np.diff(np.concatenate((past[:, None], before), axis=1), axis=1).reshape(len(past), _YEARS * YEAR)
    own = np.maximum(_NORMAL / 2**0.5 * _median(np.abs(differences)), NOISELESS)
    known = np.isfinite(own) & np.isfinite(scatter)
    return np.where(known, _shrunk(np.where(known, own, 1.0), known), scatter)


def _season(then: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """What a season leaves of the level in each of two months, and how much wider what is held against it scatters.

    Args:
        then: what they were in the years before, as parts of the level of each: shape (series, years, 2).
        noise: by which single months scatter, shape (series,).

    Returns:
        Shapes (series, 2) and (series,); one where there is no season.
    """
    known = np.isfinite(then)
    years = np.maximum(known.sum(axis=1), 1)
    chance = noise[:, None] / np.sqrt(years)
    alone = then <= 1 - _ALONE * chance[:, None]
    deep = _depth(np.where(known, then, 1.0).reshape(-1, NEWEST)).reshape(known.shape[:2])
    low = alone | (deep >= _TOGETHER * chance.max(axis=1, keepdims=True))[:, :, None]
    every = (low | ~known).all(axis=1) & known.any(axis=1)
    mean = np.where(known, then, 0.0).sum(axis=1) / years
    return np.where(every, mean, 1.0), np.sqrt(1 + (every / years).mean(axis=1))


def _against(newest: Floats, season: Floats) -> Floats:
    """Months as parts of what a season leaves of them; where it leaves nothing, nothing can fall."""
    return np.asarray(
        np.where(season > 0, newest / np.where(season > 0, season, 1.0), np.maximum(newest, 1.0)), dtype=np.float64
    )


def _median(lines: Floats) -> Floats:
    """Of what is known in each row; NaN where nothing is."""
    some = np.isfinite(lines).any(axis=1)
    found = np.full(len(lines), np.nan)
    found[some] = np.nanmedian(lines[some], axis=1)
    return found

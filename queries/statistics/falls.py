"""A fall of a monthly figure below its own past, and how often so deep a one comes by chance.

A fall is how far the better one of the two newest months lies below the median of the twelve before them: one bad month
is none. Its depth is the mean of the two, the worse one counted as at most twice the better: a mean tells a fall from
chance sooner than the better month alone does. The depth is weighed by the spread of the twelve around their median,
1.4826 times their median absolute deviation (Hampel, The influence curve and its role in robust estimation, JASA 69,
1974). Of twelve months that is rough: it may well come out at two thirds of what it is, or a quarter more. So each is
shrunk towards the middle one of all series, by as much as series alike would differ in it (Efron and Morris, Data
analysis using Stein's estimator and its generalizations, JASA 70, 1975, on the logarithms): where all series scatter
alike they have one spread, where some scatter ten times as widely as others nearly their own. Where two years are
known, the same two months a year before say how deep a fall the season explains.

Null replay: where nothing changed, the newest months are like the twelve before them. So fourteen months are drawn from
the twelve of a series that is drawn too (Efron, Bootstrap methods: another look at the jackknife, Annals of Statistics
7, 1979), the newest two with what they were a year before, and judged in the same way; p is how often that shows a fall
weighing as much (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 4.4). A series whose
months scatter widely keeps its wide draws together, so heavy tails are those of the data.
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
_SEASON: Final = 24
_SEASONAL: Final = 2.0
"""So many spreads below the level the same months of the year before were no chance."""

_FEWEST, _MOST = 2_000, 400_000


@dataclass(frozen=True, slots=True)
class Falls:
    """How far series lie below their past. Arrays have the shape (series,) or (series, 12); NaN is not known.

    Args:
        newest: the place of the newest known month; -1 without any.
        fall: of the better one of the newest months, as a part of the level, what the season explains left out.
        depth: the same of both.
        level: the median of the twelve months before the newest two.
        highest: the highest such median of the last year, which a fall that lasts does not pull down.
        since: how far the newest months lie below that, as a part of it.
        past: these months as parts of the level.
        before: what the same month a year before each of them was, as a part of the twelve months then; 1 is not known.
        season: what the season leaves of the level in the newest two months.
        spread: what a fall is weighed by; where a season is left out, the scatter of the year before comes on top.
    """

    newest: NDArray[np.int64]
    fall: Floats
    depth: Floats
    level: Floats
    highest: Floats
    since: Floats
    past: Floats
    before: Floats
    season: Floats
    spread: Floats

    def by_chance(self, which: NDArray[np.int64], least: float) -> Floats:
        """How often a fall that weighs as much comes by chance, for some of the series.

        Args:
            which: their places, shape (some,).
            least: the p that must be told from none: the less, the more is drawn.
        """
        able = np.flatnonzero(np.isfinite(self.fall))
        size = int(np.clip(20 / least, _FEWEST, _MOST))
        dice = default_rng(size)
        one = able[dice.integers(len(able), size=size)]
        # The known ones first: NaN sorts last.
        order, count = np.argsort(self.past, axis=1), np.isfinite(self.past).sum(axis=1)
        months, before = (np.take_along_axis(held, order, axis=1) for held in (self.past, self.before))
        spread = _widened(self.spread, self.season)
        weight = self.depth[which] / spread[which] * (1 - 1e-9)

        def places(series: NDArray[np.int64], times: int) -> Places:
            return series[:, None], (dice.random((len(series), times)) * count[series, None]).astype(np.int64)

        # What is drawn as newest has its own season: a month that is low every year is no fall here either.
        at = places(one, NEWEST)
        season = _explained(before[at])
        newest, spread = months[at] / season[:, None], _widened(self.spread[one], season)
        # No level lies above a series' best month: few draws can weigh enough, and the others need no past.
        best = np.nan_to_num(months).max(axis=1)
        heavy = _weight(newest, best[one], spread) >= weight.min()
        one, newest, spread = one[heavy], newest[heavy], spread[heavy]
        weights = np.sort(_weight(newest, np.median(months[places(one, YEAR)], axis=1), spread))
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
    back = 2 * YEAR + NEWEST
    padded = np.pad(months, ((0, 0), (back, 0)), constant_values=np.nan)
    line = np.take_along_axis(padded, newest[:, None] + 1 + np.arange(back), axis=1)
    before, now = line[:, YEAR:-NEWEST], line[:, -NEWEST:].max(axis=1)
    level = _median(before)
    level = np.where((np.isfinite(before).sum(axis=1) >= min_n) & (level > 0), level, np.nan)
    past = before / level[:, None]
    own = np.maximum(_NORMAL * _median(np.abs(past - 1)), NOISELESS)
    able = np.isfinite(level) & np.isfinite(now)
    season = _season(line)
    expected = np.where(able, level, 1.0) * season
    highest = np.fmax.reduce([level, *(_median(line[:, start : start + YEAR]) for start in range(YEAR))])
    return Falls(
        newest,
        np.where(able, 1 - now / expected, np.nan),
        np.where(able, _depth(line[:, -NEWEST:] / expected[:, None]), np.nan),
        level,
        highest,
        np.where(able, 1 - now / np.where(able, highest, 1.0), np.nan),
        past,
        _seasons(line),
        season,
        _shrunk(own, able),
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


def _widened(spread: Floats, season: Floats) -> Floats:
    """The spread of what is held against a season as well: of two figures that scatter alike, where that is one."""
    return np.asarray(np.where(season < 1 - _SEASONAL * spread, 2**0.5, 1.0) * spread, dtype=np.float64)


def _shrunk(own: Floats, able: NDArray[np.bool_]) -> Floats:
    """The spreads of series, nearer to the middle one by what is chance in their differences."""
    if not able.any():
        return own
    logs = np.log(own)
    middle, truly = np.median(logs[able]), max(float(np.var(logs[able])) - _ROUGH, 0.0)
    return np.asarray(np.exp(middle + truly / (truly + _ROUGH) * (logs - middle)), dtype=np.float64)


def _season(line: Floats) -> Floats:
    """What the same two months were a year before, as a part of the twelve before them; never more than the level."""
    then, middle = line[:, YEAR : YEAR + NEWEST], _median(line[:, :YEAR])
    return _explained(_parts(then, middle, line))


def _seasons(line: Floats) -> Floats:
    """What the same month a year before each of the twelve was, as a part of the twelve then: shape (series, 12)."""
    part = _parts(line[:, :YEAR], _median(line[:, :YEAR]), line)
    return np.where(np.isfinite(part), part, 1.0)


def _parts(months: Floats, middle: Floats, line: Floats) -> Floats:
    """Months as parts of a middle, 1 where fewer than two years are known."""
    known = (np.isfinite(line).sum(axis=1) >= _SEASON) & (middle > 0)
    return np.where(known[:, None], months / np.where(known, middle, 1.0)[:, None], 1.0)


def _explained(then: Floats) -> Floats:
    """What a season leaves of the level in two months that were such parts of it a year before: shape (series,)."""
    part = then.max(axis=1)
    return np.clip(np.where(np.isfinite(part), part, 1.0), 1e-9, 1.0)


def _median(lines: Floats) -> Floats:
    """Of what is known in each row; NaN where nothing is."""
    some = np.isfinite(lines).any(axis=1)
    found = np.full(len(lines), np.nan)
    found[some] = np.nanmedian(lines[some], axis=1)
    return found

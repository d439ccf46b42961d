"""What has fallen silent: an account against its own rhythm, a survey against its cadence, a source against a limit.

The rhythm of a unit is the gaps, in days, between its signal days. Customers come in bursts: within a journey they are
heard of every other day, then for weeks not at all. Taken for one exponential law such gaps raise up to a hundred times
the false alarms declared. So a silence is judged by how far the longest gaps reach beyond a threshold (Coles, An
Introduction to Statistical Modeling of Extreme Values, 2001, chapter 4). With k gaps, m of them up to the threshold r
and j beyond it, by T days in all, a silence of x days has

    p = (k - m + 1) / (k + 1) * (1 + (x - r - 1) / T) ** (-(j - 1) / d)

The first factor is how often one more gap lies beyond the m-th of k, whatever their law. The second is the predictive
law of one more exponential excess (Lomax: Lawless and Fredette, Frequentist prediction intervals and predictive
distributions, Biometrika 92, 2005), held back three times: a day, since days are whole; one of the j excesses, since
their spread is estimated too; and d, their squared coefficient of variation without its bias, (j + 1) / (j - 1), where
it is above the 1 of an exponential law. The largest p of three thresholds counts, so that bursts within bursts need not
be told apart: the middle gap, the upper quartile, and all but the longest sqrt(k).

Measured on made-up customers that never change, looked at weekly with a window of a year (60 of each kind, 20 draws,
three years, 241 false alarms declared): steady ones raised 0 to 24, those that come in bursts 14 to 150. Customers of
some seven bursts a year, of eight contacts each, raised up to a third more than declared where alpha was 1e-4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from queries.metrics import Ints
from queries.monitoring.activity import Signals

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Number = TypeVar("Number", np.int64, np.float64)

DAYS_A_YEAR: Final = 365.25


@dataclass(frozen=True, slots=True)
class Silences:
    """How long every unit had been silent at every slot. All arrays but `units` have the shape (slots, units).

    Args:
        units: what is listened to, as in the signals.
        n: signal days in the window before the slot.
        silent: days from the last signal day before the slot to the slot; NaN before the first one.
        expected: the middle gap of the unit's rhythm, in days; NaN where there is no gap to learn from.
        p: how often a silence lasts at least so long by chance, 0..1; NaN where there is no gap to learn from. It only
            falls while a silence lasts.
    """

    units: tuple[str, ...]
    n: Ints
    silent: Floats
    expected: Floats
    p: Floats


@dataclass(frozen=True, slots=True)
class Delays:
    """How long every unit had been silent against a fixed limit. Matrices have the shape (slots, units).

    Args:
        units: what is listened to, as in the signals.
        silent: days from the last signal day before the slot to the slot; NaN before the first one.
        allowed: the days each unit may be silent, shape (units,); NaN where nobody said.
        late: whether the unit was silent for longer; False where either is unknown.
    """

    units: tuple[str, ...]
    silent: Floats
    allowed: Floats
    late: Bools


def unit_silences(signals: Signals, slots: Ints, window_days: int) -> Silences:
    """Every unit's silence at every slot, judged by the gaps of the `window_days` up to its last signal.

    Args:
        signals: signal days by unit.
        slots: ordinals of days, shape (slots,); a slot knows the signals of the days before it and no others.
        window_days: the days up to its last signal from which a unit's rhythm is learnt, and before the slot for `n`.
    """
    line, slot = _Line.of(signals), _column(slots)
    end = line.first_since(slot)
    heard = end > line.starts
    last = line.days[end - 1]
    begin = line.first_since(np.where(heard, last - window_days, slot))
    gaps = np.where(heard, end - 1 - begin, 0)
    silent = np.where(heard, slot - last, np.nan)
    n = end - line.first_since(np.broadcast_to(slot - window_days, end.shape))
    upper = _upper(line.gaps, begin, gaps)
    known = gaps > 0
    p, middle = by_chance(silent, gaps, upper).max(axis=0), upper.threshold[0]
    return Silences(signals.units, n, silent, np.where(known, middle, np.nan), np.where(known, p, np.nan))


def alpha_of(false_alarms_per_year: float, signals: Signals, until_day: int) -> float:
    """The p at or below which a silence is an incident, so that at most the declared number a year comes by chance.

    Each signal day begins a silence, and each silence is one chance, however often it is looked at: its p only falls
    until it ends. So alpha is the declared number over the silences begun a year, by all units.

    Args:
        false_alarms_per_year: over all units.
        signals: signal days by unit.
        until_day: the ordinal before which signals are known; silences of the 365 days before it are counted, or of as
            many as there are.
    """
    known = signals.day[signals.day < until_day]
    if not len(known):
        return min(1.0, false_alarms_per_year)
    days = min(DAYS_A_YEAR, float(until_day - known.min()))
    begun = np.count_nonzero(known >= until_day - days) * DAYS_A_YEAR / days
    return float(min(1.0, false_alarms_per_year / begun))


def overdue_instruments(signals: Signals, cadences: Mapping[str, timedelta], grace: timedelta, slots: Ints) -> Delays:
    """Instruments that were not sent for longer than their cadence and `grace`; without a cadence none is late."""
    limits = [
        (cadences[unit] + grace).total_seconds() / 86400 if unit in cadences else np.nan for unit in signals.units
    ]
    return _delays(signals, np.array(limits, dtype=np.float64), slots)


def stale(signals: Signals, longest: timedelta, slots: Ints) -> Delays:
    """Sources of which nothing was heard for longer than `longest`."""
    return _delays(signals, np.full(len(signals.units), longest.total_seconds() / 86400), slots)


def _delays(signals: Signals, allowed: Floats, slots: Ints) -> Delays:
    line, slot = _Line.of(signals), _column(slots)
    end = line.first_since(slot)
    silent = np.where(end > line.starts, slot - line.days[end - 1], np.nan)
    return Delays(signals.units, silent, allowed, silent > allowed)


def _column(slots: Ints) -> Ints:
    return np.asarray(slots, dtype=np.int64)[:, None]


@dataclass(frozen=True, slots=True)
class _Line:
    """The signal days of all units one after the other.

    Args:
        days: ordinals, and one more at the end so that an empty line has a place -1.
        gaps: from each signal day to the next one; between two units it means nothing.
        keys: increasing over the units.
        starts: where each unit begins, shape (units,).
        floor: the day that every unit's keys begin with.
        span: the keys of a unit.
    """

    days: Ints
    gaps: Ints
    keys: Ints
    starts: Ints
    floor: int
    span: int

    @classmethod
    def of(cls, signals: Signals) -> "_Line":
        day = signals.day
        floor, top = (int(day.min()), int(day.max())) if len(day) else (0, 0)
        span = top - floor + 2
        starts = np.searchsorted(signals.unit, np.arange(len(signals.units)))
        keys = signals.unit * span + (day - floor)
        gaps = np.clip(np.diff(day, append=0), 0, None)
        return cls(np.append(day, 0), gaps, keys, starts.astype(np.int64), floor, span)

    def first_since(self, day: Ints) -> Ints:
        """The place of each unit's first signal from a day on, shape (slots, units); its end where there is none."""
        key = np.arange(len(self.starts)) * self.span + np.clip(day - self.floor, 0, self.span - 1)
        return np.searchsorted(self.keys, key).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Upper:
    """The gaps beyond a threshold. Arrays have the shape (thresholds, slots, units).

    Args:
        rank: how many gaps count as within the threshold: the threshold is the gap of this rank.
        threshold: in days.
        count: gaps beyond it.
        total: days by which they are beyond it, added up.
        squares: the squares of these, added up.
    """

    rank: Ints
    threshold: Ints
    count: Ints
    total: Floats
    squares: Floats


def by_chance(silent: Floats, gaps: Ints, upper: Upper) -> Floats:
    """The p of silences by each threshold, shape (thresholds, slots, units); 1 for those within the threshold."""
    beyond = silent - upper.threshold
    share = (gaps - upper.rank + 1) / (gaps + 1)
    total = np.maximum(upper.total, 1)
    fewer = np.maximum(upper.count - 1, 1)
    scattered = np.maximum(1, (upper.squares * upper.count / total**2 - 1) * (upper.count + 1) / fewer)
    longer = np.exp(-fewer / scattered * np.log1p(np.maximum(beyond - 1, 0) / total))
    return np.where(beyond > 0, share * longer, 1.0)


def _ranks(gaps: Ints) -> Ints:
    """The ranks of the three thresholds, at least 1."""
    longest = gaps - np.ceil(np.sqrt(gaps)).astype(np.int64)
    return np.maximum(np.stack(((gaps + 1) // 2, (3 * gaps + 3) // 4, longest)), 1)


def _upper(values: Ints, begin: Ints, gaps: Ints) -> Upper:
    """The upper parts of values[begin : begin + gaps], for each of many ranges.

    One descent through the bits of a wavelet matrix (Claude, Navarro and Ordonez, The wavelet matrix, Information
    Systems 47, 2015): at each bit the values are split stably into those without and with it, and every range follows
    the half that holds its rank. The cost is bits * (values + ranges), whatever the ranges' length.
    """
    rank = _ranks(gaps)
    place, low, high = rank - 1, np.broadcast_to(begin, rank.shape), np.broadcast_to(begin + gaps, rank.shape)
    threshold, count = np.zeros_like(rank), np.zeros_like(rank)
    total, squares = np.zeros(rank.shape), np.zeros(rank.shape)
    for bit in reversed(range(int(values.max(initial=0)).bit_length())):
        level = _Level.of(values, bit)
        low0, high0 = level.without[low], level.without[high]
        is_high = place >= high0 - low0
        count += np.where(is_high, 0, high - low - high0 + low0)
        total += np.where(is_high, 0, level.total[high] - level.total[low])
        squares += np.where(is_high, 0, level.squares[high] - level.squares[low])
        place = np.where(is_high, place - high0 + low0, place)
        zeros = level.without[-1]
        low, high = np.where(is_high, zeros + low - low0, low0), np.where(is_high, zeros + high - high0, high0)
        threshold += is_high.astype(np.int64) << bit
        values = level.values
    # The sums of the gaps beyond the threshold as sums of what they have beyond it.
    excess = total - count * threshold
    return Upper(rank, threshold, count, excess, squares - threshold * (2 * total - count * threshold))


@dataclass(frozen=True, slots=True)
class _Level:
    """One bit of a wavelet matrix: running sums before the split, each with a leading 0, and the values after it."""

    without: Ints
    total: Floats
    squares: Floats
    values: Ints

    @classmethod
    def of(cls, values: Ints, bit: int) -> "_Level":
        has = (values >> bit & 1).astype(np.bool_)
        those = np.where(has, values, 0).astype(np.float64)
        split = np.concatenate((values[~has], values[has]))
        return cls(_running((~has).astype(np.int64)), _running(those), _running(those**2), split)


def _running(values: NDArray[Number]) -> NDArray[Number]:
    return np.concatenate((np.zeros(1, dtype=values.dtype), np.cumsum(values)))

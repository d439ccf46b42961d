"""Seeded draws, whole arrays at a time, and the time they cover with the rhythm of its week.

Everything is drawn in even time, counted in days back from the end, and then bent to a week in which most happens on
business days between 8 and 18 h. The bend is the same in every week and keeps the order of events, so rates do not
depend on it.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

STREAMS: Final = ("company", "journey", "contact", "survey", "defect", "desk", "relationship")

SHARES: Final = {
    "nps": (0.01, 0.01, 0.01, 0.015, 0.025, 0.05, 0.06, 0.14, 0.20, 0.26, 0.22),
    "csat": (0.03, 0.04, 0.07, 0.36, 0.50),
    "ces": (0.03, 0.04, 0.06, 0.12, 0.25, 0.28, 0.22),
    "emotion": (0.04, 0.10, 0.36, 0.35, 0.15),
    "expectation": (0.16, 0.66, 0.18),
}
"""Share of each score where nothing special happens, lowest score first."""


def stream(seed: int, name: str, chunk: int = 0) -> Generator:
    """The draws of one subject in one chunk: independent of every other subject and chunk."""
    return np.random.default_rng([seed, STREAMS.index(name), chunk])


def hashed(numbers: Ints, seed: int, salt: int) -> Floats:
    """Uniform draws in [0, 1) that belong to numbers, so that a row can ask for another row's draw (splitmix64)."""
    x = numbers.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15 + salt * 0xD1B54A32D192ED03) % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = (x + np.uint64(0x9E3779B97F4A7C15)) ^ (x >> np.uint64(31))
    x = (x ^ (x >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return (x >> np.uint64(11)).astype(np.float64) / 2.0**53


def hashed_normal(numbers: Ints, seed: int, salt: int) -> Floats:
    """Standard normal draws that belong to numbers (Box and Muller); they use up `salt` and the one after it."""
    radius = np.sqrt(-2 * np.log1p(-hashed(numbers, seed, salt)))
    return np.asarray(radius * np.cos(2 * np.pi * hashed(numbers, seed, salt + 1)))


def pick(weights: ArrayLike, uniform: Floats) -> Ints:
    """The index that each uniform draw falls on, in proportion to `weights`."""
    edges = np.cumsum(np.asarray(weights, dtype=np.float64))
    return np.searchsorted(edges[:-1] / edges[-1], uniform, side="right").astype(np.int64)


def pick_rows(weights: Floats, rows: Ints, uniform: Floats) -> Ints:
    """As `pick`, with the weights that stand in row `rows[i]` of a small table for draw i."""
    edges = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
    index = np.zeros(len(rows), dtype=np.int64)
    for column in range(weights.shape[1] - 1):
        index += uniform >= edges[rows, column]
    return index


def levels(rng: Generator, scale: str, shift: Floats, spread: Floats | float = 1.0) -> Ints:
    """Scores from 0 up: a normal satisfaction with mean `shift`, cut so that shift 0 gives the shares of `scale`.

    Where part of what scatters is in `shift` already, `spread` is what remains.
    """
    edges = [NormalDist().inv_cdf(share) for share in np.cumsum(SHARES[scale])[:-1].tolist()]
    return np.searchsorted(edges, shift + spread * rng.standard_normal(len(shift)), side="right").astype(np.int64)


SECOND: Final = 1_000_000
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
QUARTER: Final = 91 * DAY
MONTHS: Final = 24
BOOKED: Final = 40
"""Months that the books of revenue go back: two years before the first fall that a season explains."""
NEVER: Final = np.int64(2**62)
"""An instant after every end."""
WARM_UP: Final = 115
"""Days before the first month in which journeys may start that are still running when it begins."""
HORIZON: Final = 761 + WARM_UP
"""Days drawn: 24 months and a part of one are at most 761. It never varies, so another end only shifts the draws."""

_MONDAY: Final = 4 * DAY  # 1970-01-05
_WORK: Final = 0.16  # of the week's events, on each of five business days between 8 and 18 h


# What each stretch of the working week holds: before work, at work, and so on from Monday to Friday.
_EDGES: Final = np.array([day * 24 + hour for day in range(5) for hour in (8, 18)], dtype=np.float64)
_STRETCHES: Final = np.diff(_EDGES, prepend=0.0) * ((1 - 5 * _WORK) / (7 * 24 - 50))
_STRETCHES[1::2] = _WORK
_CLOCK: Final[Floats] = np.array([0.0, *_EDGES, 168.0]) * HOUR
_SHARE: Final[Floats] = np.array([0.0, *np.cumsum(_STRETCHES), 1.0])


def bent(even: ArrayLike) -> Ints:
    """Calendar instants (microseconds, on whole seconds) of instants in even time."""
    week, part = np.divmod(np.asarray(even, dtype=np.float64) - _MONDAY, WEEK)
    at = week * WEEK + _MONDAY + np.interp(part / WEEK, _SHARE, _CLOCK)
    return (at // SECOND).astype(np.int64) * SECOND


def straight(instant: int) -> float:
    """The even time of a calendar instant: the inverse of `bent`."""
    week, part = divmod(float(instant - _MONDAY), float(WEEK))
    return week * WEEK + _MONDAY + float(np.interp(part, _CLOCK, _SHARE)) * WEEK


def first_moment(day: date) -> int:
    """Microseconds since 1970 at the day's first moment, UTC."""
    return (day - date(1970, 1, 1)).days * DAY


def month(end: date, offset: int) -> date:
    """The first day of a month counted from the one that holds `end`: -1 is the last full month, -24 the first."""
    count = end.year * 12 + end.month - 1 + offset
    return date(count // 12, count % 12 + 1, 1)


@dataclass(frozen=True, slots=True)
class Timeline:
    """From the first of 24 full months up to, and without, `end`."""

    end: date

    @property
    def stop(self) -> int:
        return first_moment(self.end)

    @property
    def first(self) -> int:
        return self.month(-MONTHS)

    def month(self, offset: int, days: int = 0) -> int:
        """The instant at which the month, or a day counted from its first, begins."""
        return first_moment(month(self.end, offset) + timedelta(days=days))

    def even(self, days_back: Floats) -> Floats:
        """Even time so many days before the end."""
        return straight(self.stop) - days_back * DAY

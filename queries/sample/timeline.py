"""The time the sample covers, and the rhythm of its week.

Everything is drawn in even time, counted in days back from the end, and then bent to a week in which most happens on
working days between 8 and 18 h. The bend is the same in every week and keeps the order of events, so rates do not
depend on it.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from queries.sample.random_draws import Floats, Ints

SECOND: Final = 1_000_000
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
MONTHS: Final = 24
NEVER: Final = np.int64(2**62)
"""An instant after every end."""
WARM_UP: Final = 115
"""Days before the first month in which journeys may start that are still running when it begins."""
HORIZON: Final = 761 + WARM_UP
"""Days drawn: 24 months and a part of one are at most 761. It never varies, so another end only shifts the draws."""

_MONDAY: Final = 4 * DAY  # 1970-01-05
_WORK: Final = 0.16  # of the week's events, on each of five working days between 8 and 18 h


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

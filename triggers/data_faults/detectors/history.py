"""A profile up to a day, and how far back from it a change still concerns a window."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np

from queries.monitoring.row_profiles import Profile
from queries.statistics.estimates import Floats
from triggers.data_faults.detectors.fault import DataFault, Kind, Names

BASELINE_WEEKS: Final = 26
"""So long before a window a change still matters to what the window is compared with."""

_HISTORY: Final = 60  # weeks looked at before the baseline
_LEAST_WEEKS: Final = 8


@dataclass(frozen=True, slots=True)
class RowHistory:
    """What a detector is given.

    Args:
        profile: of one table.
        end: the place of the first day that is not read.
        concern: the first place that concerns the window or its baseline.
        weeks: how many weeks before the end are looked at.
    """

    profile: Profile
    end: int
    concern: int
    weeks: int

    def day(self, place: int) -> date:
        return self.profile.first + timedelta(days=place)

    def place(self, day: date) -> int:
        return (day - self.profile.first).days

    @property
    def until(self) -> date:
        return self.day(self.end)

    def week(self, number: int) -> int:
        """The place of a week's first day; weeks count up to the one that ends the look."""
        return self.end - 7 * (self.weeks - number)

    def weekly(self, counts: Floats) -> Floats:
        """Sums by week: shape (weeks, ...)."""
        part = counts[self.week(0) : self.end]
        return np.asarray(part.reshape(self.weeks, 7, *counts.shape[1:]).sum(axis=1), dtype=np.float64)

    @property
    def concerned(self) -> int:
        """The first week that concerns the window or its baseline."""
        return max(0, (self.concern - self.week(0)) // 7)

    def found(self, kind: Kind, names: Names, since: int, reason: str, until: int | None = None) -> DataFault:
        """The artefact that spoils the rows `names` from one place up to another, or up to the end."""
        end = self.end if until is None else until
        return DataFault(kind, self.profile.table, names, self.day(since), self.day(end), reason)


def row_history(profile: Profile, since: date, until: date) -> RowHistory | None:
    """What there is to see for the window [since, until); None where there are too few weeks to tell anything."""
    end = min((until - profile.first).days, profile.days)
    concern = max((since - profile.first).days - 7 * BASELINE_WEEKS, 0)
    weeks = min(end // 7, (end - concern) // 7 + _HISTORY)
    return RowHistory(profile, end, concern, weeks) if weeks >= _LEAST_WEEKS else None

"""Time zones as SQL: instants to naive UTC, and instants to days.

DuckDB's own `AT TIME ZONE` costs 0.5 s a million rows. A zone has few changes of its offset, so a decision tree over
them does the same ten times as fast, and with the zone data that Python has: the same on every machine.
"""

from bisect import bisect
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from config.errors import EarshotError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2100, 1, 1, tzinfo=UTC)
_STRIDE: Final = timedelta(days=7)
_SECOND: Final = timedelta(seconds=1)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class OffsetChange:
    """From `at` (UTC) on, local time is UTC plus `after`; before it was UTC plus `before`."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def wall(self) -> datetime:
        """The first local time that is read with the new offset.

        A time that occurs twice is the earlier of the two; one that the clocks skipped is read as if they had not yet.
        """
        return self.at + max(self.before, self.after)

    @property
    def other_wall(self) -> datetime:
        """The same where a time in doubt is read the other way."""
        return self.at + min(self.before, self.after)


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone between 1970 and 2100; outside, the first and the last offset hold."""

    name: str
    first: timedelta
    changes: tuple[OffsetChange, ...]

    def utc(self, local: str, *, other: bool = False) -> str:
        """SQL that turns the naive local TIMESTAMP column `local` into naive UTC; `other`: see `other_wall`."""
        if not self.changes and not self.first:
            return local
        offset = self._offset(local, tuple(c.other_wall if other else c.wall for c in self.changes))
        return f"system.main.make_timestamp(epoch_us({local}) - {offset})"

    def day(self, utc: str) -> str:
        """SQL of the local date of the naive UTC TIMESTAMP column `utc`."""
        if not self.changes and not self.first:
            return f"cast({utc} as date)"
        offset = self._offset(utc, tuple(c.at for c in self.changes))
        return f"cast(system.main.make_timestamp(epoch_us({utc}) + {offset}) as date)"

    def offsets(self, utc: Any) -> Any:
        """Local time less UTC, in microseconds, of an array of microseconds since 1970 in UTC."""
        limits = [(change.at - _EPOCH) // _MICROSECOND for change in self.changes]
        after = [offset // _MICROSECOND for offset in (self.first, *(change.after for change in self.changes))]
        return np.array(after)[np.searchsorted(limits, utc, side="right")]

    def _offset(self, column: str, limits: tuple[datetime, ...]) -> str:
        return _tree(column, limits, (self.first, *(c.after for c in self.changes)))


def _tree(column: str, limits: tuple[datetime, ...], offsets: tuple[timedelta, ...]) -> str:
    """Nested CASEs that find the offset (microseconds) in as few comparisons as a binary search."""
    if not limits:
        return str(offsets[0] // timedelta(microseconds=1))
    middle = len(limits) // 2
    before = _tree(column, limits[:middle], offsets[: middle + 1])
    after = _tree(column, limits[middle + 1 :], offsets[middle + 1 :])
    return f"case when {column} < timestamp '{limits[middle]:%Y-%m-%d %H:%M:%S}' then {before} else {after} end"


@lru_cache(maxsize=16)
def zone(name: str) -> Zone:
    """The zone of that IANA name.

    Raises:
        EarshotError: there is no such zone.
    """
    try:
        info = ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise EarshotError(f"{name!r} is no time zone; write an IANA name such as 'Europe/Berlin' or 'UTC'") from None
    changes = []
    for week in range((_LAST - _EPOCH) // _STRIDE):
        start = _EPOCH + week * _STRIDE
        before, after = _offset_at(info, start), _offset_at(info, start + _STRIDE)
        if before != after:
            seconds = range(_STRIDE // _SECOND)
            second = bisect(seconds, 0, key=lambda s: int(_offset_at(info, start + s * _SECOND) != before))
            changes.append(OffsetChange(start + second * _SECOND, before, after))
    return Zone(name, _offset_at(info, _EPOCH), tuple(changes))


def _offset_at(info: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(info).utcoffset() or timedelta()

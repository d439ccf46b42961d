"""When a route is at work: business hours and days in its own time zone, and what "tomorrow" means there. Pure.

A day has as many hours as its zone gives it: hours are compared as instants, so a clock that is put forward or back, a
zone of half hours and hours over midnight need no case of their own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import count, takewhile
from typing import Final
from zoneinfo import ZoneInfo

from config.models import Catalog, Route

MORNING: Final = time(9)
DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Timetable:
    """A route's working time.

    Args:
        zone: in which its hours and days are.
        hours: from when to when; None is round the clock on every day.
        weekend: the days of the week off, Monday is 1.
        holidays: more days off.
    """

    zone: ZoneInfo
    hours: tuple[time, time] | None = None
    weekend: frozenset[int] = frozenset({6, 7})
    holidays: frozenset[date] = frozenset()

    def is_business_day(self, day: date) -> bool:
        """Whether anybody works on that day."""
        return day.isoweekday() not in self.weekend and day not in self.holidays

    def is_open(self, at: datetime) -> bool:
        """Whether the route is at work at an instant (aware)."""
        near = takewhile(lambda span: span[0] <= at, self._spans(at))
        return self.hours is None or any(at < end for _, end in near)

    def next_opening(self, at: datetime) -> datetime:
        """The first instant not before `at` (aware) at which the route is at work; `at` itself when it is."""
        if self.is_open(at):
            return at
        return next(start for start, _ in self._spans(at) if start >= at)

    def worked(self, since: datetime, until: datetime) -> str:
        """How much business time lies between two instants: in hours up to two days of it, else in business days."""
        days = 0
        day = self._today(since) + DAY
        while day <= self._today(until):
            days += self.is_business_day(day)
            day += DAY
        if self.hours is None or days > 2:
            return f"{days} business {'day' if days == 1 else 'days'}"
        spans = takewhile(lambda span: span[0] < until, self._spans(since))
        shares = (min(end, until) - max(start, since) for start, end in spans if end > since)
        hours = round(sum(shares, timedelta(0)) / timedelta(hours=1))
        return f"{hours} business {'hour' if hours == 1 else 'hours'}"

    def next_business_morning(self, at: datetime) -> datetime:
        """When work begins on the first business day after today: at its opening, or at 9:00."""
        day = self._today(at) + DAY
        while not self.is_business_day(day):
            day += DAY
        return local(self.zone, day, self.hours[0] if self.hours else MORNING)

    def tomorrow_morning(self, at: datetime) -> datetime:
        """9:00 tomorrow, business day or not."""
        return local(self.zone, self._today(at) + DAY, MORNING)

    def _today(self, at: datetime) -> date:
        return at.astimezone(self.zone).date()

    def _spans(self, at: datetime) -> Iterator[tuple[datetime, datetime]]:
        """From when to when it is at work, in order, from yesterday's on and without end."""
        opens, closes = self.hours or (MORNING, MORNING)
        for days in count(-1):
            day = self._today(at) + days * DAY
            if self.is_business_day(day):
                until = day if closes > opens else day + DAY
                yield local(self.zone, day, opens), local(self.zone, until, closes, is_last=True)


def local(zone: ZoneInfo, day: date, wall: time, *, is_last: bool = False) -> datetime:
    """The instant (UTC) at which clocks in `zone` show a time on a day.

    Where they show it twice it is the first, or the last with `is_last`; where they skip it, the moment of the skip.
    """
    first, second = (datetime.combine(day, wall, zone).replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    if first > second:  # the clock skips this time: PEP 495 puts fold 0 after the skip and fold 1 before it
        return _change(zone, second, first)
    return second if is_last else first


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The instant between two at which the zone's offset changes, to the second."""
    old = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def timetable(catalog: Catalog, route: Route, zone: ZoneInfo) -> Timetable:
    """A route's working time; `zone` is where it names none. The catalogue's weekend and holidays are everybody's."""
    holidays = frozenset((*catalog.calendar.holidays, *route.holidays))
    own = ZoneInfo(route.zone) if route.zone else zone
    return Timetable(own, route.hours, frozenset(catalog.calendar.weekend), holidays)

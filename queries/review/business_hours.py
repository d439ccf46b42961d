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
from queries.metrics import length_words

MORNING: Final = time(9)
DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Timetable:
    """A route's business time.

    Args:
        zone: in which its hours and days are.
        hours: from when to when; None is round the clock on every day.
        weekend: the days of the week off, Monday is 1.
        holidays: more days off.
        pauses: whether what is due waits for business time to pass: a day is then as long as the hours are.
    """

    zone: ZoneInfo
    hours: tuple[time, time] | None = None
    weekend: frozenset[int] = frozenset({6, 7})
    holidays: frozenset[date] = frozenset()
    pauses: bool = False

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

    def after(self, at: datetime, length: timedelta, gone: timedelta = timedelta(0)) -> datetime:
        """When a length of time is over that begins at an instant, or the rest of it where `gone` is over already.

        Where the table pauses that is business time, and never the very end of a day: nobody would be told then.
        """
        if self.hours is None or not self.pauses:
            return at + length - gone
        left = self._at_work(length) - self._at_work(gone)
        if not left:
            return at
        for start, end in self._spans(at):
            begins = max(start, at)
            if end - begins > left:
                return begins + left
            left -= max(end - begins, timedelta(0))
        raise AssertionError  # there is always another day

    def _at_work(self, length: timedelta) -> timedelta:
        """How much business time a length is: each whole day a business day."""
        opens, closes = (datetime.combine(date.min, at) for at in self.hours or (MORNING, MORNING))
        days, rest = divmod(length, DAY)
        return days * ((closes - opens) % DAY or DAY) + rest

    def length_words(self, length: timedelta) -> str:
        """A length of time as people say it: `4 business hours` where the table pauses."""
        if self.hours is None or not self.pauses:
            return length_words(length)
        number, unit = (length // DAY, "day") if not length % DAY else (length / timedelta(hours=1), "hour")
        return f"{number:g} business {unit}{'' if number == 1 else 's'}"

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
    """A route's business time; `zone` is where it names none. The catalogue's weekend and holidays are everybody's."""
    holidays = frozenset((*catalog.calendar.holidays, *route.holidays))
    own = ZoneInfo(route.zone) if route.zone else zone
    return Timetable(own, route.hours, frozenset(catalog.calendar.weekend), holidays, route.outside == "pause")


def solve_by(route: Route, severity: int, opened_at: datetime, table: Timetable) -> date | None:
    """The day of work by whose end what a route escalates should be solved; None where it promises nothing."""
    if route.solve_within is None:
        return None
    due = table.next_opening(table.after(opened_at, route.solve_within[severity - 1]))
    return due.astimezone(table.zone).date()

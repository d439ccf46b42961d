"""The periods that a range of days falls into, from the calendar, and by plain months and weeks beyond its ends."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from sqlalchemy import Connection, func, select

from queries.metrics.query_plan import Grain
from queries.warehouse import tables

WEEK: Final = timedelta(days=7)
_MONTHS: Final[Mapping[Grain, int]] = {"month": 1, "quarter": 3}


@dataclass(frozen=True, slots=True)
class Period:
    """A period: its name (first day) and its days [start, end)."""

    period: date
    start: date
    end: date


def read_periods(conn: Connection, grain: Grain) -> tuple[Period, ...]:
    """The calendar's periods of a grain, in order; none for `day` and `all`, which need no calendar."""
    if grain in ("day", "all"):
        return ()
    days = tables.calendar.c
    ends = select(days[grain].label("period"), func.max(days.day)).group_by(days[grain]).order_by("period")
    rows = conn.execute(ends).all()
    # The calendar ends with a year: its last week may go on.
    return tuple(Period(p, p, p + WEEK if grain == "week" else last + timedelta(days=1)) for p, last in rows)


def periods_of(known: tuple[Period, ...], grain: Grain, start: date, end: date) -> Iterator[Period]:
    """The periods that [start, end) touches, in order."""
    if grain == "day":
        days = (start + timedelta(days=i) for i in range((end - start).days))
        yield from (Period(day, day, day + timedelta(days=1)) for day in days)
        return
    spans = deque(known or (_plain(grain, start),))
    while (first := spans[0].start) > start:
        before = _moved(grain, first, -1)
        spans.appendleft(Period(before, before, first))
    while (following := spans[-1].end) < end:
        spans.append(Period(following, following, _moved(grain, following, 1)))
    yield from (span for span in spans if span.start < end and span.end > start)


def _plain(grain: Grain, day: date) -> Period:
    if grain == "week":
        start = day - timedelta(days=day.weekday())
    else:
        start = _months_later(day, -((day.month - 1) % _MONTHS[grain]))
    return Period(start, start, _moved(grain, start, 1))


def _moved(grain: Grain, start: date, number: int) -> date:
    """So many plain periods later."""
    return start + number * WEEK if grain == "week" else _months_later(start, number * _MONTHS[grain])


def _months_later(day: date, number: int) -> date:
    years, month = divmod(day.year * 12 + day.month - 1 + number, 12)
    return date(years, month + 1, 1)

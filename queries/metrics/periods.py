"""The periods that a range of days falls into, from the calendar, and by plain months and weeks beyond its ends."""

from collections.abc import Callable, Iterator, Mapping
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
    found = conn.execute(ends).all()
    return tuple(Period(period, period, _end(grain, period, last)) for period, last in found)


def _end(grain: Grain, period: date, last: date) -> date:
    """The calendar ends with a year: its last week may go on."""
    return period + WEEK if grain == "week" else last + timedelta(days=1)


def periods_of(known: tuple[Period, ...], grain: Grain, start: date, end: date) -> Iterator[Period]:
    """The periods that [start, end) touches, in order."""
    if grain == "day":
        yield from (_day(start + timedelta(days=i)) for i in range((end - start).days))
        return
    first = known[0] if known else _plain(grain, start)
    last = known[-1] if known else first
    before = _walk(first, lambda span: _earlier(grain, span), lambda span: span.end > start)
    after = _walk(last, lambda span: _later(grain, span), lambda span: span.start < end)
    every = [*reversed(list(before)), *(known or (first,)), *after]
    yield from (span for span in every if span.start < end and span.end > start)


def _walk(start: Period, step: Callable[[Period], Period], wanted: Callable[[Period], bool]) -> Iterator[Period]:
    span = step(start)
    while wanted(span):
        yield span
        span = step(span)


def _day(day: date) -> Period:
    return Period(day, day, day + timedelta(days=1))


def _plain(grain: Grain, day: date) -> Period:
    start = (
        day - timedelta(days=day.weekday()) if grain == "week" else _months(day, -((day.month - 1) % _MONTHS[grain]))
    )
    return Period(start, start, start + WEEK if grain == "week" else _months(start, _MONTHS[grain]))


def _later(grain: Grain, span: Period) -> Period:
    return Period(span.end, span.end, span.end + WEEK if grain == "week" else _months(span.end, _MONTHS[grain]))


def _earlier(grain: Grain, span: Period) -> Period:
    start = span.start - WEEK if grain == "week" else _months(span.start, -_MONTHS[grain])
    return Period(start, start, span.start)


def _months(day: date, number: int) -> date:
    years, month = divmod(day.year * 12 + day.month - 1 + number, 12)
    return date(years, month + 1, 1)

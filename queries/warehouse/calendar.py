"""The days a warehouse spans and the periods they add up to."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import date, timedelta
from hashlib import sha256
from typing import Final

import pyarrow as pa
from sqlalchemy import Connection, delete, func, select

from config.models import Calendar
from queries.engine import insert_arrow
from queries.warehouse import tables

_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)
_LONGEST: Final = timedelta(days=366 * 300)


@dataclass(frozen=True, slots=True)
class Day:
    """One day and the first day of each period it is in. A fiscal quarter has three months, or 13 weeks."""

    day: date
    week: date
    month: date
    quarter: date
    fiscal_year: date
    business_day: bool


def calendar_hash(calendar: Calendar) -> str:
    """What tells two calendars apart."""
    return sha256(calendar.model_dump_json().encode()).hexdigest()[:16]


def calendar_days(calendar: Calendar, first: date, last: date) -> Iterator[Day]:
    """Every day from `first` to `last`, both included."""
    day = first
    while day <= last:
        business = day.isoweekday() not in calendar.weekend and day not in calendar.holidays
        week = day - timedelta(days=day.weekday())
        periods = _by_weeks(calendar, day) if calendar.pattern == "4-4-5" else _by_months(calendar, day)
        yield Day(day, week, *periods, business)
        day += _DAY


def write_calendar(conn: Connection, calendar: Calendar) -> None:
    """Make the calendar of the whole years in which anything happened."""
    conn.execute(delete(tables.calendar))
    dated = (column for table in tables.CANONICAL for column in table.c if "day_of" in column.info)
    bounds = [conn.execute(select(func.min(column), func.max(column))).one() for column in dated]
    spans = [(low, high) for low, high in bounds if low is not None]
    if not spans:
        return
    last = max(high for _, high in spans)
    # A span of centuries is a mistake in the data.
    first = max(min(low for low, _ in spans), last - _LONGEST)
    days = [*calendar_days(calendar, date(first.year, 1, 1), date(last.year, 12, 31))]
    table = pa.table({field.name: [getattr(day, field.name) for day in days] for field in fields(Day)})
    insert_arrow(conn, tables.calendar, table.to_reader())


def _by_months(calendar: Calendar, day: date) -> tuple[date, date, date]:
    since = (day.month - calendar.fiscal_year_start) % 12
    month = day.replace(day=1)
    return month, _months_before(month, since % 3), _months_before(month, since)


def _months_before(month: date, number: int) -> date:
    years, index = divmod(month.year * 12 + month.month - 1 - number, 12)
    return date(years, index + 1, 1)


def _by_weeks(calendar: Calendar, day: date) -> tuple[date, date, date]:
    """Quarters of 4, 4 and 5 weeks; the 53rd week of a long year belongs to its last period."""
    year = max(start for n in (-1, 0, 1) if (start := _year_of_weeks(calendar, day.year + n)) <= day)
    week = min((day - year) // _WEEK, 51)
    quarter, within = divmod(week, 13)
    start = year + quarter * 13 * _WEEK
    return start + min(within // 4, 2) * 4 * _WEEK, start, year


def _year_of_weeks(calendar: Calendar, year: int) -> date:
    """The Monday nearest to the first day of the fiscal year's first month."""
    first = date(year, calendar.fiscal_year_start, 1)
    return first - timedelta(days=first.weekday()) + (_WEEK if first.weekday() > 3 else timedelta(0))

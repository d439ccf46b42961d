"""By when the review of a month should be held, in business days of the company's calendar. Pure."""

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import Final

from config.models import Calendar
from queries.warehouse.calendar import calendar_days

REMINDED: Final = 3
"""So many business days before it is due its general managers are reminded."""
_REACH: Final = timedelta(days=120)
"""Longer than any month with all the business days after it that may be given."""


@dataclass(frozen=True, slots=True)
class ReviewDates:
    """A month, the first day after it, and the days on which its review is reminded of and due."""

    month: date
    until: date
    remind_on: date
    due_on: date


def review_dates(calendar: Calendar, month: date, held_by: int) -> ReviewDates:
    """When the review of the month that begins on a day is due: on the `held_by`th business day after it."""
    days = [day for day in calendar_days(calendar, month, month + _REACH) if day.month > month]
    business = [*islice((day.day for day in days if day.business_day), held_by)]
    return ReviewDates(month, days[0].day, business[max(0, len(business) - 1 - REMINDED)], business[-1])


def newest_review(calendar: Calendar, today: date, held_by: int) -> ReviewDates:
    """The same of the newest month that has ended."""
    (current,) = calendar_days(calendar, today, today)
    (last,) = calendar_days(calendar, current.month - timedelta(days=1), current.month - timedelta(days=1))
    return review_dates(calendar, last.month, held_by)

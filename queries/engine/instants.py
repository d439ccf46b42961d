"""Instants as both stores keep them, UTC without a zone, and as the program reckons with them, UTC with its zone."""

from datetime import UTC, date, datetime, time, tzinfo
from typing import overload


def aware(instant: datetime) -> datetime:
    """A stored instant with its zone."""
    return instant.replace(tzinfo=UTC)


@overload
def naive(instant: datetime) -> datetime: ...


@overload
def naive(instant: None) -> None: ...


def naive(instant: datetime | None) -> datetime | None:
    """An instant as it is stored. One without a zone is UTC already; None stands for no bound."""
    # astimezone() would take an instant without a zone for the machine's local time.
    return instant.astimezone(UTC).replace(tzinfo=None) if instant and instant.tzinfo else instant


def day_of(instant: datetime, zone: tzinfo) -> date:
    """The day that a zone's calendars show at an instant. One without a zone is UTC, as the stores keep it."""
    # `instant.date()` would be the day in Greenwich: the day before, for all who live east of it.
    return (instant if instant.tzinfo else aware(instant)).astimezone(zone).date()


def day_start(day: date, zone: tzinfo) -> datetime:
    """When a day begins in a zone, aware UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)

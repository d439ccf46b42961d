"""What is typed on the command line, as values."""

from argparse import ArgumentTypeError
from datetime import UTC, date, datetime, timedelta

from config.errors import EarshotError
from config.models.values import parse_duration


def parse_instant(text: str) -> datetime:
    """A time with a zone; a bare one is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is no time; write one such as 2026-11-21T09:00+01:00"
        raise ArgumentTypeError(message) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def parse_day(text: str) -> date:
    """A day, such as 2026-01-31."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is no day; write one such as 2026-01-31"
        raise ArgumentTypeError(message) from None


def duration(text: str) -> timedelta:
    """A length of time, such as 5m; a bare number is of seconds."""
    try:
        return timedelta(seconds=float(text)) if text.replace(".", "", 1).isdigit() else parse_duration(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def until(text: str | None, now: datetime) -> datetime | None:
    """A time, or how long from now."""
    if text is None:
        return None
    try:
        return now + parse_duration(text)
    except ValueError:
        pass
    try:
        return parse_instant(text)
    except ArgumentTypeError as error:
        raise EarshotError(f"{error}, or how long from now, such as 3d") from None

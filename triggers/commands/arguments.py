"""What is typed on the command line, as values."""

import getpass
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from datetime import date, datetime, timedelta, tzinfo

from config.errors import EarshotError
from config.models import parse_duration

AddCommand = Callable[[str, Callable[[Namespace], int | None], str], ArgumentParser]
"""Adds a command by its name, what it runs and its help; what it takes is added to the parser that this returns."""


def parse_instant(text: str) -> datetime:
    """A time, with a zone or bare: `on_the_wall` says where that is read."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is not a time; write one such as 2026-11-21T09:00 or 2026-11-21T09:00+01:00"
        raise ArgumentTypeError(message) from None


def on_the_wall(at: datetime, zone: tzinfo) -> datetime:
    """A time as the clock on the wall shows it, where its author wrote no zone: as time stamps of sources are read."""
    return at if at.tzinfo else at.replace(tzinfo=zone)


def parse_day(text: str) -> date:
    """A day, such as 2026-01-31."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is no day; write one such as 2026-01-31"
        raise ArgumentTypeError(message) from None


def parse_span(text: str) -> timedelta:
    """A length of time, such as 5m; a bare number is of seconds."""
    try:
        return timedelta(seconds=float(text)) if text.replace(".", "", 1).isdigit() else parse_duration(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def parse_end(text: str | None, now: datetime, zone: tzinfo) -> datetime | None:
    """A time, or how long from now."""
    if text is None:
        return None
    try:
        return now + parse_duration(text)
    except OverflowError:
        raise EarshotError(f"{text!r} from now is past the last day of the calendar") from None
    except ValueError:
        pass
    try:
        return on_the_wall(parse_instant(text), zone)
    except ArgumentTypeError as error:
        raise EarshotError(f"{error}, or how long from now, such as 3d") from None


def add_author(parser: ArgumentParser) -> None:
    """Who did it, for what people do by hand."""
    parser.add_argument("--by", default=getpass.getuser(), help="who does it; the login by default")

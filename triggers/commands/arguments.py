"""What is typed on the command line, as values."""

import getpass
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from config.errors import EarshotError
from config.models import parse_duration

AddCommand = Callable[[str, Callable[[Namespace], int | None], str], ArgumentParser]
"""Adds a command by its name, what it runs and its help; what it takes is added to the parser that this returns."""


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


def parse_span(text: str) -> timedelta:
    """A length of time, such as 5m; a bare number is of seconds."""
    try:
        return timedelta(seconds=float(text)) if text.replace(".", "", 1).isdigit() else parse_duration(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def parse_end(text: str | None, now: datetime) -> datetime | None:
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


def add_author(parser: ArgumentParser) -> None:
    """Who did it, for what people do by hand."""
    parser.add_argument("--by", default=getpass.getuser(), help="who does it; the login by default")

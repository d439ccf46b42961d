"""What all command lines share: how days and times are written, and how a command ends."""

import logging
import os
import sys
import threading
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta, tzinfo
from io import TextIOWrapper
from typing import NoReturn

from config.models import FIRST_DAY, LAST_DAY, LONGEST, parse_duration
from queries.operations.output import FORMATS, complain, printable


def parse_day(text: str) -> date:
    """A day, such as 2026-01-31."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is not a valid date; write one such as 2026-01-31"
        raise ArgumentTypeError(message) from None
    if not FIRST_DAY <= day <= LAST_DAY:
        message = f"{text!r} is too far away; write a day from {FIRST_DAY} to {LAST_DAY}"
        raise ArgumentTypeError(message)
    return day


def parse_instant(text: str) -> datetime:
    """A time, with a zone or bare: `on_the_wall` says where that is read."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is not a time; write one such as 2026-11-21T09:00 or 2026-11-21T09:00+01:00"
        raise ArgumentTypeError(message) from None
    parse_day(date(instant.year, instant.month, instant.day).isoformat())
    return instant


def add_until(parser: ArgumentParser, default: str = "", *, required: bool = False) -> None:
    """The end of a period; `default` says what is meant without it."""
    words = f"end of the period: this day itself is not included{f' (default: {default})' if default else ''}"
    parser.add_argument("--until", type=parse_day, metavar="DAY", required=required, help=words)


def add_format(parser: ArgumentParser, formats: Sequence[str] = FORMATS) -> None:
    """How rows are printed."""
    parser.add_argument("--format", choices=formats, default="table", help="output format (default: %(default)s)")


def on_the_wall(at: datetime, zone: tzinfo) -> datetime:
    """A time as the clock on the wall shows it, where its author wrote no zone: as time stamps of sources are read."""
    return at if at.tzinfo else at.replace(tzinfo=zone)


def parse_span(text: str) -> timedelta:
    """A length of time above nothing, such as 5m; a bare number is of seconds."""
    try:
        is_bare = text.replace(".", "", 1).isdigit()
        span = timedelta(seconds=min(float(text), 1e12)) if is_bare else parse_duration(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    if not timedelta(0) < span <= LONGEST:
        message = f"{text!r} is not a length of time; write one such as 5m"
        raise ArgumentTypeError(message)
    return span


def whole(least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number from `least` to `most`."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            message = f"{text[:40]!r} is out of range; write a whole number from {least} to {most}"
            raise ArgumentTypeError(message)
        return number

    return parse


def run_command(parser: ArgumentParser, words: Sequence[str], interrupted: str = "") -> int:
    """Run the command that the words name; what it refuses is one line, and only the program's mistakes are traced.

    Args:
        parser: sets `run`, which is given the arguments and returns the exit status or None for 0.
        words: what was typed after the program's name.
        interrupted: what Ctrl+C leaves, in words.

    Returns:
        The exit status: 0 done, 1 refused, 130 interrupted; argparse leaves with 2.
    """
    os.umask(0o077)
    if isinstance(sys.stdout, TextIOWrapper):  # what the terminal's encoding lacks is shown all the same
        sys.stdout.reconfigure(errors="backslashreplace")
    if odd := next((word for word in words if not word.isascii() and not _is_text(word)), None):
        complain(f"{printable(odd)} is not UTF-8; write it in UTF-8")
        return 2
    try:
        arguments = parser.parse_args(words)
        status = int(arguments.run(arguments) or 0)
        sys.stdout.flush()
    except KeyboardInterrupt:
        if interrupted:
            complain(interrupted)
        return 130
    except BrokenPipeError:
        sys.stdout = None  # nobody reads it, and what is left in it must not be flushed at the end
        return 1
    except Exception as error:
        from queries.operations.storage_errors import refusal  # noqa: PLC0415 - databases take long to import

        told = refusal(error)
        if told is None:
            raise
        complain(str(told))
        if isinstance(error, OSError):
            sys.stdout = None  # it may be what is full, and would fail again at the end
        return 1
    return status


def end_process(status: int) -> NoReturn:
    """Leave the process with this status, also where a thread is still inside a database.

    Python would end such a thread by unwinding it, and DuckDB's C++ takes that for its own failure: the process would
    abort, and its supervisor be told of a crash.
    """
    if any(thread.daemon for thread in threading.enumerate()):
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError):  # none is left, or nobody reads it
                stream.flush()
        os._exit(status)
    sys.exit(status)


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True

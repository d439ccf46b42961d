"""What is typed on the command line, as values."""

import getpass
import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from datetime import datetime, tzinfo
from pathlib import Path

from config import EarshotError
from config.models import TooLongError, parse_duration
from config.settings import read_settings
from queries.operations import on_the_wall, parse_instant

AddCommand = Callable[[str, Callable[[Namespace], int | None], str], ArgumentParser]
"""Adds a command by its name, what it runs and its help; what it takes is added to the parser that this returns."""


def parse_end(text: str | None, now: datetime, zone: tzinfo) -> datetime | None:
    """A time, or how long from now."""
    if text is None:
        return None
    try:
        return now + parse_duration(text)
    except TooLongError:
        raise EarshotError(f"{text!r} from now is past the last day of the calendar") from None
    except ValueError:
        pass
    try:
        return on_the_wall(parse_instant(text), zone)
    except ArgumentTypeError as error:
        raise EarshotError(f"{error}, or how long from now, such as 3d") from None


def rule_file(text: str) -> Path:
    """A file of drafts, known incidents or tests: where it is named, else in the config folder."""
    file = Path(text)
    kept = file if file.exists() else read_settings().config / file
    return kept if kept.exists() else file


def add_author(parser: ArgumentParser) -> None:
    """Who did it, for what people do by hand."""
    parser.add_argument(
        "--by", default=_login(), metavar="NAME", help="name to record for this (default: your login name)"
    )


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that no name belongs to
        return f"user {os.getuid()}"

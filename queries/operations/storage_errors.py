"""What the machine or the engine refuses, said in one line."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb
from sqlalchemy.exc import DBAPIError

from config.errors import EarshotError


class StorageError(EarshotError):
    """The disk, the memory or the database refuses."""


_NO_SPACE: Final = "no space is left; free some or point EARSHOT_DATA at a larger disk"
_ADVICE: Final = (
    ("no space left", _NO_SPACE),
    ("disk quota", _NO_SPACE),
    ("file too large", _NO_SPACE),
    ("read-only file system", "it cannot be written; point EARSHOT_DATA at a folder that can"),
    ("permission denied", "it cannot be written; make it writable or point EARSHOT_DATA at another folder"),
    ("out of memory", "the memory limit is too small; raise EARSHOT_WAREHOUSE__MEMORY_LIMIT (or __READING_LIMIT)"),
    ("connection refused", "the database does not answer; check EARSHOT_WAREHOUSE__URL"),
)


@contextmanager
def storage_errors_as_text(place: Path) -> Iterator[None]:
    """Turn what disk, memory and database refuse into one line; `place` is what was being written.

    Raises:
        StorageError: with what to do. Anything unexpected passes through.
    """
    try:
        yield
    except OSError as error:
        # The system's own words for a full disk differ by machine and language; the number does not.
        is_full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        reason = f"{error.strerror or error} {'(no space left)' if is_full else ''}"
        raise StorageError(_line(error.filename or place, reason)) from error
    except (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.FatalException) as error:
        raise StorageError(_line(place, str(error))) from error
    except DBAPIError as error:
        raise StorageError(_line(place, str(error.orig))) from error


def _line(place: object, reason: str) -> str:
    advice = next((advice for sign, advice in _ADVICE if sign in reason.lower()), None)
    return f"{place}: {advice or reason.splitlines()[0]}"

"""What the machine or a store refuses, said in one line: the one door of commands, processes, pages and /healthz."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb
from sqlalchemy import select
from sqlalchemy.exc import (
    DatabaseError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
    PendingRollbackError,
)

from config import EarshotError
from config.settings import Settings, read_settings
from queries.state import state
from queries.stores import open_stores
from queries.warehouse import CANONICAL, NoWarehouseError


class StorageError(EarshotError):
    """The disk, the memory or the database refuses, or what a store holds cannot be read."""


_NO_SPACE: Final = "the disk is full; free some space or point EARSHOT_DATA at a larger disk"
_NO_ANSWER: Final = "the database does not answer; start it, or check EARSHOT_STATE__URL and EARSHOT_WAREHOUSE__URL"
_DAMAGED: Final = "the store is damaged; keep a copy of it and restore a backup (`python -m queries restore`)"
_ADVICE: Final = (
    ("no space left", _NO_SPACE),
    ("database or disk is full", _NO_SPACE),
    ("disk quota", _NO_SPACE),
    ("file too large", _NO_SPACE),
    ("read-only file system", "it is read-only; point EARSHOT_DATA at a writable folder"),
    ("readonly database", "it is not writable; make it so or point EARSHOT_DATA at another folder"),
    ("permission denied", "it is not writable; make it so or point EARSHOT_DATA at another folder"),
    ("out of memory", "the memory limit is too small; raise EARSHOT_WAREHOUSE__MEMORY_LIMIT (or __READING_LIMIT)"),
    ("failed to allocate", "the memory limit is too small; raise EARSHOT_WAREHOUSE__MEMORY_LIMIT (or __READING_LIMIT)"),
    ("password authentication failed", "the database refuses the user or the password; check EARSHOT_*__URL"),
    ("connection refused", _NO_ANSWER),
    ("server closed the connection", _NO_ANSWER),
    ("terminating connection", _NO_ANSWER),
    ("the connection is closed", _NO_ANSWER),
    ("connection is lost", _NO_ANSWER),
    ("starting up", _NO_ANSWER),
    ("shutting down", _NO_ANSWER),
    ("failed to resolve host", _NO_ANSWER),
    ("connection timeout", _NO_ANSWER),
    ("database is locked", "another process has locked it; wait for it, or stop it"),
    ("could not set lock", "another process has locked it; wait for it, or stop it"),
    ("not a database", _DAMAGED),
    ("malformed", _DAMAGED),
    ("not a valid duckdb", _DAMAGED),
    ("corrupt", _DAMAGED),
    ("checksum", _DAMAGED),
    ("deserialize", _DAMAGED),
    ("no such table", _DAMAGED),
    ("no such column", _DAMAGED),
)
_REFUSALS: Final = (
    *(OSError, MemoryError, duckdb.OperationalError, duckdb.InternalError),
    *(OperationalError, InterfaceError, InternalError, PendingRollbackError),
)
_STORES: Final = {"sqlite3": "the state", "_duckdb": "the warehouse", "duckdb": "the warehouse"}


def storage_error(error: BaseException, place: object = "") -> EarshotError | None:
    """What to tell of an error that a store or the machine is behind; None for a mistake of the program.

    Args:
        error: looked through with what it was raised from.
        place: what was being read or written, for errors that name nothing.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, EarshotError):
            return cause
        # Of these two only the classes themselves: most of their subclasses are mistakes in SQL.
        if isinstance(cause, _REFUSALS) or type(cause) in {DatabaseError, duckdb.FatalException}:
            return StorageError(_line(cause, place))
        cause = cause.__cause__
    return None


def refusal(error: BaseException, settings: Settings | None = None) -> EarshotError | None:
    """The same, and where the error itself does not say it, whether a store of the settings is damaged."""
    try:
        settings = settings or read_settings()
    except EarshotError:
        return storage_error(error)
    return storage_error(error, settings.data) or _damage(settings)


@contextmanager
def storage_errors_as_text(place: Path) -> Iterator[None]:
    """Turn what disk, memory and database refuse into one line; `place` is what was being written.

    Raises:
        StorageError: with what to do. Anything unexpected passes through.
    """
    try:
        yield
    except Exception as error:
        if told := storage_error(error, place):
            raise told from error
        raise


def _damage(settings: Settings) -> EarshotError | None:
    """Why a store cannot be read as this program reads it: a bit that tipped over may show as any error at all."""
    if settings.state.url is None and not (settings.data / "state.db").exists():
        return None  # it must not be made by asking
    place = "the state"
    try:
        with open_stores(settings) as stores:
            with stores.reading() as conn:
                for table in state.sorted_tables:
                    conn.execute(select(table)).all()
            place = "the warehouse"
            with stores.pinned() as pin:
                for table in CANONICAL:
                    pin.conn.execute(select(table).limit(1)).all()
    except NoWarehouseError:
        return None
    except Exception as error:  # noqa: BLE001 - whatever it is, the store is behind it
        return storage_error(error, settings.data) or StorageError(f"{place} in {settings.data}: {_DAMAGED}")
    return None


def _line(error: BaseException, place: object) -> str:
    if isinstance(error, OSError):
        # The system's own words for a full disk differ by machine and language; the number does not.
        is_full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        place, reason = error.filename or place, f"{error.strerror or error}{' (no space left)' if is_full else ''}"
    elif isinstance(error, MemoryError):
        reason = "out of memory"
    else:
        original = (error.orig if isinstance(error, DBAPIError) else None) or error
        place = place or _STORES.get(type(original).__module__, "the database")
        reason = str(original)
    advice = next((advice for sign, advice in _ADVICE if sign in reason.lower()), None)
    said = (reason.splitlines() or [type(error).__name__])[0]
    return f"{place}: {advice or said}"

"""The warehouse and the state that the settings name."""

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from config.errors import EarshotError
from config.settings import Settings
from queries.state.database import open_state
from queries.warehouse.embedded_warehouse import EmbeddedWarehouse
from queries.warehouse.generations import SharedWarehouse, Warehouse


class NoStateError(EarshotError):
    """The state cannot be opened."""


def open_warehouse(settings: Settings) -> Warehouse:
    """PostgreSQL when `warehouse.url` is set, else DuckDB files in the data folder. Nothing is opened yet."""
    own = settings.warehouse
    if own.url:
        return SharedWarehouse(own.url.get_secret_value())
    return EmbeddedWarehouse(settings.data / "warehouse", own.memory_limit, own.reading_limit)


def open_states(settings: Settings) -> Engine:
    """The state's engine with its tables made: PostgreSQL when `state.url` is set, else SQLite in the data folder.

    Raises:
        NoStateError: the folder cannot be written, or the database does not answer.
    """
    url = settings.state.url
    try:
        return open_state(settings.data, url.get_secret_value() if url else None)
    except OSError as error:
        raise NoStateError(f"{settings.data}: {error.strerror}; make it writable or set EARSHOT_DATA") from error
    except OperationalError as error:
        place, setting = ("the database", "EARSHOT_STATE__URL") if url else (str(settings.data), "EARSHOT_DATA")
        reason = str(error.orig).splitlines()[0]
        raise NoStateError(f"the state in {place} cannot be opened ({reason}); check {setting}") from error

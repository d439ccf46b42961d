"""The warehouse and the state that the settings name, opened and closed together."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from config import EarshotError, refuse_stray
from config.models import Catalog
from config.reading import read_catalog
from config.settings import Settings, read_settings
from queries.engine import disposing
from queries.state import open_state
from queries.warehouse import COLUMNS, EmbeddedWarehouse, NoWarehouseError, Pin, SharedWarehouse, Warehouse

RESTORING: Final = "restoring"
"""The folder, inside the data folder, where a restore makes its stores ready."""

SWITCHING: Final = "switching"
"""The file in it that says that they have begun to take the place of the present ones."""


class NoStateError(EarshotError):
    """The state cannot be opened."""


class HalfRestoredError(EarshotError):
    """A restore was stopped while its stores took their places."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What the settings name."""

    settings: Settings
    warehouse: Warehouse
    states: Engine

    @contextmanager
    def pinned(self) -> Iterator[Pin]:
        """One generation for as long as the block lasts. Raises NoWarehouseError before the first load."""
        with self.warehouse.pin() as pin:
            yield pin

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The state as it is now."""
        # On SQLite every other transaction takes the writer's lock as it begins: a slow reader would keep it.
        with self.states.connect().execution_options(reading=True) as conn:
            yield conn

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction of the state."""
        with self.states.begin() as conn:
            yield conn

    def zone(self) -> ZoneInfo:
        """The reporting zone, also before anything is loaded."""
        try:
            with self.warehouse.pin() as pin:
                return ZoneInfo(pin.generation.zone)
        except NoWarehouseError:
            return ZoneInfo(self.settings.zone or "UTC")


@dataclass(frozen=True, slots=True)
class Installation(Stores):
    """The stores with the checked configuration that rules and metrics come from."""

    catalog: Catalog


@contextmanager
def open_stores(settings: Settings) -> Iterator[Stores]:
    """The stores for as long as the block lasts. Raises NoStateError where the state cannot be opened."""
    with closing(open_warehouse(settings)) as warehouse, disposing(open_states(settings)) as states:
        yield Stores(settings, warehouse, states)


@contextmanager
def open_installation(settings: Settings | None = None) -> Iterator[Installation]:
    """The checked configuration and the stores for as long as the block lasts.

    Args:
        settings: read from the environment where they are not given.

    Raises:
        ConfigError: the configuration or the settings have mistakes.
        NoStateError: the state cannot be opened.
    """
    settings = settings or read_settings()
    # First the configuration: opening the state may upgrade it, which a command that is refused must not do.
    catalog = read_catalog(settings.config, COLUMNS)
    with open_stores(settings) as stores:
        yield Installation(settings, stores.warehouse, stores.states, catalog)


def open_warehouse(settings: Settings) -> Warehouse:
    """PostgreSQL when `warehouse.url` is set, else DuckDB files in the data folder. Nothing is opened yet."""
    _check_folder(settings)
    options = settings.warehouse
    if options.url:
        return SharedWarehouse(options.url.get_secret_value())
    return EmbeddedWarehouse(settings.data / "warehouse", options.memory_limit, options.reading_limit)


def open_states(settings: Settings) -> Engine:
    """The state's engine with its tables made: PostgreSQL when `state.url` is set, else SQLite in the data folder.

    Raises:
        NoStateError: the folder cannot be written, or the database does not answer.
        HalfRestoredError: one of the stores may be of before a restore, and the other of after it.
    """
    _check_folder(settings)
    url = settings.state.url
    try:
        return open_state(settings.data, url.get_secret_value() if url else None)
    except OSError as error:
        raise NoStateError(f"{settings.data}: {error.strerror}; make it writable or set EARSHOT_DATA") from error
    except OperationalError as error:
        place, setting = ("the database", "EARSHOT_STATE__URL") if url else (str(settings.data), "EARSHOT_DATA")
        reason = str(error.orig).splitlines()[0]
        raise NoStateError(f"the state in {place} cannot be opened ({reason}); check {setting}") from error


def _check_folder(settings: Settings) -> None:
    """Refuse a data folder in which a restore was stopped half-way, or a link leads what is stored elsewhere."""
    if (settings.data / RESTORING / SWITCHING).exists():
        raise HalfRestoredError("a restore was interrupted; finish it: `python -m queries restore --from DIR`")
    made = ("warehouse", RESTORING, "sample", "state.db", "state.db-wal", "state.db-shm")
    for file in (*(settings.data / name for name in made), *(settings.data / "warehouse").glob("*")):
        if file.is_symlink():
            refuse_stray(file, settings.data)

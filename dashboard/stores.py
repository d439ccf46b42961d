"""The warehouse and the state this process serves, opened once: pages and the health check share them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock

from sqlalchemy import Connection, Engine

from config.errors import EarshotError
from config.settings import Settings, read_settings
from queries.messages.outbox import unsent
from queries.stores import open_states, open_warehouse
from queries.warehouse.generations import Pin, Warehouse


@dataclass(frozen=True, slots=True)
class Stores:
    """What the pages read from and write to."""

    settings: Settings
    warehouse: Warehouse
    states: Engine

    @contextmanager
    def pinned(self) -> Iterator[Pin]:
        """One generation for one page run. Raises NoWarehouseError before the first load."""
        with self.warehouse.pin() as pin:
            yield pin

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The state as it is now. A page that reads keeps no writer waiting."""
        with self.states.connect().execution_options(reading=True) as conn:
            yield conn

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction of the state."""
        with self.states.begin() as conn:
            yield conn


_opening = Lock()
_opened: dict[tuple[tuple[str, str], ...], Stores] = {}


def stores() -> Stores:
    """The stores that the settings name, read once for each set of `EARSHOT_` variables.

    Raises:
        ConfigError: the settings have mistakes.
        NoStateError: the state cannot be opened.
    """
    variables = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("EARSHOT_")))
    with _opening:
        if variables not in _opened:
            settings = read_settings()
            _opened[variables] = Stores(settings, open_warehouse(settings), open_states(settings))
        return _opened[variables]


def close() -> None:
    """Close all that `stores` opened, when the process ends or reads other stores from then on."""
    with _opening:
        for opened in _opened.values():
            opened.warehouse.close()
            opened.states.dispose()
        _opened.clear()


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the dashboard can do its work. `generation` is None before the first load."""

    generation: int | None
    published_at: datetime | None
    state: bool
    problem: str

    @property
    def is_well(self) -> bool:
        """Whether everything a page needs is there."""
        return self.generation is not None and self.state


def health() -> Health:
    """Reach for the warehouse and the state."""
    try:
        opened = stores()
    except EarshotError as error:
        return Health(None, None, state=False, problem=_line(error))
    problem = _state_problem(opened)
    try:
        with opened.pinned() as pin:
            at = pin.generation.published_at.replace(tzinfo=UTC)
            return Health(pin.generation.number, at, state=not problem, problem=problem)
    except Exception as error:  # noqa: BLE001 - a health check reports whatever is wrong
        return Health(None, None, state=not problem, problem=problem or _line(error))


def _state_problem(opened: Stores) -> str:
    try:
        with opened.reading() as conn:
            unsent(conn)
    except Exception as error:  # noqa: BLE001
        return _line(error)
    return ""


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__

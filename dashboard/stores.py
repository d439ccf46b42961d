"""The warehouse and the state this process serves, opened once: pages and the health check share them."""

import os
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock

from config.settings import read_settings
from queries.engine import ChangeCount
from queries.messages import astray_lease, unsent
from queries.operations import storage_error
from queries.stores import Stores, open_stores

_opening = Lock()
_opened: dict[tuple[tuple[str, str], ...], "Opened"] = {}
_until_closed = ExitStack()


@dataclass(frozen=True, slots=True)
class Opened(Stores):
    """The stores, and what tells whether the state has changed since it was read."""

    changes: ChangeCount


def stores() -> Opened:
    """The stores that the settings name, read once for each set of `EARSHOT_` variables.

    Raises:
        ConfigError: the settings have mistakes.
        NoStateError: the state cannot be opened.
    """
    variables = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("EARSHOT_")))
    with _opening:
        if variables not in _opened:
            made = _until_closed.enter_context(open_stores(read_settings()))
            changes = _until_closed.enter_context(closing(ChangeCount(made.states)))
            _opened[variables] = Opened(made.settings, made.warehouse, made.states, changes)
        return _opened[variables]


def close() -> None:
    """Close all that `stores` opened, when the process ends or reads other stores from then on."""
    with _opening:
        _until_closed.close()
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
    except Exception as error:  # noqa: BLE001 - a health check reports whatever is wrong
        return Health(None, None, state=False, problem=_line(error))
    problem = warning = ""
    try:
        with opened.reading() as conn:
            unsent(conn)
            warning = astray_lease(conn, datetime.now(UTC))
    except Exception as error:  # noqa: BLE001
        problem = _line(error)
    try:
        with opened.pinned() as pin:
            at = pin.generation.published_at.replace(tzinfo=UTC)
            return Health(pin.generation.number, at, state=not problem, problem=problem or warning)
    except Exception as error:  # noqa: BLE001
        return Health(None, None, state=not problem, problem=problem or _line(error))


def _line(error: Exception) -> str:
    text = str(storage_error(error) or error)
    return text.splitlines()[0][:300] if text else type(error).__name__

"""What the settings name, opened and closed as one."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from config.models.catalog import Catalog
from config.reading.loader import read_catalog
from config.settings import Settings, read_settings
from queries.engine import disposing
from queries.stores import open_states, open_warehouse
from queries.warehouse.generations import Warehouse
from queries.warehouse.relations import COLUMNS


@dataclass(frozen=True, slots=True)
class Installation:
    """What the settings name."""

    settings: Settings
    catalog: Catalog
    warehouse: Warehouse
    states: Engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The state, to be read."""
        with self.states.connect() as conn:
            yield conn


@contextmanager
def installation() -> Iterator[Installation]:
    """The checked configuration and the open stores."""
    settings = read_settings()
    catalog = read_catalog(settings.config, COLUMNS)
    with closing(open_warehouse(settings)) as warehouse, disposing(open_states(settings)) as states:
        yield Installation(settings, catalog, warehouse, states)

"""The warehouse: its tables, its generations, and what is computed from the facts when one is made.

May import statistics, the engines and config, and nothing of queries besides.
"""

from queries.warehouse.calendar import calendar_hash, write_calendar
from queries.warehouse.changes import Touched, nothing_touched, temporary
from queries.warehouse.generations import (
    NOTHING_LOADED,
    BrokenWarehouseError,
    EmbeddedWarehouse,
    Generation,
    LoadReport,
    NewGeneration,
    NoWarehouseError,
    Pin,
    SharedWarehouse,
    TableSummary,
    Warehouse,
    latest,
    sample_sources,
    settle,
)
from queries.warehouse.relations import COLUMNS, DAYS, KEYS, LATE, matching, relation, typed, unfilled
from queries.warehouse.rollups import ROLLUPS
from queries.warehouse.scope import EVERYTHING, Scope
from queries.warehouse.staging import LOADED, Stage, accepted, stamps
from queries.warehouse.tables import CANONICAL, SCALES, UNKNOWN, quarantine
from queries.warehouse.tombstones import Kind, as_key, drop_erased, hash_of
from queries.warehouse.verticals import FILLED, fill, refill, spelled_alike, vertical_names

"""Generations of the warehouse: what a load publishes and a reader keeps, with a module for each kind of database.

May import the rest of the warehouse, the engines and config.
"""

from queries.warehouse.generations.embedded_warehouse import EmbeddedWarehouse
from queries.warehouse.generations.generation import (
    NOTHING_LOADED,
    Generation,
    LoadReport,
    NewGeneration,
    NoWarehouseError,
    Pin,
    TableSummary,
    Warehouse,
    latest,
    sample_sources,
    settle,
)
from queries.warehouse.generations.generation_files import BrokenWarehouseError
from queries.warehouse.generations.shared_warehouse import SharedWarehouse

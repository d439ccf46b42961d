"""Each test here runs once on DuckDB and once on PostgreSQL."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from queries.warehouse import EmbeddedWarehouse, SharedWarehouse, Warehouse


@pytest.fixture(params=["duckdb", "postgresql"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse on each engine."""
    made: Warehouse
    if request.param == "duckdb":
        made = EmbeddedWarehouse(tmp_path / "warehouse", "256MB")
    else:
        made = SharedWarehouse(request.getfixturevalue("postgres_url"))
    with closing(made):
        yield made

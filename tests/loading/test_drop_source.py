"""A source that is dropped leaves the warehouse as if it had never been loaded."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from queries.operations.drop_source import UnknownSourceError, drop
from queries.warehouse import NoWarehouseError, Warehouse, rollups, settle, tables
from tests.support.loading import ACCOUNTS, CATALOG, COMPANY, HISTORY, NOW, bring, contents, opened, order, rows

LATER = NOW + timedelta(hours=1)

DESK = {
    "account": "account_id,name\nA2,Beta\nA7,Delta\n",
    "account_history": "account_id,valid_from,vertical\nA7,2025-01-01,Mining\n",
    "contact": (
        "id,account_id,touchpoint,direction,occurred_at\n"
        "K1,A2,hotline,in,2026-02-04 09:00\nK2,A7,hotline,in,2026-02-04 10:00\nK3,A2,hotline,up,2026-02-04 10:00\n"
    ),
}
"""A second source: a contact of an account that the first one owns, one of its own, and one that is wrong."""


@pytest.fixture(params=["embedded", "shared"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    url = request.getfixturevalue("postgres_url") if request.param == "shared" else None
    made = opened(tmp_path, url)
    yield made
    made.close()


def quiet(warehouse: Warehouse, source: str) -> dict[str, int]:
    """Drop a source; the rows removed from each table."""
    found = drop(warehouse, source, CATALOG, LATER, lambda _: None)
    assert found.published
    return {name: table.removed for name, table in found.tables.items()}


def test_what_another_source_brought_stays_as_it_was(warehouse: Warehouse, tmp_path: Path) -> None:
    bring(warehouse, order(tmp_path / "crm", COMPANY))
    with warehouse.pin() as pin:
        before = contents(pin.conn)
    bring(warehouse, order(tmp_path / "desk", DESK, "desk", "append"))
    assert quiet(warehouse, "desk") == {"account": 1, "account_history": 1, "contact": 2}
    with warehouse.pin() as pin:
        assert contents(pin.conn) == before
        assert pin.generation.number == 3
        assert settle(pin.conn) == timedelta(0)


def test_an_account_that_another_source_refers_to_passes_to_it(warehouse: Warehouse, tmp_path: Path) -> None:
    """Its facts lose the vertical that the dropped history gave them."""
    bring(warehouse, order(tmp_path / "crm", {"account": ACCOUNTS, "account_history": HISTORY}))
    bring(warehouse, order(tmp_path / "desk", DESK, "desk", "append"))
    assert quiet(warehouse, "crm") == {"account": 2, "account_history": 3}
    with warehouse.pin() as pin:
        assert rows(pin.conn, tables.account, "account_id", "source") == [("A2", "desk"), ("A7", "desk")]
        assert rows(pin.conn, tables.contact, "id", "vertical") == [("K1", None), ("K2", "Mining")]
        assert rows(pin.conn, rollups.roll_contact, "vertical", "c") == [("Mining", 1), (None, 1)]


def test_the_last_source_leaves_an_empty_warehouse_that_loads_again(warehouse: Warehouse, tmp_path: Path) -> None:
    company = order(tmp_path / "crm", COMPANY)
    bring(warehouse, company)
    with warehouse.pin() as pin:
        before = contents(pin.conn)
    quiet(warehouse, "crm")
    with warehouse.pin() as pin:
        left = {name for name, found in contents(pin.conn).items() if found}
    assert left <= {"calendar"}
    bring(warehouse, company)
    with warehouse.pin() as pin:
        assert contents(pin.conn) == before


def test_a_source_that_is_not_there_is_refused_and_the_others_are_named(warehouse: Warehouse, tmp_path: Path) -> None:
    bring(warehouse, order(tmp_path / "crm", COMPANY))
    with pytest.raises(UnknownSourceError, match="no source 'desk' to drop; the warehouse holds crm"):
        quiet(warehouse, "desk")
    with warehouse.pin() as pin:
        assert pin.generation.number == 1


def test_nothing_can_be_dropped_before_the_first_load(warehouse: Warehouse) -> None:
    with pytest.raises(NoWarehouseError, match="nothing is loaded yet"):
        quiet(warehouse, "crm")

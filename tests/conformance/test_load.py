"""What a load promises, on both engines."""

from datetime import timedelta
from pathlib import Path

import pytest

from queries.generations import EmbeddedWarehouse, Warehouse
from tests.deliveries import (
    NOW,
    START,
    WHEN_LOADED,
    as_of,
    brought,
    company,
    deliver,
    held,
    number,
)

LATER = NOW + timedelta(days=1)


def test_loading_twice_changes_nothing(warehouse: Warehouse, tmp_path: Path) -> None:
    delivery = deliver(tmp_path, company())
    first = delivery.load(warehouse)
    before = held(warehouse)
    again = delivery.load(warehouse, LATER)
    assert first.published
    assert first.total("added") == first.total("read") > 300
    assert not again.published
    assert again.total("unchanged") == again.total("read")
    assert held(warehouse) == before
    assert number(warehouse) == 1


@pytest.mark.parametrize("mode", ["snapshot", "append"])
def test_day_by_day_is_what_at_once_is(warehouse: Warehouse, tmp_path: Path, mode: str) -> None:
    rows, last = company(days=20, journeys=25), START + timedelta(days=60)
    for day in range(0, 60, 4):
        at = START + timedelta(days=day)
        part = as_of(rows, at) if mode == "snapshot" else brought(rows, at - timedelta(days=4), at)
        deliver(tmp_path / "daily", part, mode=mode).load(warehouse, NOW + timedelta(hours=day))
    part = rows if mode == "snapshot" else brought(rows, at, last)
    deliver(tmp_path / "daily", part, mode=mode).load(warehouse, LATER + timedelta(days=9))
    once = EmbeddedWarehouse(tmp_path / "once")
    deliver(tmp_path / "once", rows, mode=mode).load(once)
    assert held(warehouse, WHEN_LOADED) == held(once, WHEN_LOADED)
    once.close()

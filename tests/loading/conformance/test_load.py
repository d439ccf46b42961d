"""What a load promises, on each engine. That they agree: test_engines_agree; readers and writers: test_generations."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from queries.warehouse import EmbeddedWarehouse, Warehouse
from tests.support.deliveries import NOW, START, WHEN_LOADED, as_of, brought, company, deliver, held, number

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


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["snapshot", "append"])
def test_day_by_day_is_what_at_once_is(warehouse: Warehouse, tmp_path: Path, mode: str, *, prove: bool) -> None:
    rows = company(days=20, journeys=25)
    instants = [START + timedelta(days=day) for day in range(1, 62, 1 if prove else 12)]
    for since, until in zip((None, *instants[:-1]), instants, strict=True):
        part = as_of(rows, until) if mode == "snapshot" else brought(rows, since, until)
        deliver(tmp_path / "daily", part, mode=mode).load(warehouse, NOW + timedelta(days=until.toordinal()))
    with closing(EmbeddedWarehouse(tmp_path / "once")) as once:
        deliver(tmp_path / "once", rows, mode=mode).load(once)
        assert held(warehouse, WHEN_LOADED) == held(once, WHEN_LOADED)

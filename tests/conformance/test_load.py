"""What a load promises, on both engines."""

import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from queries import schema
from queries.drop import drop
from queries.generations import EmbeddedWarehouse, SharedWarehouse, Warehouse
from queries.rollups import rebuild
from tests.deliveries import (
    CATALOG,
    COMPUTED,
    NOW,
    START,
    WHEN_LOADED,
    Held,
    Rows,
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


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["snapshot", "append"])
def test_day_by_day_is_what_at_once_is(warehouse: Warehouse, tmp_path: Path, mode: str, *, prove: bool) -> None:
    rows = company(days=20, journeys=25)
    instants = [START + timedelta(days=day) for day in range(1, 62, 1 if prove else 12)]
    for since, until in pairwise((None, *instants)):
        part = as_of(rows, until) if mode == "snapshot" else brought(rows, since, until)
        deliver(tmp_path / "daily", part, mode=mode).load(warehouse, NOW + timedelta(days=until.toordinal()))
    with closing(EmbeddedWarehouse(tmp_path / "once")) as once:
        deliver(tmp_path / "once", rows, mode=mode).load(once)
        assert held(warehouse, WHEN_LOADED) == held(once, WHEN_LOADED)


def two_sources(warehouse: Warehouse, place: Path) -> Held:
    """Two sources that share accounts, with wrong rows, rows that change, vanish and move, and one source that goes."""
    first, second = company(seed=3), company(seed=4, accounts=8, journeys=20)
    spoil(first)
    crm = deliver(place, first)
    crm.load(warehouse)
    deliver(place, second, name="desk", mode="append").load(warehouse, LATER)
    deliver(place, company(seed=5, accounts=2, journeys=9), name="shop").load(warehouse, LATER)
    change(first)
    deliver(place, first).load(warehouse, LATER + timedelta(hours=1))
    drop(warehouse, "shop", CATALOG, LATER + timedelta(hours=2), lambda _: None)
    return held(warehouse)


def spoil(rows: Rows) -> None:
    rows["contact"].append(rows["contact"][0])
    rows["contact"].append(rows["contact"][1] | {"id": "lost", "account_id": "no'body"})
    rows["contact"].append(rows["contact"][1] | {"id": "odd", "direction": 'side"ways'})
    rows["journey"].append(rows["journey"][0] | {"id": "orphan", "account_id": "nobody"})
    rows["contact"].append(rows["contact"][1] | {"id": "follows", "journey_id": "orphan"})


def change(rows: Rows) -> None:
    rows["contact"].pop(3)
    rows["contact"].append(rows["contact"].pop(4) | {"emotion": 2, "channel": "chat"})
    rows["journey"][5] |= {"ended_at": rows["journey"][5]["started_at"] + timedelta(days=3), "outcome": "reached"}
    rows["account_history"][1] |= {"vertical": "Insurance"}
    rows["account_history"].pop(3)
    rows["response"][2] |= {"status": "answered", "scale": "nps", "score": 9, "comment": "now", "invited_at": START}
    rows["response"][2] |= {"responded_at": START + timedelta(days=2)}


@pytest.mark.slow
def test_both_engines_hold_the_same(postgres_url: str, tmp_path: Path) -> None:
    with (
        closing(EmbeddedWarehouse(tmp_path / "warehouse")) as embedded,
        closing(SharedWarehouse(postgres_url)) as shared,
    ):
        on_duckdb, on_postgresql = two_sources(embedded, tmp_path / "d"), two_sources(shared, tmp_path / "p")
    assert [row for row in on_duckdb["quarantine"] if row[2] == "follows"]
    for table, rows in on_duckdb.items():
        assert rows == on_postgresql[table], table
    assert all(on_duckdb[name] for name in COMPUTED)


@pytest.mark.slow
def test_computing_what_was_touched_is_computing_everything(warehouse: Warehouse, tmp_path: Path) -> None:
    two_sources(warehouse, tmp_path)
    touched_only = held(warehouse, tables=COMPUTED)
    with warehouse.draft() as draft:
        rebuild(draft.conn)
    assert held(warehouse, tables=COMPUTED) == touched_only


def test_a_reader_keeps_what_it_began_with(warehouse: Warehouse, tmp_path: Path) -> None:
    rows = company(journeys=5)
    deliver(tmp_path, rows).load(warehouse)
    with warehouse.pin() as old:
        seen = old.conn.execute(schema.contact.select()).all()
        rows["contact"].pop()
        deliver(tmp_path, rows).load(warehouse, LATER)
        assert number(warehouse) == old.generation.number + 1
        assert old.conn.execute(schema.contact.select()).all() == seen


def test_a_second_writer_waits_and_says_for_whom(warehouse: Warehouse, tmp_path: Path) -> None:
    deliver(tmp_path, company(journeys=5)).load(warehouse)
    said: list[str] = []
    entered, waiting = threading.Event(), threading.Event()
    numbers: list[int] = []
    say = telling(said, waiting)

    def second() -> None:
        entered.wait(30)
        with warehouse.draft(say) as draft:
            numbers.append(draft.number)
            draft.discard()

    thread = threading.Thread(target=second)
    thread.start()
    with warehouse.draft() as first:
        entered.set()
        assert waiting.wait(30)
        first.discard()
    thread.join(30)
    assert numbers == [2]
    assert "another load is running" in said[0]
    assert "process" in said[0]


def telling(said: list[str], heard: threading.Event) -> Callable[[str], None]:
    def say(line: str) -> None:
        said.append(line)
        heard.set()

    return say


def test_what_fails_leaves_the_generation_served(warehouse: Warehouse, tmp_path: Path) -> None:
    delivery = deliver(tmp_path, company(journeys=5))
    delivery.load(warehouse)
    before = held(warehouse)
    with pytest.raises(ZeroDivisionError):
        _fail(warehouse)
    assert held(warehouse) == before
    assert not delivery.load(warehouse, LATER).published


def _fail(warehouse: Warehouse) -> None:
    with warehouse.draft() as draft:
        draft.conn.execute(schema.contact.delete())
        raise ZeroDivisionError

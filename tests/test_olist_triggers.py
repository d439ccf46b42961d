"""The default rules on real orders: the break of November 2017 is found, the quiet summer before it stays quiet."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from config.catalog import Catalog
from config.reading import read_catalog
from queries.generations import EmbeddedWarehouse, Pin
from queries.incidents import Incident, incidents
from queries.load import Order, load
from queries.relations import COLUMNS
from queries.scope import EVERYTHING
from queries.source import open_source
from queries.state import passing_state
from triggers.backtest import Row, backtest
from triggers.slots import midnight
from triggers.tick import tick

CONFIG: Final = Path(__file__).resolve().parents[1] / "config"
ZONE: Final = ZoneInfo("America/Sao_Paulo")
FIRST, LAST = date(2016, 9, 1), date(2018, 6, 1)
BLACK_FRIDAY: Final = date(2017, 11, 24)


@pytest.fixture(scope="module")
def rules() -> Catalog:
    return read_catalog(CONFIG, COLUMNS)


@pytest.fixture(scope="module")
def orders(shared_data: Path, tmp_path_factory: pytest.TempPathFactory, rules: Catalog) -> Iterator[Pin]:
    warehouse = EmbeddedWarehouse(tmp_path_factory.mktemp("olist"))
    source, folder = open_source("olist", CONFIG)
    load(
        warehouse, Order(source, folder, shared_data / "olist", rules), datetime(2026, 1, 1, tzinfo=UTC), lambda _: None
    )
    with warehouse.pin() as pin:
        yield pin
    warehouse.close()


@pytest.fixture(scope="module")
def rows(orders: Pin, rules: Catalog) -> tuple[Row, ...]:
    return backtest(orders, rules, FIRST, LAST)


def customer(rows: tuple[Row, ...], since: date, until: date) -> list[Row]:
    span = midnight(since, ZONE), midnight(until, ZONE)
    return [row for row in rows if row.class_ == "customer" and span[0] <= row.opened_at < span[1]]


def test_the_break_of_november_is_found(rows: tuple[Row, ...]) -> None:
    """Fifty-nine days after Black Friday: what was due in December ends late, and is read after 14 days of settling."""
    late = customer(rows, date(2017, 11, 1), date(2018, 2, 1))
    assert [(row.rule, row.opened_at.astimezone(ZONE).date() - BLACK_FRIDAY) for row in late] == [
        ("promises-company", timedelta(days=59))
    ]


def test_the_quiet_summer_stays_quiet(rows: tuple[Row, ...]) -> None:
    assert customer(rows, date(2017, 5, 1), date(2017, 9, 1)) == []


def test_the_small_months_of_the_beginning_escalate_nothing(rows: tuple[Row, ...]) -> None:
    assert customer(rows, FIRST, date(2017, 5, 1)) == []


@pytest.mark.slow
def test_what_a_backtest_says_is_what_would_have_happened(orders: Pin, rules: Catalog, rows: tuple[Row, ...]) -> None:
    """Half a year of ticks, each of which knows nothing that came later."""
    states = passing_state()
    tick(states, orders, rules, midnight(date(2017, 10, 1), ZONE))
    for day in range(1, 140, 3):
        tick(states, orders, rules, midnight(date(2017, 10, 1) + timedelta(days=day), ZONE) + timedelta(hours=7))
    with states.connect() as conn:
        live: tuple[Incident, ...] = incidents(conn, EVERYTHING)
    end = midnight(date(2018, 2, 18), ZONE)
    assert sorted((i.rule, i.slice, i.opened_at) for i in live) == sorted(
        (row.rule, row.slice, row.opened_at) for row in rows if row.opened_at < end
    )

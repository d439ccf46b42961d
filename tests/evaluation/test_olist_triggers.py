"""The default rules on real orders: the break of November 2017 is found, and nobody is called for anything else.

What the data is like decides what may be said of it. The extract holds all orders that never came and one in nineteen
of those delivered, so scores are read of journeys that reached their goal. It ends with 2017: from January on only the
slow deliveries of old orders are left, and whatever figures fall then fall for that reason.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from config.models import Catalog, ChartRule, Rule, ThresholdRule
from config.reading import read_catalog
from queries.loading.load import LoadRequest, load
from queries.loading.sources import open_source
from queries.state import Incident, entries, read_incidents
from queries.warehouse import COLUMNS, EVERYTHING, EmbeddedWarehouse, Pin
from tests.support.states import NewState
from triggers.incidents.tick import tick
from triggers.lab.backtest import Row, backtest
from triggers.rules import midnight

CONFIG: Final = Path(__file__).resolve().parents[2] / "config"
ZONE: Final = ZoneInfo("America/Sao_Paulo")
FIRST, LAST = date(2016, 9, 1), date(2018, 6, 1)
BLACK_FRIDAY: Final = date(2017, 11, 24)
ENDS: Final = date(2018, 1, 1)
"""From this day on no order was placed that the extract holds."""

SETTLE: Final = timedelta(days=14)
WHOLE: Final = ("promises-jump-company", "satisfaction-jump-company")
"""The weekly charts of the whole company: of promises kept, and of satisfaction with journeys that arrived."""


@pytest.fixture(scope="module")
def rules() -> Catalog:
    """The default rules, with the two charts of the whole company."""
    found = read_catalog(CONFIG, COLUMNS)
    named = {rule.name: rule for rule in found.rules}
    chart, score = named["promises-jump"], named["journey-satisfaction"]
    assert isinstance(chart, ChartRule)
    assert isinstance(score, ThresholdRule)
    whole = {"by": (), "inhibited_by": None}
    of_score = {"metric": score.metric, "where": score.where, "floor": 0.08, "route": score.route, "owner": score.owner}
    charts: tuple[Rule, ...] = (
        chart.model_copy(update={**whole, "name": WHOLE[0]}),
        chart.model_copy(update={**whole, **of_score, "name": WHOLE[1]}),
    )
    added = tuple(rule for rule in charts if rule.name not in named)
    return found.model_copy(update={"rules": (*found.rules, *added)})


@pytest.fixture(scope="module")
def orders(shared_data: Path, tmp_path_factory: pytest.TempPathFactory, rules: Catalog) -> Iterator[Pin]:
    warehouse = EmbeddedWarehouse(tmp_path_factory.mktemp("olist"))
    source, folder = open_source("olist", CONFIG)
    load(
        warehouse,
        LoadRequest(source, folder, shared_data / "olist", rules),
        datetime(2026, 1, 1, tzinfo=UTC),
        lambda _: None,
    )
    with warehouse.pin() as pin:
        yield pin
    warehouse.close()


@pytest.fixture(scope="module")
def rows(orders: Pin, rules: Catalog) -> tuple[Row, ...]:
    return backtest(orders, rules, FIRST, LAST)


def opened(row: Row | Incident) -> date:
    return row.opened_at.astimezone(ZONE).date()


def customer(rows: tuple[Row, ...], since: date, until: date) -> list[Row]:
    return [row for row in rows if row.class_ == "customer" and since <= opened(row) < until]


def test_the_break_of_november_is_found_in_lateness_and_in_score(rows: tuple[Row, ...], record_property: Any) -> None:
    """Forty-five days after Black Friday, both in the week before Christmas, when the goods of November come late: its
    Sunday and the 14 days that deliveries take to be entered. Nothing else is ever said to anybody but the analysts.
    """
    found = {row.rule: opened(row) for row in customer(rows, FIRST, LAST)}
    record_property("opened", {name: day.isoformat() for name, day in found.items()})
    assert {name: day - BLACK_FRIDAY for name, day in found.items()} == dict.fromkeys(WHOLE, timedelta(days=45))
    values = {row.rule: (round(row.value or 0, 2), row.n) for row in customer(rows, FIRST, LAST)}
    assert values == {WHOLE[0]: (0.84, 94), WHOLE[1]: (0.64, 104)}


def test_lateness_could_not_be_known_before_january(orders: Pin, rules: Catalog, new_state: NewState) -> None:
    """A tick on the morning before finds nothing, with all of the later data lying there."""
    states = new_state()
    tick(states, orders, rules, midnight(date(2018, 1, 8), ZONE) - timedelta(minutes=1))
    with states.connect() as conn:
        assert [i for i in read_incidents(conn, EVERYTHING) if i.class_ == "customer"] == []
    tick(states, orders, rules, midnight(date(2018, 1, 8), ZONE))
    with states.connect() as conn:
        found = [i for i in read_incidents(conn, EVERYTHING) if i.class_ == "customer"]
        windows = [(entries(conn, i.id)[0].sample or {})["until"] for i in found]
    assert sorted(i.rule for i in found) == sorted(WHOLE)
    assert [date.fromisoformat(end) + SETTLE for end in windows] == [date(2018, 1, 8)] * 2


def test_the_small_months_of_the_beginning_escalate_nothing(rows: tuple[Row, ...]) -> None:
    """Some four hundred orders in 2016, and weeks without any: what there is to say of them goes to the analysts."""
    early = [row for row in rows if opened(row) < date(2017, 5, 1)]
    assert {(row.rule, row.class_) for row in early} <= {("source-stale", "data"), ("data-fault", "data")}


def test_what_falls_because_the_extract_ends_goes_to_the_analysts(rows: tuple[Row, ...]) -> None:
    """Of orders placed in 2017 only the slowest are left: a share of promises kept that falls, and nothing happened."""
    late = [row for row in rows if opened(row) >= ENDS + SETTLE]
    assert {row.class_ for row in late} == {"data"}
    assert {"promises-company", "promise-goal", "data-fault", "source-stale"} <= {row.rule for row in late}


def test_where_undelivered_orders_count_a_rule_cries_wolf(orders: Pin, rules: Catalog) -> None:
    """Why `promises-due` is off: of the orders that never came the extract holds all, of the others a nineteenth."""
    due = next(rule for rule in rules.rules if rule.name == "promises-due")
    alone = rules.model_copy(update={"rules": (due.model_copy(update={"enabled": True}),)})
    assert not due.enabled
    assert customer(backtest(orders, alone, FIRST, LAST), FIRST, date(2017, 10, 1)) != []


@pytest.mark.slow(minutes=2)
def test_what_a_backtest_says_is_what_would_have_happened(
    orders: Pin, rules: Catalog, rows: tuple[Row, ...], new_state: NewState, *, prove: bool
) -> None:
    """Twenty weeks of ticks, each of which knows nothing that came later: one a week with --prove, else every fifth."""
    states, begin = new_state(), midnight(date(2017, 10, 1), ZONE)
    for week in range(0, 21, 1 if prove else 5):
        tick(states, orders, rules, begin + timedelta(weeks=week, hours=7))
    with states.connect() as conn:
        live = read_incidents(conn, EVERYTHING)
    end = begin + timedelta(weeks=20, hours=7)
    assert sorted((i.rule, i.slice, i.opened_at) for i in live) == sorted(
        (row.rule, row.slice, row.opened_at) for row in rows if row.opened_at <= end
    )

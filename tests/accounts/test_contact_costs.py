"""What contacts cost, counted by hand; and that nothing is told where a cost is not known."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import mean
from typing import Final

import pytest

from config.models import ContactCost
from dashboard.accounts.markup import cost_section
from queries.accounts import JourneyCost, read_journey_costs
from queries.accounts.contact_costs import cost_of
from queries.warehouse import EVERYTHING, Scope
from tests.support import handmade

AS_OF: Final = datetime(2026, 7, 20, tzinfo=UTC)
UNTIL: Final = date(2026, 7, 1)
LENGTHS: Final = {"repair": [2] * 20 + [3] * 25 + [7] * 10, "order": [1] * 30 + [2] * 10}


def price(amount: float, channel: str = "*", since: date = date(2020, 1, 1)) -> ContactCost:
    return ContactCost(channel=channel, amount=amount, valid_from=since)


@pytest.fixture(scope="module")
def rows() -> handmade.Rows:
    """Journeys of two types, of which each third contact is a call; one journey that ended long before."""
    made: handmade.Rows = {"account": [], "journey": [], "contact": []}
    lengths = [(kind, length) for kind, of in LENGTHS.items() for length in of]
    for number, (kind, length) in enumerate([*lengths, ("repair", 9)]):
        at = datetime(2026, 5, 4, 9) if number < len(lengths) else datetime(2024, 5, 4, 9)  # noqa: DTZ001
        account, vertical = f"A{number % 12}", ("Energy", "Retail")[number % 2]
        of = {"account_id": account, "vertical": vertical}
        ended = at + timedelta(days=20)
        made["journey"].append(
            {**of, "id": f"J{number}", "journey_type": kind, "started_at": at, "ended_at": ended, "outcome": "reached"}
        )
        made["contact"] += [
            {
                **of,
                "id": f"C{number}-{turn}",
                "journey_id": f"J{number}",
                "touchpoint": "call",
                "direction": "in",
                "channel": "phone" if turn % 3 == 2 else "mail",
                "occurred_at": at + timedelta(days=turn),
            }
            for turn in range(length)
        ]
    made["account"] = [{"account_id": f"A{number}", "name": f"Company {number}"} for number in range(12)]
    return made


def read(
    rows: handmade.Rows, path: Path, costs: list[ContactCost], scope: Scope = EVERYTHING
) -> dict[str, JourneyCost]:
    engine = handmade.warehouse(path, rows, "UTC")
    try:
        with engine.connect() as conn:
            return {one.journey_type: one for one in read_journey_costs(conn, costs, UNTIL, scope, AS_OF)}
    finally:
        engine.dispose()


def test_costs_are_contacts_times_what_one_costs(rows: handmade.Rows, tmp_path: Path) -> None:
    found = read(rows, tmp_path / "w.duckdb", [price(10.0)])
    assert [*found] == ["repair", "order"]
    repair, order = found["repair"], found["order"]
    assert (repair.journeys, repair.usual, repair.excess, repair.excess_cost) == (55, 3, 40, 400.0)
    assert (order.journeys, order.usual, order.excess) == (40, 1, 10)
    assert repair.cost is not None
    assert repair.cost.mean == pytest.approx(10 * mean(LENGTHS["repair"]))
    assert repair.cost.low < repair.cost.mean < repair.cost.high


def test_a_contact_costs_the_mean_of_the_channels_that_were_used(rows: handmade.Rows, tmp_path: Path) -> None:
    found = read(rows, tmp_path / "w.duckdb", [price(4.0), price(16.0, "phone")])
    every = [length for of in LENGTHS.values() for length in of]
    calls = sum(length // 3 for length in every)
    each = 4 + 12 * calls / sum(every)
    assert found["repair"].excess_cost == pytest.approx(40 * each)


def test_a_reader_of_one_vertical_has_its_journeys_only(rows: handmade.Rows, tmp_path: Path) -> None:
    found = read(rows, tmp_path / "w.duckdb", [price(10.0)], Scope("gm", frozenset({"Energy"})))
    own = [row for row in rows["journey"][:-1] if row["vertical"] == "Energy"]
    assert sum(one.journeys for one in found.values()) == len(own)


def test_nothing_is_told_where_a_channel_has_no_cost(rows: handmade.Rows, tmp_path: Path) -> None:
    assert read(rows, tmp_path / "a.duckdb", [price(10.0, "phone")]) == {}
    assert read(rows, tmp_path / "b.duckdb", [price(10.0, since=date(2026, 7, 2))]) == {}
    assert cost_section((), "EUR") == ""


def test_the_cost_of_a_day_is_the_newest_of_its_channel() -> None:
    costs = [price(5.0), price(6.0, since=date(2026, 1, 1)), price(9.0, "phone", date(2021, 1, 1))]
    assert cost_of(costs, "phone", UNTIL) == 9.0
    assert cost_of(costs, "mail", UNTIL) == 6.0
    assert cost_of(costs, "mail", date(2025, 12, 31)) == 5.0
    assert cost_of(costs, "mail", date(2019, 1, 1)) is None


def test_what_is_shown_says_what_it_is(rows: handmade.Rows, tmp_path: Path) -> None:
    found = read(rows, tmp_path / "w.duckdb", [price(100.0)])
    page = str(cost_section(tuple(found.values()), "EUR"))
    assert "50 contacts were more than is usual for the type of journey: 5 k EUR in twelve months." in page
    assert "336 EUR (" in page

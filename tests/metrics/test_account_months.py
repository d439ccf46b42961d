"""Revenue and share of wallet of accounts by month: known when they were, and the same on both engines."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
import pytest
from sqlalchemy import Connection, insert

from queries.loading.publish import generation_key, record_generation
from queries.metrics import UnratedRevenueError, month_of, rank_of, read_account_months, revenue_of
from queries.monitoring.revenue_coverage import revenue_coverage
from queries.warehouse import (
    EVERYTHING,
    EmbeddedWarehouse,
    LoadReport,
    Scope,
    SharedWarehouse,
    Warehouse,
    rollups,
    tables,
)
from tests.support.daily import rulebook

LOADED: Final = datetime(2026, 7, 1)  # noqa: DTZ001 - as the warehouse stores it
SETTLE: Final = 10 * 86400.0
YEAR: Final = timedelta(days=365)
LATER: Final = datetime(2026, 7, 1, tzinfo=UTC)


def at(day: str, hour: int = 0) -> datetime:
    return datetime.fromisoformat(f"2026-{day}").replace(hour=hour, tzinfo=UTC)


def money(account: str, month: str, amount: float, **other: Any) -> dict[str, Any]:
    fixed = {"source": "crm", "currency": "EUR", "first_loaded_at": LOADED, "loaded_at": LOADED}
    return {**fixed, "account_id": account, "month": date.fromisoformat(month), "amount": amount, **other}


def recorded(day: str) -> dict[str, datetime]:
    return {"recorded_at": datetime.fromisoformat(f"2026-{day} 09:00")}


HISTORY: Final = [
    {"source": "crm", "account_id": account, "vertical": vertical, "valid_from": date.fromisoformat(since),
     "first_loaded_at": LOADED, "loaded_at": LOADED}
    for account, vertical, since in (
        ("A", "Retail", "2020-01-01"), ("B", "Retail", "2020-01-01"), ("B", "Wealth", "2026-04-01")
    )
]  # fmt: skip


@pytest.fixture(params=["duckdb", "postgresql"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Warehouse]:
    made: Warehouse
    if request.param == "duckdb":
        made = EmbeddedWarehouse(tmp_path / "warehouse", "256MB")
    else:
        made = SharedWarehouse(request.getfixturevalue("postgres_url"))
    with closing(made):
        yield made


def filled(conn: Connection, revenue: list[dict[str, Any]], rates: list[tuple[str, str, float]] = []) -> None:  # noqa: B006
    conn.execute(insert(tables.revenue), [{"recorded_at": None, "share_of_wallet": None, **row} for row in revenue])
    conn.execute(insert(tables.account_history), HISTORY)
    for currency, month, rate in rates:
        row = {"source": "crm", "currency": currency, "month": date.fromisoformat(month), "rate": rate}
        conn.execute(insert(tables.fx_rate), {**row, "first_loaded_at": LOADED, "loaded_at": LOADED})
    summary = LoadReport("crm", settle=SETTLE).json()
    record_generation(conn, 1, generation_key("UTC", rulebook()), "crm", summary, LOADED)
    rollups.rebuild_rollups(conn)


def known(conn: Connection, account: str, day: datetime, currency: str | None = "EUR") -> dict[str, float]:
    found = read_account_months(conn, EVERYTHING, LATER, currency).at(day)
    line = found.amount[found.accounts.index(account)]
    return {f"{month_of(found.first + i):%m}": value for i, value in enumerate(line.tolist()) if np.isfinite(value)}


def test_a_month_is_known_when_its_source_learnt_it_else_when_it_has_settled(warehouse: Warehouse) -> None:
    early = money("A", "2026-03-01", 3, **recorded("03-20"))  # booked before it was over
    booked, late = money("A", "2026-04-01", 4, **recorded("05-05")), money("A", "2026-02-01", 2, **recorded("05-20"))
    with warehouse.draft() as draft:
        filled(draft.conn, [early, booked, late, money("A", "2026-05-01", 5), money("B", "2026-02-01", 1)])
        seen = {
            day: set(known(draft.conn, "A", at(day, hour)))
            for day, hour in (("03-31", 23), ("04-01", 1), ("05-01", 1), ("05-05", 9), ("05-05", 10))
        }
        # February was awaited: nobody knew yet that there was any.
        assert seen == {"03-31": set(), "04-01": {"03"}, "05-01": {"03"}, "05-05": {"03", "04"}}
        assert set(known(draft.conn, "A", at("06-10"))) == {"02", "03", "04"}
        assert set(known(draft.conn, "A", at("06-11", 1))) == {"02", "03", "04", "05"}
        draft.discard()


def test_a_month_without_a_row_is_one_without_revenue_once_it_has_settled(warehouse: Warehouse) -> None:
    others = [money("B", f"2026-0{month}-01", 1) for month in (2, 3, 4, 5)]
    desk = [money("A", "2026-02-01", 7, source="desk")]  # which was switched off in March
    with warehouse.draft() as draft:
        filled(draft.conn, [*others, money("A", "2026-02-01", 2), money("A", "2026-03-01", 3), *desk])
        assert known(draft.conn, "A", at("04-11", 1)) == {"02": 9}  # the desk is awaited
        assert known(draft.conn, "A", at("06-01", 1)) == {"02": 9}
        assert known(draft.conn, "A", at("06-11", 1)) == {"02": 9, "05": 0}
        assert known(draft.conn, "B", at("06-11", 1)) == {"02": 1, "03": 1, "04": 1, "05": 1}
        draft.discard()


def test_a_rate_moves_the_reporting_currency_and_not_what_is_held(warehouse: Warehouse) -> None:
    revenue = [money("A", f"2026-0{month}-01", 100, currency="USD") for month in (3, 4, 5)]
    rates = [("USD", "2026-03-01", 0.9), ("USD", "2026-04-01", 0.8), ("USD", "2026-05-01", 0.5)]
    with warehouse.draft() as draft:
        filled(draft.conn, [*revenue, money("B", "2026-03-01", 10)], rates)
        found = read_account_months(draft.conn, EVERYTHING, LATER, "EUR").at(LATER)
        assert found.amount[0].tolist() == [90, 80, 50]
        assert found.held[0].tolist() == [50, 50, 50]
        assert found.currency is None
        with pytest.raises(UnratedRevenueError, match="in EUR for 2026-03 has no rate"):
            read_account_months(draft.conn, EVERYTHING, LATER, None)
        draft.discard()


def test_revenue_is_read_when_it_was_known_and_not_before(warehouse: Warehouse) -> None:
    """Booked days after the month's end, or not dated at all: then it has to settle."""
    rows = [money("A", "2026-04-01", 4, **recorded("05-05")), money("A", "2026-03-01", 3)]
    with warehouse.draft() as draft:
        filled(draft.conn, [*rows, money("B", "2026-04-01", 9, **recorded("04-20")), money("B", "2026-03-01", 1)])

        def sums(day: datetime) -> tuple[dict[str, float], list[float]]:
            (covered,) = revenue_coverage(draft.conn, YEAR, [date(2026, 5, 18)], [day], "company", EVERYTHING) or (
                None,
            )
            return revenue_of(draft.conn, ("A", "B"), "EUR", EVERYTHING, day), [covered.revenue] if covered else []

        assert sums(at("04-30", 23)) == ({"A": 3, "B": 1}, [4])
        assert sums(at("05-01", 1)) == ({"A": 3, "B": 10}, [13])
        assert sums(at("05-05", 9)) == ({"A": 3, "B": 10}, [13])
        assert sums(at("05-05", 10)) == ({"A": 7, "B": 10}, [17])
        # Read for a later slot too, an earlier one still knows no more than it did.
        slots = [date(2026, 5, 5), date(2026, 5, 18)]
        both = revenue_coverage(draft.conn, YEAR, slots, [at("05-05"), at("05-18")], "company", EVERYTHING)
        assert [one.revenue for one in both] == [13, 17]
        assert revenue_of(draft.conn, ("A",), "EUR", EVERYTHING, at("04-10")) == {}
        draft.discard()


def test_the_vertical_is_that_of_the_month(warehouse: Warehouse) -> None:
    with warehouse.draft() as draft:
        filled(draft.conn, [money("B", f"2026-0{month}-01", month) for month in (3, 4, 5)])
        in_wealth = read_account_months(draft.conn, Scope("gm", frozenset({"Wealth"})), LATER, "EUR").at(LATER)
        assert in_wealth.amount.tolist() == [[4, 5]]
        draft.discard()


def test_an_accounts_rank_is_that_of_its_vertical_and_of_what_was_known(warehouse: Warehouse) -> None:
    rows = [money("A", "2026-03-01", 5), money("A", "2026-04-01", 5)]
    with warehouse.draft() as draft:
        filled(draft.conn, [*rows, money("B", "2026-03-01", 9), money("B", "2026-04-01", 1)])

        def rank(account: str, day: str, scope: Scope = EVERYTHING) -> tuple[str, int, int] | None:
            found = rank_of(draft.conn, account, "EUR", scope, at(day))
            return (found.vertical, found.place, found.of) if found else None

        assert rank("A", "04-20") == ("Retail", 2, 2)  # of April nothing is known yet
        assert rank("A", "06-01") == ("Retail", 1, 2)
        assert rank("B", "06-01") == ("Wealth", 1, 1)  # it has moved there
        assert rank("A", "03-02") is None
        assert rank("nobody", "06-01") is None
        assert rank("A", "06-01", Scope(verticals=frozenset({"Wealth"}))) is None
        # Whoever may see an account alone learns nothing of how many others there are.
        assert rank("A", "06-01", Scope(accounts=frozenset({"A"}))) is None
        draft.discard()

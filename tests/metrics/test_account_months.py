"""Revenue and share of wallet of accounts by month: known when they were, and the same on both engines."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from typing import Any, Final

import numpy as np
import pytest
from sqlalchemy import Connection, insert

from queries.loading.publish import generation_key, record_generation
from queries.metrics import UnratedRevenueError, account_revenue, month_of, read_account_months
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


def test_an_account_against_its_own_last_twelve_months(warehouse: Warehouse) -> None:
    months = [date(2024 + (5 + i) // 12, (5 + i) % 12 + 1, 1) for i in range(24)]
    flat = [money("A", f"{m}", 100.0, share_of_wallet=0.5) for m in months[:12]]
    grown = [money("A", f"{m}", 110.0, share_of_wallet=0.6) for m in months[12:-1]]
    with warehouse.draft() as draft:
        filled(draft.conn, [*flat, *grown, money("A", f"{months[-1]}", 55.0, share_of_wallet=0.3)])
        then = account_revenue(draft.conn, "A", EVERYTHING, at("06-12"), "EUR")
        assert then is not None
        assert (then.month, then.amount, then.share, then.usual) == (date(2026, 5, 1), 55, 0.3, (110, 0.6))
        assert then.year == 11 * 110 + 55
        assert then.growth == pytest.approx(1265 / 1200 - 1)
        before = account_revenue(draft.conn, "A", EVERYTHING, at("06-10"), "EUR")
        assert before is not None
        assert (before.month, before.growth) == (date(2026, 4, 1), None)
        first = account_revenue(draft.conn, "A", EVERYTHING, datetime(2024, 7, 12, tzinfo=UTC), "EUR")
        assert first is not None
        assert (first.amount, first.usual, first.year) == (100, (None, None), 100)
        assert account_revenue(draft.conn, "A", EVERYTHING, datetime(2024, 6, 30, tzinfo=UTC), "EUR") is None
        assert account_revenue(draft.conn, "A", Scope("gm", frozenset({"Wealth"})), LATER, "EUR") is None
        draft.discard()


def test_the_vertical_is_that_of_the_month(warehouse: Warehouse) -> None:
    with warehouse.draft() as draft:
        filled(draft.conn, [money("B", f"2026-0{month}-01", month) for month in (3, 4, 5)])
        in_wealth = read_account_months(draft.conn, Scope("gm", frozenset({"Wealth"})), LATER, "EUR").at(LATER)
        assert in_wealth.amount.tolist() == [[4, 5]]
        draft.discard()

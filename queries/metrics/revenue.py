"""Revenue in the reporting currency: the one reading behind the review's finances, the messages and the coverage."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Table, and_, func, select, true

from config import EarshotError
from queries.engine import day_start, fetch_arrow, naive
from queries.metrics.formatting import listed
from queries.metrics.query_plan import clock_of
from queries.warehouse import Scope, rollups, settle

_MONTHS_NAMED: Final = 3


class UnratedRevenueError(EarshotError):
    """Revenue in a currency that has no rate for its month."""


def read_revenue(
    conn: Connection,
    by: Sequence[str],
    scope: Scope,
    as_of: datetime,
    currency: str | None,
    chosen: Callable[[Table], ColumnElement[bool]] = lambda _: true(),
) -> pa.Table:
    """Revenue by month and by these columns, in order: `month`, the columns, `known` (when, see `known_since`), and
    `amount` (float64).

    A group may have several rows, one for each currency and moment. What no rate is known for is refused: at par or
    left out, it would make a total that looks right and is not.

    Args:
        conn: the warehouse.
        by: columns of `account_month` besides the month.
        scope: what may be read.
        as_of: aware UTC; what was not known by then is left out.
        currency: the reporting currency. None: a single currency needs no rate, and of several each needs one.
        chosen: which rows of `account_month` are asked for; only theirs must have rates.

    Raises:
        UnratedRevenueError: names every currency without a rate, and its months.
    """
    table, clock = rollups.account_month, clock_of(conn, as_of)
    keys = (table.c.month, *(table.c[name] for name in by), table.c.currency, table.c.rate, table.c.recorded_at)
    over = table.c.month < clock.day().replace(day=1)
    query = select(*keys, func.sum(table.c.amount).label("amount")).where(over, scope.where(table), chosen(table))
    # Sums of floats depend on the order of what is added, and a figure must not change from one read to the next.
    found = fetch_arrow(conn, query.group_by(*keys).order_by(*keys))
    known = known_since(found, clock.zone, settle(conn))
    is_known = known < np.datetime64(clock.as_of)
    found, known = found.filter(pa.array(is_known)), known[is_known]
    amounts = np.array(found["amount"].to_pylist(), dtype=np.float64) * np.array(factors(found, currency), dtype=float)
    return (
        found.select(["month", *by]).append_column("known", pa.array(known)).append_column("amount", pa.array(amounts))
    )


def known_since(found: pa.Table, zone: ZoneInfo, wait: timedelta) -> NDArray[np.datetime64]:
    """When each row, which has `month` and `recorded_at`, became known, naive UTC: when its source learnt it, else when
    the month had ended and `wait` was over, and never before the month's end.
    """
    months: list[date] = found["month"].to_pylist()
    ends = {day: naive(day_start((day + timedelta(days=31)).replace(day=1), zone)) for day in set(months)}
    over = np.array([ends[day] for day in months], dtype="datetime64[us]")
    recorded = found["recorded_at"].cast(pa.timestamp("us")).to_numpy()
    return np.asarray(np.maximum(np.where(np.isnat(recorded), over + np.timedelta64(wait), recorded), over))


def factors(found: pa.Table, currency: str | None) -> list[Any]:
    """What turns each row, which has `currency`, `month` and `rate`, into the reporting currency."""
    currencies: list[str | None] = found["currency"].to_pylist()
    home = currency or (currencies[0] if len(set(currencies)) == 1 else None)
    unrated: dict[str, set[date]] = {}
    found_rates = []
    for code, rate, month in zip(currencies, found["rate"].to_pylist(), found["month"].to_pylist(), strict=True):
        # A source that knows one currency only leaves the column empty, and means the reporting currency by that.
        is_home = code is None or code == home
        if rate is None and not is_home:
            unrated.setdefault(str(code), set()).add(month)
        found_rates.append(1.0 if is_home else rate)
    if unrated:
        named = listed([f"in {code} for {_months(months)}" for code, months in sorted(unrated.items())])
        raise UnratedRevenueError(f"revenue {named} has no rate; load the rate of each of these months into fx_rate")
    return found_rates


def _months(months: Collection[date]) -> str:
    names = [f"{month:%Y-%m}" for month in sorted(months)]
    rest = len(names) - _MONTHS_NAMED
    return listed([*names[:_MONTHS_NAMED], f"{rest} more"] if rest > 0 else names)


def revenue_of(
    conn: Connection, accounts: Collection[str], currency: str, scope: Scope, as_of: datetime
) -> dict[str, float]:
    """The revenue of the last twelve months of each of these accounts that has any, in the reporting currency.

    Args:
        conn: the warehouse.
        accounts: their ids.
        currency: the reporting currency; amounts in others are converted at their month's rate.
        scope: nothing outside it is read.
        as_of: aware UTC.

    Raises:
        UnratedRevenueError: one of these accounts has revenue in a currency without a rate for its month.
    """
    if not accounts:
        return {}
    since, ids = _year_ago(conn, as_of), sorted(accounts)

    def chosen(table: Table) -> ColumnElement[bool]:
        return and_(table.c.month >= since, table.c.account_id.in_(ids))

    found = read_revenue(conn, ("account_id",), scope, as_of, currency, chosen).to_pylist()
    return {account: total for account, total in _by_account(found).items() if total}


def _year_ago(conn: Connection, as_of: datetime) -> date:
    """The first of the last twelve months that are over: a window of days would begin within a month, and lose it."""
    today = clock_of(conn, as_of).day()
    return date(today.year - 1, today.month, 1)


def _by_account(rows: list[dict[str, Any]]) -> dict[str, float]:
    totals: dict[str, float] = {}
    for row in rows:
        totals[row["account_id"]] = totals.get(row["account_id"], 0.0) + row["amount"]
    return totals


@dataclass(frozen=True, slots=True)
class Rank:
    """Where an account stands by revenue among those of its vertical that have any: 1 is the largest."""

    vertical: str
    place: int
    of: int


def rank_of(conn: Connection, account: str, currency: str, scope: Scope, as_of: datetime) -> Rank | None:
    """An account's rank by the revenue of the last twelve months in the vertical that it bought in last.

    None without revenue or a vertical, and for readers of single accounts: they would be told of others.

    Args:
        conn: the warehouse.
        account: its id.
        currency: the reporting currency.
        scope: nothing outside it is read.
        as_of: aware UTC.

    Raises:
        UnratedRevenueError: an account of the vertical has revenue in a currency without a rate for its month.
    """
    if scope.accounts is not None:
        return None
    since = _year_ago(conn, as_of)

    def read(chosen: Callable[[Table], ColumnElement[bool]]) -> list[dict[str, Any]]:
        by = ("account_id", "vertical")
        found = read_revenue(
            conn, by, scope, as_of, currency, lambda table: and_(table.c.month >= since, chosen(table))
        )
        return list(found.to_pylist())

    own = read(lambda table: table.c.account_id == account)
    vertical = max(own, key=lambda row: row["month"], default={"vertical": None})["vertical"]
    if vertical is None:
        return None
    totals = _by_account(read(lambda table: table.c.vertical == vertical))
    larger = sum(total > totals[account] for total in totals.values())
    return Rank(vertical, larger + 1, len(totals))

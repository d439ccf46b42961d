"""Revenue in the reporting currency: the one reading behind the review's finances, the stakes and the coverage."""

from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
from sqlalchemy import ColumnElement, Connection, Subquery, and_, func, select, true

from config import EarshotError
from queries.engine import fetch_arrow
from queries.metrics.formatting import listed
from queries.metrics.query_plan import clock_of
from queries.warehouse import Scope, relation, tables

YEAR: Final = timedelta(days=365)
_MONTHS_NAMED: Final = 3


class UnratedRevenueError(EarshotError):
    """Revenue in a currency that has no rate for its month."""


def read_revenue(
    conn: Connection,
    by: Sequence[str],
    scope: Scope,
    as_of: datetime,
    currency: str | None,
    chosen: Callable[[Subquery], ColumnElement[bool]] = lambda _: true(),
) -> pa.Table:
    """Revenue by month and by these columns, in order: `month`, the columns, and `amount` (float64).

    A group may have several rows, one for each currency. What no rate is known for is refused: at par or left out, it
    would make a total that looks right and is not.

    Args:
        conn: the warehouse.
        by: columns of `revenue` besides the month.
        scope: what may be read.
        as_of: aware UTC; a month is known when it has ended.
        currency: the reporting currency. None: a single currency needs no rate, and of several each needs one.
        chosen: which rows of `revenue` are asked for; only theirs must have rates.

    Raises:
        UnratedRevenueError: names every currency without a rate, and its months.
    """
    rows = relation("revenue", as_of, ("account_id", "month", "vertical", "amount", "currency"))
    c = tables.fx_rate.c
    # One row for a currency and month, whatever was loaded: two would count the revenue they are joined to twice.
    rate = select(c.currency, c.month, func.max(c.rate).label("rate")).group_by(c.currency, c.month).subquery("rate")
    same = and_(rate.c.currency == rows.c.currency, rate.c.month == rows.c.month)
    keys = (rows.c.month, *(rows.c[name] for name in by), rows.c.currency, rate.c.rate)
    query = select(*keys, func.sum(rows.c.amount).label("amount")).select_from(rows.outerjoin(rate, same))
    # Sums of floats depend on the order of what is added, and a figure must not change from one read to the next.
    found = fetch_arrow(conn, query.where(scope.where(rows), chosen(rows)).group_by(*keys).order_by(*keys))
    rates = np.array(factors(found, currency), dtype=np.float64)
    amounts = np.array(found["amount"].to_pylist(), dtype=np.float64) * rates
    return found.select(["month", *by]).append_column("amount", pa.array(amounts))


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
    since, ids = clock_of(conn, as_of).day(YEAR), sorted(accounts)

    def chosen(rows: Subquery) -> ColumnElement[bool]:
        return and_(rows.c.month >= since, rows.c.account_id.in_(ids))

    totals: dict[str, float] = {}
    for row in read_revenue(conn, ("account_id",), scope, as_of, currency, chosen).to_pylist():
        totals[row["account_id"]] = totals.get(row["account_id"], 0.0) + row["amount"]
    return {account: total for account, total in totals.items() if total}

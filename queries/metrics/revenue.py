"""What is at stake in an account: its revenue of the last twelve months."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from queries.scope import Scope
from queries.warehouse import tables
from queries.warehouse.relations import relation

YEAR = timedelta(days=365)


def revenue_of(
    conn: Connection, accounts: Collection[str], currency: str, scope: Scope, as_of: datetime
) -> dict[str, float]:
    """The revenue of each of these accounts that has any, in the installation's currency.

    Args:
        conn: the warehouse.
        accounts: their ids.
        currency: amounts in others are converted by the month's rate, at par where none is known.
        scope: nothing outside it is read.
        as_of: aware UTC.
    """
    if not accounts:
        return {}
    rows = relation("revenue", as_of, ("account_id", "month", "vertical", "amount", "currency"))
    rates = tables.fx_rate.c
    by_month = select(rates.currency, rates.month, func.max(rates.rate).label("rate"))
    known = by_month.group_by(rates.currency, rates.month).subquery("rate")
    same = (known.c.currency == rows.c.currency) & (known.c.month == rows.c.month) & (rows.c.currency != currency)
    total = func.sum(rows.c.amount * func.coalesce(known.c.rate, 1.0))
    lately = (rows.c.month >= (as_of - YEAR).date()) & rows.c.account_id.in_(sorted(accounts)) & scope.where(rows)
    found = select(rows.c.account_id, total).select_from(rows.outerjoin(known, same)).where(lately)
    return {account: float(sum_) for account, sum_ in conn.execute(found.group_by(rows.c.account_id)) if sum_}

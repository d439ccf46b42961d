"""The vertical of a fact as of its day, from the account's history where the source of the fact has none."""

from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, FromClause, Subquery, Table, and_, exists, func, or_, select, update

from queries import schema
from queries.touched import Touched

FILLED: Final[tuple[Table, ...]] = tuple(table for table in schema.CANONICAL if "vertical_filled" in table.c)
"""The facts whose vertical can come from the account's history."""


def periods() -> Subquery:
    """When which vertical held: account_id, vertical, valid_from, until (exclusive, null: still); without overlaps.

    Where two rows of an account begin on one day, the one of the source that sorts last holds.
    """
    history = schema.account_history
    following = func.lead(history.c.valid_from).over(
        partition_by=history.c.account_id, order_by=(history.c.valid_from, history.c.source)
    )
    until = func.least(history.c.valid_to, following).label("until")
    return select(history.c.account_id, history.c.vertical, history.c.valid_from, until).subquery("period")


def holds(period: FromClause, facts: FromClause) -> ColumnElement[bool]:
    """Whether a period is the one of a fact's account on the fact's day."""
    return and_(
        period.c.account_id == facts.c.account_id,
        period.c.valid_from <= facts.c.day,
        or_(period.c.until.is_(None), period.c.until > facts.c.day),
    )


def fill(conn: Connection, facts: Table) -> None:
    """Give the facts of a new warehouse the verticals that their source left out."""
    period = periods()
    empty = and_(facts.c.vertical.is_(None), holds(period, facts), period.c.vertical.is_not(None))
    conn.execute(update(facts).where(empty).values(vertical=period.c.vertical))


def refill(conn: Connection, touched: Touched, now: datetime) -> int:
    """Bring the facts of the accounts whose history was touched up to date. Returns how many moved."""
    return sum(_refill(conn, facts, touched, now) for facts in FILLED)


def _refill(conn: Connection, facts: Table, touched: Touched, now: datetime) -> int:
    accounts, said = touched.accounts, _said(facts)
    mine = exists().where(accounts.c.account_id == facts.c.account_id)
    stale = and_(facts.c.vertical_filled, mine, facts.c.vertical.is_distinct_from(said))
    touched.note(conn, facts, stale)
    return conn.execute(update(facts).where(stale).values(vertical=said, loaded_at=now)).rowcount


def _said(facts: Table) -> ColumnElement[str]:
    period = periods()
    return select(func.max(period.c.vertical)).where(holds(period, facts)).scalar_subquery()

"""The vertical of a fact as of its day, from the account's history where the source of the fact has none."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Date,
    FromClause,
    Subquery,
    Table,
    and_,
    exists,
    func,
    not_,
    or_,
    select,
    union,
    update,
)

from queries.engine import append
from queries.warehouse import tables
from queries.warehouse.changes import Touched, temporary

FILLED: Final[tuple[Table, ...]] = tuple(table for table in tables.CANONICAL if "vertical_filled" in table.c)
"""The facts whose vertical can come from the account's history."""


def spelled_alike(names: Iterable[str]) -> list[str]:
    """Names that differ only in case or in spaces, such as `Billing, billing`: those of one vertical on each line."""
    spelled = dict[str, set[str]]()
    for name in names:
        spelled.setdefault("".join(name.casefold().split()), set()).add(name)
    return [", ".join(sorted(same)) for _, same in sorted(spelled.items()) if len(same) > 1]


def vertical_names(conn: Connection) -> frozenset[str]:
    """Every vertical that a fact has."""
    names = union(*(select(table.c.vertical).where(table.c.vertical.is_not(None)) for table in FILLED))
    return frozenset(conn.execute(names).scalars())


def vertical_periods() -> Subquery:
    """When which vertical held: account_id, vertical, valid_from, until (exclusive, null: still); without overlaps.

    Where two rows of an account begin on one day, the one of the source that sorts last holds.
    """
    history = tables.account_history
    following = func.lead(history.c.valid_from).over(
        partition_by=history.c.account_id, order_by=(history.c.valid_from, history.c.source)
    )
    until = func.least(history.c.valid_to, following, type_=Date).label("until")
    return select(history.c.account_id, history.c.vertical, history.c.valid_from, until).subquery("period")


def covers(period: FromClause, facts: FromClause) -> ColumnElement[bool]:
    """Whether a period is the one of a fact's account on the fact's day."""
    return and_(
        period.c.account_id == facts.c.account_id,
        period.c.valid_from <= facts.c.day,
        or_(period.c.until.is_(None), period.c.until > facts.c.day),
    )


def fill(conn: Connection, facts: Table) -> None:
    """Give the facts of a new warehouse the verticals that their source left out."""
    period = vertical_periods()
    empty = and_(facts.c.vertical.is_(None), covers(period, facts), period.c.vertical.is_not(None))
    conn.execute(update(facts).where(empty).values(vertical=period.c.vertical))


def refill(conn: Connection, touched: Touched, now: datetime) -> int:
    """Bring the facts of the accounts whose history was touched up to date. Returns how many moved."""
    accounts, every, moved = touched.accounts, vertical_periods(), 0
    # A table, since a window computed for every fact would take for ever.
    period = temporary("period", *(Column(column.name, column.type) for column in every.c))
    period.create(conn)
    append(conn, period, select(every).where(every.c.account_id.in_(select(accounts.c.account_id))))
    for facts in FILLED:
        mine = and_(facts.c.vertical_filled, exists().where(accounts.c.account_id == facts.c.account_id))
        said = and_(covers(period, facts), facts.c.vertical.is_distinct_from(period.c.vertical))
        silent = and_(facts.c.vertical.is_not(None), not_(exists().where(covers(period, facts))))
        touched.note(conn, facts, and_(mine, or_(exists().where(said), silent)))
        values = {"vertical": period.c.vertical, "loaded_at": now}
        moved += conn.execute(update(facts).where(mine, said).values(values)).rowcount
        moved += conn.execute(update(facts).where(mine, silent).values(vertical=None, loaded_at=now)).rowcount
    return moved

"""Which days and journeys a load touches, so that only they are computed anew."""

from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Date, MetaData, Select, String, Table, insert, literal, select

from queries.warehouse import tables

_CHILDREN = frozenset({"contact", "defect"})
"""The tables of which a journey's summary is made, besides the journey itself."""

_MONEY = (tables.account_history, tables.revenue, tables.fx_rate)
"""The tables of which an account's months are made."""


_NUMBER: Final = count()


def temporary(name: str, *columns: Column[Any]) -> Table:
    """A table that only this connection sees, gone when it closes. Its name is `name` and a number."""
    return Table(f"{name}_{next(_NUMBER)}", MetaData(), *columns, prefixes=["TEMPORARY"])


@dataclass(frozen=True, slots=True)
class Touched:
    """`days` holds (table_name, column_name, day), `journeys` (source, id), `accounts` those whose history changed, and
    `months` those whose history or revenue did, or the rate of a month of it.
    """

    days: Table
    journeys: Table
    accounts: Table
    months: Table

    def note(self, conn: Connection, table: Table, which: ColumnElement[bool]) -> None:
        """Remember the days, journeys and accounts of some rows of a table: before they change, and after."""
        for column in table.c:
            if "day_of" in column.info:
                found = (
                    select(literal(table.name), literal(column.name), column)
                    .where(which, column.is_not(None))
                    .distinct()
                )
                conn.execute(insert(self.days).from_select(["table_name", "column_name", "day"], found))
        journey: ColumnElement[str] | None = None
        if table is tables.journey:
            journey = table.c.id
        elif table.name in _CHILDREN:
            journey = table.c.journey_id
        if journey is not None:
            found = select(table.c.source, journey).where(which, journey.is_not(None)).distinct()
            conn.execute(insert(self.journeys).from_select(["source", "id"], found))
        if table is tables.account_history:
            conn.execute(insert(self.accounts).from_select(["account_id"], select(table.c.account_id).where(which)))
        if table in _MONEY:
            of = select(table.c.account_id) if "account_id" in table.c else _paid_at(table)
            conn.execute(insert(self.months).from_select(["account_id"], of.where(which).distinct()))


def _paid_at(rates: Table) -> Select[Any]:
    revenue = tables.revenue.c
    return select(revenue.account_id).where(rates.c.currency == revenue.currency, rates.c.month == revenue.month)


def nothing_touched(conn: Connection) -> Touched:
    """The empty notes of one load."""
    days = temporary("touched_day", _text("table_name"), _text("column_name"), Column("day", Date))
    journeys = temporary("touched_journey", _text("source"), _text("id"))
    accounts, months = (temporary(f"touched_{of}", _text("account_id")) for of in ("account", "account_month"))
    for table in (days, journeys, accounts, months):
        table.create(conn)
    return Touched(days, journeys, accounts, months)


def _text(name: str) -> Column[Any]:
    return Column(name, String)

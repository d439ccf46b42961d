"""Whose revenue answers: how much of it is with accounts that answered a relationship survey."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Literal

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, and_, func, select

from config.errors import EarshotError
from queries.engine import fetch_arrow
from queries.metrics.cube import Ints, day_ordinals
from queries.monitoring.activity import Signals, read_signals
from queries.scope import Scope
from queries.statistics.estimates import Floats
from queries.warehouse import tables
from queries.warehouse.relations import relation
from queries.warehouse.tables import UNKNOWN


@dataclass(frozen=True, slots=True)
class Coverage:
    """Whose revenue was heard from before a slot.

    Args:
        slot: the day after the window's last day.
        vertical: the slice; None is the company.
        accounts: accounts with revenue in the twelve full months before the slot.
        revenue: their revenue in these months, in the reporting currency.
        answered: that of accounts with an answer to a relationship survey in the window before the slot.
    """

    slot: date
    vertical: str | None
    accounts: int
    revenue: float
    answered: float


def revenue_coverage(
    conn: Connection,
    window: timedelta,
    slots: Sequence[date],
    as_ofs: Sequence[datetime],
    by: Literal["vertical", "company"],
    scope: Scope,
    currency: str | None = None,
) -> tuple[Coverage, ...]:
    """For every slot and slice with revenue, how much of it is with accounts that answered a relationship survey.

    Two reads serve all slots. An account that changed its vertical has its revenue, month by month, in both; an answer
    counts for all of its revenue.

    Args:
        conn: the warehouse.
        window: whole days before the slot in which an answer counts.
        slots: the days after the windows' last days.
        as_ofs: when each slot is read, aware UTC, shape (slots,); none before its slot begins.
        by: one slice for each vertical, or one for the company.
        scope: what may be read. Relationship surveys have no touchpoint: who may see some touchpoints only, sees none.
        currency: the reporting currency; other currencies are turned into it at their month's rate.

    Raises:
        EarshotError: amounts in several currencies, of which one has no rate.
    """
    if not slots or scope.touchpoints is not None:
        return ()
    money, answers = _money(conn, scope, max(as_ofs), currency), _answered(conn, scope, max(as_ofs))
    sliced = money if by == "vertical" else replace(money, verticals=(None,), vertical=np.zeros_like(money.vertical))
    return tuple(one for slot in slots for one in _coverage(sliced, answers, slot, window))


@dataclass(frozen=True, slots=True)
class _Money:
    """Revenue by account, month (ordinal of its first day) and vertical; arrays of the same shape."""

    accounts: tuple[str, ...]
    verticals: tuple[str | None, ...]
    account: Ints
    month: Ints
    vertical: Ints
    amount: Floats


def _money(conn: Connection, scope: Scope, as_of: datetime, currency: str | None) -> _Money:
    rows = relation("revenue", as_of, ("account_id", "month", "vertical", "amount", "currency"))
    c = tables.fx_rate.c
    rate = select(c.currency, c.month, func.max(c.rate).label("rate")).group_by(c.currency, c.month).subquery("rate")
    same = and_(rate.c.currency == rows.c.currency, rate.c.month == rows.c.month)
    keys = (rows.c.account_id, rows.c.month, rows.c.vertical, rows.c.currency, rate.c.rate)
    amount = func.sum(rows.c.amount).label("amount")
    query = (
        select(*keys, amount)
        .select_from(rows.outerjoin(rate, same))
        .where(scope.where(rows))
        .group_by(*keys)
        .order_by(*keys)
    )
    return _converted(fetch_arrow(conn, query), currency)


def _converted(found: pa.Table, currency: str | None) -> _Money:
    """Amounts in the reporting currency. Without one named, a single currency needs no rate."""
    currencies: list[str | None] = found["currency"].to_pylist()
    home = currency or (currencies[0] if len(set(currencies)) == 1 else None)
    pairs = list(zip(currencies, found["rate"].to_pylist(), strict=True))
    if unrated := sorted({code for code, rate in pairs if rate is None and code is not None} - {home}):
        raise EarshotError(f"revenue in {', '.join(unrated)} has no rate for some month; add it to fx_rate")
    factors = [1.0 if rate is None or code == currency else rate for code, rate in pairs]
    names = found["account_id"].combine_chunks().cast(pa.string()).dictionary_encode()
    verticals: list[str] = sorted({name or UNKNOWN for name in found["vertical"].to_pylist()})
    place = {name: at for at, name in enumerate(verticals)}
    vertical = np.array([place[name or UNKNOWN] for name in found["vertical"].to_pylist()], dtype=np.int64)
    amounts = np.array(found["amount"].to_pylist(), dtype=np.float64) * np.array(factors, dtype=np.float64)
    account = names.indices.to_numpy().astype(np.int64)
    return _Money(
        tuple(names.dictionary.to_pylist()), tuple(verticals), account, day_ordinals(found["month"]), vertical, amounts
    )


def _answered(conn: Connection, scope: Scope, as_of: datetime) -> Signals:
    rows = relation("response", as_of, ("status", "kind", "responded_day", "account_id", "vertical"))
    answered = (rows.c.status == "answered", rows.c.kind == "relationship", rows.c.responded_day.is_not(None))
    days = select(rows.c.account_id.label("unit"), rows.c.responded_day.label("day"))
    return read_signals(conn, days.where(*answered, scope.where(rows)).distinct())


def _coverage(money: _Money, answers: Signals, slot: date, window: timedelta) -> Iterable[Coverage]:
    until = slot.replace(day=1)
    since = until.replace(year=until.year - 1)
    first, end = (slot - window).toordinal(), slot.toordinal()
    recent = answers.unit[(answers.day >= first) & (answers.day < end)]
    heard = {answers.units[place] for place in np.unique(recent).tolist()}
    has_answered = np.array([name in heard for name in money.accounts], dtype=np.bool_)
    inside = (money.month >= since.toordinal()) & (money.month < until.toordinal()) & (money.amount != 0)
    slice_, account, amount = money.vertical[inside], money.account[inside], money.amount[inside]
    size = len(money.verticals)
    revenue, answered = (np.bincount(slice_, of, size) for of in (amount, amount * has_answered[account]))
    pairs = np.unique(slice_ * len(money.accounts) + account) // max(len(money.accounts), 1)
    for place in np.unique(pairs).tolist():
        n = int(np.count_nonzero(pairs == place))
        yield Coverage(slot, money.verticals[place], n, float(revenue[place]), float(answered[place]))

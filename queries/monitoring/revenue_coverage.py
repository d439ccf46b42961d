"""Whose revenue answers: how much of it is with accounts that answered a relationship survey."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from queries.engine import naive
from queries.metrics import Ints, day_ordinals, read_revenue
from queries.monitoring.activity import Signals, read_signals
from queries.warehouse import UNKNOWN, Scope, relation


@dataclass(frozen=True, slots=True)
class Coverage:
    """Whose revenue was heard from before a slot.

    Args:
        slot: the day after the window's last day.
        vertical: the slice; None is the company.
        accounts: accounts with revenue in the twelve full months before the slot, as far as it was known.
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
        currency: the reporting currency; other currencies are turned into it at their month's rate. None: a single
            currency needs no rate.

    Raises:
        UnratedRevenueError: revenue in a currency without a rate for its month.
    """
    if not slots or scope.touchpoints is not None:
        return ()
    money = _money(conn, scope, max(as_ofs), currency)
    rows = relation("response", max(as_ofs), ("status", "kind", "responded_day", "account_id", "vertical"))
    answered = (rows.c.status == "answered", rows.c.kind == "relationship", rows.c.responded_day.is_not(None))
    days = select(rows.c.account_id.label("unit"), rows.c.responded_day.label("day"))
    answers = read_signals(conn, days.where(*answered, scope.where(rows)).distinct())
    sliced = money if by == "vertical" else replace(money, verticals=(None,), vertical=np.zeros_like(money.vertical))
    moments = zip(slots, as_ofs, strict=True)
    return tuple(part for slot, as_of in moments for part in _coverage(sliced, answers, slot, as_of, window))


@dataclass(frozen=True, slots=True)
class _Money:
    """Revenue by account, month (ordinal of its first day), vertical and when it became known (naive UTC); arrays of
    the same shape.
    """

    accounts: tuple[str, ...]
    verticals: tuple[str | None, ...]
    account: Ints
    month: Ints
    vertical: Ints
    known: NDArray[np.datetime64]
    amount: NDArray[np.float64]


def _money(conn: Connection, scope: Scope, as_of: datetime, currency: str | None) -> _Money:
    # Every month is read, not only those that a slot looks at: slots must not disagree on whether a rate is missing.
    found = read_revenue(conn, ("account_id", "vertical"), scope, as_of, currency)
    names = found["account_id"].combine_chunks().cast(pa.string()).dictionary_encode()
    markets = [name or UNKNOWN for name in found["vertical"].to_pylist()]
    verticals = tuple(sorted(set(markets)))
    places = {name: place for place, name in enumerate(verticals)}
    return _Money(
        tuple(names.dictionary.to_pylist()),
        verticals,
        names.indices.to_numpy().astype(np.int64),
        day_ordinals(found["month"]),
        np.array([places[name] for name in markets], dtype=np.int64),
        found["known"].to_numpy(),
        found["amount"].to_numpy(),
    )


def _coverage(money: _Money, answers: Signals, slot: date, as_of: datetime, window: timedelta) -> Iterable[Coverage]:
    until = slot.replace(day=1)
    since = until.replace(year=until.year - 1)
    first, end = (slot - window).toordinal(), slot.toordinal()
    recent = answers.unit[(answers.day >= first) & (answers.day < end)]
    heard = {answers.units[place] for place in np.unique(recent).tolist()}
    has_answered = np.array([name in heard for name in money.accounts], dtype=np.bool_)
    inside = (money.month >= since.toordinal()) & (money.month < until.toordinal()) & (money.amount != 0)
    inside &= money.known < np.datetime64(naive(as_of))
    slice_, account, amount = money.vertical[inside], money.account[inside], money.amount[inside]
    size = len(money.verticals)
    revenue, answered = (np.bincount(slice_, money_of, size) for money_of in (amount, amount * has_answered[account]))
    pairs = np.unique(slice_ * len(money.accounts) + account) // max(len(money.accounts), 1)
    for place in np.unique(pairs).tolist():
        n = int(np.count_nonzero(pairs == place))
        yield Coverage(slot, money.verticals[place], n, float(revenue[place]), float(answered[place]))

"""Revenue and share of wallet of accounts by month, as they were known at an instant."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Table, select, true

from queries.engine import day_start, fetch_arrow, naive
from queries.metrics.query_plan import clock_of
from queries.metrics.revenue import factors, known_since
from queries.warehouse import Scope, rollups, settle

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

YEAR: Final = 12
"""The months of one."""


@dataclass(frozen=True, slots=True)
class MonthlyRevenue:
    """What was known at an instant. Matrices have the shape (accounts, months); NaN is not known.

    Args:
        accounts: sorted.
        currency: the one that everything was sold in; None where there were several.
        first: the number of the first month: months since the year 0.
        amount: in the reporting currency.
        held: the same with every currency at the newest rate that was known of it: a rate alone moves nothing.
        share: of the account's wallet, 0 to 1.
    """

    accounts: tuple[str, ...]
    currency: str | None
    first: int
    amount: Floats
    held: Floats
    share: Floats


@dataclass(frozen=True, slots=True)
class AccountMonths:
    """Rows of `account_month`. A line is an account in a source; arrays have the shape (rows,) or (lines,).

    Args:
        accounts: sorted.
        currencies: sorted; None is the reporting currency.
        account: of each line, its place in `accounts`.
        source: of each line, a number.
        line: of each row.
        month: of each row, months since the year 0.
        currency: of each row, its place in `currencies`.
        figures: of each row the amount in its own currency, the rate of its month, and the share of wallet.
        known: of each row, when it became known, naive UTC.
        ends: when each month from `month.min()` to `month.max()` had ended, naive UTC.
        settle: how long after its end a month is complete.
    """

    accounts: tuple[str, ...]
    currencies: tuple[str | None, ...]
    account: Ints
    source: Ints
    line: Ints
    month: Ints
    currency: Ints
    figures: tuple[Floats, Floats, Floats]
    known: NDArray[np.datetime64]
    ends: NDArray[np.datetime64]
    settle: timedelta

    def state(self, as_of: datetime) -> tuple[int, int]:
        """A number that changes when there is something new to know."""
        at = np.datetime64(naive(as_of))
        return int((self.known < at).sum()), int((self.ends + np.timedelta64(self.settle) <= at).sum())

    def at(self, as_of: datetime) -> MonthlyRevenue:
        """What was known at an instant, aware or naive UTC.

        A month without a row is one without revenue, once it has settled and its source has rows of others for it; a
        source that has had none for three months has ended.
        """
        moment = np.datetime64(naive(as_of))
        rows = self.known < moment
        only = self.currencies[0] if len(self.currencies) == 1 else None
        if not rows.any():
            nothing = np.full((len(self.accounts), 1), np.nan)
            return MonthlyRevenue(self.accounts, only, 0, nothing, nothing, nothing)
        first, last = int(self.month[rows].min()), int(self.month[rows].max())
        shape = len(self.account), last - first + 1
        cell = self.line[rows] * shape[1] + self.month[rows] - first
        amount, rate, share = (figure[rows] for figure in self.figures)
        newest = np.ones(len(self.currencies))
        in_order = np.argsort(self.month[rows], kind="stable")
        newest[self.currency[rows][in_order]] = rate[in_order]

        def total(values: Floats) -> Floats:
            return np.bincount(cell, values, shape[0] * shape[1]).reshape(shape).astype(np.float64)

        there = total(np.ones(len(cell))) > 0
        settled = self.ends[first - self.month.min() :][: shape[1]] + np.timedelta64(self.settle) <= moment
        is_known = self._is_known(there, settled)
        has_share = np.isfinite(share)
        shares = self._by_account(total(np.where(has_share, share, 0.0)))
        count = self._by_account(total(has_share.astype(np.float64)))
        figures = (self._by_account(total(amount * factor)) for factor in (rate, newest[self.currency[rows]]))
        in_one, held = (np.where(is_known, figure, np.nan) for figure in figures)
        of_wallet = np.where(is_known & (count > 0), shares / np.maximum(count, 1), np.nan)
        return MonthlyRevenue(self.accounts, only, first, in_one, held, of_wallet)

    def _is_known(self, there: Bools, settled: Bools) -> Bools:
        """Whether each account's months are known: none of its lines is still awaited."""
        delivered = np.zeros((int(self.source.max()) + 1, there.shape[1]), dtype=np.bool_)
        np.logical_or.at(delivered, self.source, there)
        lately = np.lib.stride_tricks.sliding_window_view(np.pad(delivered, ((0, 0), (2, 0))), 3, axis=1).any(axis=2)
        begun = np.logical_or.accumulate(there, axis=1)
        nothing = begun & ~there & ((delivered & settled) | ~lately)[self.source]
        awaited = self._by_account((begun & ~there & ~nothing).astype(np.float64)) > 0
        return (self._by_account(begun.astype(np.float64)) > 0) & ~awaited

    def _by_account(self, lines: Floats) -> Floats:
        found = np.zeros((len(self.accounts), lines.shape[1]))
        np.add.at(found, self.account, lines)
        return found


def read_account_months(
    conn: Connection,
    scope: Scope,
    as_of: datetime,
    currency: str | None,
    chosen: Callable[[Table], ColumnElement[bool]] = lambda _: true(),
) -> AccountMonths:
    """The months of accounts that had ended by an instant; each is known from when its source learnt it, else from when
    it has settled, and never before its end.

    Args:
        conn: the warehouse.
        scope: what may be read.
        as_of: aware UTC.
        currency: the reporting currency; None: a single currency needs no rate, and of several each needs one.
        chosen: which rows of `account_month` are asked for; only theirs must have rates.

    Raises:
        UnratedRevenueError: names every currency without a rate, and its months.
    """
    table, clock, wait = rollups.account_month, clock_of(conn, as_of), settle(conn)
    order = (table.c.account_id, table.c.source, table.c.month)
    asked = (table.c.month < clock.day().replace(day=1), scope.where(table), chosen(table))
    found = fetch_arrow(conn, select(table).where(*asked).order_by(*order))
    names, sources, codes = (
        found[name].combine_chunks().cast(pa.string()).dictionary_encode(null_encoding="encode")
        for name in ("account_id", "source", "currency")
    )
    account, source = (part.indices.to_numpy().astype(np.int64) for part in (names, sources))
    months: list[date] = found["month"].to_pylist()
    month = np.array([day.year * YEAR + day.month - 1 for day in months], dtype=np.int64)
    first, last = (int(month.min()), int(month.max())) if len(month) else (0, -1)
    ends = np.array([_instant(number + 1, clock.zone) for number in range(first, last + 1)], dtype="datetime64[us]")
    lines, line = np.unique(account * max(len(sources.dictionary), 1) + source, return_inverse=True)
    amount, share = (found[name].to_numpy().astype(np.float64) for name in ("amount", "share_of_wallet"))
    return AccountMonths(
        tuple(names.dictionary.to_pylist()),
        tuple(codes.dictionary.to_pylist()),
        *np.divmod(lines, max(len(sources.dictionary), 1)),
        line,
        month,
        codes.indices.to_numpy().astype(np.int64),
        (amount, np.array(factors(found, currency), dtype=np.float64), share),
        known_since(found, clock.zone, wait),
        ends,
        wait,
    )


def month_of(number: int) -> date:
    """The first day of a month that is numbered since the year 0."""
    return date(number // YEAR, number % YEAR + 1, 1)


def _instant(number: int, zone: ZoneInfo) -> datetime:
    """When a month begins, naive UTC."""
    return day_start(month_of(number), zone).replace(tzinfo=None)

"""Shares of journeys against their baseline: months that stay the same, whatever is reviewed."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import numpy as np
from sqlalchemy import Connection, select

from config.models import BaselinePeriod, Metric
from queries.metrics.query_plan import Ask, clock_of, keyed, needed, plan, sums, weighted
from queries.statistics.relative_changes import PooledChange, RelativeChange, pooled_change, relative_change
from queries.warehouse import UNKNOWN, Scope, matching, tables

LEAST_ACCOUNTS: Final = 8
"""A vertical of fewer accounts has no change: what one of them does would be taken for all."""


@dataclass(frozen=True, slots=True)
class VerticalChange:
    """One vertical in the baseline and since: cases, the figure, and its change; None: too few cases or accounts."""

    vertical: str
    cases_before: int
    before: float | None
    cases: int
    now: float | None
    change: RelativeChange | None


@dataclass(frozen=True, slots=True)
class AgainstBaseline:
    """A metric's newest months, [since, until), against its baseline, [first, last): each vertical, and all as one."""

    metric: Metric
    first: date
    last: date
    since: date
    until: date
    verticals: tuple[VerticalChange, ...]
    pooled: PooledChange | None


def read_against_baseline(
    conn: Connection,
    metric: Metric,
    baseline: BaselinePeriod,
    months: tuple[date | None, date],
    scope: Scope,
    as_of: datetime,
) -> AgainstBaseline | None:
    """The verticals of a metric against its baseline.

    Args:
        conn: a pinned generation.
        metric: a share.
        baseline: its months.
        months: the first full month of the data, and the first day after the month up to which is compared.
        scope: what may be read.
        as_of: aware UTC; months that have not matured by then are left out.

    Returns:
        As many of the newest months as the baseline has, or as there are since; None where there is none, or where the
        baseline is not whole.
    """
    days, clock = tables.calendar, clock_of(conn, as_of)
    first = baseline.since or months[0]
    if first is None:
        return None
    since_then = select(days.c.month).where(days.c.month.between(first, months[1])).distinct().order_by(days.c.month)
    starts = [start for start in conn.execute(since_then).scalars() if clock.past(start, metric.matures)]
    # The first day of a month is the end of the one before; what was given may lie within one.
    own, later = starts[: baseline.months + 1], starts[baseline.months :]
    if len(later) < 2 or (months[0] is not None and first < months[0]):
        return None
    since, until = later[-baseline.months - 1 :][0], later[-1]
    halves = [_cases(conn, metric, span, scope, as_of) for span in ((own[0], own[-1]), (since, until))]
    verticals = {vertical for half in halves for vertical, _ in half} - {UNKNOWN}
    changes = tuple(_vertical(metric, vertical, *halves) for vertical in sorted(verticals))
    known = [one.change for one in changes if one.change is not None]
    return AgainstBaseline(metric, own[0], own[-1], since, until, changes, pooled_change(known))


_Cases = dict[tuple[str, str], tuple[int, int]]
"""Of each vertical and account, how many cases, and how many of them count."""


def _cases(conn: Connection, metric: Metric, span: tuple[date, date], scope: Scope, as_of: datetime) -> _Cases:
    ask, clock = Ask(("vertical", "account_id"), "all", *span), clock_of(conn, as_of)
    rows = weighted(plan(metric, ask.columns, scope, clock), needed((metric,), ask.columns), ask, scope, clock)
    source, keys = keyed(rows, ask)
    of = sums(rows, metric)
    query = select(*keys, of["n"], of["plus"]).select_from(source).where(matching(ask.where, rows)).group_by(*keys)
    return {(row[0], row[1]): (int(row[2]), int(row[3])) for row in conn.execute(query) if row[2]}


def _vertical(metric: Metric, vertical: str, before: _Cases, now: _Cases) -> VerticalChange:
    accounts = sorted({account for half in (before, now) for name, account in half if name == vertical})
    pair = [
        np.array([half.get((vertical, account), (0, 0)) for account in accounts], dtype=np.float64)
        for half in (before, now)
    ]
    (n, hits), (n_now, hits_now) = (half.sum(axis=0) for half in pair)
    enough = min(n, n_now) >= metric.min_n and len(accounts) >= LEAST_ACCOUNTS
    shares = (metric.factor * hits / n, metric.factor * hits_now / n_now) if enough else (None, None)
    change = relative_change(pair[0], pair[1]) if enough else None
    return VerticalChange(vertical, int(n), shares[0], int(n_now), shares[1], change)

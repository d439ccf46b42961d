"""The portfolio of accounts: each one's quadrant, what it buys, and who moved from one quarter to the next."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Select, func, select

from config.models import Catalog, Cutoffs
from queries.accounts.quadrants import (
    BOUNDARY,
    QUADRANTS,
    QUARTER,
    YEAR,
    Positions,
    Quadrant,
    growth,
    odds,
    scores,
    shares,
)
from queries.engine import fetch_arrow
from queries.metrics import AccountMonths, clock_of, month_of, read_account_months
from queries.warehouse import UNKNOWN, Scope, rollups

NO_SIGNAL: Final = "no signal"
BOUNDARY_STATE: Final = "boundary"
STATES: Final = (*QUADRANTS, BOUNDARY_STATE, NO_SIGNAL)
"""What an account can be, in the order in which it is told."""

_HALF: Final = 0.5


@dataclass(frozen=True, slots=True)
class Position:
    """Where an account stands on an axis, with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PortfolioAccount:
    """One account of the portfolio.

    Args:
        id: its number at the source.
        vertical: the one that it bought in last.
        revenue: of the twelve months, in the reporting currency.
        score: its mean likelihood to recommend in the twelve months, 0 to 10; None without an answer that may be shown.
        answers: how many answers that is the mean of.
        share: our share of its wallet in the newest three months, 0 to 1.
        growth: the change of its revenue against the same three months a year before; told where no share is known.
        odds: the probability of each of QUADRANTS; empty where an axis is not known.
    """

    id: str
    vertical: str
    revenue: float
    score: Position | None
    answers: int
    share: Position | None
    growth: Position | None
    odds: tuple[float, ...] = ()

    @property
    def quadrant(self) -> Quadrant | None:
        """The likeliest one; None where an axis is not known."""
        return QUADRANTS[self.odds.index(max(self.odds))] if self.odds else None

    @property
    def doubt(self) -> float:
        """The probability that it lies in another one."""
        return 1 - max(self.odds, default=1.0)

    def is_near(self, quadrant: Quadrant) -> bool:
        """Whether it may well lie in a quadrant."""
        return bool(self.odds) and self.odds[QUADRANTS.index(quadrant)] > BOUNDARY

    @property
    def state(self) -> str:
        """One of STATES."""
        if self.quadrant is None:
            return NO_SIGNAL
        return BOUNDARY_STATE if self.doubt > BOUNDARY else self.quadrant


@dataclass(frozen=True, slots=True)
class Portfolio:
    """The accounts that bought anything in the twelve months before `until`, those that buy most first."""

    until: date
    cutoffs: Cutoffs
    accounts: tuple[PortfolioAccount, ...]

    @property
    def revenue(self) -> float:
        """What all of them bought."""
        return sum(account.revenue for account in self.accounts)

    def of(self, state: str) -> tuple[PortfolioAccount, ...]:
        """The accounts in one of STATES."""
        return tuple(account for account in self.accounts if account.state == state)


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What portfolios are made of: months of revenue, and answers; read once for all quarters.

    Arrays of answers have the shape (rows,); `place` is that of the account in `months.accounts`.
    """

    months: AccountMonths
    verticals: tuple[str, ...]
    place: NDArray[np.int64]
    day: NDArray[np.datetime64]
    score: NDArray[np.float64]
    count: NDArray[np.float64]
    as_of: datetime


def read_account_facts(conn: Connection, scope: Scope, as_of: datetime, currency: str | None) -> AccountFacts:
    """What portfolios are made of, as it was known at an instant.

    A reader under the privacy floor is not shown the score of an account that comes from too few people, unless the
    survey's answers are given under the account's name (`exempt` in audiences.toml).

    Raises:
        UnratedRevenueError: revenue in a currency without a rate.
    """
    months = read_account_months(conn, scope, as_of, currency)
    bought, answer = rollups.account_month, rollups.account_answer
    newest = (
        select(bought.c.account_id, func.max(bought.c.month).label("month"))
        .where(scope.where(bought))
        .group_by(bought.c.account_id)
        .subquery()
    )
    same = (bought.c.account_id == newest.c.account_id) & (bought.c.month == newest.c.month)
    named = select(bought.c.account_id, func.max(bought.c.vertical)).join(newest, same).where(scope.where(bought))
    verticals = {row[0]: row[1] for row in conn.execute(named.group_by(bought.c.account_id))}
    given = answer.c.day < clock_of(conn, as_of).day()
    columns = (answer.c.account_id, answer.c.day, answer.c.score, func.sum(answer.c.c).label("c"))
    asked = select(*columns).where(given, scope.where(answer))
    if scope.privacy is not None:
        asked = asked.where(
            answer.c.instrument.in_(scope.privacy.exempt) | answer.c.account_id.in_(_many(scope, given))
        )
    found = fetch_arrow(conn, asked.group_by(*columns[:3]))
    number = {account: place for place, account in enumerate(months.accounts)}
    rows = [row for row in found.to_pylist() if row["account_id"] in number]
    return AccountFacts(
        months,
        tuple(verticals.get(account) or UNKNOWN for account in months.accounts),
        np.array([number[row["account_id"]] for row in rows], dtype=np.int64),
        np.array([row["day"] for row in rows], dtype="datetime64[D]"),
        np.array([row["score"] for row in rows], dtype=np.float64),
        np.array([row["c"] for row in rows], dtype=np.float64),
        as_of,
    )


def _many(scope: Scope, given: ColumnElement[bool]) -> Select[tuple[str]]:
    """The accounts whose answers come from people enough to be shown; who names nobody is at least one."""
    answer, least = rollups.account_answer, scope.privacy.people if scope.privacy else 1
    people = func.count(func.coalesce(answer.c.person_id, answer.c.account_id).distinct())
    return (
        select(answer.c.account_id)
        .where(given, scope.where(answer))
        .group_by(answer.c.account_id)
        .having(people >= least)
    )


def newest_month(facts: AccountFacts) -> date | None:
    """The first day after the newest month of which most accounts that bought in the one before are known."""
    held = facts.months.at(facts.as_of)
    known = np.isfinite(held.amount).sum(axis=0)
    for place in range(held.amount.shape[1] - 1, -1, -1):
        if known[place] and known[place] >= _HALF * known[: place + 1].max():
            return month_of(held.first + place + 1)
    return None


def portfolio_of(facts: AccountFacts, cutoffs: Cutoffs, until: date) -> Portfolio:
    """The portfolio of the twelve months before `until`, the first day of a month."""
    held = facts.months.at(facts.as_of)
    width = (until.year * YEAR + until.month - 1) - held.first
    amount, alike, wallet = (_months(of, width) for of in (held.amount, held.held, held.share))
    year = amount[:, -YEAR:]
    there = np.flatnonzero(np.isfinite(year).any(axis=1) & (np.nan_to_num(year) != 0).any(axis=1))
    score, answers = _scores(facts, until)
    share, grown = shares(wallet), growth(alike)
    good, has_share = score.above(cutoffs.score), np.isfinite(share.value)
    high = np.where(has_share, share.above(cutoffs.share), grown.above(cutoffs.growth))
    each = odds(good, high)
    positions = [_positions(axis) for axis in (score, share, grown)]
    accounts = (
        PortfolioAccount(
            held.accounts[at],
            facts.verticals[at],
            float(np.nansum(year[at])),
            positions[0][at],
            int(answers[at]),
            positions[1][at],
            positions[2][at],
            tuple(each[at].tolist()) if np.isfinite(each[at]).all() else (),
        )
        for at in there
    )
    return Portfolio(until, cutoffs, tuple(sorted(accounts, key=lambda one: (-one.revenue, one.id))))


def _months(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """The first `width` months; before the first that is known nothing is."""
    kept = values[:, : max(width, 0)]
    missing = max(2 * YEAR - kept.shape[1], 0)
    behind = max(width - values.shape[1], 0)
    padded = np.pad(kept, ((0, 0), (missing, behind)), constant_values=np.nan)
    return np.asarray(padded, dtype=np.float64)


def _scores(facts: AccountFacts, until: date) -> tuple[Positions, NDArray[np.float64]]:
    last, first = np.datetime64(until), np.datetime64(until.replace(year=until.year - 1))
    rows = (facts.day >= first) & (facts.day < last)
    place, score, count = facts.place[rows], facts.score[rows], facts.count[rows]
    n, total, squares = (
        np.bincount(place, count * score**power, len(facts.months.accounts)).astype(np.float64) for power in range(3)
    )
    return scores(n, total, squares), n


def _positions(axis: Positions) -> list[Position | None]:
    low, high = axis.ends()
    ends = zip(axis.value.tolist(), low.tolist(), high.tolist(), strict=True)
    return [Position(*one) if np.isfinite(one).all() else None for one in ends]


@dataclass(frozen=True, slots=True)
class Move:
    """Accounts that went from one state to another, and what they buy now."""

    before: str
    now: str
    accounts: tuple[PortfolioAccount, ...]


def moves(facts: AccountFacts, now: Portfolio) -> tuple[Move, ...]:
    """Who went where since the quarter before, those who stayed included, in the order of STATES.

    Both quarters are placed by the cut-offs of the later: a limit that was moved moves no account.
    """
    number = now.until.year * YEAR + now.until.month - 1 - QUARTER
    was = {account.id: account.state for account in portfolio_of(facts, now.cutoffs, month_of(number)).accounts}
    found: dict[tuple[str, str], list[PortfolioAccount]] = {}
    for account in now.accounts:
        if account.id in was:
            found.setdefault((was[account.id], account.state), []).append(account)
    order = {state: place for place, state in enumerate(STATES)}
    keys = sorted(found, key=lambda pair: (order[pair[0]], order[pair[1]]))
    return tuple(Move(*key, tuple(found[key])) for key in keys)


def portfolio_before(facts: AccountFacts, catalog: Catalog, before: date | None) -> Portfolio | None:
    """The portfolio of the newest twelve months, or of those before a day; None without revenue or cut-offs."""
    newest = newest_month(facts)
    until = min(newest, before) if newest and before else newest
    cutoffs = catalog.cutoffs(until) if until else None
    return portfolio_of(facts, cutoffs, until) if until and cutoffs else None


def in_vertical(of: Portfolio | None, vertical: str | None) -> Portfolio | None:
    """A portfolio's accounts of one vertical, or all of them."""
    if of is None or vertical is None:
        return of
    return Portfolio(of.until, of.cutoffs, tuple(one for one in of.accounts if one.vertical == vertical))

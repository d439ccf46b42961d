"""What became of accounts' revenue in the year after: by what they answered, and by quadrant. It is association. Pure.

The revenue kept by a group is the sum of its second year over that of its first, a ratio of totals over accounts; its
variance is linearised (Cochran, Sampling Techniques, 1977, section 6.4), and it has a t distribution with one degree of
freedom less than there are accounts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import inf, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from config.models import Cutoffs
from queries.accounts.portfolio import AccountFacts, Portfolio, PortfolioAccount, portfolio_of
from queries.accounts.quadrants import QUADRANTS, YEAR

BANDS: Final = (("below 7", -inf, 7.0), ("7 to below 9", 7.0, 9.0), ("9 or more", 9.0, inf))
"""Mean answers of the year before, of 10: name, from, below."""

LEAST_ACCOUNTS: Final = 8
"""A group of fewer accounts has no figure."""

_PRECISE: Final = 0.975


@dataclass(frozen=True, slots=True)
class KeptRevenue:
    """What a group of accounts kept: 1 is all. The figure and its 95% interval are None of too few accounts."""

    name: str
    accounts: int
    before: float
    kept: float | None = None
    low: float | None = None
    high: float | None = None
    freedom: float = 0.0
    error: float = 0.0


@dataclass(frozen=True, slots=True)
class KeptDifference:
    """How much more of its revenue one group kept than another, as a part of it, with the 95% interval."""

    better: KeptRevenue
    worse: KeptRevenue
    value: float
    low: float
    high: float

    @property
    def is_certain(self) -> bool:
        """Whether the interval leaves out that both kept as much."""
        return self.low > 0 or self.high < 0


def a_year_before(facts: AccountFacts, cutoffs: Cutoffs, until: date) -> Portfolio:
    """The portfolio as it was a year before, by the same cut-offs."""
    return portfolio_of(facts, cutoffs, until.replace(year=until.year - 1))


def kept_by_answers(before: Portfolio, now: Portfolio) -> tuple[KeptRevenue, ...]:
    """What accounts kept by what they answered in the year before: a group for each of BANDS."""

    def is_in(account: PortfolioAccount, low: float, high: float) -> bool:
        return account.score is not None and low <= account.score.value < high

    return tuple(
        _kept(name, [one for one in before.accounts if is_in(one, low, high)], now) for name, low, high in BANDS
    )


def kept_by_quadrant(before: Portfolio, now: Portfolio) -> tuple[KeptRevenue, ...]:
    """What accounts kept by the quadrant that they were in a year ago; those on a boundary are in none."""
    return tuple(_kept(name, before.of(name), now) for name in QUADRANTS)


def _kept(name: str, accounts: Sequence[PortfolioAccount], now: Portfolio) -> KeptRevenue:
    later = {account.id: account.revenue for account in now.accounts}
    first = np.array([account.revenue for account in accounts], dtype=np.float64)
    # Who bought nothing any more is in no later portfolio, and kept nothing.
    second = np.array([later.get(account.id, 0.0) for account in accounts], dtype=np.float64)
    number, total = len(accounts), float(first.sum())
    if number < LEAST_ACCOUNTS or total <= 0:
        return KeptRevenue(name, number, total)
    kept = float(second.sum()) / total
    error = _error(first, second - kept * first)
    half = float(stdtrit(number - 1, _PRECISE)) * error
    return KeptRevenue(name, number, total, kept, max(0.0, kept - half), kept + half, number - 1.0, error)


def _error(first: NDArray[np.float64], apart: NDArray[np.float64]) -> float:
    number = len(first)
    return sqrt(number / (number - 1) * float((apart**2).sum())) / float(first.sum())


def difference(better: KeptRevenue, worse: KeptRevenue) -> KeptDifference | None:
    """How much more one group kept than the other, by Welch's approximation; None where either has no figure."""
    if better.kept is None or worse.kept is None:
        return None
    parts = better.error**2, worse.error**2
    error = sqrt(sum(parts))
    weights = parts[0] ** 2 / better.freedom + parts[1] ** 2 / worse.freedom
    half = float(stdtrit(sum(parts) ** 2 / weights, _PRECISE)) * error if weights > 0 else 0.0
    value = better.kept - worse.kept
    return KeptDifference(better, worse, value, value - half, value + half)


def months_known(facts: AccountFacts, until: date) -> bool:
    """Whether two whole years before a day are known."""
    held = facts.months.at(facts.as_of)
    return until.year * YEAR + until.month - 1 - held.first >= 2 * YEAR

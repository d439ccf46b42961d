"""What growth accounts could buy more: those with a good relationship that spend little with us. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

from queries.accounts.portfolio import Portfolio


@dataclass(frozen=True, slots=True)
class Headroom:
    """What an account would buy more in a year, were its value high: up to the configured share of its wallet.

    `low` and `high` come from the 95% interval of its share of wallet; what it buys is known.
    """

    account_id: str
    vertical: str
    revenue: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Growth:
    """The growth accounts together: how many, up to which share of their wallet, and what that would be in a year.

    `most` are those with most headroom.
    """

    accounts: int
    share: float
    value: float
    low: float
    high: float
    most: tuple[Headroom, ...]


def headroom(portfolio: Portfolio) -> tuple[Headroom, ...]:
    """The headroom of each account that is surely in the quadrant Growth, the largest first.

    An account of which no share is known is left out, and one whose share may as well be nothing: it has no upper end.
    """
    wanted, found = portfolio.cutoffs.share, list[Headroom]()
    for account in portfolio.of("Growth"):
        share = account.share
        if share is None or share.low <= 0 or account.revenue <= 0:
            continue
        value, low, high = (account.revenue * (wanted / at - 1) for at in (share.value, share.high, share.low))
        found.append(Headroom(account.id, account.vertical, account.revenue, value, max(low, 0.0), high))
    return tuple(sorted(found, key=lambda one: (-one.value, one.account_id)))


def growth_of(portfolio: Portfolio, most: int) -> Growth | None:
    """All growth accounts as one, with the largest `most`; None where there is none.

    Accounts are independent of one another: the distances to the ends of their intervals are added in squares.
    """
    each = headroom(portfolio)
    if not each:
        return None
    total = sum(one.value for one in each)
    below, above = (_squares(ends) for ends in ([o.value - o.low for o in each], [o.high - o.value for o in each]))
    return Growth(len(each), portfolio.cutoffs.share, total, max(total - below, 0.0), total + above, each[:most])


def _squares(distances: Iterable[float]) -> float:
    return sqrt(sum(distance**2 for distance in distances))

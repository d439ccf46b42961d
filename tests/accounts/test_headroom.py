"""What growth accounts could buy more: by hand, and that its interval holds the truth."""

from datetime import date

import numpy as np
import pytest

from queries.accounts import Portfolio, PortfolioAccount, Position
from queries.accounts.headroom import growth_of, headroom
from tests.accounts.test_portfolio import CUTOFFS

UNTIL = date(2026, 7, 1)
GROWTH = (0.02, 0.96, 0.0, 0.02)


def account(
    number: int, revenue: float, share: tuple[float, float, float] | None, odds: tuple[float, ...] = GROWTH
) -> PortfolioAccount:
    place = Position(*share) if share else None
    return PortfolioAccount(f"A{number}", "Energy", revenue, Position(8, 7.5, 8.5), 9, place, None, odds)


def of(*accounts: PortfolioAccount) -> Portfolio:
    return Portfolio(UNTIL, CUTOFFS, accounts)


def test_headroom_is_what_lies_between_the_share_and_the_cutoff() -> None:
    found = headroom(of(account(1, 200.0, (0.25, 0.2, 0.4)), account(2, 900.0, (0.45, 0.3, 0.6))))
    assert [one.account_id for one in found] == ["A1", "A2"]
    assert (found[0].value, found[0].low, found[0].high) == pytest.approx((200.0, 50.0, 300.0))
    # The share of the second may lie above the cut-off already.
    assert (found[1].value, found[1].low, found[1].high) == pytest.approx((100.0, 0.0, 600.0))


def test_only_growth_accounts_have_one() -> None:
    model, boundary = (0.96, 0.04, 0.0, 0.0), (0.3, 0.7, 0.0, 0.0)
    some = (0.25, 0.2, 0.3)
    others = (account(1, 1.0, some, model), account(2, 1.0, some, boundary), account(3, 1.0, some, ()))
    unknown = (account(4, 1.0, None), account(5, 1.0, (0.1, -0.1, 0.3)), account(6, 0.0, some))
    assert headroom(of(*others, *unknown)) == ()
    assert growth_of(of(*others, *unknown), 3) is None


def test_together_they_are_the_sum_and_the_largest_come_first() -> None:
    every = [account(number, 100.0 * number, (0.25, 0.2, 0.4)) for number in range(1, 6)]
    found = growth_of(of(*every), 2)
    assert found is not None
    assert (found.accounts, found.share) == (5, 0.5)
    assert found.value == pytest.approx(1500)
    assert [one.account_id for one in found.most] == ["A5", "A4"]
    # Less than the sum of all ends: not everybody's share is overestimated at once.
    assert sum(one.low for one in headroom(of(*every))) < found.low < found.value < found.high


def test_the_interval_of_all_holds_the_truth() -> None:
    draw, held = np.random.default_rng(3), 0
    for _ in range(300):
        truth, error = draw.uniform(0.15, 0.4, 30), 0.015
        seen = truth + draw.normal(0, error, 30)
        every = [
            account(number, 100.0, (share, share - 1.96 * error, share + 1.96 * error))
            for number, share in enumerate(seen.tolist())
        ]
        found = growth_of(of(*every), 3)
        assert found is not None
        held += found.low <= float((100 * (0.5 / truth - 1)).sum()) <= found.high
    assert held >= 0.9 * 300

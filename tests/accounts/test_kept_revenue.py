"""A link of answers and kept revenue is found where there is one, and not where there is none."""

from datetime import date
from math import exp

import numpy as np
import pytest

from queries.accounts import Portfolio, PortfolioAccount, Position
from queries.accounts.kept_revenue import LEAST_ACCOUNTS, difference, kept_by_answers, kept_by_quadrant
from tests.accounts.test_portfolio import CUTOFFS

SEEDS = 20
ENOUGH = 18
ACCOUNTS = 400
UNTIL = date(2026, 7, 1)


def years(seed: int, link: float) -> tuple[Portfolio, Portfolio]:
    """Two portfolios a year apart: each point of the score below 8 costs `link` of the revenue."""
    draw = np.random.default_rng(seed)
    before, now = list[PortfolioAccount](), list[PortfolioAccount]()
    for number in range(ACCOUNTS):
        score, share = float(np.clip(draw.normal(7.8, 1.2), 0, 10)), float(draw.uniform(0.1, 0.9))
        first = exp(draw.normal(12, 1.0))
        second = first * exp(draw.normal(0, 0.12)) * (1 - link * max(0.0, 8 - score))
        for bought, found in ((first, before), (second, now)):
            odds = [float(score >= 7) * float(share >= 0.5), float(score >= 7) * float(share < 0.5),
                    float(score < 7) * float(share >= 0.5), float(score < 7) * float(share < 0.5)]  # fmt: skip
            place = Position(score, score - 0.5, score + 0.5), 9, Position(share, share, share), None
            found.append(PortfolioAccount(f"A{number}", "Retail", bought, *place, tuple(odds)))
    return Portfolio(date(2025, 7, 1), CUTOFFS, tuple(before)), Portfolio(UNTIL, CUTOFFS, tuple(now))


def certain(seed: int, link: float) -> bool:
    low, _, high = kept_by_answers(*years(seed, link))
    found = difference(high, low)
    assert found is not None
    return found.is_certain


def test_a_planted_link_is_found() -> None:
    assert sum(certain(seed, 0.08) for seed in range(SEEDS)) >= ENOUGH


def test_without_a_link_nothing_is_claimed() -> None:
    assert sum(not certain(1000 + seed, 0.0) for seed in range(SEEDS)) >= ENOUGH


def test_a_group_keeps_its_second_year_over_its_first() -> None:
    before, now = years(3, 0.05)
    then, later = ({one.id: one for one in of.accounts} for of in (before, now))
    for group in kept_by_quadrant(before, now):
        own = [id_ for id_, one in then.items() if one.state == group.name]
        assert group.accounts == len(own) >= LEAST_ACCOUNTS
        first, second = (sum(of[id_].revenue for id_ in own) for of in (then, later))
        assert group.before == pytest.approx(first)
        assert group.kept == pytest.approx(second / first)


def test_who_left_kept_nothing_and_few_accounts_say_nothing() -> None:
    before, now = years(4, 0.0)
    gone = Portfolio(UNTIL, CUTOFFS, ())
    assert {group.kept for group in kept_by_answers(before, gone)} == {0.0}
    few = Portfolio(before.until, CUTOFFS, before.accounts[: LEAST_ACCOUNTS - 1])
    assert {group.kept for group in kept_by_answers(few, now)} == {None}


def test_an_interval_of_kept_revenue_holds_what_it_says() -> None:
    held = 0
    for seed in range(200):
        low, middle, high = kept_by_answers(*years(seed, 0.0))
        for group in (low, middle, high):
            assert group.low is not None
            assert group.high is not None
            held += group.low <= exp(0.12**2 / 2) <= group.high
    assert held >= 0.88 * 600

"""A fall below an account's own past: found when it is there, and by chance no oftener than declared."""

from typing import Any, Final

import numpy as np
import pytest
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from queries.statistics.falls import NEWEST, falls

Floats = NDArray[np.float64]
FALL: Final = 0.1
YEARS: Final = 3


def steady(dice: Generator, accounts: int, months: int) -> Floats:
    return np.exp(0.05 * dice.standard_normal((accounts, months)))


def lumpy(dice: Generator, accounts: int, months: int) -> Floats:
    """Some accounts scatter ten times as widely as others, and a month in twenty is a very bad one."""
    width = np.exp(dice.uniform(np.log(0.02), np.log(0.2), (accounts, 1)))
    bad = np.where(dice.random((accounts, months)) < 0.05, 0.5, 1.0)
    return np.exp(width * dice.standard_t(4, (accounts, months))) * bad


def rare(dice: Generator, accounts: int, months: int) -> Floats:
    """What is bought in few of the months."""
    return np.where(dice.random((accounts, months)) < 0.4, dice.lognormal(size=(accounts, months)), 0.0)


def yearly(dice: Generator, accounts: int, months: int) -> Floats:
    season = 1 + 0.5 * np.sin(2 * np.pi * (np.arange(months) + dice.integers(12, size=(accounts, 1))) / 12)
    return np.asarray(season * steady(dice, accounts, months))


def opened(months: Floats, declared: float, first: int) -> int:
    """How many falls begin, of accounts that had none the month before."""
    before, found = np.zeros(len(months), dtype=np.bool_), 0
    for end in range(first, months.shape[1] + 1):
        seen = falls(months[:, :end], 10)
        alpha = declared / (24 * max(int(np.isfinite(seen.fall).sum()), 1))
        deep, now = np.flatnonzero(np.nan_to_num(seen.fall) >= FALL), np.zeros(len(months), dtype=np.bool_)
        if len(deep):
            now[deep] = seen.by_chance(deep, alpha) < alpha
        found += int((now & ~before).sum())
        before = now
    return found


@pytest.mark.parametrize("draw", [steady, lumpy, rare], ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.proof) for seed in range(1, 10))])
def test_where_nothing_changed_there_are_no_more_than_declared(draw: Any, seed: int) -> None:
    """A hundred accounts of three years, four times over, at two declared a year."""
    found = sum(opened(draw(default_rng((seed, i)), 100, 14 + 12 * YEARS), 2.0, 15) for i in range(4))
    assert found <= 4 * YEARS * 2


@pytest.mark.parametrize("scatter", [0.02, 0.05, 0.1])
def test_a_lasting_fall_by_half_is_found_in_its_third_month(scatter: float) -> None:
    dice = default_rng(3)
    months = np.exp(scatter * dice.standard_normal((40, 20)))
    months[:2, 17:] *= 0.5
    seen = falls(months, 10)
    p = seen.by_chance(np.arange(40), 1 / (24 * 40))
    assert (p[:2] < 1 / (24 * 40)).all()
    assert (p[2:] > 0.001).all()
    assert seen.fall[:2] == pytest.approx(0.5, abs=0.3)


def test_where_all_scatter_alike_they_are_weighed_alike_and_else_by_their_own() -> None:
    """Twelve months say little of a spread: at its word it differs threefold between those that are alike."""
    dice = default_rng(4)
    wide = np.where(np.arange(200) < 100, 0.02, 0.2)[:, None]
    alike, unlike = (falls(np.exp(by * dice.standard_normal((200, 14))), 10).spread for by in (0.1, wide))
    assert np.quantile(alike, 0.95) / np.quantile(alike, 0.05) < 1.5
    assert np.median(unlike[100:]) / np.median(unlike[:100]) > 6


def test_the_worse_month_counts_for_at_most_twice_the_better() -> None:
    months = np.full((4, 14), 100.0)
    months[:, -2:] = [(60.0, 50.0), (90.0, 10.0), (110.0, 10.0), (100.0, 80.0)]
    seen = falls(months, 10)
    assert seen.depth == pytest.approx([0.45, 0.15, -0.05, 0.0])
    assert seen.fall == pytest.approx([0.4, 0.1, -0.1, 0.0])


def test_one_bad_month_is_none() -> None:
    months = np.full((3, 20), 100.0)
    months[0, -1], months[1, -2], months[2, -2:] = 0.0, 0.0, 0.0
    assert falls(months, 10).fall.tolist() == [0.0, 0.0, 1.0]


def test_a_fall_of_every_year_is_none_where_two_years_are_known() -> None:
    dice = default_rng(1)
    months = yearly(dice, 60, 38)
    whole, short = (falls(months[:, -length:], 10).fall for length in (26, 14))
    assert (short > FALL).sum() > 10
    assert (whole > FALL).sum() <= 1
    assert opened(yearly(dice, 60, 14 + 24), 1.0, 26) == 0
    months[:, -3:] *= 0.5  # the season does not explain what comes on top of it
    assert np.median(falls(months, 10).fall) > 0.3


def test_what_one_account_does_not_buy_every_year_hides_no_fall_of_another() -> None:
    """Half as much in two months of each year, of one in ten: where only one year is known, that might be chance."""
    dice = default_rng(2)
    months, alpha = steady(dice, 80, 38), 1 / (24 * 80)
    for account in range(8):
        months[account, 3 * account % 12 :: 12] *= 0.5
        months[account, (3 * account + 1) % 12 :: 12] *= 0.5
    months[-1, -3:] *= 0.75
    whole, short = (falls(months[:, -length:], 10) for length in (26, 14))
    assert whole.by_chance(np.array([79]), alpha)[0] < alpha < short.by_chance(np.array([79]), alpha)[0]


def low_every_year(part: float, months: int, years: int) -> Floats:
    """Hundred accounts, of which the first is low in the newest two months of so many years."""
    found = steady(default_rng(6), 100, months)
    for year in range(years):
        found[0, [months - 1 - 12 * year, months - 2 - 12 * year]] *= part
    return found


@pytest.mark.parametrize(("part", "fall"), [(0.92, 0.4), (0.6, 0.0)], ids=["chance", "season"])
def test_months_that_were_low_by_chance_a_year_before_take_nothing_from_a_fall(part: float, fall: float) -> None:
    """Eight in a hundred below the level is one and a half times what months scatter by."""
    dice = default_rng(7)
    months = np.exp(0.05 * dice.standard_normal((100, 26)))
    months[0, 12:14], months[0, 24:] = part, 0.6
    seen = falls(months, 10)
    assert seen.fall[0] == pytest.approx(fall, abs=0.1)
    assert (seen.by_chance(np.array([0]), 1e-4)[0] < 1e-4) == (fall > 0)


def test_hardly_any_chance_is_taken_for_a_season() -> None:
    """What is held against one is weighed by a wider spread."""
    seen = [falls(steady(default_rng((8, i)), 400, length), 10) for i, length in enumerate((26, 38))]
    assert all((one.spread > one.scatter).mean() < 0.02 for one in seen)


@pytest.mark.parametrize(("months", "years"), [(26, 2), (38, 3)])
def test_what_was_low_in_every_year_that_is_known_is_a_season(months: int, years: int) -> None:
    assert falls(low_every_year(0.7, months, years), 10).fall[0] < FALL
    assert falls(low_every_year(0.7, months, years - 1), 10).fall[0] > 0.15


def test_a_month_of_the_season_beside_one_that_is_low_by_chance_is_no_fall() -> None:
    months = steady(default_rng(9), 100, 27)
    months[0, [2, 3, 14, 15, 26]] *= 0.5
    months[0, 25] = 0.85
    seen = falls(months, 10)
    assert seen.depth[0] < 0.15
    assert seen.by_chance(np.array([0]), 1e-4)[0] > 1e-3


def test_what_buys_nothing_in_two_months_of_each_year_falls_by_nothing_in_them() -> None:
    months = low_every_year(0.0, 38, 4)
    assert falls(months, 10).fall[0] == 0.0
    assert falls(months[:, 12:], 10).fall[0] == 0.0
    months[0, 34:36] = 0.0  # nor in the two months before, of this year alone
    assert falls(months[:, :36], 10).fall[0] == 1.0


@pytest.mark.parametrize("least", [1e-2, 1e-4, 3e-6])
def test_how_rare_a_fall_is_does_not_depend_on_how_much_is_drawn(least: float) -> None:
    """A common one is known from a few draws, and the rarest from as many as there may be."""
    months = steady(default_rng(10), 100, 14)
    months[0, -2:], months[1, -2:] = 0.3, np.median(months[1, :12]) * 0.95
    seen = falls(months, 10)
    rare, common = seen.by_chance(np.array([0, 1]), least)
    assert rare < least < common
    assert common == pytest.approx(seen.by_chance(np.array([1]), 1e-4)[0], rel=0.25)


def dipping(dice: Generator, accounts: int, months: int) -> Floats:
    """Every fifth account buys half as much in the same two months of each year."""
    at = (np.arange(months) + dice.integers(12, size=(accounts, 1))) % 12 < NEWEST
    some = np.arange(accounts)[:, None] % 5 == 0
    return np.asarray(np.where(at & some, 0.5, 1.0) * steady(dice, accounts, months))


@pytest.mark.parametrize("draw", [steady, lumpy, rare, yearly, dipping], ids=lambda draw: draw.__name__)
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.proof) for seed in range(1, 10))])
def test_where_two_years_are_known_there_are_no_more_than_declared_either(draw: Any, seed: int) -> None:
    found = sum(opened(draw(default_rng((seed, i)), 100, 26 + 12 * YEARS), 2.0, 27) for i in range(4))
    assert found <= 4 * YEARS * 2


@pytest.mark.parametrize("shape", [(0, 1), (0, 38), (3, 1)])
def test_without_accounts_or_months_nothing_is_judged(shape: tuple[int, int]) -> None:
    seen = falls(np.full(shape, np.nan), 10)
    assert seen.newest.tolist() == [-1] * shape[0]
    assert not np.isfinite(seen.fall).any()


def test_what_is_not_known_is_not_judged() -> None:
    months = np.full((4, 20), 50.0)
    months[0, :9] = np.nan  # nine months before the newest two
    months[1, -2] = np.nan
    months[2] = 0.0
    months[3, -3:] = (20.0, 20.0, np.nan)  # the newest month is not in yet: the two before it count
    assert np.isfinite(falls(months, 10).fall).tolist() == [False, False, False, True]
    assert falls(months, 9).fall[0] == 0.0
    assert falls(months, 10).fall[3] == pytest.approx(0.6)
    assert falls(months, 10).newest.tolist() == [19, 19, 19, 18]


def test_a_fall_that_lasts_stays_one_for_a_year() -> None:
    """Its own months pull the middle down; the best level of the last year is still known."""
    line = np.concatenate((np.full(14, 100.0), np.full(24, 40.0)))
    since = [falls(line[None, :end], 10).since[0] for end in (16, 22, 28, 38)]
    assert since == pytest.approx([0.6, 0.6, 0.6, 0.0])

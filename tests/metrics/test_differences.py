"""Differences of two samples against published examples, statsmodels and scipy, and against exact enumeration."""

from collections.abc import Callable
from dataclasses import astuple
from itertools import pairwise, product
from math import isnan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq
from scipy.special import xlogy
from statsmodels.stats.proportion import confint_proportions_2indep, score_test_proportions_2indep

from config import EarshotError
from config.models import Metric
from queries.statistics.differences import (
    gap_interval,
    gap_tails,
    gaps,
    likeliest_shares,
    skewed_tails,
    stratified_gaps,
    stratified_tails,
)
from queries.statistics.estimates import Floats, Tally, wilson
from tests.metrics.test_statistics import metric, tally_of

UP = metric("share")
DOWN = metric("share", good="down")


def rows(*tallies: Tally) -> Floats:
    return np.array([astuple(tally) for tally in tallies], dtype=np.float64)


def share(plus: float, n: float) -> Tally:
    return Tally(n=n, plus=plus, total=plus, squares=plus)


def one(of: Metric, left: Tally, right: Tally, floor: float = 0.0, deffs: tuple[float, float] = (1.0, 1.0)) -> float:
    return float(gap_tails(of, rows(left), rows(right), floor, *deffs)[0])


def plain_score(hits: int, size: int, others: int, others_size: int, limit: float) -> float:
    """The z of Farrington & Manning without the correction for skewness."""
    first = float(likeliest_shares(hits, size, others, others_size, limit))
    second = first - limit
    spread = sqrt(first * (1 - first) / size + second * (1 - second) / others_size)
    return (hits / size - others / others_size - limit) / spread


TALLIES = st.tuples(st.integers(0, 60), st.floats(0, 1), st.floats(0, 1)).map(
    lambda drawn: _counts(drawn[0], round(drawn[0] * drawn[1]), drawn[2]),
)


def _counts(n: int, plus: int, part: float) -> Tally:
    minus = round((n - plus) * part)
    return Tally(n, plus, minus, 5 * plus + minus, 25 * plus + minus)


NEWCOMBE = [
    # Newcombe 1998b, table II, method 10: the counts, then the ends
    ((56, 70, 48, 80), (0.0524, 0.3339)),
    ((9, 10, 3, 10), (0.1705, 0.8090)),
    ((6, 7, 2, 7), (0.0582, 0.8062)),
    ((5, 56, 0, 29), (-0.0381, 0.1926)),
    ((0, 10, 0, 20), (-0.1611, 0.2775)),
    ((0, 10, 0, 10), (-0.2775, 0.2775)),
    ((10, 10, 0, 20), (0.6791, 1.0)),
    ((10, 10, 0, 10), (0.6075, 1.0)),
]


@pytest.mark.parametrize(("counts", "ends"), NEWCOMBE)
def test_interval_of_two_shares_is_newcombes(counts: tuple[int, int, int, int], ends: tuple[float, float]) -> None:
    found = gap_interval(UP, share(*counts[:2]), share(*counts[2:]))
    assert found == pytest.approx(ends, abs=5e-5)
    by_package = confint_proportions_2indep(*counts, method="newcomb", compare="diff")
    assert found == pytest.approx(by_package, abs=1e-9)


SCORE_LIMITS = [
    # Newcombe 1998b, table II, method 5 (Mee: the score without Miettinen and Nurminen's N/(N-1))
    ((56, 70, 48, 80), (0.0533, 0.3377), 5e-5),
    ((9, 10, 3, 10), (0.1821, 0.8370), 5e-5),
    # Fagerland, Lydersen & Laake 2011, table V: 7 of 34 against 1 of 34
    ((7, 34, 1, 34), (0.028, 0.34), 5e-3),
]


@pytest.mark.parametrize(("counts", "ends", "tolerance"), SCORE_LIMITS)
def test_score_limits_are_the_published_ones(
    counts: tuple[int, int, int, int],
    ends: tuple[float, float],
    tolerance: float,
) -> None:
    z = float(stats.norm.ppf(0.975))
    gap = counts[0] / counts[1] - counts[2] / counts[3]
    low = brentq(lambda limit: plain_score(*counts, limit) - z, -0.99, gap - 1e-9)
    high = brentq(lambda limit: plain_score(*counts, limit) + z, gap + 1e-9, 0.99)
    assert (low, high) == pytest.approx(ends, abs=tolerance)


@given(
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.sampled_from([-0.6, -0.2, -0.03, 0.03, 0.2, 0.6]),
)
@settings(deadline=None)
def test_likeliest_shares_are_the_likeliest(
    sizes: tuple[int, int],
    parts: tuple[float, float],
    limit: float,
) -> None:
    # statsmodels 0.15 has count0 where nobs0 belongs in its cubic, so the likelihood itself is the judge.
    hits = [round(part * size) for part, size in zip(parts, sizes, strict=True)]

    def plausible(first: Floats) -> Floats:
        second = first - limit
        found = sum(
            xlogy(k, np.clip(p, 0, 1)) + xlogy(n - k, np.clip(1 - p, 0, 1))
            for k, n, p in ((hits[0], sizes[0], first), (hits[1], sizes[1], second))
        )
        return np.asarray(found, dtype=np.float64)

    grid = np.linspace(max(limit, 0.0), min(1.0, 1 + limit), 2001)
    found = likeliest_shares(hits[0], sizes[0], hits[1], sizes[1], limit)
    assert grid[0] <= float(found) <= grid[-1]
    assert float(plausible(found)) >= float(plausible(grid).max()) - 1e-6


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None)
def test_without_a_floor_the_score_is_statsmodels(n: int, other: int, part: float, rest: float) -> None:
    x, y = round(part * n), round(rest * other)
    if x + y in {0, n + other}:
        assert one(UP, share(x, n), share(y, other)) == 1.0
        return
    found = one(UP, share(x, n), share(y, other))
    kind = {"value": 0, "compare": "diff", "alternative": "smaller", "correction": False}
    z, p = score_test_proportions_2indep(x, n, y, other, **kind)
    assert plain_score(x, n, y, other, 0.0) == pytest.approx(z, abs=1e-7)
    assert found >= p - 1e-9  # the correction for skewness only ever holds back
    if n == other:  # then the law of the gap is symmetric and nothing is held back
        assert found == pytest.approx(p, rel=1e-6, abs=1e-12)


def test_worse_is_lower_where_up_is_good_and_higher_where_down_is() -> None:
    few, many = share(10, 100), share(40, 100)
    for of, worse, better in ((UP, few, many), (DOWN, many, few)):
        assert one(of, worse, better) < 1e-5
        assert one(of, better, worse) > 0.99
    assert one(DOWN, many, few) == pytest.approx(one(UP, few, many), rel=1e-9)


def test_a_floor_in_the_metrics_unit_has_to_be_passed() -> None:
    percent = metric("share", factor=100)
    left, right = share(30, 100), share(50, 100)
    ps = [one(percent, left, right, floor) for floor in (0, 5, 10, 20, 30)]
    assert ps == sorted(ps)
    assert ps[3] == pytest.approx(0.5, abs=0.03)
    assert ps[2] == pytest.approx(one(UP, left, right, 0.1), rel=1e-12)


def outcomes(size: int, chance: float) -> tuple[Floats, Floats]:
    hits = np.arange(size + 1, dtype=np.float64)
    return hits, stats.binom.pmf(hits, size, chance)


def error(find: Callable[[Floats, Floats], Floats], sizes: tuple[int, int], chance: float, alpha: float) -> float:
    """The exact probability that the p of two equal samples is at most alpha."""
    (first, weight), (second, others) = (outcomes(size, chance) for size in sizes)
    pairs = np.array(list(product(first, second)))
    empty = np.zeros(len(pairs))
    left, right = (
        np.column_stack([np.full(len(pairs), float(n)), pairs[:, i], empty, empty, empty]) for i, n in enumerate(sizes)
    )
    return float(np.outer(weight, others).ravel()[find(left, right) <= alpha].sum())


@pytest.mark.parametrize(("sizes", "chance"), [((10, 400), 0.05), ((20, 200), 0.02), ((30, 300), 0.2), ((50, 50), 0.1)])
def test_exact_error_of_the_tail_is_near_its_alpha(sizes: tuple[int, int], chance: float) -> None:
    def ours(left: Floats, right: Floats) -> Floats:
        return gap_tails(DOWN, left, right)

    def uncorrected(left: Floats, right: Floats) -> Floats:
        pooled = (left[:, 1] + right[:, 1]) / (left[:, 0] + right[:, 0])
        with np.errstate(invalid="ignore"):
            spread = np.sqrt(pooled * (1 - pooled) * (1 / left[:, 0] + 1 / right[:, 0]))
            z = (left[:, 1] / left[:, 0] - right[:, 1] / right[:, 0]) / spread
        return np.asarray(np.where(spread > 0, stats.norm.sf(z), 1.0))

    alpha = 0.001
    mine, plain = error(ours, sizes, chance, alpha), error(uncorrected, sizes, chance, alpha)
    assert mine <= 1.6 * alpha
    if sizes[0] < sizes[1]:  # a few rows against many: the uncorrected score is wrong by a multiple
        assert plain > 2 * alpha


@given(
    st.lists(st.integers(1, 5), min_size=3, max_size=40),
    st.lists(st.integers(1, 5), min_size=3, max_size=40),
    st.floats(0, 2),
)
@settings(deadline=None)
def test_means_get_welchs_t(left: list[float], right: list[float], floor: float) -> None:
    mean = metric("mean")
    found = one(mean, tally_of(left), tally_of(right), floor)
    if len(set(left)) == 1 or len(set(right)) == 1:
        assert 0 <= found <= 1
        return
    shifted = [x + floor for x in left]
    want = stats.ttest_ind(shifted, right, equal_var=False, alternative="less")
    assert found == pytest.approx(float(want.pvalue), rel=1e-7, abs=1e-12)
    ends = stats.ttest_ind(left, right, equal_var=False).confidence_interval(0.95)
    assert gap_interval(mean, tally_of(left), tally_of(right)) == pytest.approx((ends.low, ends.high), abs=1e-7)


def test_a_side_whose_values_are_all_alike_is_not_certain() -> None:
    mean, alike, spread = metric("mean"), tally_of([3, 3]), tally_of([1, 2, 3, 4, 5] * 20)
    assert one(mean, tally_of([2, 2]), spread) > 0.05
    assert one(mean, alike, tally_of([5, 5, 5])) == 1.0
    assert one(mean, tally_of([1]), spread) == 1.0


def balance(plus: int, minus: int, n: int) -> Tally:
    return Tally(n=n, plus=plus, minus=minus, total=plus - minus, squares=plus + minus)


def test_a_balance_without_one_side_is_a_share() -> None:
    nps = metric("balance")
    for (x, n, y, other), floor in product([(3, 40, 12, 50), (30, 100, 45, 90)], [0.0, 0.05]):
        of_shares = one(UP, share(x, n), share(y, other), floor)
        assert one(nps, balance(x, 0, n), balance(y, 0, other), floor) == pytest.approx(of_shares, rel=1e-4)


def test_a_balance_turned_round_is_its_mirror() -> None:
    up, down = metric("balance", factor=100), metric("balance", factor=100, good="down")
    left, right = (20, 15, 60), (300, 90, 600)
    mirrored = balance(15, 20, 60), balance(90, 300, 600)
    assert one(up, balance(*left), balance(*right), 5) == pytest.approx(one(down, *mirrored, 5), rel=1e-6)


def test_balances_of_equal_laws_differ_no_more_often_than_alpha() -> None:
    # Promoters 50%, detractors 20%: 30 answers against 400, and against 30.
    draw = np.random.default_rng(11)
    for other in (400, 30):
        sides = [draw.multinomial(n, [0.5, 0.2, 0.3], 40_000).astype(np.float64) for n in (30, other)]
        left, right = (np.column_stack([side.sum(axis=1), side[:, :2], side[:, :2]]) for side in sides)
        found = gap_tails(metric("balance"), left, right)
        for alpha in (0.05, 0.01, 0.001):
            assert (found <= alpha).mean() <= 1.35 * alpha
        assert (found <= 0.05).mean() >= 0.03


@given(TALLIES, TALLIES, st.sampled_from(["share", "balance", "mean"]))
@settings(deadline=None)
def test_a_wider_floor_is_never_surer(left: Tally, right: Tally, shape: str) -> None:
    ps = [one(metric(shape), left, right, floor) for floor in (0.0, 0.02, 0.1, 0.3, 0.7)]
    assert all(wider >= p - 1e-6 for p, wider in pairwise(ps) if p < 0.2)


def test_interval_of_two_balances_covers() -> None:
    draw, covered, of = np.random.default_rng(5), 0, metric("balance", factor=100)
    for _ in range(2_000):
        (a, b, c), (d, e, f) = draw.multinomial(60, [0.5, 0.2, 0.3]), draw.multinomial(90, [0.4, 0.3, 0.3])
        low, high = gap_interval(of, balance(a, b, a + b + c), balance(d, e, d + e + f))
        covered += low <= 20 <= high
    assert 0.935 <= covered / 2_000 <= 0.975


@pytest.mark.parametrize("shape", ["share", "balance", "mean", "count"])
def test_gaps_are_differences_of_values(shape: str) -> None:
    left, right = rows(Tally(10, 4, 1, 30, 100), Tally()), rows(Tally(20, 4, 4, 80, 400), Tally(5, 1, 1, 5, 5))
    want = {"share": 0.2, "balance": 0.3, "mean": -1.0, "count": -10.0}[shape]
    found = gaps(metric(shape, factor=2), left, right)
    assert found[0] == pytest.approx(2 * want)
    assert isnan(found[1])


@pytest.mark.parametrize("shape", ["count", "quantile"])
def test_what_has_no_law_is_refused(shape: str) -> None:
    with pytest.raises(EarshotError, match="no law"):
        one(metric(shape), share(1, 2), share(1, 2))
    if shape == "quantile":
        with pytest.raises(EarshotError, match="no law"):
            gap_interval(metric(shape), share(1, 2), share(1, 2))


def test_design_effects_are_smaller_samples() -> None:
    left, right = share(20, 200), share(60, 300)
    assert one(UP, left, right, deffs=(2, 3)) == pytest.approx(one(UP, share(10, 100), share(20, 100)), rel=1e-9)
    assert gap_interval(UP, left, right, 2, 3) == pytest.approx(gap_interval(UP, share(10, 100), share(20, 100)))
    # A mean's variance is that of all the rows; only its error grows: the published Welch t with sizes n/deff.
    sample = [1.0, 2, 3, 4, 5] * 8
    wide, close = (gap_interval(metric("mean"), tally_of(sample), tally_of(sample), d, d) for d in (4.0, 1.0))
    assert wide[1] / close[1] == pytest.approx(2 * stats.t.ppf(0.975, 18) / stats.t.ppf(0.975, 78), rel=1e-9)
    shift = tally_of([x + 1 for x in sample])
    spread = np.var(sample, ddof=1)
    want = stats.t.sf(1 / sqrt(2 * spread / 10), 18)
    assert one(metric("mean"), tally_of(sample), shift, deffs=(4, 4)) == pytest.approx(want, rel=1e-9)


@given(
    st.lists(st.tuples(TALLIES, TALLIES), min_size=1, max_size=5),
    st.sampled_from(["share", "balance", "mean"]),
    st.sampled_from(["up", "down"]),
    st.sampled_from([0.0, 0.1, 1.5]),
    st.sampled_from([1.0, 1.7]),
)
@settings(deadline=None)
def test_many_at_once_are_each_alone_and_never_nan(
    pairs: list[tuple[Tally, Tally]],
    shape: str,
    good: str,
    floor: float,
    deff: float,
) -> None:
    of = metric(shape, good=good)
    left, right = (rows(*side) for side in zip(*pairs, strict=True))
    found = gap_tails(of, left, right, floor, np.full(len(pairs), deff), 1.0)
    alone = [one(of, *pair, floor, (deff, 1.0)) for pair in pairs]
    assert found == pytest.approx(alone, rel=1e-9)
    assert ((found >= 0) & (found <= 1)).all()
    for a, b in pairs:
        low, high = gap_interval(of, a, b, deff, 1.0)
        gap = float(gaps(of, rows(a), rows(b))[0])
        assert isnan(low) or low - 1e-9 <= gap <= high + 1e-9


def test_strata_undo_simpsons_paradox() -> None:
    # Charig et al. 1986, kidney stones: open surgery does better on small (81/87 against 234/270) and on large stones
    # (192/263 against 55/80), and worse in all (273/350 against 289/350), for it was given the hard cases.
    left = np.stack([rows(share(81, 87)), rows(share(192, 263))])
    right = np.stack([rows(share(234, 270)), rows(share(55, 80))])
    weights = np.array([87 * 270 / 357, 263 * 80 / 343])
    differences = np.array([81 / 87 - 234 / 270, 192 / 263 - 55 / 80])
    assert gaps(UP, left.sum(axis=0), right.sum(axis=0))[0] < 0
    found = stratified_gaps(UP, left, right)[0]
    assert found == pytest.approx(float(weights @ differences / weights.sum()))
    assert stratified_tails(UP, right, left)[0] < 0.1
    assert stratified_tails(UP, left, right)[0] > 0.9


@pytest.mark.parametrize("shape", ["share", "balance", "mean"])
def test_equal_strata_are_one_sample_of_twice_the_size(shape: str) -> None:
    left, right = rows(_counts(60, 20, 0.5)), rows(_counts(60, 30, 0.4))
    twice = stratified_tails(metric(shape), np.stack([left, left]), np.stack([right, right]), 0.02)[0]
    whole = gap_tails(metric(shape), 2 * left, 2 * right, 0.02)[0]
    assert twice == pytest.approx(whole, rel=0.1)
    assert stratified_gaps(metric(shape), left[None], right[None]) == pytest.approx(gaps(metric(shape), left, right))


def test_a_stratum_of_one_side_only_says_nothing() -> None:
    left, right, none = rows(share(8, 40)), rows(share(20, 50)), rows(Tally())
    lone = np.stack([left, rows(share(9, 9))]), np.stack([right, none])
    assert stratified_gaps(UP, *lone)[0] == pytest.approx(8 / 40 - 20 / 50)
    assert stratified_tails(UP, *lone) == pytest.approx(gap_tails(UP, left, right))
    assert isnan(stratified_gaps(UP, left[None], none[None])[0])
    assert stratified_tails(UP, left[None], none[None])[0] == 1.0


def test_stratified_tail_of_equal_laws_errs_as_often_as_it_says() -> None:
    draw, sizes = np.random.default_rng(3), ((40, 200), (15, 60), (80, 30))
    chances, runs = (0.05, 0.2, 0.5), 40_000
    left, right = (
        np.stack([_drawn(draw, pair[side], p, runs) for pair, p in zip(sizes, chances, strict=True)]) for side in (0, 1)
    )
    found = stratified_tails(DOWN, left, right)
    for alpha, least in ((0.05, 0.04), (0.01, 0.007), (0.001, 0.0003)):
        assert least <= (found <= alpha).mean() <= 1.3 * alpha


def _drawn(draw: np.random.Generator, n: int, chance: float, runs: int) -> Floats:
    plus = draw.binomial(n, chance, runs).astype(np.float64)
    return np.column_stack([np.full(runs, float(n)), plus, np.zeros((runs, 3))])


def test_skewed_tail_is_nearer_the_exact_one_than_the_normal() -> None:
    # Binomial(10, 2%): the normal tail of 2 hits and more is 2e-5, the exact one 1.6e-2.
    n, p, hits = 10, 0.02, 2
    moments = hits - n * p, n * p * (1 - p), n * p * (1 - p) * (1 - 2 * p)
    exact = float(stats.binom.sf(hits - 1, n, p))
    assert exact / 3 < float(skewed_tails(*moments)) < 3 * exact
    assert float(skewed_tails(moments[0], moments[1], 0.0)) == pytest.approx(
        stats.norm.sf(moments[0] / sqrt(moments[1]))
    )


def test_interval_ends_are_those_of_their_sides() -> None:
    # Square-and-add written out once more for a count-free reader: method 10 from two Wilson intervals.
    (p, low, high), (q, least, most) = wilson(56, 70), wilson(48, 80)
    want = p - q - sqrt((p - low) ** 2 + (most - q) ** 2), p - q + sqrt((high - p) ** 2 + (q - least) ** 2)
    assert gap_interval(UP, share(56, 70), share(48, 80)) == pytest.approx(want)

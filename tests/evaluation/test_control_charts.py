"""Control charts against scipy's exact laws, published run lengths, scalar twins and seeded simulation."""

from collections.abc import Callable
from functools import partial
from math import ceil, exp, log, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from config import EarshotError
from config.models import Metric
from queries.statistics.estimates import Floats
from tests.metrics.test_statistics import metric
from triggers.evaluation.kinds.control_charts import (
    Signal,
    average_run_length,
    cusum,
    decision_limit,
    ewma,
    g_chart,
    laney_spread,
    p_chart,
)

UP = metric("share")
DOWN = metric("share", good="down")
ONE = np.ones(1)
CERTAIN = 10_000_000
"""Rows of a baseline whose own error is nothing."""


def shares(*counts: tuple[float, float]) -> Floats:
    """Periods (T, 1, 5) of (plus, n)."""
    return np.array([[[n, plus, 0, plus, plus]] for plus, n in counts], dtype=np.float64)


def known(share: float, n: float = CERTAIN) -> Floats:
    return np.array([[n, share * n, 0, share * n, share * n]], dtype=np.float64)


def hits_of(plus: Floats, n: float) -> Floats:
    """Tallies (..., 5) of `plus` hits in n rows each."""
    empty = np.zeros_like(plus, dtype=np.float64)
    return np.stack([np.full_like(empty, n), plus, empty, plus, plus], axis=-1).astype(np.float64)


@pytest.mark.parametrize("n", [10, 60, 400])
@pytest.mark.parametrize("base", [0.02, 0.2, 0.9])
@pytest.mark.parametrize("of", [UP, DOWN], ids=["up", "down"])
def test_limits_of_the_p_chart_are_exact(n: int, base: float, of: Metric) -> None:
    hits = np.arange(n + 1, dtype=np.float64)
    rows = len(hits)
    found = p_chart(hits_of(hits, n)[None], np.repeat(known(base), rows, axis=0), np.ones(rows), of, 0.001)
    tail = stats.binom.cdf(hits, n, base) if of.good == "up" else stats.binom.sf(hits - 1, n, base)
    assert found.strength == pytest.approx(np.log(np.maximum(tail, 1e-300)) / log(0.001), rel=1e-4, abs=1e-6)
    assert ((found.strength >= 1) == (tail <= 0.001)).all()
    assert found.level == pytest.approx(hits / n)
    assert found.bad == pytest.approx((base - hits / n) if of.good == "up" else (hits / n - base))
    assert (found.n == n).all()


def test_p_chart_counts_in_that_its_baseline_is_a_sample() -> None:
    # 50 rows against a baseline of 200, both at 10%: the exact probability of a signal over both samples.
    n, size, chance, alpha = 50, 200, 0.1, 0.005
    last, base = (grid.ravel().astype(np.float64) for grid in np.meshgrid(np.arange(n + 1), np.arange(size + 1)))
    weight = stats.binom.pmf(last, n, chance) * stats.binom.pmf(base, size, chance)
    found = p_chart(hits_of(last, n)[None], hits_of(base, size), np.ones(len(last)), DOWN, alpha)
    naive = stats.binom.sf(last - 1, n, base / size) <= alpha
    assert float(weight[found.strength >= 1].sum()) <= 1.3 * alpha
    assert float(weight[naive].sum()) > 1.5 * alpha


def test_x_bar_is_a_t_from_the_baseline() -> None:
    base, last = [3.0, 4, 5, 4, 2, 5, 5, 4, 3, 5], [2.0, 3, 3]
    tally = [np.array([[len(v), 0, 0, sum(v), sum(x * x for x in v)]], dtype=np.float64) for v in (base, last)]
    found = p_chart(tally[1][None], tally[0], ONE, metric("mean"), 0.01)
    t = (np.mean(last) - np.mean(base)) / (np.std(base, ddof=1) * sqrt(1 / 3 + 1 / 10))
    assert found.strength[0] == pytest.approx(log(stats.t.cdf(t, 9)) / log(0.01))
    assert found.bad[0] == pytest.approx(np.mean(base) - np.mean(last))


def test_balance_is_a_normal_where_rows_are_many() -> None:
    base = np.array([[100_000.0, 50_000, 20_000, 0, 0]])
    last = np.array([[[900.0, 390, 210, 0, 0]]])
    found = p_chart(last, base, ONE, metric("balance", factor=100), 0.01)
    z = (0.2 - 0.3) / sqrt((0.7 - 0.09) * (1 / 900 + 1 / 100_000))
    assert found.strength[0] == pytest.approx(log(stats.norm.cdf(z)) / log(0.01), rel=0.05)
    assert (found.level[0], found.bad[0]) == pytest.approx((20, 10))


def test_laneys_spread_by_hand() -> None:
    counts = [(10, 100), (20, 100), (0, 0), (12, 100), (30, 150)]
    mean = 72 / 450
    z = [(plus / n - mean) / sqrt(mean * (1 - mean) / n) for plus, n in counts if n]
    want = abs(z[1] - z[0]), abs(z[3] - z[2])  # over the empty period there is no moving range
    # Half an event on either side of 450 rows moves the variance by well under 1%.
    assert laney_spread(shares(*counts), DOWN)[0] == pytest.approx(sum(want) / 2 / 1.128, rel=0.01)
    assert laney_spread(shares((10, 100)), DOWN)[0] == 1.0


def test_laneys_spread_is_one_of_binomial_periods_and_more_of_clusters() -> None:
    draw = np.random.default_rng(2)
    chance = draw.beta(0.1 * 99, 0.9 * 99, (400, 1))  # 400 rows with an intra-period correlation of 1%
    for found, want in (
        (laney_spread(hits_of(draw.binomial(400, 0.1, (400, 1)).astype(float), 400), DOWN), 1.0),
        (laney_spread(hits_of(draw.binomial(400, chance).astype(float), 400), DOWN), sqrt(1 + 399 * 0.01)),
    ):
        assert found[0] == pytest.approx(want, rel=0.1)


def test_spread_and_design_effect_shrink_the_period_and_the_greater_counts() -> None:
    periods, base = shares((60, 400)), known(0.1)
    quarter = p_chart(shares((15, 100)), base, ONE, DOWN, 0.01).strength
    assert p_chart(periods, base, ONE, DOWN, 0.01, spread=2.0).strength == pytest.approx(quarter, rel=1e-3)
    assert p_chart(periods, base, 4 * ONE, DOWN, 0.01).strength == pytest.approx(quarter, rel=1e-3)
    assert p_chart(periods, base, 3 * ONE, DOWN, 0.01, spread=2 * ONE).strength == pytest.approx(quarter, rel=1e-3)


MONTGOMERY = [
    # Montgomery, Introduction to Statistical Quality Control, table 9.10: value and EWMA of weight .1 from 10
    (9.45, 9.945),
    (7.99, 9.7495),
    (9.29, 9.70355),
    (11.66, 9.8992),
    (12.16, 10.1253),
    (10.18, 10.1307),
    (8.04, 9.92167),
    (11.46, 10.0755),
    (9.2, 9.98796),
    (10.34, 10.0232),
]


def test_ewma_of_equal_periods_is_the_usual_recursion() -> None:
    # z = wx + (1-w)z from the target, its variance s²w/(2-w)(1-(1-w)^2t); ours leaves the weight of the start out.
    w, target, z = 0.1, 10.0, 10.0
    for t, (x, published) in enumerate(MONTGOMERY, 1):
        z = w * x + (1 - w) * z
        deviation = (z - target) / sqrt(w / (2 - w) * (1 - (1 - w) ** (2 * t)))
        sample = [value for value, _ in MONTGOMERY[:t]]
        found = ewma(_values(sample), _certain_mean(target), ONE, metric("mean", good="down"), 0.01, w)
        assert found.strength[0] == pytest.approx(log(stats.norm.sf(deviation)) / log(0.01), rel=1e-4)
        start = (1 - w) ** t
        assert start * target + (1 - start) * found.level[0] == pytest.approx(published, abs=6e-5)


def _values(sample: list[float]) -> Floats:
    return np.array([[[1, 0, 0, x, x * x]] for x in sample], dtype=np.float64)


def _certain_mean(target: float) -> Floats:
    n = float(CERTAIN)
    return np.array([[n, 0, 0, target * n, (target**2 + 1) * n]])


COUNTS = st.tuples(st.integers(0, 80), st.floats(0, 1)).map(lambda drawn: (round(drawn[0] * drawn[1]), drawn[0]))


@given(st.lists(COUNTS, min_size=1, max_size=12))
@settings(deadline=None)
def test_ewma_of_unequal_periods_is_its_scalar_twin(counts: list[tuple[int, int]]) -> None:
    rows = plus = square = 0.0
    for hits, n in counts:
        rows, plus, square = 0.8 * rows + n, 0.8 * plus + hits, 0.64 * square + n
    found = ewma(shares(*counts), known(0.3), ONE, DOWN, 0.01)
    if counts[-1][1] == 0:
        assert np.isnan([found.level[0], found.bad[0], found.strength[0], found.n[0]]).all()
        return
    assert found.level[0] == pytest.approx(plus / rows)
    assert found.n[0] == pytest.approx(rows**2 / square)


RUN_LENGTHS = [
    # Lucas & Saccucci 1990, table 3 (Montgomery, table 9.11): weight .2, limit 2.962; shift in sigmas, ARL
    (1.0, 10.5),
    (1.5, 5.5),
    (2.0, 3.7),
]


@pytest.mark.parametrize(("shift", "published"), RUN_LENGTHS)
def test_ewma_has_the_published_run_length(shift: float, published: float) -> None:
    # Forty periods at the target first: their table starts with the limits of a long run.
    runs, quiet, most, draw = 3_000, 40, 60, np.random.default_rng(8)
    x = np.vstack([np.zeros((quiet, runs)), draw.normal(shift, 1, (most, runs))])
    periods = np.stack([np.ones_like(x), 0 * x, 0 * x, x, x * x], axis=-1)
    base, of = np.repeat(_certain_mean(0), runs, axis=0), metric("mean", good="down")
    first = np.full(runs, float(most))
    alpha = float(stats.norm.sf(2.962))
    for t in range(most, 0, -1):
        signal = ewma(periods[max(t - 1, 0) : quiet + t], base, np.ones(runs), of, alpha).strength >= 1
        first[signal] = t
    assert first.mean() == pytest.approx(published, rel=0.05)


@pytest.mark.parametrize(("n", "base"), [(10, 0.02), (20, 0.05), (100, 0.02), (100, 0.2)])
def test_ewma_of_shares_errs_about_as_often_as_alpha(n: int, base: float) -> None:
    draw, rows = np.random.default_rng(6), 60_000
    periods = hits_of(draw.binomial(n, base, (12, rows)).astype(float), n)
    found = ewma(periods, np.repeat(known(base), rows, axis=0), np.ones(rows), DOWN, 0.002)
    assert 0.0005 <= (found.strength >= 1).mean() <= 0.003


def scalar_cusum(counts: list[tuple[int, int]], base: float, worse: float, limit: float) -> tuple[float, int, int]:
    """The sum, and (plus, n) of the periods since it last was zero, written out for one series."""
    height = peak = 0.0
    since = [0, 0]
    for plus, n in counts:
        height += plus * log(worse / base) + (n - plus) * log((1 - worse) / (1 - base))
        peak = max(peak, height)
        since = [since[0] + plus, since[1] + n]
        if height <= 0 or height <= peak - limit:
            height, peak, since = 0.0, 0.0, [0, 0]
    plus, n = since if height > 0 else counts[-1]
    return height, plus, n


@given(st.lists(COUNTS.filter(lambda drawn: drawn[1] > 0), min_size=1, max_size=25))
@settings(deadline=None, max_examples=50)
def test_cusum_is_its_scalar_twin(counts: list[tuple[int, int]]) -> None:
    middle = (0.2 * CERTAIN + 0.5) / (CERTAIN + 1)
    base = middle + sqrt(middle * (1 - middle) / (CERTAIN + 1))
    sizes = sorted(n for _, n in counts)
    typical = sizes[(len(sizes) - 1) // 2]
    limit = decision_limit(0.2, 0.3, round(1.1 ** round(log(typical) / log(1.1))), 100.0)
    height, plus, n = scalar_cusum(counts, base, base + 0.1, limit)
    found = cusum(shares(*counts), known(0.2), ONE, DOWN, 0.01, 0.1)
    assert found.strength[0] == pytest.approx(height / limit, rel=1e-6, abs=1e-9)
    assert (found.level[0], found.n[0]) == pytest.approx((plus / n, n))


def test_cusum_rises_and_starts_again_after_the_return() -> None:
    calm, bad, good = [(20, 100)] * 10, [(35, 100)] * 6, [(18, 100)] * 8
    risen = cusum(shares(*calm, *bad), known(0.2), ONE, DOWN, 0.002, 0.1)
    assert risen.strength[0] > 1
    assert (risen.level[0], risen.n[0], risen.bad[0]) == pytest.approx((0.35, 600, 0.15))
    back = cusum(shares(*calm, *bad, *good), known(0.2), ONE, DOWN, 0.002, 0.1)
    assert back.strength[0] == 0
    assert (back.level[0], back.n[0]) == pytest.approx((0.18, 100))


def test_cusum_of_a_good_thing_looks_down() -> None:
    kept = cusum(shares(*[(80, 100)] * 5, *[(65, 100)] * 6), known(0.8), ONE, UP, 0.002, 0.1)
    broken = cusum(shares(*[(20, 100)] * 5, *[(35, 100)] * 6), known(0.2), ONE, DOWN, 0.002, 0.1)
    assert kept.strength == pytest.approx(broken.strength)
    assert kept.bad == pytest.approx(broken.bad)
    percent = cusum(shares(*[(80, 100)] * 5, *[(65, 100)] * 6), known(0.8), ONE, metric("share", factor=100), 0.002, 10)
    assert percent.strength == pytest.approx(kept.strength)
    assert percent.bad == pytest.approx(100 * kept.bad)


def test_cusum_divides_its_scores_by_the_design_effect() -> None:
    counts = [(20, 100)] * 5 + [(30, 100)] * 6
    clustered = cusum(shares(*counts), known(0.2), 2 * ONE, DOWN, 0.002, 0.1)
    halved = cusum(shares(*((plus / 2, n / 2) for plus, n in counts)), known(0.2), ONE, DOWN, 0.002, 0.1)
    assert clustered.strength == pytest.approx(halved.strength, rel=5e-3)  # the baseline's error differs


def simulated(limit: float, base: float, worse: float, n: int, truth: float) -> tuple[float, float]:
    """The mean run length of 2,000 series and its standard error."""
    draw, heights, lengths = np.random.default_rng(42), np.zeros(2_000), []
    step = 0
    while len(heights):
        step += 1
        hits = draw.binomial(n, truth, len(heights))
        scores = hits * log(worse / base) + (n - hits) * log((1 - worse) / (1 - base))
        heights = np.maximum(heights + scores, 0.0)
        lengths += [step] * int((heights >= limit).sum())
        heights = heights[heights < limit]
    return float(np.mean(lengths)), float(np.std(lengths) / sqrt(len(lengths)))


@pytest.mark.parametrize("n", [20, 100, 400])
@pytest.mark.parametrize("base", [0.02, 0.05, 0.2])
def test_cusum_keeps_its_run_length_and_finds_a_small_shift_before_the_p_chart(n: int, base: float) -> None:
    worse = base + 0.5 * sqrt(base * (1 - base) / n)  # half a sigma of a period
    least = next(k for k in range(n + 1) if stats.binom.sf(k - 1, n, base) <= 1 / 200)
    quiet, found = (1 / stats.binom.sf(least - 1, n, share) for share in (base, worse))  # the p-chart's run lengths
    limit = decision_limit(base, worse, n, float(quiet))
    length, error = simulated(limit, base, worse, n, base)
    assert 0.96 * quiet - 3 * error <= length <= 1.2 * quiet + 3 * error
    assert average_run_length(limit, base, worse, n, base) == pytest.approx(length, rel=0.04, abs=3 * error)
    assert simulated(limit, base, worse, n, worse)[0] < 0.85 * found


def test_chain_of_brook_and_evans_where_whole_steps_make_it_exact() -> None:
    # Ten rows of 5%; a `worse` for which one hit gains as much as ten rows cost, so the sum moves by (hits - 1) steps
    # and lives on whole numbers: five states below 4.5 steps, solved without any rounding.
    n, base = 10, 0.05

    def excess(worse: float) -> float:
        gain, cost = log(worse / base), log((1 - base) / (1 - worse))
        return n * cost - (gain + cost)

    worse = float(brentq(excess, 0.06, 0.9))
    step = log(worse / base) + log((1 - base) / (1 - worse))
    pmf = stats.binom.pmf(np.arange(n + 1), n, base)
    moves = np.zeros((5, 5))
    for start in range(5):
        for hits in range(n + 1):
            end = max(start + hits - 1, 0)
            if end < 5:
                moves[start, end] += pmf[hits]
    exact = np.linalg.solve(np.eye(5) - moves, np.ones(5))[0]
    assert average_run_length(4.5 * step, base, worse, n, base) == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize(("base", "factor"), [(0.01, 60), (0.01, 40), (0.02, 30), (0.05, 15), (0.1, 8)])
@pytest.mark.parametrize("hits", [3, 5])
def test_chain_of_single_rows_has_the_published_run_length(base: float, factor: int, hits: int) -> None:
    # Reynolds & Stoumbos, A CUSUM chart for monitoring a proportion when inspecting continuously, Journal of Quality
    # Technology 31 (1999): with one hit worth `factor` - 1 rows without, the sum lives on whole numbers and the chain
    # is exact; and their approximation of it by a corrected diffusion, for a limit of h hits.
    def excess(worse: float) -> float:
        return log(worse * (1 - base) / (base * (1 - worse))) / log((1 - base) / (1 - worse)) - factor

    worse = float(brentq(excess, base * 1.001, 0.9))
    cost, both = log((1 - base) / (1 - worse)), log(worse * (1 - base) / (base * (1 - worse)))
    size = hits * factor
    moves = np.zeros((size, size))
    for start in range(size):
        moves[start, max(start - 1, 0)] += 1 - base
        if start + factor - 1 < size:
            moves[start, start + factor - 1] += base
    exact = float(np.linalg.solve(np.eye(size) - moves, np.ones(size))[0])
    power = log(base)
    overshoot = 0.410 - 0.0842 * power - 0.0391 * power**3 - 0.00376 * power**4 - 0.000008 * power**7
    h = both * (hits + overshoot * sqrt(base * (1 - base)))
    assert exact == pytest.approx((exp(h) - h - 1) / abs(both * base - cost), rel=0.02)
    assert average_run_length((size - 0.5) * cost, base, worse, 1, base) == pytest.approx(exact, rel=0.06)


@pytest.mark.parametrize(("base", "worse"), [(0.99, 0.999), (0.95, 0.995), (0.9, 0.96)])
@pytest.mark.parametrize("length", [100.0, 1_000.0, 11_500.0])
def test_a_share_that_is_nearly_always_bad_has_its_run_length(base: float, worse: float, length: float) -> None:
    # One row a period, and a good one loses more than the limit: it takes so many bad ones in a row.
    limit = decision_limit(base, worse, 1, length)
    run = ceil(limit / log(worse / base) - 1e-9)
    exact = (1 - base**run) / ((1 - base) * base**run)
    if limit <= log((1 - base) / (1 - worse)):
        assert length <= 1.02 * exact <= 1.3 * length
    assert 0 < limit <= log(length)


def test_limits_rise_with_the_run_length_whatever_the_share() -> None:
    draw = np.random.default_rng(7)
    for _ in range(25):
        base = float(stats.logistic.cdf(draw.normal(0, 5)))
        worse = base + (1 - base) * float(10 ** draw.uniform(-3, -0.01))
        n = int(draw.integers(1, 80))
        limits = [decision_limit(base, worse, n, length) for length in (2.0, 10.0, 99.0, 1e3, 1e5, 1e9)]
        assert limits == sorted(limits)
        assert all(0 < limit <= log(length) for limit, length in zip(limits, (2.0, 10, 99, 1e3, 1e5, 1e9), strict=True))
        # More than the least limit is needed wherever the sum can rise to it at all.
        lengths = [average_run_length(limit, base, worse, n, base) for limit in (0.5, 1.0, 2.0, 4.0)]
        assert lengths == pytest.approx(sorted(lengths), rel=0.02)
        assert all(length > 0 for length in lengths)


@pytest.mark.parametrize("alpha", [1e-300, 0.002, 0.9999])
@pytest.mark.parametrize("share", [0.0, 1e-9, 0.5, 1.0])
@pytest.mark.parametrize("shift", [1e-300, 1e-9, 0.1, 5.0])
def test_a_cusum_says_something_of_any_share_shift_and_certainty(alpha: float, share: float, shift: float) -> None:
    periods = shares(*[(1, 2), (2, 2), (0, 0), (2, 2)])
    found = cusum(periods, known(share, 40), ONE, DOWN, alpha, shift)
    assert np.isfinite(found.strength).all()
    assert (found.strength >= 0).all()


def test_run_length_grows_with_the_limit_and_one_above_it_is_found() -> None:
    lengths = [average_run_length(limit, 0.05, 0.08, 100, 0.05) for limit in (1.0, 2.0, 3.0, 4.0)]
    assert lengths == sorted(lengths)
    limits = [decision_limit(0.05, 0.08, 100, length) for length in (50.0, 500.0, 5_000.0)]
    assert limits == sorted(limits)
    assert all(limit <= log(length) for limit, length in zip(limits, (50.0, 500.0, 5_000.0), strict=True))


def test_g_chart_is_the_negative_binomial() -> None:
    # Days of 40 rows at 0.5%; three bad events on the last days: rows from the last day back to the third of them.
    days = [(1, 40), (0, 40), (0, 40), (1, 40), (0, 40), (2, 40), (0, 40)]
    found = g_chart(shares(*days), known(0.005), ONE, DOWN, 0.01)
    rows = 160  # the last four days hold three events
    chance = float(stats.nbinom.cdf(rows - 3, 3, 0.005))  # as many or fewer rows for the third event
    assert chance == pytest.approx(float(stats.binom.sf(2, rows, 0.005)))
    assert found.strength[0] == pytest.approx(log(chance) / log(0.01), rel=1e-4)
    assert (found.level[0], found.n[0]) == pytest.approx((3 / rows, rows))
    assert found.bad[0] == pytest.approx(3 / rows - 0.005)


def test_g_chart_counts_the_whole_day_in_which_it_has_enough() -> None:
    found = g_chart(shares((5, 40), (4, 40), (1, 40)), known(0.01), ONE, DOWN, 0.01)
    assert (found.n[0], found.level[0]) == pytest.approx((80, 5 / 80))
    assert found.strength[0] == pytest.approx(log(stats.binom.sf(4, 80, 0.01)) / log(0.01), rel=1e-4)


def test_g_chart_with_too_few_events_says_so() -> None:
    found = g_chart(shares((1, 40), (1, 40)), known(0.01), ONE, DOWN, 0.01)
    assert (found.strength[0], found.n[0], found.level[0]) == pytest.approx((0, 80, 2 / 80))
    two = g_chart(shares((1, 40), (1, 40)), known(0.01), ONE, DOWN, 0.01, events=2)
    assert two.strength[0] > 0
    good = g_chart(shares((38, 40), (39, 40)), known(0.99), ONE, UP, 0.01)  # bad is what is not plus
    assert good.strength[0] == pytest.approx(log(stats.binom.sf(2, 80, 0.01)) / log(0.01), rel=1e-4)


CHARTS: dict[str, Callable[[Floats, Floats, Floats, Metric], Signal]] = {
    "p_chart": partial(p_chart, alpha=0.01),
    "ewma": partial(ewma, alpha=0.01),
    "cusum": partial(cusum, alpha=0.01, shift=0.02),
    "g_chart": partial(g_chart, alpha=0.01),
}
SERIES = st.lists(COUNTS, min_size=6, max_size=6)
ROW = st.tuples(SERIES, COUNTS, st.sampled_from([1.0, 1.8]))


@pytest.mark.parametrize("name", CHARTS)
@given(drawn=st.lists(ROW, min_size=1, max_size=5))
@settings(deadline=None, max_examples=25)
def test_many_rows_at_once_are_each_alone_in_any_order(name: str, drawn: list[Any]) -> None:
    periods = np.concatenate([shares(*series) for series, _, _ in drawn], axis=1)
    base = np.concatenate([shares(counts)[0] for _, counts, _ in drawn])
    deffs = np.array([deff for *_, deff in drawn])
    chart = CHARTS[name]
    whole = _columns(chart(periods, base, deffs, UP))
    alone = [_columns(chart(periods[:, [i]], base[[i]], deffs[[i]], UP)) for i in range(len(drawn))]
    assert whole == pytest.approx(np.concatenate(alone), nan_ok=True)
    turned = chart(periods[:, ::-1], base[::-1], deffs[::-1], UP)
    assert _columns(turned)[::-1] == pytest.approx(whole, nan_ok=True)
    known_rows = (base[:, 0] > 0) & ((periods[-1, :, 0] > 0) | (name == "g_chart"))
    if name == "g_chart":
        known_rows &= periods[..., 0].sum(axis=0) > 0
    assert (np.isfinite(whole).all(axis=1) == known_rows).all()


def strongest(name: str, periods: Floats, first: int) -> Floats:
    """The strength of each slot from the period `first` on, an array (slots, rows)."""
    rows = periods.shape[1]
    base, deffs = np.repeat(known(0.05), rows, axis=0), np.ones(rows)
    return np.stack(
        [CHARTS[name](periods[: t + 1], base, deffs, DOWN).strength for t in range(first, len(periods))],
    )


def test_small_shifts_are_found_sooner_than_by_a_p_chart_at_the_same_false_alarms() -> None:
    # A hundred rows a week at 5%. Each chart gets the limit that one in twenty unchanged series passes in 26 weeks;
    # then the share rises to 7%, under a sigma of a week's, after ten quiet weeks.
    draw, rows, quiet = np.random.default_rng(9), 1_500, 10
    calm = hits_of(draw.binomial(100, 0.05, (quiet + 26, rows)).astype(float), 100)
    risen = np.concatenate([calm[:quiet], hits_of(draw.binomial(100, 0.07, (26, rows)).astype(float), 100)])
    missed = {}
    for name in ("p_chart", "ewma", "cusum"):
        limit = float(np.quantile(strongest(name, calm, quiet).max(axis=0), 0.95))
        missed[name] = float((strongest(name, risen, quiet)[:12] <= limit).all(axis=0).mean())
    assert missed["ewma"] < 0.6 * missed["p_chart"]
    assert missed["cusum"] < 0.6 * missed["p_chart"]


def _columns(signal: Signal) -> Floats:
    return np.stack([signal.level, signal.bad, signal.strength, signal.n], axis=1)


@pytest.mark.parametrize(("name", "shape"), [("cusum", "mean"), ("cusum", "balance"), ("g_chart", "mean")])
def test_charts_of_counts_refuse_other_shapes(name: str, shape: str) -> None:
    with pytest.raises(EarshotError, match="use a share"):
        CHARTS[name](shares((1, 10)), known(0.1), ONE, metric(shape))


@pytest.mark.parametrize("name", ["p_chart", "ewma"])
@pytest.mark.parametrize("shape", ["count", "quantile"])
def test_charts_of_means_refuse_what_has_none(name: str, shape: str) -> None:
    with pytest.raises(EarshotError, match="cannot read"):
        CHARTS[name](shares((1, 10)), known(0.1), ONE, metric(shape))


def test_a_cusum_needs_a_shift() -> None:
    with pytest.raises(EarshotError, match="shift"):
        cusum(shares((1, 10)), known(0.1), ONE, DOWN, 0.01, 0.0)


def test_a_baseline_without_a_single_hit_still_has_a_chance() -> None:
    # None in 50 rows: one hit in the next 50 is no alarm, six are.
    for hits, alarm in ((1, False), (6, True)):
        found = p_chart(shares((hits, 50)), known(0.0, 50), ONE, DOWN, 0.01)
        assert bool(found.strength[0] >= 1) is alarm

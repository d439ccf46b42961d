"""Figures and tails against worked examples from the literature and against scipy's exact laws."""

from math import isfinite
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from config import EarshotError
from config.models import Metric
from queries.statistics.estimates import (
    Tally,
    adjusted_wald,
    estimate,
    garwood,
    ranks,
    t_interval,
    tail,
    tails,
    values,
    wilson,
)


def metric(shape: str, **parts: Any) -> Metric:
    own: dict[str, dict[str, Any]] = {
        "share": {"count": {"score": 1}},
        "balance": {"plus": {"score": 1}, "minus": {"score": 0}},
        "mean": {"value": "score"},
        "quantile": {"value": "score", "quantile": 0.5},
        "count": {},
    }
    plain = {"name": "m", "label": "M", "table": "response", "dated_by": "responded_at", "good": "up", "unit": ""}
    return Metric.model_validate({**plain, "shape": shape, "min_n": 1, **own[shape], **parts})


def tally_of(sample: list[float]) -> Tally:
    return Tally(n=len(sample), total=sum(sample), squares=sum(x * x for x in sample))


@pytest.mark.parametrize(
    ("plus", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (2, 4, 0.15, 0.85),  # two of four unhappy answers
    ],
)
def test_wilson_holds_newcombes_examples(plus: int, n: int, low: float, high: float) -> None:
    value, *ends = wilson(plus, n)
    assert value == plus / n
    assert ends == pytest.approx([low, high], abs=5e-5)


@pytest.mark.parametrize(("n", "half_width"), [(30, 27), (100, 15), (400, 8)])
def test_nps_is_as_uncertain_as_it_is(n: int, half_width: int) -> None:
    figure = estimate(metric("balance", factor=100), Tally(n=n, plus=n * 0.5, minus=n * 0.2))
    assert figure.value == pytest.approx(30)
    assert figure.high is not None
    assert figure.low is not None
    assert round((figure.high - figure.low) / 2) == half_width


def test_the_mean_interval_is_students() -> None:
    sample = [3.0, 4.0, 5.0, 1.0, 2.0, 5.0, 4.0]
    expected = stats.t.interval(0.95, len(sample) - 1, loc=np.mean(sample), scale=stats.sem(sample))
    assert t_interval(tally_of(sample)) == pytest.approx((np.mean(sample), *expected))


@pytest.mark.parametrize("n", [0, 1, 10, 250])
def test_the_count_interval_is_garwoods(n: int) -> None:
    low = stats.chi2.ppf(0.025, 2 * n) / 2 if n else 0.0
    assert garwood(n) == pytest.approx((n, low, stats.chi2.ppf(0.975, 2 * n + 2) / 2))


@pytest.mark.parametrize(
    ("n", "q", "expected"),
    [
        (30, 0.5, (10, 21)),  # Conover 1999, table of the sign test: 96% for n = 30
        (100, 0.5, (40, 61)),
        (5, 0.5, (1, 5)),  # too few for 95%: the whole sample, and no more
        (100, 0.9, (84, 96)),
    ],
)
def test_quantiles_lie_between_two_ordered_values(n: int, q: float, expected: tuple[int, int]) -> None:
    assert ranks(n, q) == expected


@pytest.mark.parametrize(("n", "q"), [(40, 0.5), (200, 0.9), (1000, 0.25)])
def test_the_ranks_cover_at_least_95_percent(n: int, q: float) -> None:
    low, high = ranks(n, q)
    covered = stats.binom.cdf(high - 1, n, q) - stats.binom.cdf(low - 1, n, q)
    assert 0.95 <= covered < 0.98


@pytest.mark.parametrize(("n", "status"), [(0, "no_data"), (29, "too_few"), (30, "ok")])
def test_a_figure_needs_rows(n: int, status: str) -> None:
    figure = estimate(metric("share", min_n=30), Tally(n=n, plus=n))
    assert figure.status == status
    assert figure.n == n
    assert (figure.value is None) == (figure.low is None) == (figure.high is None) == (status != "ok")


def test_clusters_widen_every_interval() -> None:
    alone, alike = Tally(200, 120, 40, 700, 2600), Tally(50, 30, 10, 175, 650)
    for shape in ("share", "balance"):
        wide, narrow = estimate(metric(shape), alone, deff=4.0), estimate(metric(shape), alike)
        assert (wide.low, wide.high) == pytest.approx((narrow.low, narrow.high))
        assert wide.n == 200


def test_a_quantile_is_no_matter_of_counts() -> None:
    with pytest.raises(EarshotError, match="quantile"):
        estimate(metric("quantile"), Tally(n=50))
    with pytest.raises(EarshotError, match="quantile"):
        tail(metric("quantile"), Tally(n=50), 1.0)


@pytest.mark.parametrize(("plus", "n", "limit"), [(70, 100, 0.8), (0, 10, 0.1), (10, 10, 0.9), (3, 40, 0.1)])
def test_the_share_gate_is_the_exact_binomial_tail(plus: int, n: int, limit: float) -> None:
    tally = Tally(n=n, plus=plus)
    assert tail(metric("share"), tally, limit) == pytest.approx(stats.binomtest(plus, n, limit, "less").pvalue)
    other = metric("share", good="down")
    assert tail(other, tally, limit) == pytest.approx(stats.binomtest(plus, n, limit, "greater").pvalue)


def test_the_mean_gate_is_the_t_tail() -> None:
    sample = [3.0, 4.0, 5.0, 1.0, 2.0, 5.0, 4.0]
    expected = stats.ttest_1samp(sample, 4.0, alternative="less").pvalue
    assert tail(metric("mean"), tally_of(sample), 4.0) == pytest.approx(expected)
    assert tail(metric("mean", good="down"), tally_of(sample), 4.0) == pytest.approx(1 - expected)


def test_the_count_gate_is_the_poisson_tail() -> None:
    assert tail(metric("count"), Tally(n=4), 10) == pytest.approx(stats.poisson.cdf(4, 10))
    assert tail(metric("count", good="down"), Tally(n=17), 10) == pytest.approx(stats.poisson.sf(16, 10))


def test_the_balance_gate_is_mcnemars_test_at_zero() -> None:
    """Against a limit of 0 the score test of Tango 1998 is McNemar's: z = (b - c) / sqrt(b + c)."""
    for plus, minus in ((12, 25), (43, 11), (5, 5)):
        z = (plus - minus) / (plus + minus) ** 0.5
        assert tail(metric("balance", factor=100), Tally(100, plus, minus), 0) == pytest.approx(stats.norm.cdf(z))


def test_the_balance_gate_falls_as_its_limit_rises() -> None:
    n, plus, minus = 44, 1, 5
    grid = np.linspace(-0.99, 0.99, 397)
    below = np.array([tail(metric("balance"), Tally(n, plus, minus), limit) for limit in grid])
    above = np.array([tail(metric("balance", good="down"), Tally(n, plus, minus), limit) for limit in grid])
    inside = grid[(below > 0.025) & (above > 0.025)]
    assert inside.min() < (plus - minus) / n < inside.max()
    assert np.all(np.diff(below) <= 1e-9)
    assert np.all(np.diff(above) >= -1e-9)


@pytest.mark.parametrize("shape", ["share", "balance", "mean"])
def test_the_gate_keeps_its_level(shape: str) -> None:
    """At the limit itself 5% of samples have p < 5%: never more if exact, 6% by score or t on skewed answers."""
    rng = np.random.default_rng(7)
    draws = rng.choice([1, 0, -1], p=[0.5, 0.3, 0.2], size=(20_000, 60)).astype(float)
    limit = {"share": 0.5, "balance": 0.3, "mean": 0.3}[shape]
    plus, minus = (draws > 0).sum(axis=1), (draws < 0).sum(axis=1)
    tallies = np.column_stack([np.full(len(draws), 60.0), plus, minus, draws.sum(axis=1), (draws**2).sum(axis=1)])
    for good in ("up", "down"):
        fired = tails(metric(shape, good=good), tallies, limit) < 0.05
        assert fired.mean() <= (0.05 if shape == "share" else 0.062)


def test_clusters_never_make_a_gate_easier() -> None:
    for plus in range(0, 101, 5):
        for shape in ("share", "balance", "mean"):
            tally = Tally(100, plus, 0, plus, plus)
            plain, clustered = (tail(metric(shape), tally, 0.6, deff) for deff in (1.0, 3.0))
            assert clustered >= plain - 1e-12 or plain > 0.5


counts = st.integers(min_value=0, max_value=5000)


@settings(deadline=None)
@given(
    n=counts,
    plus=counts,
    minus=counts,
    deff=st.floats(0.1, 500),
    limit=st.floats(-2, 2),
    good=st.sampled_from(["up", "down"]),
)
def test_nothing_infinite_ever_leaves(n: int, plus: int, minus: int, deff: float, limit: float, good: str) -> None:
    plus, minus = min(plus, n), min(minus, max(n - plus, 0))
    total = 3.0 * plus - minus
    tally = Tally(n, plus, minus, total, 9.0 * plus + minus)
    for shape in ("share", "balance", "mean", "count"):
        figure = estimate(metric(shape), tally, deff)
        assert all(x is None or isfinite(x) for x in (figure.value, figure.low, figure.high))
        if figure.value is not None and figure.low is not None and figure.high is not None:
            assert figure.low <= figure.value <= figure.high
        p = tail(metric(shape, good=good), tally, limit, deff)
        assert 0.0 <= p <= 1.0
        assert n or p == 1.0


@settings(deadline=None)
@given(st.lists(st.tuples(counts, st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20), st.floats(-1, 1))
def test_many_tails_are_the_single_ones(rows: list[tuple[int, float, float]], limit: float) -> None:
    tallies = [Tally(n, round(n * a), round((n - round(n * a)) * b), n * a, n * a) for n, a, b in rows]
    table = np.array([[t.n, t.plus, t.minus, t.total, t.squares] for t in tallies])
    for shape in ("share", "balance", "mean", "count"):
        single = [tail(metric(shape), t, limit, 2.0) for t in tallies]
        assert tails(metric(shape), table, limit, np.full(len(rows), 2.0)).tolist() == pytest.approx(single)


def test_plain_values_are_those_of_the_estimate() -> None:
    table = np.array([[40.0, 20, 8, 100, 400], [0, 0, 0, 0, 0]])
    for shape in ("share", "balance", "mean", "count"):
        some = metric(shape, factor=2)
        assert values(some, table)[0] == pytest.approx(estimate(some, Tally(*table[0])).value)


def test_tallies_add_up() -> None:
    assert Tally(1, 1, 0, 5, 25) + Tally(2, 0, 1, 3, 5) == Tally(3, 1, 1, 8, 30)


def test_adjusted_wald_stays_on_the_scale() -> None:
    assert adjusted_wald(30, 0, 30)[2] <= 1
    assert adjusted_wald(0, 30, 30)[1] >= -1

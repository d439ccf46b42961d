"""What a window says, how sure a rule must be, and that neither slots nor slices know of each other."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from config.models import ChangeRule, ChartRule, GapRule, Goal, GoalRule, RateRule
from queries.metrics import DesignEffect
from queries.statistics.estimates import Floats, tail
from tests.support.company import METRIC, rule, subject
from triggers.evaluation import EvaluatedRule, EvaluationInput, evaluate_rule
from triggers.evaluation.kinds import BREACH, VERDICTS, Inputs, Windows, bonferroni, kind_of, verdicts
from triggers.evaluation.kinds.chart import freeze
from triggers.evaluation.kinds.window import NO_DATA
from triggers.evaluation.metric_rules import panel
from triggers.evaluation.replay import replay
from triggers.rules import TALLY, FrozenBaseline, History, Slice, Subject, read_version, version

MONDAY: Final = date(2026, 3, 2)
WEEK: Final = timedelta(weeks=1)
GOALS: Final = (
    Goal(metric="defect-rate", value=0.2, valid_from=date(2020, 1, 1)),
    Goal(metric="defect-rate", vertical="A", value=0.3, valid_from=date(2027, 6, 1)),
)
SHARED: Final = {"metric": "defect-rate", "by": ["vertical"], "floor": 0.02, "recover": 0.01}
WATCH: Final = {"window": "28d", "every": "7d", "false_alarms_per_year": 0.5, "keep_firing": "14d"}
PLACE: Final = {"name": "r", "severity": 2, "route": "delivery", "owner": "delivery-lead"}
BODY: Final[dict[str, Any]] = {**SHARED, **WATCH, **PLACE}
CHART: Final[dict[str, Any]] = {**BODY, "kind": "chart", "baseline": {"first": "140d"}, "recover": 0.5, "window": "70d"}
EWMA: Final[dict[str, Any]] = {"method": "ewma", "newest_weight": 0.2}


def kinds() -> Mapping[str, RateRule]:
    """A rule of every kind that reads a metric."""
    change = {f"change-{b}": {**BODY, "kind": "change", "baseline": b} for b in ("previous", "last-year", "others")}
    gap = {**BODY, "kind": "gap", "against": {"metric": "defect-rate", "where": {"touchpoint": "call"}}}
    return {
        "threshold": rule(floor=0.02, **{"for": "0d"}),
        "plain": rule(gate="none"),
        "goal": GoalRule.model_validate({**BODY, "kind": "goal"}),
        **{name: ChangeRule.model_validate(body) for name, body in change.items()},
        "gap": GapRule.model_validate(gap),
        "gap-in-strata": GapRule.model_validate({**gap, "strata": ["region"]}),
        "p-chart": ChartRule.model_validate({**CHART, "method": "p"}),
        "ewma": ChartRule.model_validate({**CHART, **EWMA}),
        "cusum": ChartRule.model_validate({**CHART, "method": "cusum", "floor": 0.05}),
        "g-chart": ChartRule.model_validate({**CHART, "method": "g", "events": 3}),
    }


KINDS: Final = kinds()
SLICES: Final[tuple[Slice, ...]] = (("A",), ("B",), ("C",))


def made(seed: int, slices: tuple[Slice, ...] = SLICES, years: float = 2.0) -> History:
    """Counts of a share by day and slice, with a level of its own in each slice and quarter, and days without rows."""
    dice = np.random.default_rng(seed)
    days, width = int(365 * years), len(slices)
    n = dice.integers(0, 14, (days, width)) * (dice.random((days, width)) < 0.8)
    level = np.repeat(dice.uniform(0.02, 0.5, (days // 90 + 1, width)), 90, axis=0)[:days]
    cells = np.zeros((days, width, TALLY))
    cells[..., 0], cells[..., 1] = n, dice.binomial(n, level)
    sums = np.zeros((days + 1, width, TALLY))
    np.cumsum(cells, axis=0, out=sums[1:])
    return History(MONDAY.toordinal(), slices, sums)


def given_of(of: RateRule, seed: int, slices: tuple[Slice, ...] = SLICES) -> Inputs:
    """All that a rule of that kind is judged on; the design effects change from quarter to quarter."""
    strata = slices if not (isinstance(of, GapRule) and of.strata) else tuple((*s, r) for s in slices for r in "xy")
    counts, other = made(seed, strata), made(seed + 1, strata) if isinstance(of, GapRule) else None
    frozen = freeze(of, counts, MONDAY, MONDAY + 100 * WEEK) if isinstance(of, ChartRule) else None
    effect = {("defect-rate", v): 1.0 + i for i, v in enumerate(("*", "A", "B"))}

    def effects(slot: date) -> dict[tuple[str, str], DesignEffect]:
        return {key: DesignEffect(deff + slot.month / 12, 500) for key, deff in effect.items()}

    return Inputs(counts, effects, other, counts, frozen)


def changed(of: Inputs, change: Callable[[Any], History]) -> Inputs:
    """The same with each of its counts changed."""
    return replace(of, counts=change(of.counts), other=change(of.other) if of.other else None, plain=change(of.plain))


def subject_of(of: RateRule, alpha: float | None = 0.01) -> Subject:
    return subject(of, *(GOALS if isinstance(of, GoalRule) else ()), alpha=alpha)


def slots_of(of: RateRule, count: int, first: int = 60) -> tuple[date, ...]:
    return tuple(MONDAY + (first + i) * of.every for i in range(count))


def arrays(of: Windows) -> dict[str, Any]:
    return {f.name: part for f in fields(of) if isinstance(part := getattr(of, f.name), np.ndarray)}


# Slots and slices do not know of each other.


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
@given(seed=st.integers(0, 10**6))
def test_all_slots_at_once_are_as_one_by_one(kind: str, seed: int) -> None:
    of, given_, slots = subject_of(KINDS[kind]), given_of(KINDS[kind], seed), slots_of(KINDS[kind], 12)
    alpha = np.linspace(0.001, 0.05, len(slots))
    whole = panel(of, given_, slots, alpha)
    codes = verdicts(of.rule, whole, alpha)
    for i, slot in enumerate(slots):
        alone = panel(of, given_, [slot], alpha[i : i + 1])
        assert alone.slices == whole.slices
        for name, part in arrays(alone).items():
            np.testing.assert_allclose(part[0], arrays(whole)[name][i], rtol=1e-9, atol=1e-12, err_msg=name)
        assert (verdicts(of.rule, alone, alpha[i : i + 1])[0] == codes[i]).all()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
@given(seed=st.integers(0, 10**6), order=st.permutations(range(3)))
def test_the_order_of_slices_does_not_matter(kind: str, seed: int, order: list[int]) -> None:
    of, given_, slots = subject_of(KINDS[kind]), given_of(KINDS[kind], seed), slots_of(KINDS[kind], 12)
    other = changed(given_, lambda counts: shuffled(counts, order))
    assert findings(of, given_, slots) == findings(of, other, slots)


def shuffled(counts: Any, order: list[int]) -> History:
    """The columns in another order; each of a rule's slices keeps its strata."""
    width = len(counts.slices) // len(order)
    places = [place * width + i for place in order for i in range(width)]
    return History(counts.first_day, tuple(counts.slices[p] for p in places), counts.sums[:, places])


def findings(of: Subject, given_: Inputs, slots: tuple[date, ...]) -> tuple[Any, Any]:
    judged = evaluate_rule(of, EvaluationInput(slots, given_, {}))
    after, found = replay(of, judged, {}, of.cadence.as_of)
    return after, [(f.slice, f.incident, f.event, f.reading.verdict) for f in found]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "change-others"])
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
@given(seed=st.integers(0, 10**6))
def test_what_a_calibrated_rule_says_of_a_slice_depends_on_no_other(kind: str, seed: int) -> None:
    of, given_, slots = subject_of(KINDS[kind]), given_of(KINDS[kind], seed), slots_of(KINDS[kind], 12)

    def only(counts: Any) -> History:
        kept = [i for i, s in enumerate(counts.slices) if s[0] == "B"]
        return History(counts.first_day, tuple(counts.slices[i] for i in kept), counts.sums[:, kept])

    after, found = findings(of, given_, slots)
    assert findings(of, changed(given_, only), slots) == (
        {s: i for s, i in after.items() if s == ("B",)},
        [f for f in found if f[0] == "vertical=B"],
    )


def without(of: Inputs, days: Callable[[History], slice]) -> Inputs:
    """The same, as though nothing had happened on some days."""

    def cut(counts: Any) -> History:
        blank = np.zeros(counts.days.shape[:2], dtype=bool)
        blank[days(counts)] = True
        kept: History = counts.without(blank)
        return kept

    return changed(of, cut)


def assert_same(of: Subject, slots: tuple[date, ...], left: Inputs, right: Inputs) -> None:
    whole, part = (arrays(panel(of, one, slots, np.full(len(slots), 0.01))) for one in (left, right))
    for name, cells in whole.items():
        np.testing.assert_allclose(part[name], cells, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_farther_back_than_its_reach_does_not_matter(kind: str) -> None:
    """A live tick reads only so far; a chart's baseline was counted before."""
    of, given_ = subject_of(KINDS[kind]), given_of(KINDS[kind], 7)
    slots = slots_of(KINDS[kind], 3, first=100)
    first = (slots[0] - kind_of(KINDS[kind]).lookback).toordinal()
    later = without(given_, lambda counts: slice(first - counts.first_day))
    assert findings(of, given_, slots)[1] == findings(of, later, slots)[1]
    assert_same(of, slots, given_, later)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_from_a_slot_on_is_read(kind: str) -> None:
    of, given_ = subject_of(KINDS[kind]), given_of(KINDS[kind], 11)
    slots = slots_of(KINDS[kind], 1, first=80)
    last = slots[0].toordinal()
    assert_same(of, slots, given_, without(given_, lambda counts: slice(last - counts.first_day, None)))


@pytest.mark.parametrize("kind", KINDS)
def test_too_few_rows_are_nothing_to_judge(kind: str) -> None:
    least = subject_of(KINDS[kind].model_copy(update={"min_n": 10**6}))
    if kind == "g-chart":  # it waits for cases, however many rows they take
        return
    found = evaluate_rule(least, EvaluationInput(slots_of(KINDS[kind], 12), given_of(KINDS[kind], 3), {}))
    assert (found.codes == NO_DATA).all()


@pytest.mark.parametrize("kind", KINDS)
def test_without_rows_nothing_is_found(kind: str) -> None:
    of = subject_of(KINDS[kind])
    empty = History(0, (), np.zeros((1, 0, TALLY)))
    given_ = Inputs(empty, lambda _: {}, empty, empty, {}, frozenset({("gone",)}))
    after, found = findings(of, given_, slots_of(KINDS[kind], 3))
    assert (after, found) == ({}, [])


# What each kind holds its figure against.


def flat(n: int, plus: int, slices: tuple[Slice, ...] = (("A",),), days: int = 800) -> Floats:
    """Sums of the same counts each day."""
    day = np.zeros((len(slices), TALLY))
    day[:, :2] = n, plus
    return np.arange(days + 1)[:, None, None] * day[None]


def history_of(*parts: tuple[int, int, int], slices: tuple[Slice, ...] = (("A",),)) -> History:
    """(days, n, plus) one after the other."""
    sums = np.zeros((1, len(slices), TALLY))
    for days, n, plus in parts:
        sums = np.concatenate([sums, sums[-1] + flat(n, plus, slices, days)[1:]])
    return History(MONDAY.toordinal(), slices, sums)


def one(of: RateRule, counts: History, slot: date, other: History | None = None) -> EvaluatedRule:
    frozen = freeze(of, counts, MONDAY, slot) if isinstance(of, ChartRule) else None
    return evaluate_rule(
        subject_of(of), EvaluationInput((slot,), Inputs(counts, lambda _: {}, other, counts, frozen), {})
    )


@pytest.mark.parametrize(
    ("kind", "slot", "held", "verdict"),
    [
        # 10% until day 364, 40% in the 28 days after it, 40% on
        ("threshold", 392, 0.25, "breach"),
        ("threshold", 364, 0.25, "safe"),
        ("goal", 392, 0.2, "breach"),
        ("goal", 456, 0.2, "breach"),  # the window's last day is the last of this goal
        ("goal", 457, 0.3, "breach"),  # and this the first of A's own
        ("goal", 364, 0.2, "safe"),
        ("change-previous", 392, 0.1, "breach"),
        ("change-previous", 420, 0.4, "safe"),  # what was worse before is no worse now
        ("change-last-year", 420, 0.1, "breach"),
        ("change-last-year", 784, 0.4, "safe"),
        ("p-chart", 392, 0.1, "breach"),
        ("p-chart", 364, 0.1, "safe"),
        ("ewma", 392, 0.1, "breach"),
        ("cusum", 392, 0.1, "breach"),
        ("cusum", 364, 0.1, "safe"),
        ("g-chart", 392, 0.1, "breach"),
        ("g-chart", 364, 0.1, "safe"),
    ],
)
def test_what_a_figure_is_held_against(kind: str, slot: int, held: float, verdict: str) -> None:
    counts = history_of((364, 20, 2), (500, 20, 8))
    found = one(KINDS[kind], counts, MONDAY + slot * timedelta(days=1)).reading(0, 0)
    assert found.held == pytest.approx(held)
    assert found.verdict == verdict


def test_a_vertical_is_held_against_all_the_others() -> None:
    counts = history_of((100, 20, 2), slices=SLICES)
    counts.sums[:, 2, 1] *= 3
    found = one(KINDS["change-others"], counts, MONDAY + 70 * timedelta(days=1))
    assert [found.reading(0, i).held for i in range(3)] == pytest.approx([0.2, 0.2, 0.1])
    assert [found.reading(0, i).verdict for i in range(3)] == ["safe", "safe", "breach"]
    right = found.reading(0, 2).right
    assert right is not None
    assert (right.n, right.plus) == (2 * 28 * 20, 2 * 28 * 2)


def test_a_gap_needs_rows_on_both_sides() -> None:
    left, right = history_of((100, 20, 8)), history_of((100, 20, 2))
    slot = MONDAY + 70 * timedelta(days=1)
    assert one(KINDS["gap"], left, slot, right).reading(0, 0).verdict == "breach"
    assert one(KINDS["gap"], right, slot, left).reading(0, 0).verdict == "safe"
    assert one(KINDS["gap"], left, slot, history_of((100, 1, 0))).reading(0, 0).verdict == "no_data"


def test_a_mix_that_differs_is_no_gap_within_strata() -> None:
    """Simpson: the same share in each region; most rows lie in the worse one here, in the better one there."""
    mixed = (("A", "x"), ("A", "y"))
    left, right = history_of((100, 1, 1), slices=mixed), history_of((100, 1, 1), slices=mixed)
    for side, (many, few) in ((left, (0, 1)), (right, (1, 0))):
        side.sums[:, many, 0] *= 90
        side.sums[:, few, 0] *= 10
        side.sums[:, 0, 1] = side.sums[:, 0, 0] * 0.5
        side.sums[:, 1, 1] = side.sums[:, 1, 0] * 0.1
    found = one(KINDS["gap-in-strata"], left, MONDAY + 70 * timedelta(days=1), right).reading(0, 0)
    assert found.value == pytest.approx(0.46)
    assert found.held == pytest.approx(0.46)  # at the same mix; the plain difference would be 0.32
    assert found.verdict == "safe"


# The gate.


def judged(n: float, plus: float, deff: float = 1.0, **changes: Any) -> tuple[str, float]:
    sums = np.zeros((2, 1, TALLY))
    sums[1, 0, :2] = n, plus
    effect = {("defect-rate", "Retail"): DesignEffect(deff, 10**9)}
    given_ = Inputs(History((MONDAY - WEEK).toordinal(), (("Retail",),), sums), lambda _: effect)
    found = evaluate_rule(subject(rule(**changes), alpha=0.01), EvaluationInput((MONDAY,), given_, {})).reading(0, 0)
    return found.verdict, found.p


@pytest.mark.parametrize(
    ("n", "plus", "changes", "verdict"),
    [
        (200, 80, {}, "breach"),
        (200, 60, {}, "between"),  # 30% against 25%: not sure enough (p = 0.06)
        (200, 60, {"gate": "none"}, "breach"),  # a plain comparison is
        (29, 29, {}, "no_data"),  # under the metric's minimum n, however bad
        (29, 29, {"min_n": 20}, "breach"),
        (0, 0, {}, "no_data"),
        (200, 48, {}, "between"),  # 24%: neither beyond the limit nor past recover
        (200, 40, {}, "safe"),
        (5000, 1400, {"floor": 0.05}, "between"),  # 28%: certain, and not worth anybody's attention
        (5000, 1500, {"floor": 0.05}, "breach"),
    ],
)
def test_the_gate(n: int, plus: int, changes: dict[str, Any], verdict: str) -> None:
    assert judged(n, plus, **changes)[0] == verdict


def test_answers_of_one_account_count_less() -> None:
    alone, alike = judged(200, 72)[1], judged(200, 72, deff=4.0)[1]
    assert alone == pytest.approx(binom.sf(71, 200, 0.25))
    assert alike == pytest.approx(binom.sf(17, 50, 0.25))
    assert alone < 0.01 < alike


def test_the_gate_says_what_scipy_says() -> None:
    found = one(rule(), history_of((1, 311, 99)), MONDAY + WEEK).reading(0, 0)
    assert found.p == pytest.approx(binom.sf(98, 311, 0.25))
    assert found.p == tail(METRIC, found.tally, 0.25)


def test_alpha_shares_the_declared_false_alarms_among_slots_and_the_slices_seen_by_then() -> None:
    seen = np.array([[True] * 5 + [False] * 5, [True] * 10])
    of = subject(rule(false_alarms_per_year=0.5))
    assert bonferroni(of.rule, of.cadence.a_year, seen) == pytest.approx(0.5 / (365.25 / 7) / np.array([5, 10]))


def test_a_slice_counts_from_its_first_row_on_also_when_it_is_only_remembered() -> None:
    counts = history_of((200, 20, 2), slices=(("A",), ("B",)))
    counts.sums[: 100 + 1, 1] = 0
    of, slots = subject(rule(false_alarms_per_year=1)), (MONDAY + 8 * WEEK, MONDAY + 20 * WEEK)
    basis = EvaluationInput(slots, Inputs(counts, lambda _: {}), {})
    share = 7 / 365.25
    assert evaluate_rule(of, basis).alpha == pytest.approx([share, share / 2])
    assert evaluate_rule(of, basis, [("B",)]).alpha == pytest.approx([share / 2, share / 2])


def test_without_change_breaches_stay_below_what_the_rule_declares() -> None:
    """Thirty years of ten slices at the limit itself, the worst of no change: at most the declared breaches."""
    dice = np.random.default_rng(2026)
    declared, width, weeks = 2.0, 10, 30 * 52
    cells = np.zeros((weeks * 7, width, TALLY))
    cells[::7, :, 0], cells[::7, :, 1] = 120, dice.binomial(120, 0.25, (weeks, width))
    sums = np.concatenate([np.zeros((1, width, TALLY)), np.cumsum(cells, axis=0)])
    counts = History(MONDAY.toordinal(), tuple((str(i),) for i in range(width)), sums)
    of = subject(rule(false_alarms_per_year=declared, window="7d"))
    slots = tuple(MONDAY + (i + 1) * WEEK for i in range(weeks))
    breaches = int((evaluate_rule(of, EvaluationInput(slots, Inputs(counts, lambda _: {}), {})).codes == BREACH).sum())
    assert 0 < breaches <= declared * 30 + 3 * (declared * 30) ** 0.5


# Baselines.


def test_a_baseline_is_frozen_once_its_days_are_over() -> None:
    counts, of = history_of((300, 20, 2)), KINDS["p-chart"]
    assert isinstance(of, ChartRule)
    days = MONDAY + timedelta(days=140)
    assert freeze(of, counts, MONDAY, days - timedelta(days=1)) == {}
    assert freeze(of, counts, MONDAY, days) == {("A",): FrozenBaseline(MONDAY, days, (2800, 280, 0, 0, 0))}


def test_a_chart_says_nothing_of_its_own_baseline() -> None:
    counts = history_of((300, 20, 2))
    assert one(KINDS["p-chart"], counts, MONDAY + timedelta(days=140)).reading(0, 0).verdict == "no_data"
    assert one(KINDS["p-chart"], counts, MONDAY + timedelta(days=147)).reading(0, 0).verdict == "safe"


# Versions.


@pytest.mark.parametrize("kind", KINDS)
def test_a_version_can_be_read_back(kind: str) -> None:
    of = subject_of(KINDS[kind]).version
    again = read_version(of.body)
    assert (again.rule, again.metrics, again.goals, again.hash) == (of.rule, of.metrics, of.goals, of.hash)


def test_conditions_of_every_form_are_read_back() -> None:
    changes: dict[str, Any] = {"for": "7d", "where": {"journey_type": "installation", "defects": {"at_least": 2}}}
    of = version(rule(**changes), (METRIC,))
    assert read_version(of.body).rule == of.rule


def test_every_verdict_of_the_gate_is_one_that_the_evaluator_knows() -> None:
    assert set(VERDICTS) == {"breach", "safe", "between", "no_data"}


def test_a_slot_is_read_when_its_window_has_settled() -> None:
    assert subject(rule()).cadence.as_of(MONDAY) == datetime(2026, 3, 16, tzinfo=UTC)

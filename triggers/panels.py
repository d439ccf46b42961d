"""What the windows of a rule say, before the gate: arrays over slots and slices, made one way for each kind. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np

from config.catalog import ChangeRule, ChartRule, GapRule, GoalRule, Metric, RateRule, ThresholdRule, goal_of
from queries import differences
from queries.clusters import EVERY_VERTICAL, Effect, Effects
from queries.statistics import Floats, tails, values
from triggers import charts
from triggers.counts import Bools, Counts, History, Slice
from triggers.evaluate import ROUNDING
from triggers.subjects import Subject

EffectsAt = Callable[[date], Effects]
"""Slot -> the design effects that were known then."""

NO_EFFECT: Final = Effect(1.0, 1)
YEAR: Final = timedelta(days=364)
"""52 weeks: the same weekdays a year before."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """A chart's baseline in one slice: its days [since, until) and its tally."""

    since: date
    until: date
    tally: tuple[float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Given:
    """What a panel is made of.

    Args:
        counts: of the rule's own figure.
        effects: the design effects known at a slot.
        other: the counts that a gap is measured from.
        plain: the rule's own counts without the days under a condition; what baselines are made of.
        frozen: the baselines of a chart, by slice.
        known: the slices that a gap is shown for even where neither side has a row of them.
    """

    counts: Counts
    effects: EffectsAt
    other: Counts | None = None
    plain: Counts | None = None
    frozen: Mapping[Slice, Frozen] | None = None
    known: frozenset[Slice] = frozenset()


@dataclass(frozen=True, slots=True)
class Panel:
    """Every window of every slice of a rule.

    Args:
        slots: oldest first: the day after each window's last day.
        slices: the values of the rule's `by`.
        counts: shape (slots, slices, 5): the tallies that the figures are made of. All others are (slots, slices).
        value: the figure, in the metric's unit; NaN without rows.
        held: what it is held against: limit, goal, or the baseline's figure; NaN where there is none.
        bad: how far the figure lies on the bad side of it, in the metric's unit.
        suspect: beyond it by enough to ask how sure that is.
        enough: rows enough to judge at all.
        p: the one-sided tail; 1 where it was not needed, 0 without a gate.
        safe: past the recover limit. None where that depends on how sure the rule must be: a chart.
        deffs: the design effects.
        right: shape (slots, slices, 5): the tallies of what a difference is measured from; else None.
        right_deffs: their design effects.
    """

    slots: tuple[date, ...]
    slices: tuple[Slice, ...]
    counts: Floats
    value: Floats
    held: Floats
    bad: Floats
    suspect: Bools
    enough: Bools
    p: Floats
    safe: Bools | None
    deffs: Floats
    right: Floats | None = None
    right_deffs: Floats | None = None

    @property
    def seen(self) -> Bools:
        """The slices that had a row in some window up to the slot."""
        return np.logical_or.accumulate(self.counts[:, :, 0] > 0, axis=0)


def panel(subject: Subject, given: Given, slots: Sequence[date], alpha: Floats) -> Panel:
    """The panel of a rule that reads a metric.

    Args:
        subject: the rule.
        given: counts that cover all that the rule looks at in these slots.
        slots: oldest first.
        alpha: shape (slots,): the false-alarm probability of a slot; a cusum's limit follows from it.
    """
    rule = subject.rule
    if isinstance(rule, ChartRule):
        return _chart(subject, rule, given, slots, alpha)
    window = _windows(given.counts, slots, rule.window)
    if isinstance(rule, ThresholdRule):
        return _threshold(subject, rule, given, slots, window)
    if isinstance(rule, GoalRule):
        return _goal(subject, rule, given, slots, window)
    if isinstance(rule, ChangeRule):
        return _change(subject, rule, given, slots, window)
    if isinstance(rule, GapRule):
        return _gap(subject, rule, given, slots)
    raise TypeError(rule.kind)


def reach(rule: RateRule) -> timedelta:
    """How far behind a slot a rule looks, a chart's baseline aside."""
    if isinstance(rule, ChangeRule):
        return {"previous": 2 * rule.window, "last-year": YEAR + rule.window}.get(rule.baseline, rule.window)
    return rule.window


def minimum(rule: RateRule, metric: Metric) -> int:
    """The rows below which nothing is judged."""
    return rule.min_n if rule.min_n is not None else metric.min_n


def _windows(counts: Counts, slots: Sequence[date], window: timedelta, back: timedelta = timedelta(0)) -> Floats:
    return counts.spans([slot - back - window for slot in slots], [slot - back for slot in slots])


def _each(metric: Metric, tallies: Floats) -> Floats:
    """The figure of each cell."""
    return values(metric, tallies.reshape(-1, tallies.shape[-1])).reshape(tallies.shape[:-1])


def _side(metric: Metric) -> float:
    return 1.0 if metric.good == "up" else -1.0


def _threshold(subject: Subject, rule: ThresholdRule, given: Given, slots: Sequence[date], window: Floats) -> Panel:
    held = np.full(window.shape[:2], rule.limit)
    found = _against(subject, rule, given, slots, window, held)
    safe = _side(subject.metric) * (found.value - rule.recover) >= -ROUNDING
    return _with(found, safe=safe)


def _goal(subject: Subject, rule: GoalRule, given: Given, slots: Sequence[date], window: Floats) -> Panel:
    held = np.array([[_goal_of(subject, rule, s, slot) for s in given.counts.slices] for slot in slots]).reshape(
        window.shape[:2]
    )
    found = _against(subject, rule, given, slots, window, held)
    return _with(found, safe=found.bad <= rule.recover + ROUNDING)


def _goal_of(subject: Subject, rule: GoalRule, slice_: Slice, slot: date) -> float:
    """The goal of a slice's vertical on the last day of a window; NaN where there is none."""
    last = slot - timedelta(days=1)
    found = goal_of(subject.version.goals, rule.metric, _vertical(subject, slice_), last, rule.where)
    return found.value if found else float("nan")


def _against(
    subject: Subject,
    rule: ThresholdRule | GoalRule,
    given: Given,
    slots: Sequence[date],
    window: Floats,
    held: Floats,
) -> Panel:
    """The panel of figures held against numbers."""
    metric = subject.metric
    value = _each(metric, window)
    bad = _side(metric) * (held - value)
    enough = (window[:, :, 0] >= minimum(rule, metric)) & np.isfinite(bad)
    suspect = enough & (bad > ROUNDING) & (bad >= rule.floor - ROUNDING)
    effects = _deffs(subject, given, slots, window)
    p = np.where(suspect, 0.0, 1.0)
    if rule.gate == "exact" and suspect.any():
        for limit in np.unique(held[suspect]).tolist():
            cells = suspect & (held == limit)
            p[cells] = tails(metric, window[cells], limit, effects[cells])
    return Panel(tuple(slots), given.counts.slices, window, value, held, bad, suspect, enough, p, None, effects)


def _change(subject: Subject, rule: ChangeRule, given: Given, slots: Sequence[date], window: Floats) -> Panel:
    effects = _deffs(subject, given, slots, window)
    if rule.baseline == "others":
        right = _siblings(rule.by.index("vertical"), given.counts.slices, window) - window
        return _difference(subject, given, slots, (window, right), (effects, _company(subject, given, slots, right)))
    back = rule.window if rule.baseline == "previous" else YEAR
    right = _windows(given.plain or given.counts, slots, rule.window, back)
    return _difference(subject, given, slots, (window, right), (effects, _deffs(subject, given, slots, right)))


def _siblings(place: int, slices: Sequence[Slice], window: Floats) -> Floats:
    """For each slice the sum over the slices that differ from it in their vertical alone, and itself."""
    groups: dict[Slice, int] = {}
    where_to = [groups.setdefault((*s[:place], *s[place + 1 :]), len(groups)) for s in slices]
    totals = np.zeros((len(groups), len(window), window.shape[-1]))
    np.add.at(totals, np.array(where_to, dtype=np.int64), window.swapaxes(0, 1))
    return totals[where_to].swapaxes(0, 1)


def _gap(subject: Subject, rule: GapRule, given: Given, slots: Sequence[date]) -> Panel:
    """With strata the histories are sliced by them too, after the rule's `by`."""
    if given.other is None:
        raise TypeError(rule.name)
    sides = (given.counts, given.other)
    slices = tuple(sorted({s[: len(rule.by)] for side in sides for s in side.slices} | given.known))
    strata = tuple(sorted({s[len(rule.by) :] for side in sides for s in side.slices})) or ((),)
    left, right = (_stratified(side, slices, strata, _windows(side, slots, rule.window)) for side in sides)
    return _difference_in(subject, given, slots, slices, left, right)


def _stratified(side: Counts, slices: Sequence[Slice], strata: Sequence[Slice], window: Floats) -> Floats:
    """Shape (strata, slots, slices, 5)."""
    places = {s: i for i, s in enumerate(slices)}, {s: i for i, s in enumerate(strata)}
    cells = np.zeros((len(strata), len(window), len(slices), window.shape[-1]))
    by = len(slices[0]) if slices else 0
    for column, slice_ in enumerate(side.slices):
        cells[places[1][slice_[by:]], :, places[0][slice_[:by]]] = window[:, column]
    return cells


def _difference(
    subject: Subject, given: Given, slots: Sequence[date], sides: tuple[Floats, Floats], deffs: tuple[Floats, Floats]
) -> Panel:
    left, right = sides
    return _compared(subject, slots, given.counts.slices, left[None], right[None], deffs)


def _difference_in(
    subject: Subject, given: Given, slots: Sequence[date], slices: tuple[Slice, ...], left: Floats, right: Floats
) -> Panel:
    deffs = tuple(_deffs_of(subject, given, slots, slices, side.sum(axis=0)) for side in (left, right))
    return _compared(subject, slots, slices, left, right, (deffs[0], deffs[1]))


def _compared(
    subject: Subject,
    slots: Sequence[date],
    slices: tuple[Slice, ...],
    left: Floats,
    right: Floats,
    deffs: tuple[Floats, Floats],
) -> Panel:
    """The panel of a difference within strata: `left` and `right` have shape (strata, slots, slices, 5)."""
    rule, metric = _short(subject), subject.metric
    flat = [side.reshape(len(side), -1, side.shape[-1]) for side in (left, right)]
    shape, sums = left.shape[1:3], [side.sum(axis=0) for side in (left, right)]
    gap = (differences.stratified_gaps if len(left) > 1 else _plain_gaps)(metric, flat[0], flat[1]).reshape(shape)
    value, bad = _each(metric, sums[0]), -_side(metric) * gap
    least = minimum(rule, metric)
    enough = (sums[0][..., 0] >= least) & (sums[1][..., 0] >= least) & np.isfinite(bad)
    suspect = enough & (bad > ROUNDING) & (bad >= rule.floor - ROUNDING)
    p, cells = np.where(suspect, 0.0, 1.0), suspect.reshape(-1)
    if rule.gate == "exact" and cells.any():
        sure = (d.reshape(-1)[cells] for d in deffs)
        p[suspect] = differences.stratified_tails(metric, flat[0][:, cells], flat[1][:, cells], rule.floor, *sure)
    safe, held = bad <= rule.recover + ROUNDING, value - gap
    parts: tuple[Any, ...] = (sums[0], value, held, bad, suspect, enough, p, safe, deffs[0], sums[1], deffs[1])
    return Panel(tuple(slots), slices, *parts)


def _short(subject: Subject) -> ChangeRule | GapRule:
    if not isinstance(subject.rule, ChangeRule | GapRule):
        raise TypeError(subject.rule.kind)
    return subject.rule


def _plain_gaps(metric: Metric, left: Floats, right: Floats) -> Floats:
    return differences.gaps(metric, left[0], right[0])


def _chart(subject: Subject, rule: ChartRule, given: Given, slots: Sequence[date], alpha: Floats) -> Panel:
    """Each slot's chart over its lookback; p is alpha raised to the strength of the signal, so 1 is no sign of any."""
    counts, metric = given.counts, subject.metric
    baseline = np.array([_tally(given, slice_) for slice_ in counts.slices]).reshape(len(counts.slices), 5)
    begins = np.array([_begin(given, slice_) for slice_ in counts.slices], dtype=np.int64)
    newest = _windows(counts, slots, rule.every)
    effects = _deffs(subject, given, slots, newest)
    signals = [
        _signal(rule, metric, _periods(rule, counts, slot, begins), baseline, effects[i], float(alpha[i]))
        for i, slot in enumerate(slots)
    ]
    level, bad, strength, n = (
        np.array([getattr(s, part) for s in signals]).reshape(newest.shape[:2])
        for part in ("level", "bad", "strength", "n")
    )
    held = np.broadcast_to(_each(metric, baseline), level.shape)
    least = 1 if rule.method == "g" else minimum(rule, metric)
    enough = (n >= least) & np.isfinite(strength) & np.isfinite(bad)
    floor = 0.0 if rule.method == "cusum" else rule.floor
    suspect = enough & (bad > ROUNDING) & (bad >= floor - ROUNDING)
    p = np.where(enough, alpha[:, None] ** np.nan_to_num(strength), 1.0)
    return Panel(tuple(slots), counts.slices, newest, level, held, bad, suspect, enough, p, None, effects)


def _tally(given: Given, slice_: Slice) -> tuple[float, ...]:
    known = (given.frozen or {}).get(slice_)
    return known.tally if known else (0.0,) * 5


def _begin(given: Given, slice_: Slice) -> int:
    known = (given.frozen or {}).get(slice_)
    return known.until.toordinal() if known else date.max.toordinal()


def _periods(rule: ChartRule, counts: Counts, slot: date, begins: Any) -> Floats:
    """The periods of the lookback, oldest first; what lies inside a baseline is empty: shape (periods, slices, 5)."""
    length = timedelta(days=1) if rule.method == "g" else rule.every
    many = rule.window // length
    ends = [slot - length * i for i in reversed(range(many))]
    starts = [end - length for end in ends]
    found = counts.spans(starts, ends)
    early = np.array([start.toordinal() for start in starts])[:, None] < begins[None, :]
    found[early] = 0.0
    return found


def _signal(
    rule: ChartRule, metric: Metric, periods: Floats, baseline: Floats, deffs: Floats, alpha: float
) -> charts.Signal:
    if rule.method == "p":
        return charts.p_chart(periods, baseline, deffs, metric, alpha)
    if rule.method == "ewma":
        return charts.ewma(periods, baseline, deffs, metric, alpha, rule.newest_weight or 1.0)
    if rule.method == "cusum":
        return charts.cusum(periods, baseline, deffs, metric, alpha, rule.floor)
    return charts.g_chart(periods, baseline, deffs, metric, alpha, rule.events or 1)


def freeze(rule: ChartRule, counts: History, first_day: date, slot: date) -> dict[Slice, Frozen]:
    """The baselines that can be frozen by a slot: of every slice that has rows in it."""
    base = rule.baseline
    since = base.since or first_day
    until = base.until or since + (base.first or timedelta(0))
    if until > slot:
        return {}
    found = counts.spans([since], [until])[0].tolist()
    rows = zip(counts.slices, found, strict=True)
    return {slice_: Frozen(since, until, tuple(tally)) for slice_, tally in rows if tally[0] > 0}


def _vertical(subject: Subject, slice_: Slice) -> str:
    """A slice's vertical, the one the rule is about, or every one."""
    rule = subject.rule
    if "vertical" in rule.by:
        return slice_[rule.by.index("vertical")]
    named = [c.any_of[0] for c in rule.where if c.column == "vertical" and c.any_of and len(c.any_of) == 1]
    return str(named[0]) if named else EVERY_VERTICAL


def _deffs(subject: Subject, given: Given, slots: Sequence[date], window: Floats) -> Floats:
    return _deffs_of(subject, given, slots, given.counts.slices, window)


def _deffs_of(subject: Subject, given: Given, slots: Sequence[date], slices: Sequence[Slice], window: Floats) -> Floats:
    """The design effect of each cell: its vertical's, or the whole company's where the rule does not slice by it."""
    return _effects(subject, given, slots, [_vertical(subject, s) for s in slices], window)


def _company(subject: Subject, given: Given, slots: Sequence[date], window: Floats) -> Floats:
    return _effects(subject, given, slots, [EVERY_VERTICAL] * window.shape[1], window)


def _effects(subject: Subject, given: Given, slots: Sequence[date], verticals: Sequence[str], window: Floats) -> Floats:
    """`queries.clusters.deff` of all cells: slots of one quarter know the same effects."""
    found = np.ones(window.shape[:2])
    known = [given.effects(slot) for slot in slots]
    for effects in {id(one): one for one in known if one}.values():
        rows = [i for i, one in enumerate(known) if one is effects]
        measured = [effects.get((subject.metric.name, vertical), NO_EFFECT) for vertical in verticals]
        size = np.array([max(one.n, 1) for one in measured])
        over = np.array([one.deff - 1 for one in measured])
        found[rows] = 1 + over * np.maximum(1.0, np.round(window[rows, :, 0]) / size)
    return found


def _with(found: Panel, *, safe: Bools) -> Panel:
    return Panel(**{**{name: getattr(found, name) for name in Panel.__dataclass_fields__}, "safe": safe})

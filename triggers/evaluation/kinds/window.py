"""What the windows of a rule say, before the gate and after it: arrays over slots and slices. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from config.models import Metric, RateRule, WatchRule
from queries.metrics import EVERY_VERTICAL, DesignEffect, DesignEffects
from queries.statistics.estimates import Floats, values
from triggers.rules import Bools, Counts, FrozenBaseline, Slice, Subject, Verdict

EffectsAt = Callable[[date], DesignEffects]
"""Slot -> the design effects that were known then."""

NO_EFFECT: Final = DesignEffect(1.0, 1)
YEAR: Final = timedelta(days=364)
"""52 weeks: the same weekdays a year before."""

VERDICTS: Final[tuple[Verdict, ...]] = ("no_data", "breach", "safe", "between")
NO_DATA, BREACH, SAFE, BETWEEN = range(4)

Codes = NDArray[np.int8]
"""Places in VERDICTS."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a panel is made of.

    Args:
        counts: of the rule's own figure.
        effects: the design effects known at a slot.
        other: the counts that a gap is measured from.
        plain: the rule's own counts without the days under a condition; what baselines are made of.
        frozen: the baselines of a chart, by slice.
        known: the slices that a gap is shown for even where neither side has a row of them.
        few: those of some windows that come from too few people, by slot and slice; None where there is no floor.
    """

    counts: Counts
    effects: EffectsAt
    other: Counts | None = None
    plain: Counts | None = None
    frozen: Mapping[Slice, FrozenBaseline] | None = None
    known: frozenset[Slice] = frozenset()
    few: Callable[[Sequence[date], Sequence[Slice], Bools], Bools] | None = None


@dataclass(frozen=True, slots=True)
class Windows:
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
        safe: past the recover limit; of a chart, near its baseline, however sure that is.
        deffs: the design effects.
        right: shape (slots, slices, 5): the tallies of what a difference is measured from; else None.
        right_deffs: their design effects.
        details: what else a cell's words need, by its row and column; empty where a slice is not among those judged.
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
    safe: Bools
    deffs: Floats
    right: Floats | None = None
    right_deffs: Floats | None = None
    details: Callable[[int, int], Mapping[str, Any]] = lambda _row, _column: {}

    @property
    def seen(self) -> Bools:
        """The slices that had a row in some window up to the slot."""
        return np.logical_or.accumulate(self.counts[:, :, 0] > 0, axis=0)


def minimum(rule: RateRule, metric: Metric) -> int:
    """The rows below which nothing is judged."""
    return rule.min_n if rule.min_n is not None else metric.min_n


def windows(counts: Counts, slots: Sequence[date], window: timedelta, back: timedelta = timedelta(0)) -> Floats:
    return counts.spans([slot - back - window for slot in slots], [slot - back for slot in slots])


def window_values(metric: Metric, tallies: Floats) -> Floats:
    """The figure of each cell."""
    return values(metric, tallies.reshape(-1, tallies.shape[-1])).reshape(tallies.shape[:-1])


def direction(metric: Metric) -> float:
    return 1.0 if metric.good == "up" else -1.0


def vertical(subject: Subject, slice_: Slice) -> str:
    """A slice's vertical, the one the rule is about, or every one."""
    rule = subject.rule
    if "vertical" in rule.by:
        return slice_[rule.by.index("vertical")]
    named = [c.any_of[0] for c in rule.where if c.column == "vertical" and c.any_of and len(c.any_of) == 1]
    return str(named[0]) if named else EVERY_VERTICAL


def window_design_effects(subject: Subject, given: Inputs, slots: Sequence[date], window: Floats) -> Floats:
    return slice_design_effects(subject, given, slots, given.counts.slices, window)


def slice_design_effects(
    subject: Subject, given: Inputs, slots: Sequence[date], slices: Sequence[Slice], window: Floats
) -> Floats:
    """The design effect of each cell: its vertical's, or the whole company's where the rule does not slice by it."""
    return stratum_design_effects(subject, given, slots, [vertical(subject, s) for s in slices], window)


def company_design_effects(subject: Subject, given: Inputs, slots: Sequence[date], window: Floats) -> Floats:
    return stratum_design_effects(subject, given, slots, [EVERY_VERTICAL] * window.shape[1], window)


def stratum_design_effects(
    subject: Subject, given: Inputs, slots: Sequence[date], verticals: Sequence[str], window: Floats
) -> Floats:
    """`queries.metrics.design_effects.deff` of all cells: slots of one quarter know the same effects."""
    found = np.ones(window.shape[:2])
    known = [given.effects(slot) for slot in slots]
    for effects in {id(one): one for one in known if one}.values():
        rows = [i for i, one in enumerate(known) if one is effects]
        measured = [effects.get((subject.metric.name, vertical), NO_EFFECT) for vertical in verticals]
        size = np.array([max(one.n, 1) for one in measured])
        over = np.array([one.deff - 1 for one in measured])
        found[rows] = 1 + over * np.maximum(1.0, np.round(window[rows, :, 0]) / size)
    return found


def bonferroni(rule: WatchRule, slots_a_year: float, seen: Bools) -> Floats:
    """What the tail must be below in each slot where nothing better is known: shape (slots,).

    The rule's declared false alarms over its slots a year and the slices seen by then: the expected number of breaches
    a year without any change is then at most `false_alarms_per_year`, however slices and overlapping windows depend on
    each other. Each incident needs a breach, so the incidents are bounded too; `consecutive` and `for` only lower their
    number.
    """
    slices = np.maximum(seen.sum(axis=1), 1)
    return np.asarray(rule.false_alarms_per_year / (slots_a_year * slices), dtype=np.float64)


def verdicts(rule: WatchRule, panel: Windows, alpha: Floats) -> Codes:
    """The verdict of each cell: shape (slots, slices)."""
    sure = np.minimum(alpha, 1.0)[:, None]
    breach = panel.suspect & (panel.p < sure)
    safe = panel.safe
    if rule.keeps_baseline:
        safe = safe | (panel.p >= sure**rule.calm)
    found = np.select([~panel.enough, breach, safe], [NO_DATA, BREACH, SAFE], BETWEEN)
    return found.astype(np.int8)

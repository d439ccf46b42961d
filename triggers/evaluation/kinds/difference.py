"""Rules that hold a figure against another: a change, a gap. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, ClassVar, Final

import numpy as np

from config.models import ChangeRule, GapRule, Metric, conditions_text
from queries.metrics import count, difference_words, figure, half_width
from queries.statistics import differences
from queries.statistics.estimates import Floats
from triggers.evaluation.kinds.kind import Held, MetricKind, Null, Sample, sentence_start
from triggers.evaluation.kinds.window import (
    YEAR,
    Inputs,
    Windows,
    company_design_effects,
    direction,
    minimum,
    slice_design_effects,
    window_design_effects,
    window_values,
    windows,
)
from triggers.rules import ROUNDING, Counts, Slice, Subject

BASELINES: Final = {"previous": "the window before", "last-year": "a year before", "others": "all other verticals"}


@dataclass(frozen=True)
class Change(MetricKind[ChangeRule]):
    """Fires when a metric is surely worse than its baseline."""

    model: ClassVar = ChangeRule
    leaves_out_conditions: ClassVar = True

    def panel(self, subject: Subject, given: Inputs, slots: Sequence[date], alpha: Floats) -> Windows:  # noqa: ARG002
        """Each window against the one before, the same a year before, or the other verticals' together."""
        rule, window = self.rule, windows(given.counts, slots, self.rule.window)
        if rule.baseline == "others":
            right = _siblings(rule.by.index("vertical"), given.counts.slices, window) - window
            right_effects = company_design_effects(subject, given, slots, right)
        else:
            back = rule.window if rule.baseline == "previous" else YEAR
            right = windows(given.plain or given.counts, slots, rule.window, back)
            right_effects = window_design_effects(subject, given, slots, right)
        deffs = window_design_effects(subject, given, slots, window), right_effects
        return _compared(subject, rule, slots, given.counts.slices, window[None], right[None], deffs)

    def comparator(self, subject: Subject) -> str:  # noqa: ARG002
        """The baseline."""
        return BASELINES[self.rule.baseline]

    def against(self, metric: Metric, sample: Sample) -> str:
        """The baseline."""
        return _difference(BASELINES[self.rule.baseline], metric, sample)

    def held(self, sample: Sample) -> Held | None:
        """The baseline's figure."""
        value = sample.get("held")
        return None if value is None else Held(BASELINES[self.rule.baseline], value)

    @property
    def lookback(self) -> timedelta:
        """As far as the baseline's window begins."""
        window = self.rule.window
        return {"previous": 2 * window, "last-year": YEAR + window}.get(self.rule.baseline, window)

    @property
    def null(self) -> Null:
        """Both sides have the rate of the two together."""
        return "all verticals together" if self.rule.baseline == "others" else "own past"

    @property
    def lengths(self) -> tuple[int, ...]:
        """A year is no whole number of every window."""
        return (*super().lengths, YEAR.days) if self.rule.baseline == "last-year" else super().lengths


@dataclass(frozen=True)
class Gap(MetricKind[GapRule]):
    """Fires when a metric is surely worse than another."""

    model: ClassVar = GapRule

    def panel(self, subject: Subject, given: Inputs, slots: Sequence[date], alpha: Floats) -> Windows:  # noqa: ARG002
        """With strata the histories are sliced by them too, after the rule's `by`."""
        rule = self.rule
        if given.other is None:
            raise TypeError(rule.name)
        sides = (given.counts, given.other)
        slices = tuple(sorted({s[: len(rule.by)] for side in sides for s in side.slices} | given.known))
        strata = tuple(sorted({s[len(rule.by) :] for side in sides for s in side.slices})) or ((),)
        left, right = (_stratified(side, slices, strata, windows(side, slots, rule.window)) for side in sides)
        deffs = [slice_design_effects(subject, given, slots, slices, side.sum(axis=0)) for side in (left, right)]
        return _compared(subject, rule, slots, slices, left, right, (deffs[0], deffs[1]))

    def comparator(self, subject: Subject) -> str:
        """The other metric, and which of its rows."""
        rows = conditions_text(self.rule.against.where)
        return f"{subject.metrics[1].label}{f' ({rows})' if rows else ''}"

    def against(self, metric: Metric, sample: Sample) -> str:
        """The other metric."""
        return _difference(self._other(sample), metric, sample)

    def held(self, sample: Sample) -> Held | None:
        """The other metric's figure."""
        value = sample.get("held")
        return None if value is None else Held(self._other(sample), value)

    def _other(self, sample: Sample) -> str:
        # What was stored before it had a label says only the name.
        return (sample.get("against") or {}).get("label") or self.rule.against.metric

    @property
    def null(self) -> Null:
        """Each slice has the rate of its own rows of both."""
        return "both sides together"


def _difference(name: str, metric: Metric, sample: Sample) -> str:
    """What a figure is measured from, and the difference with its interval."""
    against = sample.get("against") or {}
    low, high, held = against.get("low"), against.get("high"), sample.get("held")
    n = count(round(against["tally"][0])) if against else "0"
    by = f"; difference {words}" if (words := difference_words(metric, sample)) else ""
    return f"{sentence_start(name)}: {figure(metric, held, half_width(low, high))}, n = {n}{by}"


def _siblings(place: int, slices: Sequence[Slice], window: Floats) -> Floats:
    """For each slice the sum over the slices that differ from it in their vertical alone, and itself."""
    groups: dict[Slice, int] = {}
    where_to = [groups.setdefault((*s[:place], *s[place + 1 :]), len(groups)) for s in slices]
    totals = np.zeros((len(groups), len(window), window.shape[-1]))
    np.add.at(totals, np.array(where_to, dtype=np.int64), window.swapaxes(0, 1))
    return totals[where_to].swapaxes(0, 1)


def _stratified(side: Counts, slices: Sequence[Slice], strata: Sequence[Slice], window: Floats) -> Floats:
    """Shape (strata, slots, slices, 5)."""
    places = {s: i for i, s in enumerate(slices)}, {s: i for i, s in enumerate(strata)}
    cells = np.zeros((len(strata), len(window), len(slices), window.shape[-1]))
    by = len(slices[0]) if slices else 0
    for column, slice_ in enumerate(side.slices):
        cells[places[1][slice_[by:]], :, places[0][slice_[:by]]] = window[:, column]
    return cells


def _compared(
    subject: Subject,
    rule: ChangeRule | GapRule,
    slots: Sequence[date],
    slices: tuple[Slice, ...],
    left: Floats,
    right: Floats,
    deffs: tuple[Floats, Floats],
) -> Windows:
    """The panel of a difference within strata: `left` and `right` have shape (strata, slots, slices, 5)."""
    metric = subject.metric
    flat = [side.reshape(len(side), -1, side.shape[-1]) for side in (left, right)]
    shape, sums = left.shape[1:3], [side.sum(axis=0) for side in (left, right)]
    if len(left) > 1:
        gap = differences.stratified_gaps(metric, flat[0], flat[1]).reshape(shape)
    else:
        gap = differences.gaps(metric, flat[0][0], flat[1][0]).reshape(shape)
    value, bad = window_values(metric, sums[0]), -direction(metric) * gap
    least = minimum(rule, metric)
    enough = (sums[0][..., 0] >= least) & (sums[1][..., 0] >= least) & np.isfinite(bad)
    suspect = enough & (bad > ROUNDING) & (bad >= rule.floor - ROUNDING)
    p, cells = np.where(suspect, 0.0, 1.0), suspect.reshape(-1)
    if rule.gate == "exact" and cells.any():
        sure = (d.reshape(-1)[cells] for d in deffs)
        p[suspect] = differences.stratified_tails(metric, flat[0][:, cells], flat[1][:, cells], rule.floor, *sure)
    safe, held = bad <= rule.recover + ROUNDING, value - gap
    parts: tuple[Any, ...] = (sums[0], value, held, bad, suspect, enough, p, safe, deffs[0], sums[1], deffs[1])
    return Windows(tuple(slots), slices, *parts)

"""The panels of rules that hold a figure against another: a change, a gap. Pure."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from config.models.metrics import Metric
from config.models.rules import ChangeRule, GapRule
from queries.statistics import differences
from queries.statistics.estimates import Floats
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
from triggers.rules.counts import Counts, Slice
from triggers.rules.state_machine import ROUNDING
from triggers.rules.subject import Subject


def change_from_baseline(
    subject: Subject, rule: ChangeRule, given: Inputs, slots: Sequence[date], window: Floats
) -> Windows:
    effects = window_design_effects(subject, given, slots, window)
    if rule.baseline == "others":
        right = _siblings(rule.by.index("vertical"), given.counts.slices, window) - window
        return _difference(
            subject, given, slots, (window, right), (effects, company_design_effects(subject, given, slots, right))
        )
    back = rule.window if rule.baseline == "previous" else YEAR
    right = windows(given.plain or given.counts, slots, rule.window, back)
    return _difference(
        subject, given, slots, (window, right), (effects, window_design_effects(subject, given, slots, right))
    )


def _siblings(place: int, slices: Sequence[Slice], window: Floats) -> Floats:
    """For each slice the sum over the slices that differ from it in their vertical alone, and itself."""
    groups: dict[Slice, int] = {}
    where_to = [groups.setdefault((*s[:place], *s[place + 1 :]), len(groups)) for s in slices]
    totals = np.zeros((len(groups), len(window), window.shape[-1]))
    np.add.at(totals, np.array(where_to, dtype=np.int64), window.swapaxes(0, 1))
    return totals[where_to].swapaxes(0, 1)


def gap(subject: Subject, rule: GapRule, given: Inputs, slots: Sequence[date]) -> Windows:
    """With strata the histories are sliced by them too, after the rule's `by`."""
    if given.other is None:
        raise TypeError(rule.name)
    sides = (given.counts, given.other)
    slices = tuple(sorted({s[: len(rule.by)] for side in sides for s in side.slices} | given.known))
    strata = tuple(sorted({s[len(rule.by) :] for side in sides for s in side.slices})) or ((),)
    left, right = (_stratified(side, slices, strata, windows(side, slots, rule.window)) for side in sides)
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
    subject: Subject, given: Inputs, slots: Sequence[date], sides: tuple[Floats, Floats], deffs: tuple[Floats, Floats]
) -> Windows:
    left, right = sides
    return _compared(subject, slots, given.counts.slices, left[None], right[None], deffs)


def _difference_in(
    subject: Subject, given: Inputs, slots: Sequence[date], slices: tuple[Slice, ...], left: Floats, right: Floats
) -> Windows:
    deffs = tuple(slice_design_effects(subject, given, slots, slices, side.sum(axis=0)) for side in (left, right))
    return _compared(subject, slots, slices, left, right, (deffs[0], deffs[1]))


def _compared(
    subject: Subject,
    slots: Sequence[date],
    slices: tuple[Slice, ...],
    left: Floats,
    right: Floats,
    deffs: tuple[Floats, Floats],
) -> Windows:
    """The panel of a difference within strata: `left` and `right` have shape (strata, slots, slices, 5)."""
    rule, metric = _short(subject), subject.metric
    flat = [side.reshape(len(side), -1, side.shape[-1]) for side in (left, right)]
    shape, sums = left.shape[1:3], [side.sum(axis=0) for side in (left, right)]
    gap = (differences.stratified_gaps if len(left) > 1 else _plain_gaps)(metric, flat[0], flat[1]).reshape(shape)
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


def _short(subject: Subject) -> ChangeRule | GapRule:
    if not isinstance(subject.rule, ChangeRule | GapRule):
        raise TypeError(subject.rule.kind)
    return subject.rule


def _plain_gaps(metric: Metric, left: Floats, right: Floats) -> Floats:
    return differences.gaps(metric, left[0], right[0])

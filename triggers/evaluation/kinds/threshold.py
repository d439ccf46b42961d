"""The panels of rules that hold a figure against a number: a limit, a goal. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from config.models.metrics import goal_of
from config.models.rules import GoalRule, ThresholdRule
from queries.statistics.estimates import Floats, tails
from triggers.evaluation.kinds.window import (
    Inputs,
    Windows,
    direction,
    minimum,
    vertical,
    window_design_effects,
    window_values,
)
from triggers.rules.counts import Slice
from triggers.rules.state_machine import ROUNDING
from triggers.rules.subject import Subject


def threshold(subject: Subject, rule: ThresholdRule, given: Inputs, slots: Sequence[date], window: Floats) -> Windows:
    held = np.full(window.shape[:2], rule.limit)
    found = _against(subject, rule, given, slots, window, held)
    safe = direction(subject.metric) * (found.value - rule.recover) >= -ROUNDING
    return replace(found, safe=safe)


def goal(subject: Subject, rule: GoalRule, given: Inputs, slots: Sequence[date], window: Floats) -> Windows:
    held = np.array([[_goal_of(subject, rule, s, slot) for s in given.counts.slices] for slot in slots]).reshape(
        window.shape[:2]
    )
    found = _against(subject, rule, given, slots, window, held)
    return replace(found, safe=found.bad <= rule.recover + ROUNDING)


def _goal_of(subject: Subject, rule: GoalRule, slice_: Slice, slot: date) -> float:
    """The goal of a slice's vertical on the last day of a window; NaN where there is none."""
    last = slot - timedelta(days=1)
    found = goal_of(subject.version.goals, rule.metric, vertical(subject, slice_), last, rule.where)
    return found.value if found else float("nan")


def _against(
    subject: Subject,
    rule: ThresholdRule | GoalRule,
    given: Inputs,
    slots: Sequence[date],
    window: Floats,
    held: Floats,
) -> Windows:
    """The panel of figures held against numbers."""
    metric = subject.metric
    value = window_values(metric, window)
    bad = direction(metric) * (held - value)
    enough = (window[:, :, 0] >= minimum(rule, metric)) & np.isfinite(bad)
    suspect = enough & (bad > ROUNDING) & (bad >= rule.floor - ROUNDING)
    effects = window_design_effects(subject, given, slots, window)
    p = np.where(suspect, 0.0, 1.0)
    if rule.gate == "exact" and suspect.any():
        for limit in np.unique(held[suspect]).tolist():
            cells = suspect & (held == limit)
            p[cells] = tails(metric, window[cells], limit, effects[cells])
    return Windows(tuple(slots), given.counts.slices, window, value, held, bad, suspect, enough, p, None, effects)

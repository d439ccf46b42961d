"""Rules that hold a figure against a number: a limit, a goal. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import ClassVar

import numpy as np

from config.models import Condition, GoalRule, Metric, ThresholdRule, goal_of
from queries.metrics import goal_figure
from queries.statistics.estimates import Floats, tails
from triggers.evaluation.kinds.kind import Ends, Held, MetricKind, Null, Sample, Setting, rounded, spread
from triggers.evaluation.kinds.window import (
    Inputs,
    Windows,
    direction,
    minimum,
    vertical,
    window_design_effects,
    window_values,
    windows,
)
from triggers.rules import ROUNDING, Slice, Subject


@dataclass(frozen=True)
class Threshold(MetricKind[ThresholdRule]):
    """Fires when a metric is beyond its limit."""

    model: ClassVar = ThresholdRule
    keys: ClassVar = ("limit", "recover")

    def panel(self, subject: Subject, given: Inputs, slots: Sequence[date], alpha: Floats) -> Windows:  # noqa: ARG002
        """Each figure against the limit."""
        window = windows(given.counts, slots, self.rule.window)
        held = np.full(window.shape[:2], self.rule.limit)
        found = _against(subject, self.rule, given, slots, window, held)
        safe = direction(subject.metric) * (found.value - self.rule.recover) >= -ROUNDING
        return replace(found, safe=safe)

    def against(self, metric: Metric, sample: Sample) -> str:  # noqa: ARG002 - the limit stands in the rule
        """The limit."""
        return f"Limit {goal_figure(metric, self.rule.limit)}"

    def held(self, sample: Sample) -> Held:  # noqa: ARG002
        """The limit, also where nothing was measured."""
        return Held("limit", self.rule.limit, is_written=True)

    def recovery(self, metric: Metric | None) -> str:
        """With the limit's figure."""
        if metric is None:
            return ""
        side = "above" if metric.good == "up" else "below"
        return f"back {side} the recovery limit of {goal_figure(metric, self.rule.recover)}"

    @property
    def null(self) -> Null:
        """Exactly at the limit: the worst there is without being beyond it."""
        return "as held"

    def setting(self, metric: Metric | None) -> Setting:
        """The limit; without its metric nobody knows which way is laxer."""
        if metric is None:
            return Setting("floor", self.rule.floor, 1)
        return Setting("limit", self.rule.limit, -1 if metric.good == "up" else 1)

    def with_value(self, value: float) -> ThresholdRule:
        """With another limit, from which `recover` keeps its distance."""
        return self.rule.model_copy(update={"limit": value, "recover": self._recover(value)})

    def _recover(self, limit: float) -> float:
        return rounded(self.rule.recover + limit - self.rule.limit)

    def ends(self, metric: Metric | None, panel: Windows) -> Ends:
        """From the worst windows to the usual ones, a floor away from either."""
        if metric is None:
            return super().ends(metric, panel)
        side = direction(metric)
        worst, usual = spread(side * panel.value[panel.enough], 0.002, 0.8)
        ends = sorted((side * (worst + self.rule.floor), side * (usual + self.rule.floor)))
        return ends[0], ends[1]

    def is_allowed(self, metric: Metric | None, value: float) -> bool:
        """A limit and a recover that the metric can have, with room for a figure beyond the floor."""
        if metric is None:
            return super().is_allowed(metric, value)
        least, most = metric.range
        room = value - least if metric.good == "up" else most - value
        return least <= value <= most and least <= self._recover(value) <= most and room > self.rule.floor


@dataclass(frozen=True)
class Goal(MetricKind[GoalRule]):
    """Fires when a vertical misses its goal, or a part of one its own."""

    model: ClassVar = GoalRule

    def panel(self, subject: Subject, given: Inputs, slots: Sequence[date], alpha: Floats) -> Windows:  # noqa: ARG002
        """Each figure against the goal of its vertical on the last day of its window."""
        window = windows(given.counts, slots, self.rule.window)
        goals = [[_goal_of(subject, self.rule, slice_, slot) for slice_ in given.counts.slices] for slot in slots]
        found = _against(subject, self.rule, given, slots, window, np.array(goals).reshape(window.shape[:2]))
        return replace(found, safe=found.bad <= self.rule.recover + ROUNDING)

    def against(self, metric: Metric, sample: Sample) -> str:
        """The goal."""
        held = sample.get("held")
        return f"Goal {goal_figure(metric, held) if held is not None else 'not known'}"

    def held(self, sample: Sample) -> Held | None:
        """The goal as it was then."""
        value = sample.get("held")
        return None if value is None else Held("goal", value, is_written=True)

    @property
    def null(self) -> Null:
        """Exactly at the goal: the worst there is without missing it."""
        return "as held"


def _goal_of(subject: Subject, rule: GoalRule, slice_: Slice, slot: date) -> float:
    """The goal of a slice, or of its vertical, on the last day of a window; NaN where there is none."""
    last = slot - timedelta(days=1)
    slices = tuple(Condition(column=c, any_of=(v,)) for c, v in zip(rule.by, slice_, strict=True) if c != "vertical")
    where = tuple(condition for condition in rule.where if condition.column != "vertical")
    found = goal_of(
        subject.version.goals,
        rule.metric,
        vertical(subject, slice_),
        last,
        where,
        slices=slices,
        function=rule.function,
    )
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
    none = np.zeros_like(suspect)
    return Windows(tuple(slots), given.counts.slices, window, value, held, bad, suspect, enough, p, none, effects)

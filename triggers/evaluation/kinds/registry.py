"""One way of making a panel for each kind of rule. Pure."""

from collections.abc import Sequence
from datetime import date

from config.models.rules import ChangeRule, ChartRule, GapRule, GoalRule, ThresholdRule
from queries.statistics.estimates import Floats
from triggers.evaluation.kinds import chart, difference, threshold
from triggers.evaluation.kinds.window import Inputs, Windows, windows
from triggers.rules.subject import Subject


def panel(subject: Subject, given: Inputs, slots: Sequence[date], alpha: Floats) -> Windows:
    """The panel of a rule that reads a metric.

    Args:
        subject: the rule.
        given: counts that cover all that the rule looks at in these slots.
        slots: oldest first.
        alpha: shape (slots,): the false-alarm probability of a slot; a cusum's limit follows from it.
    """
    rule = subject.rule
    if isinstance(rule, ChartRule):
        return chart.chart(subject, rule, given, slots, alpha)
    window = windows(given.counts, slots, rule.window)
    if isinstance(rule, ThresholdRule):
        return threshold.threshold(subject, rule, given, slots, window)
    if isinstance(rule, GoalRule):
        return threshold.goal(subject, rule, given, slots, window)
    if isinstance(rule, ChangeRule):
        return difference.change_from_baseline(subject, rule, given, slots, window)
    if isinstance(rule, GapRule):
        return difference.gap(subject, rule, given, slots)
    raise TypeError(rule.kind)

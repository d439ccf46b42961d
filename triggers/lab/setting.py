"""The one number of a rule that decides how often it fires, and the values that are worth trying. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil, floor, isfinite, log10
from typing import Final

import numpy as np

from config.models.metrics import Metric
from config.models.rules import ChartRule, QuietRule, RateRule, ThresholdRule, WatchRule
from config.models.values import duration_text
from queries.statistics.estimates import Floats
from triggers.evaluation.kinds.window import Windows

STEPS: Final = 20
"""How many steps the values that are tried make."""

AROUND: Final = 3
"""How many steps are tried at least on either side of the value that the rule has."""

FEW: Final = 5
"""The same where each value takes long."""

_ROUND: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_DIGITS: Final = 10


@dataclass(frozen=True, slots=True)
class Setting:
    """What is varied of a rule.

    Args:
        field: its name: `limit` of a threshold, `floor` of what is measured from elsewhere, `at_least` of silence (in
            days).
        value: as the rule has it.
        laxer: 1 where a greater value fires less often, else -1.
    """

    field: str
    value: float
    laxer: int


def setting_of(rule: WatchRule, metric: Metric | None) -> Setting:
    """What can be varied of a rule; `metric` is its own. Raises TypeError for what has no such number."""
    if isinstance(rule, ThresholdRule) and metric is not None:
        return Setting("limit", rule.limit, -1 if metric.good == "up" else 1)
    if isinstance(rule, RateRule):
        return Setting("floor", rule.floor, 1)
    if rule.at_least is None:
        raise TypeError(rule.name)
    return Setting("at_least", float(rule.at_least.days), 1)


def with_value(rule: WatchRule, value: float) -> WatchRule:
    """The rule with another value. `recover` keeps its distance from a limit, and is never above a floor."""
    if isinstance(rule, ThresholdRule):
        return rule.model_copy(update={"limit": value, "recover": _round(rule.recover + value - rule.limit)})
    if isinstance(rule, QuietRule):
        return rule.model_copy(update={"at_least": timedelta(days=round(value))})
    if isinstance(rule, ChartRule):
        return rule.model_copy(update={"floor": value})
    return rule.model_copy(update={"floor": value, "recover": min(rule.recover, value)})


def toml_lines(rule: WatchRule) -> tuple[str, ...]:
    """The lines of TOML that a value stands in."""
    if isinstance(rule, ThresholdRule):
        return f"limit = {rule.limit:g}", f"recover = {rule.recover:g}"
    if isinstance(rule, QuietRule):
        return (f'at_least = "{duration_text(rule.at_least or timedelta(0))}"',)
    if isinstance(rule, ChartRule):
        return (f"floor = {rule.floor:g}",)
    return f"floor = {rule.floor:g}", f"recover = {rule.recover:g}"


def candidate_values(rule: WatchRule, metric: Metric | None, panel: Windows) -> tuple[float, ...]:
    """The values worth trying, least first, the rule's own among them.

    From where hardly any window of the past lies beyond it to where many do, in round steps.
    """
    on = setting_of(rule, metric)
    low, high = _ends(rule, metric, panel)
    step = _step((high - low) / _steps(rule), whole=on.field == "at_least")
    if _is_near(on.value, low, high):
        low, high = min(low, on.value - AROUND * step), max(high, on.value + AROUND * step)
    tried = [_round(step * i) for i in range(floor(low / step), ceil(high / step) + 1)]
    return tuple(sorted({on.value, *(value for value in tried if _is_allowed(rule, metric, value))}))


def _steps(rule: WatchRule) -> int:
    """A cusum's limits are a matter of matrices."""
    return FEW if isinstance(rule, ChartRule) and rule.method == "cusum" else STEPS


def _is_near(value: float, low: float, high: float) -> bool:
    """A value far from all that was ever seen would leave one step for the rest."""
    return low - 2 * (high - low) <= value <= high + 2 * (high - low)


def _ends(rule: WatchRule, metric: Metric | None, panel: Windows) -> tuple[float, float]:
    if isinstance(rule, ThresholdRule) and metric is not None:
        side = 1.0 if metric.good == "up" else -1.0
        worst, usual = _quantiles(side * panel.value[panel.enough], 0.002, 0.8)
        ends = sorted((side * (worst + rule.floor), side * (usual + rule.floor)))
        return ends[0], ends[1]
    if isinstance(rule, QuietRule):
        return 7.0, max(_quantiles(panel.value[panel.enough], 0.5, 0.998)[1], 14.0)
    if isinstance(rule, ChartRule) and rule.method == "cusum":
        return rule.floor / 2, rule.floor * 2
    bad = panel.bad[panel.enough & (panel.bad > 0)]
    return 0.0, _quantiles(bad, 0.5, 0.998)[1]


def _quantiles(found: Floats, low: float, high: float) -> tuple[float, float]:
    known = found[np.isfinite(found)]
    if not len(known):
        return 0.0, 1.0
    ends = np.quantile(known, [low, high])
    return float(ends[0]), float(max(ends[1], ends[0] + 1e-6))


def _step(least: float, *, whole: bool) -> float:
    """The next round number."""
    if whole:
        return float(max(7 * ceil(least / 7), 7))
    if not isfinite(least) or least <= 0:
        return 1.0
    power = 10.0 ** floor(log10(least))
    return next(power * part for part in _ROUND if power * part >= least * (1 - 1e-9))


def _is_allowed(rule: WatchRule, metric: Metric | None, value: float) -> bool:
    """What the configuration would accept."""
    if isinstance(rule, ThresholdRule) and metric is not None:
        least, most = metric.range
        room = value - least if metric.good == "up" else most - value
        return least <= value <= most and least <= recover_with_value(rule, value) <= most and room > rule.floor
    if isinstance(rule, QuietRule):
        return value >= rule.every.days
    return value > 0 if isinstance(rule, ChartRule) and rule.method == "cusum" else value >= 0


def recover_with_value(rule: ThresholdRule, value: float) -> float:
    """Where a threshold recovers whose limit is another."""
    return _round(rule.recover + value - rule.limit)


def _round(value: float) -> float:
    return round(value, _DIGITS) + 0.0


def closest(tried: Sequence[float], value: float) -> float:
    """The value that was tried next to another."""
    return min(tried, key=lambda one: abs(one - value))

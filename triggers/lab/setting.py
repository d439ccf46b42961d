"""The one number of a rule that decides how often it fires, and the values that are worth trying. Pure."""

from collections.abc import Sequence
from datetime import timedelta
from math import ceil, floor, isfinite, log10
from typing import Final

from config.models import Metric, WatchRule, duration_text
from triggers.evaluation.kinds.kind import RuleKind, Setting, rounded
from triggers.evaluation.kinds.registry import kind_of
from triggers.evaluation.kinds.window import Windows

AROUND: Final = 3
"""How many steps are tried at least on either side of the value that the rule has."""

_ROUND: Final = (1.0, 2.0, 2.5, 5.0, 10.0)


def setting_of(rule: WatchRule, metric: Metric | None) -> Setting:
    """What can be varied of a rule; `metric` is its own. Raises TypeError for what has no such number."""
    setting = kind_of(rule).setting(metric)
    if setting is None:
        raise TypeError(rule.name)
    return setting


def with_value(rule: WatchRule, value: float) -> WatchRule:
    """The rule with another value. `recover` keeps its distance from a limit, and is never above a floor."""
    kind: RuleKind[WatchRule] = kind_of(rule)
    return kind.with_value(value)


def toml_lines(rule: WatchRule) -> tuple[str, ...]:
    """The lines of TOML that a value stands in."""
    values = ((key, getattr(rule, key)) for key in kind_of(rule).keys)
    return tuple(f"{key} = {_as_toml(value)}" for key, value in values)


def _as_toml(value: float | timedelta) -> str:
    return f'"{duration_text(value)}"' if isinstance(value, timedelta) else f"{value:g}"


def candidate_values(rule: WatchRule, metric: Metric | None, panel: Windows) -> tuple[float, ...]:
    """The values worth trying, least first, the rule's own among them.

    From where hardly any window of the past lies beyond it to where many do, in round steps.
    """
    on = setting_of(rule, metric)
    kind = kind_of(rule)
    low, high = kind.ends(metric, panel)
    step = _step((high - low) / kind.steps, whole=on.field == "at_least")
    if _is_near(on.value, low, high):
        low, high = min(low, on.value - AROUND * step), max(high, on.value + AROUND * step)
    tried = [rounded(step * i) for i in range(floor(low / step), ceil(high / step) + 1)]
    return tuple(sorted({on.value, *(value for value in tried if kind.is_allowed(metric, value))}))


def _is_near(value: float, low: float, high: float) -> bool:
    """A value far from all that was ever seen would leave one step for the rest."""
    return low - 2 * (high - low) <= value <= high + 2 * (high - low)


def _step(least: float, *, whole: bool) -> float:
    """The next round number."""
    if whole:
        return float(max(7 * ceil(least / 7), 7))
    if not isfinite(least) or least <= 0:
        return 1.0
    power = 10.0 ** floor(log10(least))
    return next(power * part for part in _ROUND if power * part >= least * (1 - 1e-9))


def closest(tried: Sequence[float], value: float) -> float:
    """The value that was tried next to another."""
    return min(tried, key=lambda one: abs(one - value))

"""Every setting of a rule worth trying, what each asks of whom, and which of them keep a budget.

A setting is the one number of a rule that decides how often it fires. To whoever does not know where the rule's figure
usually lies, and what the setting makes of pure chance, it says nothing: both stand here too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil, floor, isfinite, log10
from typing import Final

import numpy as np
from sqlalchemy import Connection

from config.models import Metric, WatchRule, duration_text
from queries.metrics import figure, goal_figure, is_share, shown, unit
from triggers.evaluation.kinds import RuleKind, Setting, Windows, kind_of, rounded
from triggers.lab.calibrate import calibrate
from triggers.lab.what_if import Trial, TrialOutcome, curve

MOST_STANDING: Final = 0.1
"""An incident that is nearly always open somewhere is no news: no value is proposed that opens this much."""

AROUND: Final = 3
"""How many steps are tried at least on either side of the value that the rule has."""

_ROUND: Final = (1.0, 2.0, 2.5, 5.0, 10.0)

PARTS: Final = (0.05, 0.25, 0.75, 0.95)
"""Where so much of the past lies below."""


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
    lines: list[str] = []
    for key in kind_of(rule).keys:
        value: float | timedelta = getattr(rule, key)
        lines.append(f"{key} = " + (f'"{duration_text(value)}"' if isinstance(value, timedelta) else f"{value:g}"))
    return tuple(lines)


def candidate_values(rule: WatchRule, metric: Metric | None, panel: Windows) -> tuple[float, ...]:
    """The values worth trying, least first, the rule's own among them.

    From where hardly any window of the past lies beyond it to where many do, in round steps.
    """
    on = setting_of(rule, metric)
    kind = kind_of(rule)
    low, high = kind.ends(metric, panel)
    step = _step((high - low) / kind.steps, whole=on.field == "at_least")
    # A value far from all that was ever seen would leave one step for the rest.
    if low - 2 * (high - low) <= on.value <= high + 2 * (high - low):
        low, high = min(low, on.value - AROUND * step), max(high, on.value + AROUND * step)
    tried = [rounded(step * i) for i in range(floor(low / step), ceil(high / step) + 1)]
    return tuple(sorted({on.value, *(value for value in tried if kind.is_allowed(metric, value))}))


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
    return min(tried, key=lambda candidate: abs(candidate - value))


@dataclass(frozen=True, slots=True)
class Budget:
    """How often a rule may ask for anybody's attention in a week."""

    a_week: float

    def keeps(self, outcome: TrialOutcome) -> bool:
        """Whether it is kept by everybody, on average and in the busiest week."""
        return outcome.a_week <= self.a_week and outcome.busiest <= max(ceil(self.a_week), 1)

    def __str__(self) -> str:
        """As it is written."""
        return f"{self.a_week:g} per person per week"


@dataclass(frozen=True, slots=True)
class ParameterSweep:
    """The outcomes of a rule at each value of its setting, least value first."""

    on: Setting
    values: tuple[float, ...]
    outcomes: tuple[TrialOutcome, ...]

    @property
    def present(self) -> TrialOutcome:
        """The rule as it is."""
        return self.outcomes[self.values.index(self.on.value)]

    def lax_first(self) -> tuple[tuple[float, TrialOutcome], ...]:
        """From the value that fires least often on."""
        pairs = tuple(zip(self.values, self.outcomes, strict=True))
        return pairs if self.on.laxer < 0 else tuple(reversed(pairs))


def sweep_setting(conn: Connection, of: Trial) -> ParameterSweep:
    """What a rule would have done at every value worth trying."""
    metric = own_metric(of)
    on, tried = setting_of(of.rule, metric), candidate_values(of.rule, metric, of.judged.panel)
    rules = (of.rule if value == on.value else with_value(of.rule, value) for value in tried)
    return ParameterSweep(on, tried, curve(conn, of, rules))


def own_metric(of: Trial) -> Metric | None:
    """The metric of a trial's rule as it is judged; none for what is quiet."""
    return of.subject.metric if of.subject.metrics else None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A value of the setting and what it would have done, and why it is that one; without either, why none is."""

    found: tuple[float, TrialOutcome] | None
    why: str


def propose(found: ParameterSweep, within: Budget, finds: Callable[[TrialOutcome], int] | None = None) -> Proposal:
    """The value that hears most of those up to which the budget is kept.

    What would be open a tenth of the time, over all slices, is not proposed. A budget that every value keeps says
    nothing of the setting: then it is the laxest that finds as much of what is known as any other, or none at all.

    Args:
        found: the outcomes of the values that were tried.
        within: the budget.
        finds: how many of the known incidents an outcome finds; None where none are known.
    """
    pairs = found.lax_first()
    if within.keeps(pairs[-1][1]):
        loose = f"every {found.on.field} meets {within}, so the budget does not decide"
        most = max(map(finds, found.outcomes)) if finds else 0
        if finds is None:
            return Proposal(None, f"{loose} and none is proposed: write down what happened and add --known FILE")
        if not most:
            return Proposal(None, f"{loose} and none is proposed: not one finds a known incident")
        chosen = next(pair for pair in pairs if finds(pair[1]) == most)
        return Proposal(
            chosen, f"{loose}; this is the laxest that finds {most} of the known incidents, as many as any does"
        )
    best: tuple[float, TrialOutcome] | None = None
    for value, outcome in pairs:
        if not within.keeps(outcome) or outcome.standing > MOST_STANDING:
            break
        best = value, outcome
    if best is None:
        tried = f"no {found.on.field} that was tried meets {within} without being open too often"
        return Proposal(None, f"{tried}: require a longer run (consecutive) or use fewer slices")
    return Proposal(best, f"it meets {within} and is the most sensitive that does")


def recovery_words(of: Trial) -> str:
    """How long after a true recovery an incident closes, at most."""
    rule, settle = of.rule, of.subject.cadence.settle
    memory = kind_of(rule).memory
    # The recovery may fall just after a slot, and what must hold for a while is seen at slots alone.
    held = -(-rule.keep_firing // rule.every) * rule.every
    longest = memory + rule.every + held + settle
    parts = (f"{memory.days} for bad days to leave the window", f"up to {rule.every.days} to the next evaluation")
    late = f", and {settle.days} for late data" if settle else ""
    more = f"{', '.join(parts)}, {held.days} in which it must last{late}"
    return f"after a true recovery an incident closes within {longest.days} days: {more}"


def days_open(outcome: TrialOutcome, until: datetime) -> int:
    """How many days incidents were open in all; those that still are count up to `until`."""
    spans = ((one.incident.resolved_at or until, one.incident.opened_at) for one in outcome.found)
    return sum(max((over - opened).days, 0) for over, opened in spans)


def setting(on: Setting, metric: Metric | None, value: float) -> str:
    """A value of the setting with its unit: `15%`, `3 points`, `21 days`."""
    if metric is None or on.field == "at_least":
        return f"{value:g} days"
    if on.field == "limit":
        return goal_figure(metric, value)
    number, named = f"{round(shown(metric, value), 6):g}", "points" if is_share(metric) else unit(metric)
    return f"{number} {named}".strip()


@dataclass(frozen=True, slots=True)
class TypicalRange:
    """The figure in the windows that had enough cases to judge, over all slices.

    Args:
        parts: where `PARTS` of them lie below, in the metric's unit.
        windows: how many they are; those that overlap count each.
        slices: in how many slices.
        fewest: rows of the smallest.
    """

    parts: tuple[float, float, float, float]
    windows: int
    slices: int
    fewest: int

    def words(self, metric: Metric) -> str:
        """In one sentence."""
        spread = (self.parts[2] - self.parts[1]) / 2  # the narrower range: its ends must differ as they are read
        low, lower, upper, high = (figure(metric, part, spread) for part in self.parts)
        behind = f"{self.windows:,} windows in {self.slices} {'slice' if self.slices == 1 else 'slices'}"
        where = f"typical range: {lower} to {upper} half of the time, {low} to {high} nine times out of ten"
        return f"{where} ({behind}, n from {self.fewest:,})"


def is_in_normal(of: Trial, on: Setting, value: float) -> bool:
    """Whether a limit lies where the figure lies half the time: beyond it is nothing out of the ordinary."""
    lay = typical_range(of)
    return on.field == "limit" and lay is not None and lay.parts[1] <= value <= lay.parts[2]


def typical_range(of: Trial) -> TypicalRange | None:
    """What a rule's own figure was in the days that are asked about; None for what has no figure, or never enough."""
    panel = of.judged.panel
    asked = np.array([slot > of.since for slot in panel.slots])[:, None]
    kept = asked & panel.enough & np.isfinite(panel.value)
    if not of.subject.metrics or not kept.any():
        return None
    low, lower, upper, high = (float(part) for part in np.quantile(panel.value[kept], PARTS))
    fewest = round(float(panel.counts[..., 0][kept].min()))
    return TypicalRange((low, lower, upper, high), int(kept.sum()), int(kept.any(axis=0).sum()), fewest)


@dataclass(frozen=True, slots=True)
class FalseAlarmRate:
    """False alarms a year without any change, with a 95% interval; None where no null replay is possible.

    `declared` is what the rule promises; `why` says why nothing was replayed; `alpha` is how sure it had to be for it.
    """

    declared: float
    a_year: float | None = None
    low: float | None = None
    high: float | None = None
    alpha: float | None = None
    why: str = ""
    warning: str = ""


def false_alarm_rate(of: Trial, rule: WatchRule, now: datetime, seed: int = 1) -> FalseAlarmRate:
    """Replay a setting without any change: seconds, so for one setting at a time."""
    subject = replace(of.subject, rule=rule)
    why = kind_of(subject.rule).uncalibrated
    found = calibrate(subject, of.basis, now, seed) if of.basis and not why else None
    if found is None:
        return FalseAlarmRate(rule.false_alarms_per_year, why=why or "there are too few rows to draw again")
    stored = found.calibration
    interval = stored.found, stored.low, stored.high
    return FalseAlarmRate(found.declared, *interval, stored.alpha, warning=found.warning or "")

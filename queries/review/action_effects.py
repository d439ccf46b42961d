"""Whether an action worked: difference-in-differences against the segments that were left alone.

Units picked because they were bad improve anyway. So the baseline is shrunk towards its peers by what is noise in it,
the window that caused the alarm is left out of "before", the change is compared with the peers' change, whose spread
counts as noise, and a unit that was already improving is not credited to the action.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from math import ceil, sqrt
from statistics import NormalDist
from typing import Final, Literal

import scipy
from sqlalchemy import Connection

from config.models import Condition, Metric
from queries.metrics import Ask, MetricPoint, clock_of, count, measure, signed_change
from queries.monitoring import overlaps
from queries.state import Action
from queries.statistics.relative_changes import random_effects
from queries.warehouse import COLUMNS, Scope

EffectVerdict = Literal["improved", "worsened", "cannot tell yet", "needs more"]

BEFORE: Final = timedelta(days=180)
AFTER: Final = timedelta(days=365)
LEFT_OUT: Final = timedelta(days=35)
"""What is left out before an action at least: a bad month is why it was taken, and says nothing of the usual level."""
EXPECTED_SHARE: Final = 0.16
"""The relative effect worth looking for where an action states none."""
EXPECTED_POINTS: Final = 10.0
"""The same for a balance such as NPS."""
POWER: Final = 0.8
FEWEST_PEERS: Final = 2
_Z: Final = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Window:
    """A value before and after in one unit. `variance` is that of the value, of which n cases make it."""

    value: float
    variance: float
    n: int

    @classmethod
    def of(cls, point: MetricPoint) -> "Window | None":
        """A point as value and variance; its interval is the one thing every metric has."""
        if point.value is None or point.low is None or point.high is None or point.high <= point.low:
            return None
        return cls(point.value, ((point.high - point.low) / (2 * _Z)) ** 2, point.n)


@dataclass(frozen=True, slots=True)
class Unit:
    """One segment: what it was before, what it was after, and both halves of before."""

    name: str
    before: Window
    after: Window
    first_half: Window | None = None
    second_half: Window | None = None


@dataclass(frozen=True, slots=True)
class ActionEffect:
    """The verdict on an action. `change` is treated less peers, in the metric's unit, with a 95% interval."""

    verdict: EffectVerdict
    change: float | None = None
    low: float | None = None
    high: float | None = None
    n_before: int = 0
    n_after: int = 0
    needed: int | None = None
    reasons: tuple[str, ...] = ()

    def words(self, metric: Metric) -> str:
        """The verdict as it is shown: `improved`, `worsened`, `cannot tell yet` or `needs N more`."""
        if self.verdict == "needs more":
            return f"needs {count(self.needed or 0)} more"
        if self.verdict == "cannot tell yet" or self.change is None or self.low is None or self.high is None:
            return self.verdict
        return f"{self.verdict} ({signed_change(metric, self.change, (self.high - self.low) / 2)})"


def estimate_effect(
    metric: Metric, treated: Unit, peers: Sequence[Unit], expected: float | None = None
) -> ActionEffect:
    """The effect of an action on `treated`, compared with units without it.

    Args:
        metric: which direction is good.
        treated: the unit the action was taken in.
        peers: units left alone over the same windows; under two, nothing can be told.
        expected: the change looked for, in the metric's unit; 16% of the baseline (10 points of a balance) by default.
    """
    sizes = treated.before.n, treated.after.n
    if len(peers) < FEWEST_PEERS:
        return ActionEffect(
            "cannot tell yet", None, None, None, *sizes, None, ("no comparable segments without the action",)
        )
    before = _shrunk(treated.before, [peer.before for peer in peers])
    found = _compared(replace(treated, before=before), peers)
    effect = ActionEffect(_verdict(metric, found), found.value, found.low, found.high, *sizes)
    if effect.verdict == "improved" and _was_improving(metric, treated, peers):
        return replace(effect, verdict="cannot tell yet", reasons=("it was already improving before the action",))
    if effect.verdict != "cannot tell yet":
        return effect
    # A share of the shrunk baseline: of a unit's own bad luck, any return to the usual would count as the effect.
    usual = EXPECTED_POINTS if metric.shape == "balance" else EXPECTED_SHARE * abs(before.value)
    return _with_need(effect, treated, found, abs(expected or usual))


@dataclass(frozen=True, slots=True)
class _Compared:
    value: float
    variance: float
    quantile: float

    @property
    def low(self) -> float:
        return self.value - self.quantile * sqrt(self.variance)

    @property
    def high(self) -> float:
        return self.value + self.quantile * sqrt(self.variance)


def _verdict(metric: Metric, found: _Compared) -> EffectVerdict:
    if found.low <= 0 <= found.high:
        return "cannot tell yet"
    return "improved" if (found.value > 0) == (metric.good == "up") else "worsened"


def _compared(treated: Unit, peers: Sequence[Unit]) -> _Compared:
    """Treated change less the peers' mean change. How differently the peers moved is part of the noise."""
    changes = [Window(p.after.value - p.before.value, p.after.variance + p.before.variance, p.after.n) for p in peers]
    usual = random_effects([one.value for one in changes], [one.variance for one in changes])
    own = treated.after.variance + treated.before.variance
    total = own + usual.variance + usual.between
    # How differently the peers moved is estimated from a few of them, which only t allows for.
    quantile = float(scipy.special.stdtrit(len(peers) - 1, 0.975)) if usual.between > own else _Z
    return _Compared(treated.after.value - treated.before.value - usual.mean, total, quantile)


def _shrunk(before: Window, peers: Sequence[Window]) -> Window:
    """The baseline drawn towards its peers by the share of it that is noise (empirical Bayes)."""
    units = [before, *peers]
    usual = random_effects([one.value for one in units], [one.variance for one in units])
    keep = usual.between / (usual.between + before.variance)
    return Window(usual.mean + (before.value - usual.mean) * keep, before.variance, before.n)


def _was_improving(metric: Metric, treated: Unit, peers: Sequence[Unit]) -> bool:
    """Whether the unit had left its peers in the good direction within "before" already."""
    halved = [
        Unit(unit.name, unit.first_half, unit.second_half)
        for unit in (treated, *peers)
        if unit.first_half is not None and unit.second_half is not None
    ]
    if treated.first_half is None or treated.second_half is None or len(halved) <= FEWEST_PEERS:
        return False
    return _verdict(metric, _compared(halved[0], halved[1:])) == "improved"


def _with_need(effect: ActionEffect, treated: Unit, found: _Compared, expected: float) -> ActionEffect:
    """How many more cases after the action it takes to see the expected effect with 80% power, if they can help."""
    allowed = (expected / (found.quantile + float(scipy.special.ndtri(POWER)))) ** 2
    fixed = found.variance - treated.after.variance
    # No number of cases after the action can help where the rest of the variance is too much by itself.
    if allowed <= fixed:
        reason = "there were too few cases before the action to see an effect of the expected size"
        if allowed <= fixed - treated.before.variance:
            reason = "the segments move too differently to see an effect of the expected size"
        return replace(effect, reasons=(reason,))
    missing = ceil(treated.after.variance * treated.after.n / (allowed - fixed)) - treated.after.n
    if missing <= 0:
        return replace(effect, reasons=("no effect of the expected size is seen",))
    return replace(effect, verdict="needs more", needed=missing)


def effect_of(
    conn: Connection,
    metric: Metric,
    action: Action,
    others: Sequence[Action],
    scope: Scope,
    as_of: datetime,
    window: timedelta = LEFT_OUT,
) -> ActionEffect:
    """The effect of one action on its metric, from the warehouse.

    Args:
        conn: a pinned generation.
        metric: what the action was to change.
        action: where and since when; without a vertical nothing can be compared.
        others: the other actions, whose segments are no comparison while they overlap.
        scope: what may be read.
        as_of: aware UTC; cases that have not matured by then are left out.
        window: how much before the alarm (or before the action) raised it and is left out of "before".
    """
    if action.vertical is None or metric.shape in {"quantile", "count"}:
        return ActionEffect("cannot tell yet", reasons=("the metric or the action has no segment to compare",))
    end = min(clock_of(conn, as_of).day(metric.matures), action.started_on + AFTER)
    if end <= action.started_on:
        return ActionEffect("cannot tell yet", reasons=("no case has matured since the action",))
    until = min(action.alarm_on or action.started_on, action.started_on) - window
    spans = _Spans(until - BEFORE, until - BEFORE / 2, until, action.started_on, end)
    units = _units(conn, metric, action, spans, scope, as_of)
    treated = units.pop(action.vertical, None)
    if treated is None:
        return ActionEffect("cannot tell yet", reasons=("too few cases before or after the action",))
    treated_too = {
        other.vertical
        for other in others
        if other.id != action.id and other.metric == action.metric and spans.since <= other.started_on < end
    }
    # An action without a vertical was taken in all of them, and leaves nothing to compare with.
    left_alone = [] if None in treated_too else [unit for name, unit in units.items() if name not in treated_too]
    effect = estimate_effect(metric, treated, left_alone, action.expected_effect)
    # What else happened to the segment in these windows: conditions and other actions.
    conditions = overlaps(conn, spans.since, end, (action.vertical, action.touchpoint), as_of)
    same_vertical = [o for o in others if o.id != action.id and o.vertical == action.vertical and o.started_on < end]
    also = (*(condition.name for condition in conditions), *(other.what for other in same_vertical))
    return replace(effect, reasons=(*effect.reasons, *(f"overlaps with {name}" for name in also)))


@dataclass(frozen=True, slots=True)
class _Spans:
    """[since, until) of before, its middle, and after."""

    since: date
    middle: date
    until: date
    start: date
    end: date


def _units(
    conn: Connection, metric: Metric, action: Action, spans: _Spans, scope: Scope, as_of: datetime
) -> dict[str, Unit]:
    place = "touchpoint" if "touchpoint" in COLUMNS[metric.table] else "journey_type"
    where = (Condition(column=place, any_of=(action.touchpoint,)),) if action.touchpoint else ()
    stretches = (
        (spans.since, spans.until),
        (spans.start, spans.end),
        (spans.since, spans.middle),
        (spans.middle, spans.until),
    )
    found = []
    for since, until in stretches:
        ask = Ask(by=("vertical",), grain="all", since=since, until=until, where=where)
        found.append({point.by[0]: Window.of(point) for point in measure(conn, metric, ask, scope, as_of)})
    before, after, first, second = found
    pairs = {name: (before[name], after.get(name)) for name in before}
    return {
        name: Unit(name, was, now, first.get(name), second.get(name))
        for name, (was, now) in pairs.items()
        if was is not None and now is not None
    }


def outcome_words(action: Action, effect: ActionEffect | None, metric: Metric | None) -> str:
    """What an action has done so far, and what was expected of it."""
    words = effect.words(metric) if effect and metric else "no metric to measure it by"
    return "; ".join(filter(None, (words, expected_words(action, metric))))


def expected_words(action: Action, metric: Metric | None) -> str:
    """The change that was expected of it; empty where none was named."""
    change = action.expected_effect
    return f"expected {signed_change(metric, change, abs(change))}" if metric and change else ""

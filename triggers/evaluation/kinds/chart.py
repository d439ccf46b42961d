"""The panels of control charts against a frozen baseline. Pure."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from config.models.metrics import Metric
from config.models.rules import ChartRule
from queries.statistics.estimates import Floats
from triggers.evaluation.kinds import control_charts
from triggers.evaluation.kinds.window import (
    Inputs,
    Windows,
    minimum,
    window_design_effects,
    window_values,
    windows,
)
from triggers.rules.baseline import FrozenBaseline
from triggers.rules.counts import Counts, History, Slice
from triggers.rules.state_machine import ROUNDING
from triggers.rules.subject import Subject


def chart(subject: Subject, rule: ChartRule, given: Inputs, slots: Sequence[date], alpha: Floats) -> Windows:
    """Each slot's chart over its lookback; p is alpha raised to the strength of the signal, so 1 is no sign of any."""
    counts, metric = given.counts, subject.metric
    baseline = np.array([_tally(given, slice_) for slice_ in counts.slices]).reshape(len(counts.slices), 5)
    begins = np.array([_begin(given, slice_) for slice_ in counts.slices], dtype=np.int64)
    newest = windows(counts, slots, rule.every)
    effects = window_design_effects(subject, given, slots, newest)
    lookbacks = [_periods(rule, counts, slot, begins) for slot in slots]
    signals = [
        _signal(rule, metric, periods, baseline, effects[i], float(alpha[i])) for i, periods in enumerate(lookbacks)
    ]
    level, bad, strength, n = (
        np.array([getattr(s, part) for s in signals]).reshape(newest.shape[:2])
        for part in ("level", "bad", "strength", "n")
    )
    rows = np.array([periods.sum(axis=0) for periods in lookbacks]).reshape(newest.shape)
    held = np.broadcast_to(window_values(metric, baseline), level.shape)
    enough = (rows[..., 0] >= minimum(rule, metric)) & np.isfinite(strength) & np.isfinite(bad)
    floor = 0.0 if rule.method == "cusum" else rule.floor
    suspect = enough & (bad > ROUNDING) & (bad >= floor - ROUNDING)
    p = np.where(enough, alpha[:, None] ** np.nan_to_num(strength), 1.0)
    behind = _behind(metric, level, n, rows)
    return Windows(tuple(slots), counts.slices, behind, level, held, bad, suspect, enough, p, None, effects)


def _behind(metric: Metric, level: Floats, n: Floats, rows: Floats) -> Floats:
    """The tallies of as many rows as a level is worth, spread as those of the lookback: shape (slots, slices, 5)."""
    size, centre = np.nan_to_num(n), np.nan_to_num(level) / metric.factor
    mean = rows / np.maximum(rows[..., :1], 1.0)
    either, spread = mean[..., 1] + mean[..., 2], np.maximum(mean[..., 4] - mean[..., 3] ** 2, 0.0)
    plus = centre if metric.shape == "share" else np.maximum((either + centre) / 2, 0.0)
    minus = np.zeros_like(centre) if metric.shape == "share" else np.maximum((either - centre) / 2, 0.0)
    parts = np.stack([np.ones_like(centre), plus, minus, centre, spread + centre**2], axis=-1)
    return np.asarray(parts * size[..., None], dtype=np.float64)


def _tally(given: Inputs, slice_: Slice) -> tuple[float, ...]:
    known = (given.frozen or {}).get(slice_)
    return known.tally if known else (0.0,) * 5


def _begin(given: Inputs, slice_: Slice) -> int:
    known = (given.frozen or {}).get(slice_)
    return known.until.toordinal() if known else date.max.toordinal()


def _periods(rule: ChartRule, counts: Counts, slot: date, begins: Any) -> Floats:
    """The periods of the lookback, oldest first; what lies inside a baseline is empty: shape (periods, slices, 5)."""
    length = timedelta(days=1) if rule.method == "g" else rule.every
    many = rule.window // length
    ends = [slot - length * i for i in reversed(range(many))]
    starts = [end - length for end in ends]
    found = counts.spans(starts, ends)
    early = np.array([start.toordinal() for start in starts])[:, None] < begins[None, :]
    found[early] = 0.0
    return found


def _signal(
    rule: ChartRule, metric: Metric, periods: Floats, baseline: Floats, deffs: Floats, alpha: float
) -> control_charts.Signal:
    if rule.method == "p":
        return control_charts.p_chart(periods, baseline, deffs, metric, alpha)
    if rule.method == "ewma":
        return control_charts.ewma(periods, baseline, deffs, metric, alpha, rule.newest_weight or 1.0)
    if rule.method == "cusum":
        return control_charts.cusum(periods, baseline, deffs, metric, alpha, rule.floor)
    return control_charts.g_chart(periods, baseline, deffs, metric, alpha, rule.events or 1)


def freeze(rule: ChartRule, counts: History, first_day: date, slot: date) -> dict[Slice, FrozenBaseline]:
    """The baselines that can be frozen by a slot: of every slice that has rows in it."""
    base = rule.baseline
    since = base.since or first_day
    until = base.until or since + (base.first or timedelta(0))
    if until > slot:
        return {}
    found = counts.spans([since], [until])[0].tolist()
    rows = zip(counts.slices, found, strict=True)
    return {slice_: FrozenBaseline(since, until, tuple(tally)) for slice_, tally in rows if tally[0] > 0}

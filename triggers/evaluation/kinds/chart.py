"""Rules that hold a figure against a frozen baseline, by a control chart. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, ClassVar, Final

import numpy as np

from config.models import ChartRule, Metric
from queries.metrics import figure, half_width
from queries.statistics.estimates import Floats
from triggers.evaluation.kinds import control_charts
from triggers.evaluation.kinds.kind import Ends, Held, MetricKind, Null, Sample
from triggers.evaluation.kinds.window import (
    Inputs,
    Windows,
    minimum,
    window_design_effects,
    window_values,
    windows,
)
from triggers.rules import ROUNDING, Counts, FrozenBaseline, History, Slice, Subject

CHARTS: Final = {"p": "p-chart", "ewma": "moving average", "cusum": "cumulative sum", "g": "rare-event chart"}


@dataclass(frozen=True)
class Chart(MetricKind[ChartRule]):
    """Fires on a signal of a control chart."""

    model: ClassVar = ChartRule
    keys: ClassVar = ("floor",)
    leaves_out_conditions: ClassVar = True

    def panel(self, subject: Subject, given: Inputs, slots: Sequence[date], alpha: Floats) -> Windows:
        """Each slot's chart over its lookback; p is alpha raised to the signal's strength, so 1 is no sign of any."""
        rule, counts, metric = self.rule, given.counts, subject.metric
        # Without a baseline a slice has no rows to be compared with, and no period that begins after it.
        frozen, none = given.frozen or {}, FrozenBaseline(date.min, date.max, (0.0,) * 5)
        baselines = [frozen.get(slice_, none) for slice_ in counts.slices]
        baseline = np.array([known.tally for known in baselines]).reshape(len(counts.slices), 5)
        begins = np.array([known.until.toordinal() for known in baselines], dtype=np.int64)
        newest = windows(counts, slots, rule.every)
        effects = window_design_effects(subject, given, slots, newest)
        signals, sums = list[control_charts.Signal](), list[Floats]()
        # One lookback at a time: those of all slots together take many times the room of the past itself.
        for i, slot in enumerate(slots):
            periods = _periods(rule, counts, slot, begins)
            signals.append(_signal(rule, metric, periods, baseline, effects[i], float(alpha[i])))
            sums.append(periods.sum(axis=0))
        level, bad, strength, n = (
            np.array([getattr(s, part) for s in signals]).reshape(newest.shape[:2])
            for part in ("level", "bad", "strength", "n")
        )
        # A p-chart speaks of its last period alone: a day with hardly a case neither breaks nor mends anything.
        rows = newest if rule.method == "p" else np.array(sums).reshape(newest.shape)
        held = np.broadcast_to(window_values(metric, baseline), level.shape)
        enough = (rows[..., 0] >= minimum(rule, metric)) & np.isfinite(strength) & np.isfinite(bad)
        floor = 0.0 if rule.method == "cusum" else rule.floor
        suspect = enough & (bad > ROUNDING) & (bad >= floor - ROUNDING)
        p = np.where(enough, alpha[:, None] ** np.nan_to_num(strength), 1.0)
        behind = _behind(metric, level, n, rows)
        # So near that it would be worth nobody's attention: of many rows any distance at all is more than chance.
        near = bad <= floor * rule.recover + ROUNDING
        return Windows(tuple(slots), counts.slices, behind, level, held, bad, suspect, enough, p, near, effects)

    def against(self, metric: Metric, sample: Sample) -> str:
        """The baseline's figure, and the chart."""
        half = half_width(sample.get("low"), sample.get("high"))
        return f"Usual {figure(metric, sample.get('held'), half)}, by a {CHARTS[self.rule.method]}"

    def held(self, sample: Sample) -> Held | None:
        """The baseline's figure."""
        value = sample.get("held")
        return None if value is None else Held("usual", value)

    @property
    def null(self) -> Null:
        """Every slice keeps the rate of its baseline, which is drawn again too."""
        return "baseline"

    @property
    def lengths(self) -> tuple[int, ...]:
        """A g-chart goes back day by day."""
        return (1,) if self.rule.method == "g" else super().lengths

    @property
    def looks(self) -> float:
        """Every slot looks at all periods of the lookback again."""
        return float((self.rule.window // self.rule.every) ** 0.25)

    @property
    def memory(self) -> timedelta:
        """A p-chart looks at its newest period alone; the others at all of the lookback."""
        return self.rule.every if self.rule.method == "p" else self.rule.window

    def lead(self, frozen: Mapping[Slice, FrozenBaseline]) -> int:
        """The longest baseline, in whole periods."""
        longest = max((one.until - one.since for one in frozen.values()), default=timedelta(0))
        return -(-longest.days // self.rule.every.days) * self.rule.every.days

    def freeze(self, counts: History, first_day: date, slot: date) -> dict[Slice, FrozenBaseline]:
        """Of every slice that has rows in the baseline, once that is over."""
        return freeze(self.rule, counts, first_day, slot)

    def with_value(self, value: float) -> ChartRule:
        """With another floor; `recover` is a part of a signal's strength, and has nothing to do with it."""
        return self.rule.model_copy(update={"floor": value})

    def ends(self, metric: Metric | None, panel: Windows) -> Ends:
        """A cusum is made for a shift of its floor, and finds others later: from half of it to twice."""
        if self.rule.method == "cusum":
            return self.rule.floor / 2, self.rule.floor * 2
        return super().ends(metric, panel)

    @property
    def steps(self) -> int:
        """A cusum's limits are a matter of matrices, each of which takes long."""
        return 5 if self.rule.method == "cusum" else super().steps

    def is_allowed(self, metric: Metric | None, value: float) -> bool:
        """A cusum needs a shift to look for."""
        return value > 0 if self.rule.method == "cusum" else super().is_allowed(metric, value)

    @property
    def uncalibrated(self) -> str | None:
        """A cusum's limit is not an alpha."""
        if self.rule.method != "cusum":
            return None
        return (
            "a cusum's limit follows from its run length; it keeps to the declared false alarms over slots and slices"
        )


def _behind(metric: Metric, level: Floats, n: Floats, rows: Floats) -> Floats:
    """The tallies of as many rows as a level is worth, spread as those of the lookback: shape (slots, slices, 5)."""
    size, centre = np.nan_to_num(n), np.nan_to_num(level) / metric.factor
    mean = rows / np.maximum(rows[..., :1], 1.0)
    either, spread = mean[..., 1] + mean[..., 2], np.maximum(mean[..., 4] - mean[..., 3] ** 2, 0.0)
    plus = centre if metric.shape == "share" else np.maximum((either + centre) / 2, 0.0)
    minus = np.zeros_like(centre) if metric.shape == "share" else np.maximum((either - centre) / 2, 0.0)
    parts = np.stack([np.ones_like(centre), plus, minus, centre, spread + centre**2], axis=-1)
    return np.asarray(parts * size[..., None], dtype=np.float64)


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

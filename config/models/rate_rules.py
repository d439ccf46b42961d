"""Rules that read a metric: when its figure opens an incident."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from config.models.rule_fields import Against, Baseline, MeasureFields, RateFields, ShortWindowFields
from config.models.values import Conditions, KeyedError, Names


class ThresholdRule(RateFields):
    """Fires when a metric is beyond its limit, on evidence: the exact tail against the limit is below the rule's alpha.

    `recover` is the value on the safe side of `limit` that must hold for `keep_firing` before the incident resolves.
    """

    kind: Literal["threshold"]
    limit: float
    recover: float

    @property
    def band(self) -> float:
        """What lies between limit and recover is no news."""
        return max(abs(self.recover - self.limit), self.floor)

    @property
    def limits(self) -> Mapping[str, float]:
        """Both."""
        return {"limit": self.limit, "recover": self.recover}

    @property
    def breach(self) -> str:
        """What a breach of it is, in words."""
        return "beyond the limit"


class GoalRule(ShortWindowFields):
    """Fires when a vertical misses its goal (goals.toml) by `floor` or more, on evidence against the goal itself."""

    kind: Literal["goal"]
    has_goals: ClassVar[bool] = True

    @property
    def breach(self) -> str:
        """What a breach of it is, in words."""
        return "short of its goal"


class ChangeRule(ShortWindowFields):
    """Fires when a metric is surely worse than its baseline by more than `floor`.

    `baseline` is the window just before (`previous`), the same weekdays 52 weeks earlier (`last-year`), or all other
    verticals in the same window (`others`). Days under a condition are left out of the first two.
    """

    kind: Literal["change"]
    baseline: Literal["previous", "last-year", "others"]

    @model_validator(mode="after")
    def _others_are_verticals(self) -> Self:
        if self.baseline == "others" and "vertical" not in self.by:
            raise KeyedError("by", "a comparison with all other verticals needs 'vertical' in by; add it")
        return self

    @property
    def breach(self) -> str:
        """What a breach of it is, in words."""
        return _WORSE[self.baseline]

    @property
    def is_level(self) -> bool:
        """The other verticals are no past of its own."""
        return self.baseline == "others"


_WORSE: Final = {
    "previous": "worse than in the window before",
    "last-year": "worse than a year before",
    "others": "worse than all other verticals",
}


class GapRule(ShortWindowFields):
    """Fires when a metric is surely worse than another, or than itself for other rows, by more than `floor`.

    The journey against its touchpoints, many channels against one. `strata` are columns within which the two are
    compared, so that a different mix of them makes no gap (Mantel-Haenszel weights).
    """

    kind: Literal["gap"]
    against: Against
    strata: Names = ()

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Its own metric and the other."""
        return self.metric, self.against.metric

    @property
    def count_columns(self) -> tuple[str, ...]:
        """What its counts are sliced by: each stratum is compared for itself."""
        return *self.by, *self.strata

    @property
    def wheres(self) -> tuple[Conditions, ...]:
        """The rows that each of its metrics is made of."""
        return self.where, self.against.where

    @property
    def breach(self) -> str:
        """What a breach of it is, in words."""
        return "behind what it is compared with"


class ChartRule(MeasureFields):
    """Fires on a signal of a control chart against a frozen baseline; each slot adds one period of length `every`.

    `method` is `p` (one period against exact limits), `ewma` (a moving average that gives the newest period
    `newest_weight`), `cusum` (a lasting shift by `floor`; shares only) or `g` (rare cases: how many rows the last
    `events` of them took; shares only). `window` is how far back the chart looks. `recover` is the part of the signal's
    strength, 0 to 1, below which it is over, or of the floor (but not of a cusum's: that is the shift it looks for).
    """

    kind: Literal["chart"]
    method: Literal["p", "ewma", "cusum", "g"]
    baseline: Baseline
    recover: Annotated[float, Field(gt=0, lt=1)]
    newest_weight: Annotated[float, Field(gt=0, le=1)] | None = None
    events: Annotated[int, Field(ge=1)] | None = None
    keeps_baseline: ClassVar[bool] = True

    @model_validator(mode="after")
    def _has_the_parts_of_its_method(self) -> Self:
        for part, method in (("newest_weight", "ewma"), ("events", "g")):
            if (getattr(self, part) is not None) != (self.method == method):
                verb = "needs" if self.method == method else "has no"
                message = f"method {self.method!r} {verb} {part!r}; {'add it' if verb == 'needs' else 'leave it out'}"
                raise KeyedError(part, message)
        if self.method == "cusum" and not self.floor:
            raise KeyedError("floor", "a cusum looks for a shift of a certain size; write it as floor, above 0")
        if self.method != "g" and self.window < self.every:
            days = f"{self.every.days}d"
            raise KeyedError("window", f"a chart looks back over whole periods of {days}; write '{days}' or more")
        return self

    @property
    def period(self) -> timedelta:
        """One period of the chart."""
        return self.every

    @property
    def calm(self) -> float:
        """The strength of a signal is a power of alpha, and so is what is left of it."""
        return self.recover

    @property
    def breach(self) -> str:
        """What a breach of it is, in words."""
        return "out of its usual range"


RateRule = ThresholdRule | GoalRule | ChangeRule | GapRule | ChartRule
"""The rules that read a metric."""

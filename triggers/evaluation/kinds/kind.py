"""What the engine, the lab, the messages and the pages ask of a rule, whatever its kind. Pure."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, ClassVar, Final, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from config.models import FrozenModel, Metric, RateRule, Rule
from queries.metrics import count, figure, goal_figure, half_width, interval, is_share, span_words
from triggers.evaluation.kinds.window import Inputs, Windows
from triggers.rules import FrozenBaseline, History, Slice, Subject

ModelT = TypeVar("ModelT", bound=FrozenModel)
RuleT = TypeVar("RuleT", bound=Rule)
MetricRuleT = TypeVar("MetricRuleT", bound=RateRule)

Sample = Mapping[str, Any]
"""A reading as it is stored with an incident."""

Null = Literal["as held", "both sides together", "all verticals together", "own past", "baseline"]
"""The truth of a slice where nothing has changed: exactly what it is held against, or the rate of these rows."""

Ends = tuple[float, float]
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


class Held(NamedTuple):
    """What a figure is held against: its name, its value, and whether its author wrote it as a number."""

    name: str
    value: float
    is_written: bool = False


@dataclass(frozen=True)
class RuleKind(ABC, Generic[RuleT]):
    """A rule as a rule of its kind."""

    rule: RuleT
    model: ClassVar[type[Any]]
    """The rules that are of this kind."""
    keys: ClassVar[tuple[str, ...]]
    """What the setting is written as, and what moves with it."""

    @abstractmethod
    def finding(self, metric: Metric | None, sample: Sample) -> str | None:
        """What it found, in words; None for a severe case, which has no figure."""

    def sentence(
        self,
        place: str,  # noqa: ARG002 - a case has no figure
        metric: Metric | None,  # noqa: ARG002
        sample: Sample,  # noqa: ARG002
        *,
        has_recovered: bool = False,  # noqa: ARG002
    ) -> str:
        """What it found in a slice, or how it is now, as a sentence without its end; empty where that has no figure."""
        return ""

    def recovery(self, metric: Metric | None) -> str:  # noqa: ARG002 - only a written limit is said as a figure
        """What its recovery is, with its figure; empty where the rule's own words say all."""
        return ""

    def brief(self, sample: Sample) -> tuple[str, str]:  # noqa: ARG002 - a metric says its own figure
        """How things stand in a few words, and how they stood before; empty where its metric says it."""
        return "", ""

    @abstractmethod
    def held(self, sample: Sample) -> Held | None:
        """What the figure of its metric was held against; None where there is no such figure."""

    @abstractmethod
    def window(self, sample: Sample) -> str | None:
        """The days that the figure is about, in words; None where it is about none."""

    def comparator(self, subject: Subject) -> str:  # noqa: ARG002 - only a difference has two sides
        """What its figure is compared with, where that is a figure too."""
        return ""

    def how_sure(self, sample: Sample) -> str | None:
        """How unlikely what it found is by chance, in words; None where plain values were compared."""
        if not self.rule.is_weighed or "p" not in sample:
            return None
        effect = f"; design effect {sample['deff']:.1f}" if sample["deff"] > 1.05 else ""
        return f"p = {sample['p']:.2g} (threshold {sample['alpha']:.2g}{effect})"

    @abstractmethod
    def setting(self, metric: Metric | None) -> Setting | None:
        """The one number that decides how often it fires; None where it has none."""

    @property
    def steps(self) -> int:
        """How many steps the values of the setting make that are tried."""
        return 20

    @abstractmethod
    def with_value(self, value: float) -> RuleT:
        """The rule with another value of its setting."""

    @abstractmethod
    def ends(self, metric: Metric | None, panel: Windows) -> Ends:
        """From where hardly any window of the past lies beyond the setting to where many do."""

    @abstractmethod
    def is_allowed(self, metric: Metric | None, value: float) -> bool:
        """Whether the configuration would accept a value of its setting."""

    @property
    @abstractmethod
    def uncalibrated(self) -> str | None:
        """Why there is no null replay of it; None where there is one."""

    @property
    def memory(self) -> timedelta:
        """For how long a bad day is part of what it looks at."""
        return timedelta(0)


@dataclass(frozen=True)
class MetricKind(RuleKind[MetricRuleT]):
    """A rule that reads a metric, as a rule of its kind."""

    keys: ClassVar[tuple[str, ...]] = ("floor", "recover")
    leaves_out_conditions: ClassVar[bool] = False
    """Whether what it takes as normal is made without the days under a condition."""

    @abstractmethod
    def panel(self, subject: Subject, given: Inputs, slots: Sequence[date], alpha: NDArray[np.float64]) -> Windows:
        """What its windows say.

        Args:
            subject: the rule.
            given: counts that cover all that the rule looks at in these slots.
            slots: oldest first.
            alpha: shape (slots,): the false-alarm probability of a slot; a cusum's limit follows from it.
        """

    @abstractmethod
    def against(self, metric: Metric, sample: Sample) -> str:
        """What its figure is held against, in words."""

    @property
    @abstractmethod
    def null(self) -> Null:
        """What a null replay draws."""

    @property
    def lookback(self) -> timedelta:
        """How far behind a slot it looks, a chart's baseline aside."""
        return self.rule.window

    @property
    def memory(self) -> timedelta:
        """As long as its window."""
        return self.rule.window

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many days the spans are long that must be whole periods of a null replay."""
        return self.rule.window.days, self.rule.every.days

    @property
    def looks(self) -> float:
        """How often it looks at the same rows: so much longer a null replay takes."""
        return 1.0

    def lead(self, frozen: Mapping[Slice, FrozenBaseline]) -> int:  # noqa: ARG002 - only a chart has baselines
        """The days that a null replay needs before its first slot."""
        return self.lookback.days

    def freeze(self, counts: History, first_day: date, slot: date) -> dict[Slice, FrozenBaseline]:  # noqa: ARG002
        """The baselines that can be frozen by a slot."""
        return {}

    def finding(self, metric: Metric | None, sample: Sample) -> str | None:
        """The figure with its interval, and what it is held against."""
        if metric is None:
            return None
        # Of a part of the rows the metric's own name would say too much: two figures would bear one name.
        named = metric.model_copy(update={"label": self.rule.label or metric.label}) if self.rule.where else metric
        return f"{figure_with_interval(named, sample)}. {self.against(metric, sample)}."

    def sentence(self, place: str, metric: Metric | None, sample: Sample, *, has_recovered: bool = False) -> str:
        """The figure of a place, and what it is held against; under a title that names the metric without its name."""
        if metric is None or sample.get("value") is None:
            return ""
        half, held = half_width(sample.get("low"), sample.get("high")), self.held(sample)
        name = (self.rule.label if self.rule.where else "") or metric.label
        n = rows_behind(sample)
        where = sentence_start(place) if name == (self.rule.label or self.rule.name) else f"{name}, {place}"
        said = (
            f"{where}: {'back at ' if has_recovered else ''}{figure(metric, sample['value'], half)}{_cases(metric, n)}"
        )
        if held is None:
            return said
        if held.is_written:
            return f"{said} ({held.name} {goal_figure(metric, held.value)})"
        return f"{said} ({held.name}: {figure(metric, held.value, half)})"

    def window(self, sample: Sample) -> str | None:
        """From its first to its last day."""
        if "since" not in sample:
            return None
        last = date.fromisoformat(sample["until"]) - timedelta(days=1)
        return span_words(date.fromisoformat(sample["since"]), last)

    def setting(self, metric: Metric | None) -> Setting | None:  # noqa: ARG002 - a floor has no good side
        """Its floor."""
        return Setting("floor", self.rule.floor, 1)

    def with_value(self, value: float) -> MetricRuleT:
        """With another floor; `recover` is never above it."""
        return with_changes(self.rule, floor=value, recover=min(self.rule.recover, value))

    def ends(self, metric: Metric | None, panel: Windows) -> Ends:  # noqa: ARG002
        """From no floor to what hardly any window fell short by."""
        return 0.0, spread(panel.bad[panel.enough & (panel.bad > 0)], 0.5, 0.998)[1]

    def is_allowed(self, metric: Metric | None, value: float) -> bool:  # noqa: ARG002
        """Any floor is one."""
        return value >= 0

    @property
    def uncalibrated(self) -> str | None:
        """A plain comparison is right or wrong by no chance."""
        if self.rule.is_weighed:
            return None
        return 'gate = "none": it compares plain values and keeps to no number of false alarms'


def with_changes(rule: ModelT, **changes: Any) -> ModelT:
    """The rule with other values, unchecked."""
    return rule.model_copy(update=changes)


def spread(found: NDArray[np.float64], low: float, high: float) -> Ends:
    """Where two parts of all values lie below, and never at one point."""
    known = found[np.isfinite(found)]
    if not len(known):
        return 0.0, 1.0
    ends = np.quantile(known, [low, high])
    return float(ends[0]), float(max(ends[1], ends[0] + 1e-6))


def rounded(value: float) -> float:
    """Without the dust of binary fractions, and never a negative zero."""
    return round(value, _DIGITS) + 0.0


def figure_with_interval(metric: Metric, sample: Sample) -> str:
    """The figure with its interval and n."""
    half = half_width(sample.get("low"), sample.get("high"))
    ends = interval(metric, sample.get("low"), sample.get("high"))
    value = f"{figure(metric, sample.get('value'), half)}{f' (95% CI {ends})' if ends else ''}"
    return f"{metric.label}: {value}, n = {count(rows_behind(sample))}"


def reading_sentence(metric: Metric, sample: Sample, days: str) -> str:
    """A reading as people say it: `65% of 200 cases (95% CI 52 to 76%), 9 to 22 June 2025`."""
    half = half_width(sample.get("low"), sample.get("high"))
    ends, n = interval(metric, sample.get("low"), sample.get("high")), rows_behind(sample)
    parts = (
        figure(metric, sample.get("value"), half) + _cases(metric, n) + (f" (95% CI {ends})" if ends else ""),
        days,
    )
    return ", ".join(filter(None, parts))


def _cases(metric: Metric, n: int) -> str:
    return f" {'of' if is_share(metric) else 'from'} {count(n)} {'case' if n == 1 else 'cases'}" if n else ""


def sentence_start(words: str) -> str:
    """As a sentence begins."""
    return words[:1].upper() + words[1:]


def rows_behind(sample: Sample) -> int:
    """How many rows a figure is made of."""
    return round(sample["tally"][0]) if "tally" in sample else 0

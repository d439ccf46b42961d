"""What an incident found, in words: the figure with its interval and n, and what it is held against. Pure."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final

from config.models.metrics import Metric
from config.models.rules import ChangeRule, ChartRule, GapRule, GoalRule, QuietRule, RateRule, Rule, ThresholdRule
from config.models.values import duration_text
from queries.metrics.formatting import count, figure, goal_figure, half_width, interval, signed_change

Sample = Mapping[str, Any]

BASELINES: Final = {"previous": "the window before", "last-year": "a year before", "others": "all other verticals"}
CHARTS: Final = {"p": "p-chart", "ewma": "moving average", "cusum": "cumulative sum", "g": "rare-event chart"}


def measured(rule: Rule, metric: Metric | None, sample: Sample) -> str | None:
    """The finding of a rule that looks at slots; None for a severe case, which has no figure."""
    if isinstance(rule, QuietRule):
        return _quiet(rule, sample)
    if isinstance(rule, RateRule) and metric is not None:
        return f"{figure_with_interval(metric, sample)}. {_held(rule, metric, sample)}."
    return None


def figure_with_interval(metric: Metric, sample: Sample, sure: str = "95% sure: ") -> str:
    """The figure with its interval and n. `sure` is what stands before the interval's ends."""
    half = half_width(sample.get("low"), sample.get("high"))
    ends = interval(metric, sample.get("low"), sample.get("high"))
    value = f"{figure(metric, sample.get('value'), half)}{f' ({sure}{ends})' if ends else ''}"
    return f"{metric.label}: {value}, n = {count(_n(sample))}"


def sentence_start(words: str) -> str:
    """As a sentence begins."""
    return words[:1].upper() + words[1:]


def _n(sample: Sample) -> int:
    return round(sample["tally"][0]) if "tally" in sample else 0


def _held(rule: RateRule, metric: Metric, sample: Sample) -> str:
    held = sample.get("held")
    if isinstance(rule, ThresholdRule):
        return f"Limit {goal_figure(metric, rule.limit)}"
    if isinstance(rule, GoalRule):
        return f"Goal {goal_figure(metric, held) if held is not None else 'not known'}"
    if isinstance(rule, ChartRule):
        return f"Usual {figure(metric, held)}, by a {CHARTS[rule.method]}"
    return _gap(rule, metric, sample)


def _gap(rule: ChangeRule | GapRule, metric: Metric, sample: Sample) -> str:
    """What a difference is measured from, and the difference with its interval."""
    against = sample.get("against") or {}
    low, high, held = against.get("low"), against.get("high"), sample.get("held")
    n = count(round(against["tally"][0])) if against else "0"
    gap = None if held is None or sample.get("value") is None else sample["value"] - held
    half, ends = half_width(low, high), interval(metric, low, high)
    what = BASELINES[rule.baseline] if isinstance(rule, ChangeRule) else rule.against.metric
    sure = f" (95% sure: {ends})" if ends else ""
    by = f"difference {signed_change(metric, gap, half)}{sure}"
    return f"{sentence_start(what)}: {figure(metric, held, half)}, n = {n}; {by}"


def _quiet(rule: QuietRule, sample: Sample) -> str:
    value, held = sample.get("value"), sample.get("held")
    if rule.of == "coverage":
        return (
            f"Heard from {_percent(value)} of the revenue, in {count(_n(sample))} accounts that have any. "
            f"Limit {_percent(held)}."
        )
    days = ("a day" if held < 1.5 else f"{held:.0f} days") if held is not None else "nobody knows how often"
    usual = f"usually every {days.removeprefix('a ')}, n = {count(_n(sample))} days with a signal"
    return f"Nothing heard for {value or 0:.0f} days; {usual if rule.of == 'account' else f'allowed are {days}'}."


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.0f}%"


def window(rule: Rule, sample: Sample) -> str | None:
    """The days that the figure is about; None where it is about none."""
    if "since" not in sample or not isinstance(rule, RateRule):
        return None
    last = date.fromisoformat(sample["until"]) - timedelta(days=1)
    length = rule.every if isinstance(rule, ChartRule) else rule.window
    return f"{sample['since']} to {last} ({duration_text(length)})"


def how_sure(rule: Rule, sample: Sample) -> str | None:
    """How unlikely the figure is by chance; None where the plain value was compared."""
    is_plain = getattr(rule, "gate", "exact") == "none" or not isinstance(rule, RateRule | QuietRule)
    if is_plain or "p" not in sample or (isinstance(rule, QuietRule) and rule.of != "account"):
        return None
    effect = f", design effect {sample['deff']:.1f}" if sample["deff"] > 1.05 else ""
    return f"p = {sample['p']:.2g}, had to be under {sample['alpha']:.2g}{effect}"

"""The monthly review as a frozen document, the same on the page, printed and sent; and how its months compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from math import hypot, sqrt
from statistics import NormalDist
from typing import Any, Final, Literal

from config.models import Metric
from queries.accounts.headroom import Growth
from queries.metrics import AgainstBaseline, MetricPoint, day_words, half_width, span_words
from queries.review.outcomes import EscalationOutcome
from queries.state import Action, Override

GoalVerdict = Literal["met", "missed", "cannot tell", "no goal", "too few", "immature", "no data", "private"]
EVERYWHERE: Final = "All verticals"
Points = Mapping[tuple[str, str], Sequence[MetricPoint]]
"""By metric and group: the months of an incident's own slice, in order, up to the one reviewed."""
_NO_VERDICT: Final[Mapping[str, GoalVerdict]] = {
    "no_data": "no data",
    "too_few": "too few",
    "immature": "immature",
    "private": "private",
}
_NORMAL: Final = NormalDist()
_Z95: Final = _NORMAL.inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class MetricChange:
    """A difference in the metric's unit with its interval, and what it means."""

    value: float
    low: float
    high: float
    meaning: Literal["better", "worse", "no clear change"]


@dataclass(frozen=True, slots=True)
class MetricStatus:
    """One metric in one vertical: the month, its goal, the months before and the change against the last of them.

    `vertical` is empty for all verticals together. `history` is in order of time and ends with the month itself.
    `reference` stands beside the goal for comparison, and is held against nothing.
    """

    metric: Metric
    vertical: str
    point: MetricPoint
    goal: float | None
    verdict: GoalVerdict
    change: MetricChange | None
    history: tuple[MetricPoint, ...]
    reference: str = ""

    @property
    def where(self) -> str:
        """The vertical as it is shown."""
        return self.vertical or EVERYWHERE


@dataclass(frozen=True, slots=True)
class Onset:
    """The first days between which it began: of one day where they are equal."""

    first: date
    last: date
    is_week: bool = True

    def __str__(self) -> str:
        """In words: `the week of 3 August 2026`, `some time between 27 July and 17 August 2026`, or a day."""
        if self.first == self.last:
            return f"the week of {day_words(self.first)}" if self.is_week else day_words(self.first)
        return f"some time between {span_words(self.first, self.last, 'and')}"


UNCLEAR: Final = "not clear when"
"""Where no week stands out: it crept up, or was so from the first day of the data on."""


@dataclass(frozen=True, slots=True)
class ReviewIncident:
    """An incident as the review needs it.

    `group` is what stands for one issue: a slice of a rule, or all cases of an event rule. `where` is the slice in
    words; `limit` is what it compares
    with (`limit_at` in the metric's unit), `value` what the incident was last known to be; `slot` is the day after the
    window in which it was found, and `onset` when it began, None where that cannot be told; `compared` is the newest
    sample of a figure that is held against another one; `days` those of the window of `value`. `figure_of` is what its
    figure is called, `counted_as` what one without a figure is one of. `function` is who in the company is
    responsible; `goal` is that of its slice, `goal_words` with what it is for.
    """

    id: str
    rule: str
    label: str
    metric: Metric | None
    group: str
    where: str
    vertical: str | None
    limit: str
    severity: int
    is_open: bool
    opened_at: datetime
    value: float | None
    n: int | None
    owner: str
    slot: date
    onset: Onset | None = None
    compared: Mapping[str, Any] | None = None
    days: str = ""
    figure_of: str = ""
    counted_as: str = "case"
    limit_at: float | None = None
    function: str | None = None
    goal: float | None = None
    goal_words: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True)
class ActionStatus:
    """An action and what it has done so far."""

    action: Action
    effect: str
    reasons: tuple[str, ...]
    overdue: bool
    done_on: date | None = None


@dataclass(frozen=True, slots=True)
class IssueMonth:
    """One month of an issue's figure, in the metric's unit and in words."""

    period: date
    value: float
    figure: str


@dataclass(frozen=True, slots=True)
class Issue:
    """One key issue: what, where, since when, how sure, whose, what is done about it and whether that works.

    `figure_of` is what the figure is called, `period` the days that it is about, `decided_on` when the decision that
    stands was recorded: it may be one of an earlier month, or of the review of its vertical. `history` is the figure's
    months up to the one reviewed, `line` its goal or limit, and `trend` how it stands to the three months before.
    `function` is who in the company is responsible: that of the rule, none of a goal that no rule watches.
    """

    id: str
    what: str
    where: str
    since: date
    since_words: str
    found_on: date | None
    figure: str
    figure_of: str
    interval: str
    n: int | None
    period: str
    against: str
    severity: int
    weight: float
    incidents: tuple[str, ...]
    is_open: bool
    suggested_owner: str
    vertical: str | None
    metric: str | None
    decision: Action | None = None
    decided_on: date | None = None
    history: tuple[IssueMonth, ...] = ()
    line: float | None = None
    trend: str = ""
    undertakings: tuple[ActionStatus, ...] = ()
    function: str | None = None
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Money:
    """Revenue of one vertical in the month, the month before and the same month a year before."""

    vertical: str
    amount: float
    previous: float | None
    year_before: float | None

    @property
    def before(self) -> tuple[float | None, float | None]:
        """What it is held against: the month before, and a year before."""
        return self.previous, self.year_before


@dataclass(frozen=True, slots=True)
class Facts:
    """What the warehouse says about a month, within one reader's scope.

    `zone` is the reporting zone, in which instants have their days; `no_money` says why revenue is not shown.
    """

    generation: int
    published_at: datetime
    zone: tzinfo
    month: date
    standings: tuple[MetricStatus, ...]
    money: tuple[Money, ...]
    no_money: str = ""


@dataclass(frozen=True, slots=True)
class MeetingState:
    """What the state says about a month: incidents, actions and what the meeting has decided so far.

    `data_problems` counts open incidents of the data itself: named, never a customer issue. `evaluated_at` is when
    rules were last evaluated, aware UTC, None before that; `doubt` says why incidents may be missing. `outcome` is what
    became of the month's escalations.
    """

    found: tuple[ReviewIncident, ...] = ()
    actions: tuple[Action, ...] = ()
    decisions: tuple[Action, ...] = ()
    overrides: tuple[Override, ...] = ()
    data_problems: int = 0
    evaluated_at: datetime | None = None
    doubt: str = ""
    outcome: EscalationOutcome | None = None


@dataclass(frozen=True, slots=True)
class PageBudget:
    """How much of each a page may show: issues, figures (numbers outside a chart or table), and charts."""

    issues: int
    figures: int
    charts: int


@dataclass(frozen=True, slots=True)
class Review:
    """The document. Financials are for showing only when `financials_open`; `no_money` says why there are none.
    `tally` says what the issues are made of, `more_improved` how many lines of what improved are over the budget;
    `months` are those up to the one reviewed; `baselines` are what it is held against besides the goals; `growth` is
    what accounts could buy more, `repeatable` what improved something that is open elsewhere. Where `function` is
    one, issues, actions and escalations are only its own; `undecided` counts those of all functions.

    Its days are those of the reporting zone.
    """

    month: date
    vertical: str | None
    generation: int
    published_on: date
    headline: str
    maturity: str
    issues: tuple[Issue, ...]
    further: int
    standings: tuple[MetricStatus, ...]
    improved: tuple[str, ...]
    carried: tuple[ActionStatus, ...]
    money: tuple[Money, ...]
    undecided: int
    overrides: tuple[Override, ...]
    data_problems: int
    no_money: str = ""
    evaluated_on: date | None = None
    doubt: str = ""
    outcome: EscalationOutcome | None = None
    tally: str = ""
    more_improved: int = 0
    months: tuple[date, ...] = ()
    baselines: tuple[AgainstBaseline, ...] = ()
    growth: Growth | None = None
    repeatable: tuple[str, ...] = ()
    function: str | None = None

    @property
    def financials_open(self) -> bool:
        """Whether every key issue has an owner and a decision, or somebody has overruled that."""
        return not self.undecided or bool(self.overrides)


def reading_days(sample: Mapping[str, Any]) -> str:
    """The days that a reading is about, such as `14 September to 8 November 2026`; empty where it is about none."""
    if "since" not in sample:
        return ""
    since, until = (date.fromisoformat(sample[end]) for end in ("since", "until"))
    return span_words(since, until - timedelta(days=1))


def metric_status(
    metric: Metric, vertical: str, points: Sequence[MetricPoint], periods: Sequence[date], goal: float | None
) -> MetricStatus:
    """How one metric of one vertical stands in the last of `periods`. `points` are its months, in any order."""
    month, previous = periods[-1], periods[-2] if len(periods) > 1 else None
    history = tuple(sorted((p for p in points if p.period <= month), key=lambda p: p.period))
    by_period = {point.period: point for point in history}
    no_data = MetricPoint(month, (vertical,) if vertical else (), 0, None, None, None, "no_data")
    current = by_period.get(month, no_data)
    before = by_period.get(previous) if previous else None
    change = metric_change(metric, current, before) if before else None
    return MetricStatus(metric, vertical, current, goal, goal_verdict(metric, current, goal), change, history)


def goal_verdict(metric: Metric, point: MetricPoint, goal: float | None) -> GoalVerdict:
    """Met or missed only where the whole interval says so."""
    if point.status != "ok":
        return _NO_VERDICT[point.status]
    if goal is None or point.low is None or point.high is None:
        return "no goal"
    # Turned so that up is good; "missed" is then what even the best end of the interval does not reach.
    worst, best = (point.low, point.high) if metric.good == "up" else (-point.high, -point.low)
    wanted = goal if metric.good == "up" else -goal
    if best < wanted:
        return "missed"
    return "met" if worst >= wanted else "cannot tell"


def metric_change(metric: Metric, now: MetricPoint, before: MetricPoint, comparisons: int = 1) -> MetricChange | None:
    """The difference of two independent points by the method of variance estimates recovery.

    For two proportions with Wilson intervals this is Newcombe's interval (Newcombe 1998, method 10). `comparisons`
    widens it to hold for that many at once (Bonferroni).
    """
    ends = (now.value, now.low, now.high, before.value, before.low, before.high)
    if any(end is None for end in ends):
        return None
    v1, l1, u1, v0, l0, u0 = (float(end) for end in ends if end is not None)
    # The points come with 95% intervals whatever is asked for here. Half-widths grow with the normal quantile, so
    # scaling them is as good as computing the points again at the stricter level.
    wider = _NORMAL.inv_cdf(1 - 0.025 / comparisons) / _Z95
    low = v1 - v0 - wider * hypot(v1 - l1, u0 - v0)
    high = v1 - v0 + wider * hypot(u1 - v1, v0 - l0)
    meaning: Literal["better", "worse", "no clear change"] = "no clear change"
    if not low <= 0 <= high:
        meaning = "better" if (low > 0) == (metric.good == "up") else "worse"
    return MetricChange(v1 - v0, low, high, meaning)


def pooled(points: Sequence[MetricPoint]) -> MetricPoint | None:
    """Several months as one point: weighted by cases, the interval by the weighted half-widths."""
    measured = [p for p in points if p.value is not None and p.low is not None and p.high is not None and p.n]
    total = sum(p.n for p in measured)
    if not total:
        return None
    value = sum(p.n / total * (p.value or 0) for p in measured)
    # Months are independent, so their variances add up: half-widths are added in squares.
    half = sqrt(sum((p.n / total * (half_width(p.low, p.high) or 0)) ** 2 for p in measured))
    return MetricPoint(measured[0].period, measured[0].by, total, value, value - half, value + half, "ok")

"""The monthly review as a frozen document: the same is shown on the page, printed and sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Literal

from config.models import Metric
from queries.metrics.measure import MetricPoint
from queries.state import Action, Decision, Override

GoalVerdict = Literal["met", "missed", "cannot tell", "no goal", "too few", "immature", "no data"]
EVERYWHERE: Final = "All verticals"
Points = Mapping[tuple[str, str], MetricPoint]


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
    """

    metric: Metric
    vertical: str
    point: MetricPoint
    goal: float | None
    verdict: GoalVerdict
    change: MetricChange | None
    history: tuple[MetricPoint, ...]

    @property
    def where(self) -> str:
        """The vertical as it is shown."""
        return self.vertical or EVERYWHERE


@dataclass(frozen=True, slots=True)
class ReviewIncident:
    """An incident as the review needs it.

    `group` is what stands for one issue: a slice of a rule, or all cases of an event rule. `where` is the slice in
    words; `is_whole_vertical` says that it is a vertical's goal that the rule watches; `limit` is what it compares
    with, `value` what the incident was last known to be.
    """

    id: str
    rule: str
    label: str
    metric: Metric | None
    group: str
    where: str
    vertical: str | None
    is_whole_vertical: bool
    limit: str
    severity: int
    is_open: bool
    opened_at: datetime
    value: float | None
    n: int | None
    owner: str


@dataclass(frozen=True, slots=True)
class ActionStatus:
    """An action and what it has done so far."""

    action: Action
    effect: str
    reasons: tuple[str, ...]
    overdue: bool


@dataclass(frozen=True, slots=True)
class Issue:
    """One key issue: what, where, since when, how sure, whose, what is done about it and whether that works."""

    id: str
    what: str
    where: str
    since: date
    since_words: str
    figure: str
    interval: str
    n: int | None
    against: str
    severity: int
    weight: float
    incidents: tuple[str, ...]
    is_open: bool
    suggested_owner: str
    vertical: str | None
    metric: str | None
    decision: Decision | None = None
    undertakings: tuple[ActionStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class Money:
    """Revenue of one vertical in the month, the month before and the same month a year before."""

    vertical: str
    amount: float
    previous: float | None
    year_before: float | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the warehouse says about a month, within one reader's scope. `no_money` says why revenue is not shown."""

    generation: int
    published_at: datetime
    month: date
    standings: tuple[MetricStatus, ...]
    money: tuple[Money, ...]
    no_money: str = ""


@dataclass(frozen=True, slots=True)
class MeetingState:
    """What the state says about a month: incidents, actions and what the meeting has decided so far.

    `data_problems` counts open incidents of the data itself: named, never a customer issue.
    """

    found: tuple[ReviewIncident, ...] = ()
    actions: tuple[Action, ...] = ()
    decisions: Mapping[str, Decision] | None = None
    overrides: tuple[Override, ...] = ()
    data_problems: int = 0


@dataclass(frozen=True, slots=True)
class Review:
    """The document. Financials are for showing only when `financials_open`; `no_money` says why there are none."""

    month: date
    vertical: str | None
    generation: int
    published_at: datetime
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

    @property
    def financials_open(self) -> bool:
        """Whether every key issue has an owner and a decision, or somebody has overruled that."""
        return not self.undecided or bool(self.overrides)

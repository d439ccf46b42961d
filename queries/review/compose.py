"""The monthly review as a frozen document, and how it is composed. Nothing here reads anything: the same document is
shown on the page, printed and sent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import hypot, sqrt
from statistics import NormalDist
from typing import Final, Literal

from config.models.metrics import Metric
from queries.metrics.formatting import (
    amount,
    count,
    figure,
    goal_figure,
    half_width,
    interval,
    point_figure,
    signed_change,
)
from queries.metrics.measure import MetricPoint
from queries.review.action_effects import ActionEffect
from queries.state.actions import Action
from queries.state.decisions import Decision, Override

Verdict = Literal["met", "missed", "cannot tell", "no goal", "too few", "immature", "no data"]

EVERYWHERE: Final = "All verticals"
GOAL_MISS_SEVERITY: Final = 3
"""A goal missed on evidence, where no rule has opened an incident for it."""
_NORMAL: Final = NormalDist()
_Z95: Final = _NORMAL.inv_cdf(0.975)

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
    verdict: Verdict
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
    """What the warehouse says about a month, within one reader's scope."""

    generation: int
    published_at: datetime
    month: date
    standings: tuple[MetricStatus, ...]
    money: tuple[Money, ...]


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
    """The document. Financials are for showing only when `financials_open`."""

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

    @property
    def financials_open(self) -> bool:
        """Whether every key issue has an owner and a decision, or somebody has overruled that."""
        return not self.undecided or bool(self.overrides)


def metric_status(
    metric: Metric, vertical: str, points: Sequence[MetricPoint], periods: Sequence[date], goal: float | None
) -> MetricStatus:
    """How one metric of one vertical stands in the last of `periods`. `points` are its months, in any order."""
    month, previous = periods[-1], periods[-2] if len(periods) > 1 else None
    history = tuple(sorted((p for p in points if p.period <= month), key=lambda p: p.period))
    by_period = {point.period: point for point in history}
    here = by_period.get(month, _nothing(month, vertical))
    before = by_period.get(previous) if previous else None
    moved = metric_change(metric, here, before) if before else None
    return MetricStatus(metric, vertical, here, goal, _verdict(metric, here, goal), moved, history)


def _nothing(month: date, vertical: str) -> MetricPoint:
    return MetricPoint(month, (vertical,) if vertical else (), 0, None, None, None, "no_data")


def _verdict(metric: Metric, point: MetricPoint, goal: float | None) -> Verdict:
    """Met or missed only where the whole interval says so."""
    if point.status == "no_data":
        return "no data"
    if point.status == "too_few":
        return "too few"
    if point.status == "immature":
        return "immature"
    if goal is None or point.low is None or point.high is None:
        return "no goal"
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
    wider = _NORMAL.inv_cdf(1 - 0.025 / comparisons) / _Z95
    low = v1 - v0 - wider * hypot(v1 - l1, u0 - v0)
    high = v1 - v0 + wider * hypot(u1 - v1, v0 - l0)
    return MetricChange(v1 - v0, low, high, _meaning(metric, low, high))


def _meaning(metric: Metric, low: float, high: float) -> Literal["better", "worse", "no clear change"]:
    if low <= 0 <= high:
        return "no clear change"
    return "better" if (low > 0) == (metric.good == "up") else "worse"


def pooled(points: Sequence[MetricPoint]) -> MetricPoint | None:
    """Several months as one point: weighted by cases, the interval by the weighted half-widths."""
    known = [p for p in points if p.value is not None and p.low is not None and p.high is not None and p.n]
    total = sum(p.n for p in known)
    if not total:
        return None
    value = sum(p.n / total * (p.value or 0) for p in known)
    half = sqrt(sum((p.n / total * (half_width(p.low, p.high) or 0)) ** 2 for p in known))
    return MetricPoint(known[0].period, known[0].by, total, value, value - half, value + half, "ok")


def compose(  # noqa: PLR0913 - a document is made of its parts
    facts: Facts,
    minutes: MeetingState,
    points: Points,
    effects: Mapping[str, ActionEffect],
    metrics: Mapping[str, Metric],
    *,
    vertical: str | None,
    most_issues: int,
    today: date,
) -> Review:
    """The review of a month, for all verticals or one.

    Args:
        facts: what the warehouse says.
        minutes: what the state says.
        points: the month's point of an incident's own slice, by its metric and its group.
        effects: the effect of each action, by its id.
        metrics: every metric by its name.
        vertical: the one reviewed, None for all.
        most_issues: how many key issues a meeting takes on.
        today: what is overdue is overdue today.
    """
    undertakings = _undertakings(minutes.actions, effects, metrics, today)
    every = _ranked(_issues(facts, minutes.found, points))
    decided = minutes.decisions or {}
    issues = tuple(_with_minutes(issue, decided, undertakings) for issue in every[:most_issues])
    attached = {u.action.id for issue in issues for u in issue.undertakings}
    return Review(
        facts.month,
        vertical,
        facts.generation,
        facts.published_at,
        review_headline(facts, issues, len(every)),
        _maturity(facts),
        issues,
        len(every) - len(issues),
        facts.standings,
        _improved(facts, undertakings),
        tuple(u for u in undertakings if u.action.id not in attached),
        facts.money,
        sum(issue.decision is None for issue in issues),
        minutes.overrides,
        minutes.data_problems,
    )


def _issues(facts: Facts, found: Sequence[ReviewIncident], points: Points) -> list[Issue]:
    """Incidents first, one issue for each rule and place; then the goals missed that no incident stands for."""
    groups: dict[tuple[str, str], list[ReviewIncident]] = {}
    for one in found:
        groups.setdefault((one.rule, one.group), []).append(one)
    issues = [_from_incidents(facts, group, points) for group in groups.values()]
    covered = {(issue.metric, issue.vertical) for issue in issues}
    missed = [s for s in facts.standings if s.verdict == "missed" and s.vertical]
    return issues + [_from_goal(s) for s in missed if (s.metric.name, s.vertical) not in covered]


def _from_incidents(facts: Facts, group: Sequence[ReviewIncident], points: Points) -> Issue:
    first = min(group, key=lambda one: one.opened_at)
    metric = first.metric
    point = points.get((metric.name, first.group)) if metric else None
    goal = _goal(facts, metric, first)
    value, ends, n = _incident_figure(group, metric, point)
    return Issue(
        id=f"{first.rule}|{first.group}",
        what=first.label,
        where=_places([one.where for one in group]),
        since=first.opened_at.date(),
        since_words=f"{first.opened_at.day} {first.opened_at:%B %Y}",
        figure=value,
        interval=ends,
        n=n,
        against=f"goal {goal_figure(metric, goal)}" if metric and goal is not None else first.limit,
        severity=min(one.severity for one in group),
        weight=_weight(metric, point, goal) if metric else len(group),
        incidents=tuple(one.id for one in group),
        is_open=any(one.is_open for one in group),
        suggested_owner=first.owner,
        vertical=first.vertical if len({one.vertical for one in group}) == 1 else None,
        metric=metric.name if metric else None,
    )


def _goal(facts: Facts, metric: Metric | None, found: ReviewIncident) -> float | None:
    """A goal is set for a whole vertical; a part of one is measured against the rule's own limit."""
    if metric is None or not found.is_whole_vertical:
        return None
    same = (s.goal for s in facts.standings if s.metric.name == metric.name and s.vertical == found.vertical)
    return next(same, None)


def _incident_figure(
    group: Sequence[ReviewIncident], metric: Metric | None, point: MetricPoint | None
) -> tuple[str, str, int | None]:
    if metric is None:
        return f"{count(len(group))} {'case' if len(group) == 1 else 'cases'}", "", None
    if point is not None and point.value is not None:
        return point_figure(metric, point), interval(metric, point.low, point.high), point.n
    last = max(group, key=lambda one: one.opened_at)
    return (figure(metric, last.value) if last.value is not None else "too few cases"), "", last.n


def _from_goal(missed: MetricStatus) -> Issue:
    metric, point, since = missed.metric, missed.point, missed_since(missed)
    return Issue(
        id=f"goal:{metric.name}|{missed.vertical}|",
        what=f"{metric.label}: goal missed",
        where=missed.vertical,
        since=since,
        since_words=f"{since:%B %Y}{' or before' if since == missed.history[0].period else ''}",
        figure=point_figure(metric, point),
        interval=interval(metric, point.low, point.high),
        n=point.n,
        against="" if missed.goal is None else f"goal {goal_figure(metric, missed.goal)}",
        severity=GOAL_MISS_SEVERITY,
        weight=_weight(metric, point, missed.goal),
        incidents=(),
        is_open=True,
        suggested_owner="",
        vertical=missed.vertical,
        metric=metric.name,
    )


def missed_since(missed: MetricStatus) -> date:
    """The first of the unbroken run of months, up to this one, that missed today's goal."""
    since = missed.point.period
    for point in reversed(missed.history):
        if _verdict(missed.metric, point, missed.goal) != "missed":
            break
        since = point.period
    return since


def _weight(metric: Metric | None, point: MetricPoint | None, goal: float | None) -> float:
    """How far past its goal, in half-widths of its interval, times how many cases it touches."""
    if metric is None or point is None or goal is None or point.value is None:
        return 0.0
    half = half_width(point.low, point.high) or 1.0
    return (goal - point.value if metric.good == "up" else point.value - goal) / half


def _ranked(issues: Iterable[Issue]) -> list[Issue]:
    """Open before closed, the most severe first; then figures before cases, the surest or most of them first."""

    def rank(issue: Issue) -> tuple[bool, int, bool, float, str]:
        return not issue.is_open, issue.severity, issue.metric is None, -issue.weight, issue.id

    return sorted(issues, key=rank)


def _place(vertical: str | None, touchpoint: str | None) -> str:
    return ", ".join(part for part in (vertical, touchpoint) if part) or EVERYWHERE


def _places(names: Sequence[str]) -> str:
    """A few places by name, many by number."""
    places = sorted(set(names))
    return _listed(places) if len(places) <= 3 else f"{_number(len(places)).capitalize()} verticals"


def _with_minutes(issue: Issue, decided: Mapping[str, Decision], undertakings: Sequence[ActionStatus]) -> Issue:
    fields = {name: getattr(issue, name) for name in Issue.__slots__}
    mine = tuple(u for u in undertakings if _answers(u.action, issue))
    return Issue(**{**fields, "decision": decided.get(issue.id), "undertakings": mine})


def _answers(action: Action, issue: Issue) -> bool:
    if action.incident_id is not None and action.incident_id in issue.incidents:
        return True
    return action.metric is not None and (action.metric, action.vertical) == (issue.metric, issue.vertical)


def _undertakings(
    actions: Sequence[Action], effects: Mapping[str, ActionEffect], metrics: Mapping[str, Metric], today: date
) -> tuple[ActionStatus, ...]:
    return tuple(_undertaking(action, effects.get(action.id), metrics, today) for action in actions)


def _undertaking(
    action: Action, effect: ActionEffect | None, metrics: Mapping[str, Metric], today: date
) -> ActionStatus:
    metric = metrics.get(action.metric or "")
    words = effect.words(metric) if effect and metric else "no metric to judge it by"
    overdue = action.done_at is None and action.due_on is not None and action.due_on < today
    return ActionStatus(action, words, effect.reasons if effect else (), overdue)


def _improved(facts: Facts, undertakings: Sequence[ActionStatus]) -> tuple[str, ...]:
    """What got better than the three months before by more than chance, over all comparisons made; then what worked."""
    each = [s for s in facts.standings if s.vertical]
    lines = [_improvement(s, len(each)) for s in each]
    worked = [_worked(u) for u in undertakings if u.effect.startswith("improved")]
    return tuple(line for line in lines if line) + tuple(worked)


def _improvement(here: MetricStatus, comparisons: int) -> str:
    base = pooled([point for point in here.history if point.period < here.point.period][-3:])
    moved = metric_change(here.metric, here.point, base, comparisons) if base else None
    if moved is None or base is None or moved.meaning != "better":
        return ""
    half = half_width(moved.low, moved.high)
    return (
        f"{here.metric.label} in {here.where} is {point_figure(here.metric, here.point)}, "
        f"{signed_change(here.metric, moved.value, half)} against the three months before (n = {count(here.point.n)})"
    )


def _worked(undertaking: ActionStatus) -> str:
    action = undertaking.action
    return f"{action.what} ({_place(action.vertical, action.touchpoint)}): {undertaking.effect}"


def _maturity(facts: Facts) -> str:
    names = sorted({s.metric.label for s in facts.standings if s.point.status == "immature"})
    if not names:
        return ""
    return f"{facts.month:%B} is not complete yet: cases are still arriving, and {_listed(names)} will move."


def review_headline(facts: Facts, issues: Sequence[Issue], every: int) -> str:
    """The one sentence the meeting starts from."""
    judged = [s for s in facts.standings if s.vertical and s.verdict in {"met", "missed", "cannot tell"}]
    if issues:
        return f"{_lead(issues[0])}{_rest(issues, every)}{_meeting(judged)}."
    if not judged:
        return f"Nothing can be judged in {facts.month:%B %Y}: no figure has both enough cases and a goal."
    verticals = len({s.vertical for s in judged})
    unsure = sum(s.verdict == "cannot tell" for s in judged)
    close = f", with {count(unsure)} of {count(len(judged))} figures too close to call" if unsure else ""
    place = f"the {_number(verticals)} verticals" if verticals > 1 else judged[0].vertical
    return f"No key issue in {place}: no goal is missed{close}."


def _lead(issue: Issue) -> str:
    place = f" in {issue.where[:1].lower() + issue.where[1:] if issue.vertical is None else issue.where}"
    place = "" if issue.where == EVERYWHERE else place
    if issue.metric is None:
        return f"{issue.what}{place}{f' ({issue.figure})' if len(issue.incidents) > 1 else ''}"
    against = f" against a {issue.against.replace(' ', ' of ', 1)}" if issue.against else ""
    return f"{issue.what}{place}: {issue.figure}{against}"


def _rest(issues: Sequence[Issue], every: int) -> str:
    """The issues after the first: how many, and whether the meeting has dealt with them."""
    others = every - 1
    decided = sum(issue.decision is not None for issue in issues[1:])
    if not others:
        return ""
    if decided == others:
        return f"; {_number(others)} more {'issue is' if others == 1 else 'issues are'} decided"
    left = others - decided
    return f"; {_number(left)} more {'issue needs' if left == 1 else 'issues need'} a decision"


def _meeting(judged: Sequence[MetricStatus]) -> str:
    verticals = {s.vertical for s in judged}
    well = verticals - {s.vertical for s in judged if s.verdict == "missed"}
    if len(verticals) < 2:
        return ""
    if not well:
        return ", and every vertical misses a goal"
    return f", while {_number(len(well))} of {_number(len(verticals))} verticals miss no goal"


_NUMBERS: Final = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


def _number(value: int) -> str:
    return _NUMBERS[value] if value < len(_NUMBERS) else count(value)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def money_change(now: float, then: float | None) -> str:
    """A relative change of revenue, such as `+3.2%`."""
    if not then:
        return "–"
    percent = round((now - then) / abs(then) * 100, 1)
    return f"{percent:+.1f}%".replace("-", "\N{MINUS SIGN}") if percent else "0.0%"


def money_figure(value: float | None, currency: str) -> str:
    """Revenue as it is shown."""
    return "–" if value is None else amount(value, currency)

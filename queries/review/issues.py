"""The key issues of a month: what incidents and missed goals stand for, the most pressing first."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final

from config.models import Metric
from queries.engine import aware, day_of
from queries.metrics import (
    MetricPoint,
    count,
    difference_words,
    figure,
    goal_figure,
    half_width,
    interval,
    listed,
    number_word,
    point_figure,
    signed_change,
)
from queries.review.document import (
    UNCLEAR,
    ActionStatus,
    Facts,
    Issue,
    IssueMonth,
    MetricStatus,
    Onset,
    Points,
    ReviewIncident,
    goal_verdict,
    metric_change,
    pooled,
    reading_days,
)
from queries.state import Action

GOAL_MISS_SEVERITY: Final = 3
"""A goal missed on evidence, where no rule has opened an incident for it."""


def key_issues(facts: Facts, incidents: Sequence[ReviewIncident], points: Points) -> list[Issue]:
    """One issue for each rule and place with incidents, and one for each goal missed that no incident stands for.

    Open before closed, the most severe first; then figures before cases, the surest or most of them first.
    """
    groups: dict[tuple[str, str], list[ReviewIncident]] = {}
    for incident in incidents:
        groups.setdefault((incident.rule, incident.group), []).append(incident)
    issues = [_from_incidents(facts, group, points) for group in groups.values()]
    # A meeting that is shown the incident and the missed goal behind it would decide the same thing twice.
    covered = {(issue.metric, issue.vertical) for issue in issues}
    missed = [status for status in facts.standings if status.verdict == "missed"]
    issues += [_from_goal(s) for s in missed if s.vertical and (s.metric.name, s.vertical) not in covered]
    # The company as a whole may miss what no vertical has cases enough to be seen missing.
    named = {issue.metric for issue in issues}
    issues += [_from_goal(s) for s in missed if not s.vertical and s.metric.name not in named]

    def rank(issue: Issue) -> tuple[bool, int, bool, float, str]:
        # The id comes last: equal issues keep their order from one run to the next.
        return not issue.is_open, issue.severity, issue.metric is None, -issue.weight, issue.id

    return sorted(issues, key=rank)


def _from_incidents(facts: Facts, group: Sequence[ReviewIncident], points: Points) -> Issue:
    first = min(group, key=lambda incident: incident.opened_at)
    metric, opened = first.metric, day_of(first.opened_at, facts.zone)
    history = tuple(points.get((metric.name, first.group), ())) if metric else ()
    point = next((point for point in history if point.period == facts.month), None)
    # A part of a vertical for which nothing is promised is measured against the rule's own limit.
    goal = first.goal
    value, ends, n, period = _incident_figure(group, metric, point)
    against = first.goal_words or first.limit
    compared = max(group, key=lambda incident: incident.opened_at).compared
    if metric and compared:
        # Both figures of a difference are those of its rule's window: of the month there is only one of them.
        value, ends, n, period, against = _compared_figures(metric, compared)
    places = sorted({incident.where for incident in group})
    return Issue(
        id=f"{first.rule}|{first.group}",
        what=first.label,
        where=listed(places) if len(places) <= 3 else f"{number_word(len(places)).capitalize()} verticals",
        since=first.onset.first if first.onset else opened,
        since_words="" if metric is None else str(first.onset or UNCLEAR),
        found_on=opened,
        figure=value,
        figure_of=first.figure_of,
        interval=ends,
        n=n,
        period=period,
        against=against,
        severity=min(incident.severity for incident in group),
        weight=_weight(metric, point, goal) if metric else len(group),
        # What is open comes first: what is decided on the issue is told there.
        incidents=tuple(incident.id for incident in sorted(group, key=lambda one: not one.is_open)),
        is_open=any(incident.is_open for incident in group),
        suggested_owner=first.owner,
        vertical=first.vertical if len({incident.vertical for incident in group}) == 1 else None,
        metric=metric.name if metric else None,
        history=_months(metric, history),
        line=first.limit_at if goal is None else goal,
        trend=_trend(metric, point, history, first.onset) if metric else "",
        function=first.function,
        reference=first.reference,
    )


def _months(metric: Metric | None, history: Sequence[MetricPoint]) -> tuple[IssueMonth, ...]:
    if metric is None:
        return ()
    known = ((point, point.value) for point in history if point.value is not None)
    return tuple(IssueMonth(point.period, value, point_figure(metric, point)) for point, value in known)


def _trend(
    metric: Metric, point: MetricPoint | None, history: Sequence[MetricPoint], onset: Onset | None = None
) -> str:
    """Whether it is getting better: against what it was since it began, or against the three months before.

    Empty where either is not known.
    """
    earlier = [each for each in history if point and each.period < point.period]
    began = onset.first.replace(day=1) if onset else None
    usual = pooled([each for each in earlier if began and each.period < began])
    since = [each for each in earlier if began and each.period > began] if usual else earlier[-3:]
    base = pooled(since)
    change = metric_change(metric, point, base) if point and base else None
    words = ""
    if change is not None and change.meaning != "no clear change":
        by = signed_change(metric, change.value, half_width(change.low, change.high))
        words = f"{change.meaning} {'since' if usual else 'than in the three months before'} ({by})"
    elif change is not None:
        words = f"no clear change {'since' if usual else 'on the three months before'}"
    if usual and began:
        return ", ".join(filter(None, (f"{point_figure(metric, usual)} before {began:%B %Y}", words)))
    return words


def _incident_figure(
    group: Sequence[ReviewIncident], metric: Metric | None, point: MetricPoint | None
) -> tuple[str, str, int | None, str]:
    """The figure, its interval, the cases and the days."""
    if metric is None:
        return f"{count(len(group))} {group[0].counted_as}{'' if len(group) == 1 else 's'}", "", None, ""
    if point is not None and point.value is not None:
        return point_figure(metric, point), interval(metric, point.low, point.high), point.n, f"in {point.period:%B %Y}"
    # The month has too few cases for a figure of its own: what the rule saw last, over its own window, is still true.
    last = max(group, key=lambda incident: incident.opened_at)
    return (figure(metric, last.value) if last.value is not None else "too few cases"), "", last.n, last.days


def _compared_figures(metric: Metric, sample: Mapping[str, Any]) -> tuple[str, str, int, str, str]:
    """The figure, the difference with its interval, the cases, the days, and what the figure is compared with."""
    against, n = sample["against"], round(sample["tally"][0])
    half = half_width(against.get("low"), against.get("high"))
    label = f" ({label})" if (label := against.get("label")) else ""
    return (
        figure(metric, sample["value"], half),
        difference_words(metric, sample),
        n,
        reading_days(sample),
        f"compared with {figure(metric, sample.get('held'), half)}{label}",
    )


def _from_goal(missed: MetricStatus) -> Issue:
    metric, point, since = missed.metric, missed.point, missed_since(missed)
    return Issue(
        id=f"goal:{metric.name}|{missed.vertical}|",
        what=f"{metric.label}: goal missed",
        where=missed.where,
        since=since,
        # Where the run of missed months reaches the first month shown, it may well be longer.
        since_words=f"{since:%B %Y}{' or before' if since == missed.history[0].period else ''}",
        found_on=None,
        figure=point_figure(metric, point),
        figure_of=metric.label,
        interval=interval(metric, point.low, point.high),
        n=point.n,
        period=f"in {point.period:%B %Y}",
        against="" if missed.goal is None else f"goal {goal_figure(metric, missed.goal)}",
        severity=GOAL_MISS_SEVERITY,
        weight=_weight(metric, point, missed.goal),
        incidents=(),
        is_open=True,
        suggested_owner="",
        vertical=missed.vertical or None,
        metric=metric.name,
        history=_months(metric, missed.history),
        line=missed.goal,
        trend=_trend(metric, point, missed.history),
        reference=missed.reference,
    )


def missed_since(missed: MetricStatus) -> date:
    """The first of the unbroken run of months, up to this one, that missed today's goal."""
    since = missed.point.period
    for point in reversed(missed.history):
        if goal_verdict(missed.metric, point, missed.goal) != "missed":
            break
        since = point.period
    return since


def _weight(metric: Metric, point: MetricPoint | None, goal: float | None) -> float:
    """How far past its goal, in half-widths of its interval."""
    if point is None or goal is None or point.value is None:
        return 0.0
    half = half_width(point.low, point.high) or 1.0
    return (goal - point.value if metric.good == "up" else point.value - goal) / half


def with_meeting_state(
    issue: Issue, facts: Facts, decisions: Sequence[Action], actions: Sequence[ActionStatus]
) -> Issue:
    """An issue with the decision that stands, and the actions that answer it.

    What somebody undertook against one of its incidents is a decision as good as the meeting's own, and so is what an
    earlier meeting, or that of the vertical, decided since the issue is there: the newest stands.
    """
    own = [action for action in decisions if action.issue == issue.id and _stands(action, issue, facts.month)]
    of_incident = [status.action for status in actions if status.action.incident_id in issue.incidents]
    running = [action for action in of_incident if action.done_at is None]
    # What a meeting decided goes before what somebody undertook beside it.
    made = own + [action for action in running if action.issue] or running[:1]
    decision = max(made, key=lambda action: (action.recorded_at, action.id), default=None)
    answers = []
    for status in actions:
        action = status.action
        if action.issue == issue.id and action != decision:
            continue  # another decision took its place
        # An action without a metric would otherwise answer every issue of cases in its vertical.
        is_of_metric = action.metric is not None and (action.metric, action.vertical) == (issue.metric, issue.vertical)
        if action in of_incident or is_of_metric or action == decision:
            answers.append(status)
    decided_on = day_of(aware(decision.recorded_at), facts.zone) if decision else None
    return replace(issue, decision=decision, decided_on=decided_on, undertakings=tuple(answers))


def _stands(action: Action, issue: Issue, month: date) -> bool:
    """Whether a decision is this month's, or an earlier one on an issue without incidents that is there ever since."""
    if action.month is None or action.month >= month:
        return True
    return not issue.incidents and action.month >= issue.since.replace(day=1)

"""What a monthly review is made of, read: the warehouse's part and the state's part. `compose` makes the document."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from statistics import median
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from config.models import Catalog, Metric, WatchRule, label_of
from queries.engine import aware, day_of, day_start, naive, whole
from queries.metrics import (
    Ask,
    MetricPoint,
    UnratedRevenueError,
    clock_of,
    day_words,
    goal_figure,
    listed,
    measure,
    measure_all,
    read_revenue,
)
from queries.review.action_effects import LEFT_OUT, ActionEffect, effect_of
from queries.review.document import (
    EVERYWHERE,
    Facts,
    MeetingState,
    MetricStatus,
    Money,
    ReviewIncident,
    metric_status,
    reading_days,
)
from queries.review.outcomes import outcome_of, read_escalated
from queries.review.readings import (
    conditions_of,
    current_rule,
    figure_name,
    goal_text,
    reference_text,
    slice_goal,
    slice_words,
)
from queries.state import (
    MISSED_SLOTS,
    Action,
    HistoryEntry,
    Incident,
    evaluated_at,
    histories,
    overrides,
    read_actions,
    read_decisions,
    read_incidents,
    read_standing,
    rule_errors,
)
from queries.warehouse import UNKNOWN, Pin, Scope, rollups, tables, unfilled

HISTORY: Final = 24
"""Months shown, the reviewed one included."""
USUAL_SHARE: Final = 0.25
"""A month with less than this share of the median month's rows is a tail: no meeting starts there, nor any trend."""
MOST_MONTHS: Final = 120


@dataclass(frozen=True, slots=True)
class Months:
    """The months that hold data, oldest first, the first full one, and the one a meeting starts from."""

    all: tuple[date, ...]
    first_full: date | None
    usual: date | None


@dataclass(frozen=True, slots=True)
class ReviewPeriod:
    """The reviewed month [first, until), with the months up to it, oldest first."""

    first: date
    until: date
    history: tuple[date, ...]


@dataclass(frozen=True, slots=True)
class ReviewContext:
    """How a review is looked at: by whom, over which month, in all verticals or one, known when, in which currency.

    `scope` is the reader's, narrowed to the vertical; `as_of` is aware UTC; `zone` is the reporting zone.
    """

    catalog: Catalog
    period: ReviewPeriod
    scope: Scope
    as_of: datetime
    currency: str
    zone: ZoneInfo
    vertical: str | None = None


def read_months(conn: Connection, scope: Scope, as_of: datetime) -> Months:
    """Which months can be reviewed: those with rows in scope that have ended by `as_of` (or have begun)."""
    calendar, volume, today = tables.calendar, Counter[date](), clock_of(conn, as_of).day()
    for table, day in (
        (rollups.roll_contact, "day"),
        (rollups.roll_journey, "ended_day"),
        (rollups.roll_response, "responded_day"),
    ):
        rows = (
            select(calendar.c.month, whole(func.sum(table.c.c)))
            .join_from(table, calendar, table.c[day] == calendar.c.day)
            .where(scope.where(table))
            .group_by(calendar.c.month)
        )
        volume.update({month: int(number) for month, number in conn.execute(rows)})
    begun = sorted(month for month in volume if month <= today)[-MOST_MONTHS:]
    if not begun:
        return Months((), None, None)
    # Against the median: a mean would follow the one month in which an old system was loaded.
    least = USUAL_SHARE * median(volume[month] for month in begun)
    full = [month for month in begun if volume[month] >= least]
    ended = [month for month in full if _end(conn, month) <= today]
    return Months(tuple(begun), full[0], (ended or full)[-1])


def read_verticals(conn: Connection, scope: Scope) -> tuple[str, ...]:
    """The verticals in scope that have any fact, in order of name."""
    names: set[str] = set()
    for table in (rollups.roll_contact, rollups.roll_journey, rollups.roll_response):
        name = func.coalesce(table.c.vertical, UNKNOWN)
        names.update(conn.execute(select(name).where(scope.where(table)).distinct()).scalars())
    return tuple(sorted(names))


def _end(conn: Connection, month: date) -> date:
    """The first day after a month of the calendar."""
    calendar = tables.calendar
    later = select(func.min(calendar.c.month)).where(calendar.c.month > month)
    # The calendar ends some day, and the company's month need not be the year's: only then by plain months.
    next_month = conn.execute(later).scalar()
    return next_month or date(month.year + month.month // 12, month.month % 12 + 1, 1)


def read_period(conn: Connection, month: date, earliest: date | None = None) -> ReviewPeriod:
    """The month as the calendar has it, with up to HISTORY months that end with it, none before `earliest`."""
    calendar = tables.calendar
    shown = calendar.c.month.between(earliest or date.min, month)
    months = select(calendar.c.month).where(shown).distinct().order_by(calendar.c.month.desc())
    history = tuple(reversed([row.month for row in conn.execute(months.limit(HISTORY))]))
    return ReviewPeriod(month, _end(conn, month), history or (month,))


def read_facts(pin: Pin, context: ReviewContext) -> Facts:
    """What the warehouse says about a month: every review metric in every vertical (or in one), and the revenue."""
    metrics = [context.catalog.metric(name) for name in context.catalog.review.metrics]
    since, until = context.period.history[0], context.period.until
    by = measure_all(pin.conn, metrics, Ask(("vertical",), since=since, until=until), context.scope, context.as_of)
    standings = []
    # A source that never sends defects has no defect rate of 0%: it has none.
    empty = {m.name for m in metrics if unfilled(pin.conn, m.table, m.columns)}
    for metric in metrics:
        verticals: dict[str, list[MetricPoint]] = {}
        for point in by[metric.name]:
            of_vertical = verticals.setdefault(point.by[0], [])
            of_vertical += [] if metric.name in empty else [point]
        standings += [_standing(metric, name, points, context) for name, points in sorted(verticals.items())]
    # Who may see some verticals only gets no total: it would be taken for the company's, and is not.
    if context.scope.verticals is None:
        together = measure_all(pin.conn, metrics, Ask(since=since, until=until), context.scope, context.as_of)
        standings += [
            _standing(metric, "", () if metric.name in empty else together[metric.name], context) for metric in metrics
        ]
    generation = pin.generation
    month = context.period.first
    # The meeting is held without its last table rather than not at all; the page says which rate to load.
    try:
        money, no_money = _money(pin.conn, context), ""
    except UnratedRevenueError as error:
        money, no_money = (), str(error)
    zone = ZoneInfo(generation.zone)
    return Facts(generation.number, generation.published_at, zone, month, tuple(standings), money, no_money)


def _standing(metric: Metric, vertical: str, points: Sequence[MetricPoint], context: ReviewContext) -> MetricStatus:
    goal = context.catalog.goal(metric.name, vertical or "*", context.period.first)
    status = metric_status(metric, vertical, points, context.period.history, goal.value if goal else None)
    return replace(status, reference=reference_text(metric, goal, day_of(context.as_of, context.zone)))


def _money(conn: Connection, context: ReviewContext) -> tuple[Money, ...]:
    """Revenue by vertical, in the reporting currency."""
    first, history = context.period.first, context.period.history
    before = history[-2] if len(history) > 1 else None
    year = date(first.year - 1, first.month, first.day)
    months = [month for month in (first, before, year) if month]
    rows = read_revenue(
        conn, ("vertical",), context.scope, context.as_of, context.currency, lambda rows: rows.c.month.in_(months)
    )
    totals: dict[tuple[str, date], float] = {}
    for row in rows.to_pylist():
        key = row["vertical"] or UNKNOWN, row["month"]
        totals[key] = totals.get(key, 0.0) + row["amount"]
    verticals = sorted({vertical for vertical, month in totals if month == first})
    return tuple(
        Money(v, totals[v, first], totals.get((v, before)) if before else None, totals.get((v, year)))
        for v in verticals
    )


def read_meeting(conn: Connection, context: ReviewContext, function: str | None = None) -> MeetingState:
    """What the state says about a month, of all functions or one. Never cached: somebody may have decided just now."""
    period, scope = context.period, context.scope
    since, until = day_start(period.first, context.zone), day_start(period.until, context.zone)
    open_then = read_incidents(conn, scope, since=since, until=until)
    events = {rule.name for rule in context.catalog.rules if rule.is_case}
    # A severe case belongs to the month it became known in; it stays open longer only so that somebody sees to it.
    current = [each for each in open_then if each.rule not in events or each.opened_at >= since]
    told = histories(conn, [each.id for each in current if each.class_ == "customer"])
    customer = tuple(
        _review_incident(each, told.get(each.id, ()), context, until) for each in current if each.class_ == "customer"
    )
    data = sum(each.class_ != "customer" and each.is_open for each in open_then)
    # The state keeps its instants in UTC without saying so.
    month_began = naive(since)
    running = [a for a in read_actions(conn, scope, period.until) if a.done_at is None or a.done_at >= month_began]
    made = read_decisions(conn, scope, period.first, context.vertical)
    standing = read_standing(conn, scope, period.first)
    # A review is held in the month after: what it decides begins then.
    taken = {action.id: action for action in (*running, *made.values(), *standing)}
    whose = {one.id: one.function for one in customer}
    named = {
        id_: replace(
            action,
            owner=label_of(action.owner, context.catalog.people),
            # What was recorded before actions named a function is of that of its incident.
            function=action.function or whose.get(action.incident_id or ""),
        )
        for id_, action in taken.items()
    }
    decided = tuple(named[action.id] for action in (*made.values(), *standing))
    overruled = overrides(conn, period.first, context.vertical) if context.vertical or scope.is_everything else ()
    escalated = read_escalated(conn, context.catalog, scope, period.first, period.until, context.zone, context.as_of)
    of = context.catalog.function_of
    became = outcome_of([one for one in escalated if function in {None, of(one.rule)}])
    return MeetingState(customer, tuple(named.values()), decided, overruled, data, *_evaluation(conn, context), became)


def _evaluation(conn: Connection, context: ReviewContext) -> tuple[datetime | None, str]:
    """When rules were last evaluated, and why what they would have found may be missing; empty where it is not."""
    evaluated, errors, now = evaluated_at(conn), rule_errors(conn), context.as_of
    every = {rule.name: rule.every for rule in context.catalog.rules if isinstance(rule, WatchRule) and rule.enabled}
    newest = max((at for rule, at in evaluated.items() if rule in every), default=None)
    if every and newest is None and not errors:
        return None, "the rules were never evaluated"
    ill = {error.rule for error in errors}
    never = every.keys() - evaluated.keys() - ill
    late = [
        rule for rule in every.keys() & evaluated.keys() - ill if now - evaluated[rule] > MISSED_SLOTS * every[rule]
    ]
    doubts: list[str] = []
    if ill:
        doubts.append(f"{_rules(len(ill))} could not be evaluated")
    if never:
        doubts.append(f"{_rules(len(never))} {'was' if len(never) == 1 else 'were'} never evaluated")
    if late:
        since = min(evaluated[rule] for rule in late)
        has = "has" if len(late) == 1 else "have"
        doubts.append(f"{_rules(len(late))} {has} not been evaluated since {day_words(since, context.zone)}")
    return newest, listed(doubts) if doubts else ""


def _rules(number: int) -> str:
    return f"{number} {'rule' if number == 1 else 'rules'}"


def _review_incident(
    incident: Incident, history: Sequence[HistoryEntry], context: ReviewContext, until: datetime
) -> ReviewIncident:
    """An incident in the words of its rule. A rule that has been removed leaves its name.

    Cases of an event rule are one issue, whatever vertical they are in: so many severe cases, here and there.
    """
    catalog = context.catalog
    rule, metric = current_rule(incident.rule, catalog)
    goal = slice_goal(catalog, rule, metric, incident.slice, context.period.first)
    is_event = rule is not None and rule.is_case
    samples = [entry.sample for entry in reversed(history) if entry.sample and aware(entry.at) < until]
    sample = next(iter(samples), None)
    return ReviewIncident(
        id=incident.id,
        rule=incident.rule,
        label=(rule.label if rule else "") or incident.rule,
        metric=metric,
        group="" if is_event else incident.slice,
        # The slice of a case is its account or its row, which is no place to name in a meeting.
        where=(incident.vertical or EVERYWHERE) if is_event or incident.account_id else slice_words(incident.slice),
        vertical=incident.vertical,
        limit_at=rule.limits["limit"] if metric and rule and rule.limits else None,
        limit=f"limit {goal_figure(metric, rule.limits['limit'])}" if metric and rule and rule.limits else "",
        severity=incident.severity,
        is_open=incident.resolved_at is None or incident.resolved_at >= until,
        opened_at=incident.opened_at,
        value=incident.value,
        n=incident.n,
        owner=label_of(rule.owner, catalog.people) if rule else "",
        slot=incident.slot,
        compared=sample if sample and "against" in sample else None,
        days=next((reading_days(one) for one in samples if one.get("value") == incident.value), ""),
        figure_of=figure_name(rule, metric),
        counted_as="case" if is_event else "account" if incident.account_id else "incident",
        function=rule.function if rule else None,
        goal=goal.value if goal else None,
        goal_words=f"goal {goal_text(metric, goal)}" if metric and goal else "",
        reference=reference_text(metric, goal, day_of(context.as_of, context.zone)),
    )


def read_points(
    conn: Connection, context: ReviewContext, metric: Metric, rule: str, slice_: str
) -> tuple[MetricPoint, ...]:
    """The months of an incident's own slice up to the one reviewed: what the rule looks at, over whole months."""
    (current, _), within = current_rule(rule, context.catalog), conditions_of(metric, slice_)
    if current is None or within is None:
        return ()
    ask = Ask(since=context.period.history[0], until=context.period.until, where=(*current.where, *within))
    return tuple(measure(conn, metric, ask, context.scope, context.as_of))


def read_effect(
    conn: Connection, context: ReviewContext, action: Action, others: Sequence[Action]
) -> ActionEffect | None:
    """What an action has done, None where it names no metric. What alarmed is left out of its "before"."""
    metric = next((metric for metric in context.catalog.metrics if metric.name == action.metric), None)
    if metric is None:
        return None
    limits = (rule for rule in context.catalog.rules if rule.limits and metric.name in rule.metric_names)
    window = max((LEFT_OUT, *(rule.period for rule in limits)))
    # The peers' change is needed to judge and is not shown: one verdict on the reader's own segment comes out.
    everybody = replace(context.scope, verticals=None) if context.scope.verticals else context.scope
    return effect_of(conn, metric, action, others, everybody, context.as_of, window)

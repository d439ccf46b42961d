"""One incident with everything that bears on it: its rule, its figures over time, what else happened, what was done."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import dropwhile
from math import isnan
from typing import Any, Final

from sqlalchemy import Connection, select

from config.models import Catalog, Condition, Metric, Rule, label_of
from queries.engine import day_of
from queries.metrics import (
    YEAR,
    Ask,
    Grain,
    MetricPoint,
    about_people,
    clock_of,
    measure,
    month_of,
    read_account_months,
)
from queries.monitoring import (
    BadRow,
    Evidence,
    Overlap,
    Question,
    gather,
    gather_case,
    newest_bad_rows,
    overlaps,
    question_of,
    read_case,
)
from queries.review.readings import conditions_of, current_rule, goal_text, newest_sample, slice_goal
from queries.state import (
    Action,
    HistoryEntry,
    Incident,
    entries,
    frozen_days,
    read_actions,
    read_incident,
    slice_values,
)
from queries.warehouse import Scope, tables

BEFORE: Final = timedelta(weeks=40)
AFTER: Final = timedelta(weeks=12)
MOST_ROWS: Final = 10
"""Single cases that the page shows."""


Periods = tuple[Grain, ...]
"""Lengths of the periods by which a figure is shown over time."""
GRAINS: Final[Periods] = ("day", "week", "month", "quarter")
USUAL: Final[Periods] = ("week", "month")
"""By what a figure is shown over time where nothing else is asked for: by month where weeks have too few cases."""


@dataclass(frozen=True, slots=True)
class Trend:
    """The incident's own slice over time, and what else happened. `grain` is the length of its periods."""

    grain: str
    points: tuple[MetricPoint, ...]
    overlaps: tuple[Overlap, ...]


@dataclass(frozen=True, slots=True)
class BoughtMonth:
    """What an account bought in a month and its share of wallet, and both a year before; None where it is not known."""

    month: date
    revenue: float | None
    share: float | None
    revenue_before: float | None
    share_before: float | None


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """What the state says of one incident. `rule` and `metric` are None where they have been removed.

    `present` is its figure in the newest window, where one was evaluated since; `frozen` are the days [since, until) of
    the baseline that a chart holds it against. `goal` is the one of its slice when it was found, in words.
    """

    incident: Incident
    rule: Rule | None
    metric: Metric | None
    history: tuple[HistoryEntry, ...]
    actions: tuple[Action, ...]
    present: Mapping[str, Any] | None = None
    frozen: tuple[date, date] | None = None
    goal: str = ""

    @property
    def sample(self) -> Mapping[str, Any]:
        """The newest figures there are."""
        return newest_sample(self.history, self.present)


def read_incident_page(conn: Connection, catalog: Catalog, id_: str, scope: Scope) -> IncidentPage:
    """One incident in scope. Raises UnknownIncidentError."""
    found = read_incident(conn, id_, scope)
    rule, metric = current_rule(found.rule, catalog)
    mine = actions_of(conn, found, rule, scope)
    named = tuple(replace(action, owner=label_of(action.owner, catalog.people)) for action in mine)
    frozen = frozen_days(conn, found.rule_hash, found.slice)
    goal = slice_goal(catalog, rule, metric, found.slice, found.slot - timedelta(days=1))
    words = goal_text(metric, goal) if metric and goal else ""
    return IncidentPage(found, rule, metric, entries(conn, found.id), named, frozen=frozen, goal=words)


def actions_of(conn: Connection, found: Incident, rule: Rule | None, scope: Scope) -> tuple[Action, ...]:
    """What is done about an incident, the newest first; also what a review decided on all cases of its rule."""
    issue = f"{found.rule}|{'' if rule and rule.is_case else found.slice}"
    every = read_actions(conn, scope)
    return tuple(action for action in every if action.incident_id == found.id or action.issue == issue)


def read_trend(  # noqa: PLR0913 - whose figures, for whom, as known when, of which time and by what
    conn: Connection,
    rule: Rule,
    metric: Metric,
    found: Incident,
    scope: Scope,
    as_of: datetime,
    *,
    before: timedelta = BEFORE,
    grains: Periods = USUAL,
) -> Trend | None:
    """The figures around an incident by the first of these periods that has cases enough, or by the last one.

    None where no figure is kept, or nothing is left to show it by: those about people are shown to readers by month.
    """
    within, grains = conditions_of(metric, found.slice), periods_for(metric, scope, grains)
    if within is None or not grains:
        return None
    clock = clock_of(conn, as_of)
    today = clock.day()
    # From the first of a month: a month cut short at its beginning would look like a drop.
    since = (found.slot - before).replace(day=1)
    over = day_of(found.resolved_at, clock.zone) if found.resolved_at else today
    until = min(over + AFTER, today + timedelta(days=1))
    for grain in grains:
        ask = Ask(grain=grain, since=since, until=until, where=(*rule.where, *within))
        # Before the first there was nothing to measure: that says nothing of how few cases a week has.
        points = tuple(dropwhile(lambda point: point.value is None, measure(conn, metric, ask, scope, as_of)))
        shown = sum(point.value is not None for point in points)
        if grain == grains[-1] or shown * 3 >= max(len(points) * 2, 1):
            return Trend(grain, points, overlaps(conn, since, until, (found.vertical, found.touchpoint), as_of))
    return None


def periods_for(metric: Metric, scope: Scope, allowed: Collection[str]) -> Periods:
    """Those of the periods that a reader may see the metric by, the shortest first."""
    # Months and weeks overlap: who had both of an answer could tell the few days between them.
    is_floored = scope.privacy is not None and about_people(metric)
    return tuple(one for one in GRAINS if one in allowed and (one == "month" or not is_floored))


def read_bought(conn: Connection, account: str, scope: Scope, as_of: datetime) -> tuple[BoughtMonth, ...]:
    """The newest thirteen months of an account, each beside the same month a year before; currencies at one rate."""
    of = read_account_months(conn, scope, as_of, None, lambda table: table.c.account_id == account).at(as_of)
    if not of.accounts:
        return ()
    lines = [[None if isnan(value) else float(value) for value in line[0]] for line in (of.held, of.share)]
    known = [place for place, value in enumerate(lines[0]) if value is not None]
    first = max(known[0], known[-1] - YEAR) if known else 0
    return tuple(
        BoughtMonth(
            month_of(of.first + place),
            *(line[place] for line in lines),
            *(line[place - YEAR] if place >= YEAR else None for line in lines),
        )
        for place in range(first, known[-1] + 1 if known else 0)
    )


def read_bad_rows(conn: Connection, it: IncidentPage, scope: Scope, as_of: datetime) -> tuple[BadRow, ...]:
    """The newest cases that count against an incident's figure; none that is what a person said or felt."""
    question = _question(it)
    if question and scope.privacy and about_people(question.metric):
        exempt = scope.privacy.exempt if question.metric.table == "response" else ()
        if not exempt:
            return ()
        # What was said in the account's name.
        question = replace(question, where=(*question.where, Condition(column="instrument", any_of=exempt)))
    return newest_bad_rows(conn, question, scope, as_of, MOST_ROWS) if question else ()


def _question(it: IncidentPage) -> Question | None:
    """Which rows an incident's figure was made of; None where its sample does not say."""
    rule, metric, found = it.rule, it.metric, it.incident
    if rule is None or metric is None or "since" not in it.sample or conditions_of(metric, found.slice) is None:
        return None
    return question_of(rule, metric, found.slot, slice_values(found.slice), it.sample, it.frozen)


def read_evidence(conn: Connection, it: IncidentPage, scope: Scope, as_of: datetime) -> Evidence | None:
    """What stands behind an incident's figure or case, None where its sample does not say which rows it was made of."""
    rule, found = it.rule, it.incident
    place = (found.vertical, found.touchpoint)
    if rule is None:
        return None
    if rule.case_table and (rule.is_case or found.account_id):
        return read_case_evidence(conn, rule, found, it.history, scope, as_of)
    question = _question(it)
    return gather(conn, question, place, scope, as_of) if question else None


def read_case_evidence(
    conn: Connection, rule: Rule, found: Incident, history: Sequence[HistoryEntry], scope: Scope, as_of: datetime
) -> Evidence:
    """What stands behind an incident of one account, of a severe case its row as well."""
    table, account = rule.case_table or "contact", found.account_id
    known = gather_case(conn, table, account, found.slot, (found.vertical, found.touchpoint), as_of)
    if not rule.is_case or account is None:
        return known
    happened = (history[0].sample or {}).get("happened_at") if history else None
    at = datetime.fromisoformat(happened) if happened else found.opened_at
    return replace(known, case=read_case(conn, table, found.slice, account, at, scope, as_of))


def read_account_name(conn: Connection, account_id: str, scope: Scope) -> str | None:
    """An account's name, for a reader who may see all verticals or that account."""
    if scope.accounts is not None and account_id not in scope.accounts:
        return None
    table = tables.account
    name: str | None = conn.execute(select(table.c.name).where(table.c.account_id == account_id)).scalar()
    return name

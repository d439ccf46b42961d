"""One incident with everything that bears on it: its rule, its figures over time, what else happened, what was done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import dropwhile
from typing import Any, Final

from sqlalchemy import Connection, select

from config.models import Catalog, Metric, Rule, label_of
from queries.engine import day_of
from queries.metrics import Ask, MetricPoint, clock_of, measure
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
from queries.review.read import conditions_of, current_rule
from queries.review.readings import newest_sample
from queries.state import Action, HistoryEntry, Incident, entries, read_actions, read_incident, slice_values
from queries.warehouse import Scope, tables

BEFORE: Final = timedelta(weeks=40)
AFTER: Final = timedelta(weeks=12)
MOST_ROWS: Final = 10
"""Single cases that the page shows."""


@dataclass(frozen=True, slots=True)
class Trend:
    """The incident's own slice over time, and what else happened. `grain` is the length of its periods."""

    grain: str
    points: tuple[MetricPoint, ...]
    overlaps: tuple[Overlap, ...]


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """What the state says of one incident. `rule` and `metric` are None where they have been removed.

    `present` is its figure in the newest window, where one was evaluated since.
    """

    incident: Incident
    rule: Rule | None
    metric: Metric | None
    history: tuple[HistoryEntry, ...]
    actions: tuple[Action, ...]
    present: Mapping[str, Any] | None = None

    @property
    def sample(self) -> Mapping[str, Any]:
        """The newest figures there are."""
        return newest_sample(self.history, self.present)


def read_incident_page(conn: Connection, catalog: Catalog, id_: str, scope: Scope) -> IncidentPage:
    """One incident in scope. Raises UnknownIncidentError."""
    found = read_incident(conn, id_, scope)
    rule, metric = current_rule(found.rule, catalog)
    mine = read_actions(conn, scope, about=found.id)
    named = tuple(replace(action, owner=label_of(action.owner, catalog.people)) for action in mine)
    return IncidentPage(found, rule, metric, entries(conn, found.id), named)


def read_trend(
    conn: Connection,
    rule: Rule,
    metric: Metric,
    found: Incident,
    scope: Scope,
    as_of: datetime,
    before: timedelta = BEFORE,
) -> Trend | None:
    """The figures around an incident, by week, or by month where a week has too few cases. None where none is kept."""
    within = conditions_of(metric, found.slice)
    if within is None:
        return None
    clock = clock_of(conn, as_of)
    today = clock.day()
    # From the first of a month: a month cut short at its beginning would look like a drop.
    since = (found.slot - before).replace(day=1)
    over = day_of(found.resolved_at, clock.zone) if found.resolved_at else today
    until = min(over + AFTER, today + timedelta(days=1))
    for grain in ("week", "month"):
        ask = Ask(grain=grain, since=since, until=until, where=(*rule.where, *within))
        # Before the first there was nothing to measure: that says nothing of how few cases a week has.
        points = tuple(dropwhile(lambda point: point.value is None, measure(conn, metric, ask, scope, as_of)))
        shown = sum(point.value is not None for point in points)
        if grain == "month" or shown * 3 >= max(len(points) * 2, 1):
            return Trend(grain, points, overlaps(conn, since, until, (found.vertical, found.touchpoint), as_of))
    return None


def read_bad_rows(conn: Connection, it: IncidentPage, scope: Scope, as_of: datetime) -> tuple[BadRow, ...]:
    """The newest cases that count against an incident's figure."""
    question = _question(it)
    return newest_bad_rows(conn, question, scope, as_of, MOST_ROWS) if question else ()


def _question(it: IncidentPage) -> Question | None:
    """Which rows an incident's figure was made of; None where its sample does not say."""
    rule, metric, found = it.rule, it.metric, it.incident
    if rule is None or metric is None or "since" not in it.sample or conditions_of(metric, found.slice) is None:
        return None
    return question_of(rule, metric, found.slot, slice_values(found.slice), it.sample)


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

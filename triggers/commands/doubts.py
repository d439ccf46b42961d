"""What is written without a mistake and can hardly be meant: that shows beside the data, or in how figures count."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from config.models import Catalog, Conditions, RateRule, Rule, WatchRule
from config.reading import suggest
from queries.metrics import clock_of
from queries.monitoring.present_values import as_text, present_values
from queries.warehouse import LATE, UNKNOWN, spelled_alike
from triggers.incidents import named_people
from triggers.rules import may_hold

MOST: Final = 5
"""So many rules are named in a line."""

WITH_VERTICALS: Final = {"contact": "occurred_at", "journey": "started_at", "response": "invited_at"}


def doubts(conn: Connection, catalog: Catalog, now: datetime) -> Iterator[str]:
    """One line for each.

    Args:
        conn: one generation of the warehouse.
        catalog: the configuration.
        now: aware UTC.
    """
    yield from _unripe(catalog)
    yield from _nobodys(catalog)
    yield from _unheld(catalog)
    today = clock_of(conn, now).day()
    for goal in catalog.goals:
        if goal.reference and goal.reference.dated > today:
            what = f"the reference beside the goal for {goal.metric} is dated {goal.reference.dated}"
            yield f"{what}; it is not shown before that day"
    asked = [(rule, *read) for rule in catalog.rules if rule.enabled for read in _read_by(rule, catalog)]
    wanted = dict[tuple[str, str], set[str]]()
    for table, dated_by in WITH_VERTICALS.items():
        wanted[table, dated_by] = {"vertical"}
    for _, table, dated_by, conditions in asked:
        wanted.setdefault((table, dated_by), set()).update(c.column for c in conditions if c.any_of)
    # Each table is read once: some of them are made of others, which takes a while.
    present = {key: present_values(conn, key[0], sorted(of), key[1], now) for key, of in wanted.items()}
    for rule, table, dated_by, conditions in asked:
        yield from _unmet(rule, table, conditions, present[table, dated_by])
    verticals = frozenset[str]().union(*(present[key]["vertical"] for key in WITH_VERTICALS.items()))
    for names in spelled_alike(verticals):
        yield f"verticals that differ only in case or spaces: {names}; write each in one way in the sources"
    if verticals:
        yield from _homeless(catalog, verticals)


def _unripe(catalog: Catalog) -> Iterator[str]:
    """Metrics whose newest figures still change."""
    for metric in catalog.metrics:
        late = LATE.get(metric.table, {})
        own = sorted(c for c in metric.columns if late.get(c, metric.dated_by) not in (metric.dated_by, None))
        if own and not metric.matures:
            counted = ", ".join(f"{column} (known at {late[column]})" for column in own)
            what = f"is dated by {metric.dated_by} and counts what is known only later: {counted}"
            yield f'metric {metric.name} {what}; say after how long a case is final, such as matures = "14d"'


def _nobodys(catalog: Catalog) -> Iterator[str]:
    """Rules for which no function of the company is responsible, and functions that are written in two ways."""
    nobodys = [rule.name for rule in catalog.rules if rule.enabled and rule.function is None]
    if nobodys:
        names = f"rule {nobodys[0]} names" if len(nobodys) == 1 else f"{len(nobodys)} rules name"
        which = "" if len(nobodys) == 1 else f" ({', '.join(nobodys[:MOST])}{', ...' if len(nobodys) > MOST else ''})"
        known = f"'{catalog.functions[0]}'" if catalog.functions else "'Field Service'"
        yield f"{names} no function{which}; say who in the company is responsible, such as function = {known}"
    for names in spelled_alike(frozenset(catalog.functions)):
        yield f"functions that differ only in case or spaces: {names}; write each in one way"


def _unheld(catalog: Catalog) -> Iterator[str]:
    """Goals for a part of the cases that no rule looks at."""
    for goal in catalog.goals:
        if goal.part and not any(may_hold(goal, rule) for rule in catalog.rules if rule.enabled):
            what = f"the goal for {goal.metric}, {goal.part}: no rule looks at just that part, so it holds for nothing"
            yield f"{what}; give a rule the same 'where', or the same columns in 'by'"


def _read_by(rule: Rule, catalog: Catalog) -> Iterator[tuple[str, str, Conditions]]:
    """The tables that a rule reads, by what their rows are dated, and which of them it asks for."""
    if not isinstance(rule, WatchRule):
        yield rule.table, rule.dated_by, rule.where
    elif isinstance(rule, RateRule):
        for name, where in zip(rule.metric_names, rule.wheres, strict=True):
            metric = catalog.metric(name)
            yield metric.table, metric.dated_by, where
    else:
        yield "contact", "occurred_at", rule.where


def _unmet(rule: Rule, table: str, conditions: Conditions, present: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """Values that no row of the last year has."""
    for condition in conditions:
        known = present.get(condition.column, frozenset())
        for value in condition.any_of or ():
            if known and as_text(value) not in {*known, UNKNOWN}:
                what = f"where {condition.column} is {as_text(value)!r}, and no {table} of the last year has that"
                yield f"rule {rule.name}: {what}; {suggest(as_text(value), known)}"


def _homeless(catalog: Catalog, verticals: frozenset[str]) -> Iterator[str]:
    """Goals for a vertical that is none, and steps to a general manager that is not there."""
    for goal in catalog.goals:
        if goal.vertical not in {"*", *verticals}:
            what = f"the goal for {goal.metric} names {goal.vertical!r}, a vertical that no data has"
            yield f"{what}; {suggest(goal.vertical, verticals)}"
    used = {rule.route for rule in catalog.rules if rule.enabled}
    for route in (route for route in catalog.routes if route.name in used):
        if any(step.notify == "gm" for step in route.ladder):
            alone = sorted(one for one in verticals if not named_people("gm", catalog.people, one))
            if alone:
                to = f"route {route.name}: its step to the general manager reaches nobody for {', '.join(alone)}"
                yield f'{to}; add a [[person]] with audience = "gm" and these verticals'

"""What must hold between entries: names that exist, limits that can be crossed, routes that reach somebody."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from config.catalog import (
    INEXACT,
    Audience,
    Calendar,
    EventRule,
    Goal,
    Metric,
    Person,
    Review,
    Route,
    Rule,
    ThresholdRule,
)
from config.errors import Mistake
from config.findings import suggest
from config.sheets import Entry, Sheet
from config.toml import Place
from config.values import Conditions

Columns = Mapping[str, Collection[str]]
RESERVED: Final = frozenset({"channel", "gm"})
"""What a ladder may notify besides a person's name."""


@dataclass(frozen=True, slots=True)
class Sheets:
    """Everything of a config folder, as far as it could be read."""

    metrics: Sheet[Metric]
    goals: Sheet[Goal]
    rules: Sheet[Rule]
    routes: Sheet[Route]
    people: Sheet[Person]
    audiences: Sheet[Audience]
    calendar: Sheet[Calendar]
    review: Sheet[Review]

    def all(self) -> tuple[Sheet[Any], ...]:
        """Every sheet."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def metric(self, entry: Entry[Goal] | Entry[ThresholdRule]) -> Entry[Metric] | None:
        """The metric that a goal or a rule names, when both can be read."""
        named = (metric for metric in self.metrics.entries if metric.item.name == entry.item.metric)
        return next(named, None) if entry.sound("metric") else None


def check(sheets: Sheets, columns: Columns | None) -> Iterator[Mistake]:
    """Every mistake that shows only between entries. What is broken in itself already has its mistake."""
    tables = Tables(columns)
    for metric in sheets.metrics.entries:
        yield from _metric(metric, tables)
    yield from _goals_twice(sheets.goals)
    for goal in sheets.goals.entries:
        yield from _goal(goal, sheets, tables)
    for rule in sheets.rules.entries:
        yield from _rule(rule, sheets, tables)
    for route in sheets.routes.entries:
        yield from _route(route, sheets.people)
    for person in sheets.people.entries:
        yield from _person(person, sheets.audiences)
    for review in sheets.review.entries:
        for i, name in enumerate(review.item.metrics):
            yield from _known(review, ("metrics", i), "metric", name, sheets.metrics.names)


def _known(entry: Entry[Any], place: Place, noun: str, name: str, names: Collection[str] | None) -> Iterator[Mistake]:
    if names is not None and name not in names and entry.sound(str(place[0])):
        yield entry.mistake(place, f"unknown {noun} {name!r}", suggest(name, names))


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables and columns that may be read; None when that is not asked."""

    columns: Columns | None

    def named(self, entry: Entry[Any], table: str) -> Iterator[Mistake]:
        """The table must exist."""
        yield from _known(entry, ("table",), "table", table, self.columns)

    def column(self, entry: Entry[Any], place: Place, column: str, table: str) -> Iterator[Mistake]:
        """The table must have the column."""
        known = (self.columns or {}).get(table)
        if known is not None and column not in known and entry.sound(str(place[0])):
            yield entry.mistake(place, f"{table} has no column {column!r}", suggest(column, known))

    def conditions(self, entry: Entry[Any], part: str, conditions: Conditions, table: str) -> Iterator[Mistake]:
        """The table must have the column of each condition."""
        for condition in conditions:
            yield from self.column(entry, (part, condition.column), condition.column, table)


def _metric(entry: Entry[Metric], tables: Tables) -> Iterator[Mistake]:
    metric = entry.item
    yield from tables.named(entry, metric.table)
    yield from tables.column(entry, ("dated_by",), metric.dated_by, metric.table)
    if metric.value:
        yield from tables.column(entry, ("value",), metric.value, metric.table)
    for part in ("where", "count", "plus", "minus"):
        yield from tables.conditions(entry, part, getattr(metric, part), metric.table)


def _goals_twice(goals: Sheet[Goal]) -> Iterator[Mistake]:
    first: dict[tuple[object, ...], int] = {}
    for entry in goals.entries:
        goal = entry.item
        line = entry.document.line(entry.place)
        earlier = first.setdefault((goal.metric, goal.vertical, goal.valid_from, goal.where), line)
        if earlier != line and not entry.broken:
            wrong = f"a second goal for vertical {goal.vertical!r} from {goal.valid_from}"
            yield entry.mistake((), wrong, f"keep one of them; the first is on line {earlier}")


def _goal(entry: Entry[Goal], sheets: Sheets, tables: Tables) -> Iterator[Mistake]:
    goal = entry.item
    yield from _known(entry, ("metric",), "metric", goal.metric, sheets.metrics.names)
    if metric := sheets.metric(entry):
        yield from _possible(entry, "value", goal.value, metric)
        yield from tables.conditions(entry, "where", goal.where, metric.item.table)


def _possible(entry: Entry[Any], key: str, value: float, metric: Entry[Metric]) -> Iterator[Mistake]:
    least, most = metric.item.range
    if entry.sound(key) and metric.sound("shape", "factor") and not least <= value <= most:
        wrong = f"{key} {value:g} is no value that {metric.item.name} can have"
        yield entry.mistake((key,), wrong, f"write a number from {least:g} to {most:g}")


def _rule(entry: Entry[Any], sheets: Sheets, tables: Tables) -> Iterator[Mistake]:
    rule: Rule = entry.item
    yield from _known(entry, ("route",), "route", rule.route, sheets.routes.names)
    yield from _known(entry, ("owner",), "person", rule.owner, sheets.people.names)
    if isinstance(rule, ThresholdRule):
        yield from _known(entry, ("metric",), "metric", rule.metric, sheets.metrics.names)
        if metric := sheets.metric(entry):
            yield from _limits(entry, rule, metric)
            yield from _slices(entry, rule, metric.item.table, tables)
    else:
        yield from _event(entry, rule, tables)


def _event(entry: Entry[Any], rule: EventRule, tables: Tables) -> Iterator[Mistake]:
    if not rule.where and entry.sound("where"):
        yield entry.mistake((), "without 'where' every row would open an incident", "say which rows are severe")
    yield from tables.named(entry, rule.table)
    yield from tables.column(entry, ("dated_by",), rule.dated_by, rule.table)
    yield from _slices(entry, rule, rule.table, tables)


def _slices(entry: Entry[Any], rule: Rule, table: str, tables: Tables) -> Iterator[Mistake]:
    for i, column in enumerate(rule.by):
        yield from tables.column(entry, ("by", i), column, table)
    yield from tables.conditions(entry, "where", rule.where, table)


def _limits(entry: Entry[Any], rule: ThresholdRule, metric: Entry[Metric]) -> Iterator[Mistake]:
    if rule.gate == "exact" and metric.item.shape in INEXACT and entry.sound("gate") and metric.sound("shape"):
        wrong = f"{metric.item.name} is a {metric.item.shape}, which has no exact gate"
        yield entry.mistake(("gate",), wrong, 'write gate = "none" to compare the plain value')
    impossible = [*_possible(entry, "limit", rule.limit, metric), *_possible(entry, "recover", rule.recover, metric)]
    if impossible:
        yield from impossible
    elif entry.sound("limit") and metric.sound("shape", "factor", "good"):
        yield from _reachable(entry, rule, metric.item)
        yield from _recovers(entry, rule, metric.item)


def _reachable(entry: Entry[Any], rule: ThresholdRule, metric: Metric) -> Iterator[Mistake]:
    least, most = metric.range
    up = metric.good == "up"
    room = rule.limit - least if up else most - rule.limit
    if room <= rule.floor and entry.sound("floor"):
        wrong = f"{metric.name} can never be {'below' if up else 'above'} {rule.limit:g} by more than {rule.floor:g}"
        yield entry.mistake(("limit",), wrong, f"{'raise' if up else 'lower'} the limit or lower the floor")


def _recovers(entry: Entry[Any], rule: ThresholdRule, metric: Metric) -> Iterator[Mistake]:
    up = metric.good == "up"
    wrong_side = rule.recover < rule.limit if up else rule.recover > rule.limit
    if wrong_side and entry.sound("recover"):
        wrong = f"recover {rule.recover:g} is on the bad side of limit {rule.limit:g}"
        right = (
            f"{metric.name} is good when {'high' if up else 'low'}: write {rule.limit:g} or {'more' if up else 'less'}"
        )
        yield entry.mistake(("recover",), wrong, right)


def _route(entry: Entry[Route], people: Sheet[Person]) -> Iterator[Mistake]:
    steps = entry.item.ladder
    for i, step in enumerate(steps):
        if i and step.after < steps[i - 1].after:
            right = "put the steps in order of 'after'"
            yield entry.mistake(("ladder", i), f"step {i + 1} comes before step {i}", right)
        if step.notify == "gm":
            yield from _gm(entry, i, people)
        elif step.notify != "channel" and people.names is not None and step.notify not in people.names:
            wrong = f"step {i + 1} reaches nobody: {step.notify!r} is no person"
            yield entry.mistake(("ladder", i), wrong, suggest(step.notify, {*people.names, *RESERVED}))


def _gm(entry: Entry[Route], i: int, people: Sheet[Person]) -> Iterator[Mistake]:
    """Verticals are known only with the data; that there is a general manager at all is known here."""
    possible = any(p.item.audience == "gm" or not p.sound("audience") for p in people.entries)
    if people.names is not None and not possible:
        wrong = f"step {i + 1} reaches nobody: no person has audience 'gm'"
        yield entry.mistake(("ladder", i), wrong, 'add a [[person]] with audience = "gm"')


def _person(entry: Entry[Person], audiences: Sheet[Audience]) -> Iterator[Mistake]:
    person = entry.item
    yield from _known(entry, ("audience",), "audience", person.audience, audiences.names)
    if person.name in RESERVED:
        wrong = f"{person.name!r} has a meaning of its own in ladders"
        yield entry.mistake(("name",), wrong, f"choose another name, such as '{person.name}-north'")

"""What must hold between entries: names that exist, limits that can be crossed, routes that reach somebody."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from config import Mistake
from config.models import (
    INEXACT,
    Audience,
    BaselinePeriod,
    Calendar,
    ChartRule,
    Conditions,
    ContactCost,
    Cutoffs,
    EventRule,
    GapRule,
    Goal,
    Guard,
    Metric,
    Person,
    Privacy,
    RateRule,
    ReviewSettings,
    Route,
    Rule,
    ThresholdRule,
)
from config.reading.entries import ConfigEntry, Sheet, suggest
from config.reading.toml_lines import Place

Columns = Mapping[str, Collection[str]]
RESERVED: Final = frozenset({"channel", "gm"})
"""What a ladder may notify besides a person's name."""

MONTHLY: Final = frozenset({"review", "accounts"})
"""The pages whose figures are of months."""


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
    review: Sheet[ReviewSettings]
    privacy: Sheet[Privacy]
    guard: Sheet[Guard]
    portfolio: Sheet[Cutoffs]
    baselines: Sheet[BaselinePeriod]
    contact_costs: Sheet[ContactCost]

    def all(self) -> tuple[Sheet[Any], ...]:
        """Every sheet."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def metric(self, entry: ConfigEntry[Any]) -> ConfigEntry[Metric] | None:
        """The metric that a goal or a rule names, when both can be read."""
        return self.metric_of(entry.item.metric) if entry.sound("metric") else None

    def metric_of(self, name: str) -> ConfigEntry[Metric] | None:
        """The metric of that name, when it can be read."""
        return next((metric for metric in self.metrics.entries if metric.item.name == name), None)


def cross_check(sheets: Sheets, columns: Columns | None) -> Iterator[Mistake]:
    """Every mistake that shows only between entries. What is broken in itself already has its mistake."""
    tables = Tables(columns)
    for metric in sheets.metrics.entries:
        yield from _metric(metric, tables)
    yield from _goals_twice(sheets.goals)
    for goal in sheets.goals.entries:
        yield from _goal(goal, sheets, tables)
    yield from _dated(sheets)
    for rule in sheets.rules.entries:
        yield from _rule(rule, sheets, tables)
    for route in sheets.routes.entries:
        yield from _route(route, sheets.people)
        yield from _fallback(route, sheets.routes)
    for person in sheets.people.entries:
        yield from _known(person, ("audience",), "audience", person.item.audience, sheets.audiences.names)
        if person.item.name in RESERVED:
            wrong = f"{person.item.name!r} is reserved in ladders"
            yield person.mistake(("name",), wrong, f"choose another name, such as '{person.item.name}-north'")
    yield from _addresses_twice(sheets.people)
    yield from _without_months(sheets.audiences)
    for guard in sheets.guard.entries:
        yield from _known(guard, ("route",), "route", guard.item.route, sheets.routes.names)
        yield from _known(guard, ("owner",), "person", guard.item.owner, sheets.people.names)
    for review in sheets.review.entries:
        for i, name in enumerate(review.item.metrics):
            yield from _known(review, ("metrics", i), "metric", name, sheets.metrics.names)


def _without_months(audiences: Sheet[Audience]) -> Iterator[Mistake]:
    """Whoever opens a page that is made of months may see months."""
    for audience in audiences.entries:
        pages = [page for page in audience.item.pages if page in MONTHLY]
        if pages and "month" not in audience.item.grains and audience.sound("pages") and audience.sound("grains"):
            wrong = f"the page {pages[0]!r} shows months, which are not among its grains"
            yield audience.mistake(("grains",), wrong, f"add 'month', or take {pages[0]!r} away from its pages")


def _known(
    entry: ConfigEntry[Any], place: Place, noun: str, name: str, names: Collection[str] | None
) -> Iterator[Mistake]:
    if names is not None and name not in names and entry.sound(str(place[0])):
        yield entry.mistake(place, f"unknown {noun} {name!r}", suggest(name, names))


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables and columns that may be read; None when that is not asked."""

    columns: Columns | None

    def named(self, entry: ConfigEntry[Any], table: str) -> Iterator[Mistake]:
        """The table must exist."""
        yield from _known(entry, ("table",), "table", table, self.columns)

    def column(self, entry: ConfigEntry[Any], place: Place, column: str, table: str) -> Iterator[Mistake]:
        """The table must have the column."""
        known = (self.columns or {}).get(table)
        if known is not None and column not in known and entry.sound(str(place[0])):
            yield entry.mistake(place, f"{table} has no column {column!r}", suggest(column, known))

    def conditions(self, entry: ConfigEntry[Any], part: str, conditions: Conditions, table: str) -> Iterator[Mistake]:
        """The table must have the column of each condition."""
        for condition in conditions:
            yield from self.column(entry, (part, condition.column), condition.column, table)


def _metric(entry: ConfigEntry[Metric], tables: Tables) -> Iterator[Mistake]:
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
        earlier = first.setdefault((goal.metric, goal.vertical, goal.valid_from, goal.where, goal.function), line)
        if earlier != line and not entry.broken:
            of = f"{goal.vertical!r}, {goal.part}," if goal.part else repr(goal.vertical)
            wrong = f"there is already a goal for vertical {of} from {goal.valid_from}"
            yield entry.mistake((), wrong, f"keep one of them; the first is on line {earlier}")


def _dated(sheets: Sheets) -> Iterator[Mistake]:
    """What is valid from a day on, besides goals."""
    yield from _twice(sheets.portfolio, "cut-offs")
    yield from _twice(sheets.baselines, "a baseline", "metric")
    yield from _twice(sheets.contact_costs, "the cost of a contact", "channel")
    for baseline in sheets.baselines.entries:
        yield from _baseline(baseline, sheets)


def _twice(sheet: Sheet[Any], what: str, *keys: str) -> Iterator[Mistake]:
    """Two entries of a sheet that are valid from one day on, for one value of `keys`."""
    first: dict[tuple[object, ...], int] = {}
    for entry in sheet.entries:
        line, names = entry.document.line(entry.place), (*keys, "valid_from")
        earlier = first.setdefault(tuple(getattr(entry.item, name) for name in names), line)
        if earlier != line and entry.sound(*names):
            wrong = f"{what} from {entry.item.valid_from} on stands here twice"
            yield entry.mistake((), wrong, f"keep one of them; the first is on line {earlier}")


def _addresses_twice(people: Sheet[Person]) -> Iterator[Mistake]:
    """Whoever signs in is one person: two entries would not add up."""
    first: dict[str, str] = {}
    for entry in people.entries:
        if entry.item.email and entry.sound("email"):
            name = first.setdefault(entry.item.email.casefold(), entry.item.name)
            if name != entry.item.name:
                wrong = f"{name!r} has the address {entry.item.email!r} already"
                yield entry.mistake(("email",), wrong, "give each person an address of their own")


def _goal(entry: ConfigEntry[Goal], sheets: Sheets, tables: Tables) -> Iterator[Mistake]:
    goal = entry.item
    yield from _known(entry, ("metric",), "metric", goal.metric, sheets.metrics.names)
    if goal.function and sheets.rules.names is not None:
        functions = {rule.item.function for rule in sheets.rules.entries if rule.item.function}
        yield from _known(entry, ("function",), "function", goal.function, functions)
    if metric := sheets.metric(entry):
        for key, of in {"value": goal, "reference": goal.reference}.items():
            yield from _possible(entry, key, of.value, metric) if of else ()
        yield from tables.conditions(entry, "where", goal.where, metric.item.table)


def _baseline(entry: ConfigEntry[BaselinePeriod], sheets: Sheets) -> Iterator[Mistake]:
    yield from _known(entry, ("metric",), "metric", entry.item.metric, sheets.metrics.names)
    metric = sheets.metric(entry)
    if metric and metric.sound("shape", "table") and (metric.item.shape, metric.item.table) != ("share", "journey"):
        wrong = f"{metric.item.name} is not a share of journeys"
        yield entry.mistake(("metric",), wrong, "choose one that is, such as defect-rate")


def _possible(entry: ConfigEntry[Any], key: str, value: float, metric: ConfigEntry[Metric]) -> Iterator[Mistake]:
    least, most = metric.item.range
    if entry.sound(key) and metric.sound("shape", "factor") and not least <= value <= most:
        wrong = f"{key} {value:g} is not a possible value of {metric.item.name}"
        yield entry.mistake((key,), wrong, f"write a number from {least:g} to {most:g}")


def _rule(entry: ConfigEntry[Any], sheets: Sheets, tables: Tables) -> Iterator[Mistake]:
    rule: Rule = entry.item
    yield from _known(entry, ("route",), "route", rule.route, sheets.routes.names)
    yield from _known(entry, ("owner",), "person", rule.owner, sheets.people.names)
    yield from _parent(entry, rule, sheets)
    if isinstance(rule, EventRule):
        if not rule.where and entry.sound("where"):
            yield entry.mistake((), "without 'where' every row would open an incident", "say which rows are severe")
        yield from tables.named(entry, rule.table)
        yield from tables.column(entry, ("dated_by",), rule.dated_by, rule.table)
        yield from tables.conditions(entry, "where", rule.where, rule.table)
    elif not isinstance(rule, RateRule):
        yield from tables.conditions(entry, "where", rule.where, "contact")
    else:
        yield from _known(entry, ("metric",), "metric", rule.metric, sheets.metrics.names)
        if metric := sheets.metric(entry):
            yield from _gate(entry, rule, metric)
            for i, column in enumerate(rule.by):
                yield from tables.column(entry, ("by", i), column, metric.item.table)
            yield from tables.conditions(entry, "where", rule.where, metric.item.table)
            if isinstance(rule, ThresholdRule):
                yield from _limits(entry, rule, metric)
            if isinstance(rule, GapRule):
                yield from _against(entry, rule, metric.item, sheets, tables)


def _parent(entry: ConfigEntry[Any], rule: Rule, sheets: Sheets) -> Iterator[Mistake]:
    """A parent must exist, be another rule, and have no parent itself."""
    if rule.inhibited_by is None:
        return
    place = ("inhibited_by",)
    yield from _known(entry, place, "rule", rule.inhibited_by, sheets.rules.names)
    parents = [other.item for other in sheets.rules.entries if other.item.name == rule.inhibited_by]
    if rule.inhibited_by == rule.name:
        yield entry.mistake(place, "a rule cannot inhibit itself", "name another rule, or leave it out")
    elif parents and parents[0].inhibited_by:
        wrong = f"{rule.inhibited_by!r} is itself inhibited by another rule; only one level is allowed"
        yield entry.mistake(place, wrong, f"name {parents[0].inhibited_by!r}, or leave it out")


def _gate(entry: ConfigEntry[Any], rule: RateRule, metric: ConfigEntry[Metric]) -> Iterator[Mistake]:
    shape = metric.item.shape
    if not metric.sound("shape"):
        return
    if isinstance(rule, ChartRule):
        wanted = ("share",) if rule.method in ("cusum", "g") else ("share", "balance", "mean")
        if shape not in wanted and entry.sound("method"):
            wrong = f"{metric.item.name} is a {shape}, which a {rule.method} chart cannot use"
            yield entry.mistake(("method",), wrong, f"choose a metric that is a {' or a '.join(wanted)}")
    elif rule.gate == "exact" and shape in INEXACT and entry.sound("gate"):
        wrong = f"{metric.item.name} is a {shape}, which has no exact gate"
        yield entry.mistake(("gate",), wrong, 'write gate = "none" to compare the plain value')
    elif shape == "quantile" and not isinstance(rule, ThresholdRule):
        wrong = f"{metric.item.name} is a quantile, which only a threshold can watch"
        yield entry.mistake(("metric",), wrong, "use the share beyond a limit instead")


def _against(
    entry: ConfigEntry[Any], rule: GapRule, metric: Metric, sheets: Sheets, tables: Tables
) -> Iterator[Mistake]:
    other = rule.against
    yield from _known(entry, ("against", "metric"), "metric", other.metric, sheets.metrics.names)
    base = sheets.metric_of(other.metric)
    if base is None:
        return
    if (base.item.shape, base.item.factor) != (metric.shape, metric.factor) and base.sound("shape", "factor"):
        wrong = f"{other.metric} is a {base.item.shape} and {metric.name} a {metric.shape}, or their units differ"
        yield entry.mistake(("against", "metric"), wrong, "compare figures of one shape and unit")
    yield from tables.conditions(entry, "against", other.where, base.item.table)
    for i, column in enumerate(rule.strata):
        if column in rule.by:
            wrong = f"{column!r} is already in by, so each of its values is compared separately"
            yield entry.mistake(("strata", i), wrong, "remove it from strata or from by")
    for i, column in enumerate((*rule.by, *rule.strata)):
        place = ("by", i) if i < len(rule.by) else ("strata", i - len(rule.by))
        yield from tables.column(entry, place, column, base.item.table)
        yield from tables.column(entry, place, column, metric.table) if place[0] == "strata" else ()


def _limits(entry: ConfigEntry[Any], rule: ThresholdRule, metric: ConfigEntry[Metric]) -> Iterator[Mistake]:
    impossible = [*_possible(entry, "limit", rule.limit, metric), *_possible(entry, "recover", rule.recover, metric)]
    yield from impossible
    if impossible or not entry.sound("limit") or not metric.sound("shape", "factor", "good"):
        return
    name, up = metric.item.name, metric.item.good == "up"
    least, most = metric.item.range
    room = rule.limit - least if up else most - rule.limit
    if room <= rule.floor and entry.sound("floor"):
        wrong = f"{name} can never be {'below' if up else 'above'} {rule.limit:g} by more than {rule.floor:g}"
        yield entry.mistake(("limit",), wrong, f"{'raise' if up else 'lower'} the limit or lower the floor")
    wrong_side = rule.recover < rule.limit if up else rule.recover > rule.limit
    if wrong_side and entry.sound("recover"):
        wrong = f"recover {rule.recover:g} is on the bad side of limit {rule.limit:g}"
        right = f"{name} is good when {'high' if up else 'low'}: write {rule.limit:g} or {'more' if up else 'less'}"
        yield entry.mistake(("recover",), wrong, right)


def _route(entry: ConfigEntry[Route], people: Sheet[Person]) -> Iterator[Mistake]:
    steps = entry.item.ladder
    # Verticals are known only with the data; that there is a general manager at all is known here.
    has_manager = any(p.item.audience == "gm" or not p.sound("audience") for p in people.entries)
    for i, step in enumerate(steps):
        if any(own < before for own, before in zip(step.after, steps[i - 1].after if i else (), strict=False)):
            right = "put the steps in order of 'after'"
            yield entry.mistake(("ladder", i), f"step {i + 1} comes before step {i}", right)
        if people.names is None:
            continue
        if step.notify == "gm" and not has_manager:
            wrong = f"step {i + 1} reaches nobody: no person has audience 'gm'"
            yield entry.mistake(("ladder", i), wrong, 'add a [[person]] with audience = "gm"')
        elif step.notify not in {*people.names, *RESERVED}:
            wrong = f"step {i + 1} reaches nobody: no person is called {step.notify!r}"
            yield entry.mistake(("ladder", i), wrong, suggest(step.notify, {*people.names, *RESERVED}))


def _fallback(entry: ConfigEntry[Route], routes: Sheet[Route]) -> Iterator[Mistake]:
    """What Slack refuses must come somewhere: to another route, with a channel, and not to the same channel."""
    name, place = entry.item.fallback, ("fallback",)
    if name is None:
        return
    if name == entry.item.name:
        yield entry.mistake(place, "a route cannot be its own fallback", "name another route, or leave it out")
        return
    yield from _known(entry, place, "route", name, routes.names)
    for other in routes.entries:
        if other.item.name != name or not other.sound("channel") or not entry.sound("fallback", "channel"):
            continue
        if other.item.channel is None:
            yield entry.mistake(place, f"fallback {name!r} has no channel", "give it one, or name a route that has one")
        elif other.item.channel == entry.item.channel:
            right = "name a route that leads elsewhere"
            yield entry.mistake(place, f"fallback {name!r} leads to the same channel", right)

"""The figures of an incident: what they are of, what it is now, was at its worst and when it was found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from math import hypot
from typing import Any

from sqlalchemy import Connection

from config.models import Catalog, Condition, Goal, Metric, Rule
from queries.engine import day_of
from queries.metrics import (
    Ask,
    MetricPoint,
    day_words,
    figure,
    goal_figure,
    half_width,
    measure,
    moment_words,
    span_words,
)
from queries.review.document import EVERYWHERE
from queries.state import HistoryEntry, Incident, slice_values
from queries.warehouse import COLUMNS, Scope, typed

Sample = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings as they are stored with an incident's history, and the present one as it was measured for the reader."""

    now: Sample
    worst: Sample
    found: Sample

    def at_worst(self, metric: Metric) -> Sample:
        """The worst reading: what was measured for the reader was never judged, and may be that."""
        sign, value = (1 if metric.good == "down" else -1), self.now.get("value")
        is_worst = value is not None and "against" not in self.now and sign * (value - self.worst["value"]) >= 0
        return self.now if is_worst else self.worst

    def before(self, metric: Metric) -> str:
        """What it was: `40% when found, 43% at its worst`; what it still is is left out."""
        readings = (self.now, self.at_worst(metric), self.found)
        now, worst, found = (reading_words(metric, one, self.now) for one in readings)
        if worst == found != now:
            return f"{found} when found, its worst"
        said = {"when found": found, "at its worst": worst}
        return ", ".join(f"{value} {when}" for when, value in said.items() if value != now)


def newest_sample(history: Sequence[HistoryEntry], present: Sample | None) -> Sample:
    """The newest reading there is, empty where there is none.

    A difference stays as its rule saw it where only one of its sides was measured anew.
    """
    stored = next((entry.sample for entry in reversed(history) if entry.sample), {})
    if present is None or ("against" in stored and "against" not in present):
        return stored
    return with_sides(stored, present)


def with_sides(stored: Sample, present: Sample) -> Sample:
    """A stored reading with what was measured anew; its other side keeps its label."""
    sides = {**stored.get("against", {}), **present.get("against", {})}
    return {**stored, **present, **({"against": sides} if sides else {})}


def readings_of(history: Sequence[HistoryEntry], present: Sample | None = None) -> Readings | None:
    """The readings of an incident, None where none has a figure."""
    known = [entry.sample for entry in history if entry.sample and entry.sample.get("value") is not None]
    if not known:
        return None
    return Readings(newest_sample(history, present), max(known, key=lambda one: one.get("bad") or 0.0), known[0])


def read_present(
    conn: Connection,
    rule: Rule | None,
    metrics: Sequence[Metric],
    found: Incident,
    until: date | None,
    scope: Scope,
    as_of: datetime,
) -> Sample | None:
    """The figure of an open incident's slice in the newest window that its rule looked at; None where there is none.

    Args:
        conn: a pinned generation.
        rule: as it is configured.
        metrics: what it reads, and what that is compared with, where that is another metric.
        found: the incident.
        until: the day after that window: the rule's newest slot.
        scope: what may be read.
        as_of: aware UTC.
    """
    if rule is None or not metrics or until is None or not found.is_open or until <= found.slot:
        return None
    return read_window(conn, rule, metrics, found.slice, until, scope, as_of)


def read_window(
    conn: Connection, rule: Rule, metrics: Sequence[Metric], slice_: str, until: date, scope: Scope, as_of: datetime
) -> Sample | None:
    """The figure of a slice in the window of a rule that ends before `until`; of a gap both figures, and how far apart.

    Only the rule itself measures a gap within strata.
    """
    sides = [rule.where, *(against.where for against in (getattr(rule, "against", None),) if against)]
    points = list[MetricPoint]()
    for metric, where in zip(metrics, sides, strict=False):
        within = conditions_of(metric, slice_)
        if within is None:
            return None
        ask = Ask(grain="all", since=until - rule.period, until=until, where=(*where, *within))
        points += measure(conn, metric, ask, scope, as_of)
    if len(points) < min(len(metrics), len(sides)) or any(point.value is None for point in points):
        return None
    span = {"since": (until - rule.period).isoformat(), "until": until.isoformat()}
    own = points[0]
    reading = {**span, "value": own.value, "low": own.low, "high": own.high, "tally": [own.n]}
    if len(points) == 1 or getattr(rule, "strata", None):
        return reading
    return {**reading, "held": points[1].value, "against": {"tally": [points[1].n], **_apart(own, points[1])}}


def _apart(one: MetricPoint, other: MetricPoint) -> dict[str, float]:
    """The interval of a difference from those of its sides, by square-and-add (Newcombe 1998, method 10)."""
    ends = (one.value, one.low, one.high, other.value, other.low, other.high)
    known = [end for end in ends if end is not None]
    if len(known) < len(ends):
        return {}
    value, low, high, held, other_low, other_high = known
    gap = value - held
    return {"low": gap - hypot(value - low, other_high - held), "high": gap + hypot(high - value, held - other_low)}


def reading_words(metric: Metric, sample: Sample, beside: Sample | None = None) -> str:
    """The figure of a reading, such as `43%`, as precise as that of another one which it stands beside."""
    of = beside or sample
    return figure(metric, sample.get("value"), half_width(of.get("low"), of.get("high")))


def happened_on(entry: HistoryEntry, zone: tzinfo) -> date:
    """When something happened: of what a slot showed a day of the reporting zone, of everything else the instant."""
    as_of = (entry.sample or {}).get("as_of")
    is_of_slot = as_of is not None and datetime.fromisoformat(as_of) == entry.at
    return day_of(entry.at, zone) if is_of_slot else entry.at


def when_found(found: Incident, opened: HistoryEntry, zone: tzinfo) -> tuple[str, str]:
    """When an incident was found; of a figure that has recovered from when to when it was beyond its limit."""
    if found.resolved_at is None or found.is_case:
        return "Found", moment_words(happened_on(opened, zone), zone)
    first, last = (day_of(at, zone) for at in (found.opened_at, found.resolved_at))
    return "Lasted", span_words(first, last) if first < last else day_words(first)


def aged(rule: Rule | None, sample: Sample, today: date) -> Sample:
    """A reading as it is today: what was silent and was not heard since has been silent for longer."""
    if rule is None or not rule.hears_signals or sample.get("value") is None or "until" not in sample:
        return sample
    since = (today - date.fromisoformat(sample["until"])).days
    return {**sample, "value": sample["value"] + since, "until": today.isoformat()} if since > 0 else sample


def current_rule(name: str, catalog: Catalog) -> tuple[Rule | None, Metric | None]:
    """A rule as it is configured now, and its metric."""
    rule = next((rule for rule in catalog.rules if rule.name == name), None)
    of = getattr(rule, "metric", None)
    return rule, next((metric for metric in catalog.metrics if metric.name == of), None)


def figure_name(rule: Rule | None, metric: Metric | None) -> str:
    """What a figure is called: by its rule where that looks at a part of the metric's rows."""
    return (rule.label if rule and rule.where else "") or (metric.label if metric else "")


def slice_words(slice_: str) -> str:
    """A slice in words: `vertical=Energy|touchpoint=visit` is `Energy, visit`."""
    return ", ".join(slice_values(slice_).values()) or EVERYWHERE


def conditions_of(metric: Metric, slice_: str) -> tuple[Condition, ...] | None:
    """A slice as conditions on the metric's table, None where that table has no such column."""
    values = slice_values(slice_)
    # A rule that was sliced by another column before it was edited leaves incidents that its metric no longer has.
    if any(column not in COLUMNS[metric.table] for column in values):
        return None
    return tuple(Condition(column=c, any_of=(typed(metric.table, c, value),)) for c, value in values.items())


def slice_goal(catalog: Catalog, rule: Rule | None, metric: Metric | None, slice_: str, day: date) -> Goal | None:
    """The most specific goal that fits a rule's slice on a day: what is promised for just that part of the cases."""
    within = conditions_of(metric, slice_) if metric else None
    if rule is None or metric is None or within is None:
        return None
    every = (*rule.where, *within)
    of = next((str(c.any_of[0]) for c in every if c.column == "vertical" and c.any_of and len(c.any_of) == 1), "*")
    part = tuple(condition for condition in every if condition.column != "vertical")
    return catalog.goal(metric.name, of, day, part, rule.function)


def goal_text(metric: Metric, goal: Goal) -> str:
    """A goal and what it is for: `90% for installations`."""
    return f"{goal_figure(metric, goal.value)}{f' for {goal.part}' if goal.part else ''}"


def reference_text(metric: Metric | None, goal: Goal | None, today: date) -> str:
    """What stands beside a goal for comparison, with source and date; empty where nothing does, or not yet."""
    of = goal.reference if goal else None
    if of is None or metric is None or of.dated > today:
        return ""
    return f"{goal_figure(metric, of.value)} ({of.source}, {day_words(of.dated)})"
